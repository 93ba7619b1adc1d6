//! How a node is opened: the directory, who it is, each group's recovery, and its place in the map.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::join_all;
use openraft::async_runtime::WatchReceiver;
use openraft::{Config, SnapshotPolicy};
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::group::apply::StateMachine;
use crate::group::standing::Standing;
use crate::group::{Group, Proposer, ProposerBounds, Raft, Running, Shard, Verdict};
use crate::groups::ticker::Ticker;
use crate::groups::{Clock, Cluster, Inner, OpenError};
use crate::layout::{NodeId, ShardId, ShardLayout};
use crate::machine::Machine;
use crate::map::{ClusterId, ClusterMap, MapCommand, MapMachine};
use crate::metrics::ClusterMetrics;
use crate::network::Network;
use crate::network::adapter::Links;
use crate::options::Options;
use crate::raft::Peer;
use crate::storage::codec::{self, Identity};
use crate::storage::database::Database;
use crate::storage::evidence::Evidence;
use crate::storage::health::Health;
use crate::storage::keys::{self, Column, GroupId};
use crate::storage::log::{CacheBounds, GroupLog, LogDisk, Recovered, RocksLog};
use crate::storage::state::StateStore;
use crate::storage::witness::{self, Note, Witness, vote_note};
use crate::storage::writer::{Change, Row, Writer};
use crate::storage::{ReadError, Reader};

/// Where in the data directory `RocksDB` lies.
const DATABASE: &str = "rocksdb";
/// The number of the node that makes a cluster.
const FOUNDER: NodeId = NodeId(1);
/// Largest change of the cluster's map, in bytes.
const MAP_ENTRY_BYTES_MAX: usize = 1024 * 1024;
/// How long sending a snapshot to a peer may take.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_mins(10);

/// What all groups of a node are made from.
struct Parts {
    options: Options,
    config: Arc<Config>,
    network: Arc<dyn Network>,
    identity: Identity,
    database: Arc<Database>,
    disk: Arc<dyn LogDisk>,
    writer: Writer,
    health: Arc<Health>,
    metrics: Arc<ClusterMetrics>,
}

pub(super) async fn open(
    options: Options,
    network: Arc<dyn Network>,
    clock: &dyn Clock,
    machine: &(dyn Fn(ShardId) -> Box<dyn Machine> + '_),
) -> Result<Cluster, OpenError> {
    options.check().map_err(OpenError::Options)?;
    let layout = ShardLayout::new(options.shards);
    std::fs::create_dir_all(&options.data_dir).map_err(|error| OpenError::Storage(error.to_string()))?;
    let groups: Vec<GroupId> = (0..layout.count()).map(GroupId).chain([GroupId::META]).collect();
    let witness = open_witness(&options, groups.len())?;
    let evidence = if witness.was_shut_down() {
        Evidence::none()
    } else {
        let copied = Evidence::copy(&options.data_dir, &options.data_dir.join(DATABASE));
        copied.map_err(|error| OpenError::Storage(error.to_string()))?
    };
    let database = open_database(&options)?;
    flush_names(&options.data_dir).map_err(|error| OpenError::Storage(error.to_string()))?;
    let identity = identify(&database, &options)?;
    let notes: BTreeMap<GroupId, Note> = groups.iter().map(|group| (*group, witness.note(*group))).collect();

    let (health, metrics) = (Arc::new(Health::default()), Arc::new(ClusterMetrics::default()));
    let disk: Arc<dyn LogDisk> = Arc::new(RocksLog { database: database.clone() });
    let rocks = database.rocks().map_err(|error| OpenError::Storage(error.to_string()))?;
    let hook = options.write_hook.clone();
    let (writer, writer_end) =
        Writer::start(rocks, disk.clone(), witness, health.clone(), metrics.clone(), hook)
            .map_err(|error| OpenError::Storage(error.to_string()))?;
    // Opening flushes nothing of what it recovered, so nothing of that may be confirmed before this.
    let row = Row::Put(Column::Map, keys::node_record(), codec::encode_identity(&identity));
    let flushed = writer.write(Change::Rows { rows: vec![row], flush: true }).await;
    flushed.map_err(|error| OpenError::Storage(error.to_string()))?;

    let config = raft_config(&options, &identity)?;
    let parts = Parts { options, config, network, identity, database, disk, writer, health, metrics };
    let (map_sender, map) = watch::channel(Arc::default());
    let mut shards = Vec::new();
    for group in groups {
        let machine = match group {
            GroupId::META => Box::new(MapMachine::new(map_sender.clone())) as Box<dyn Machine>,
            GroupId(shard) => machine(ShardId(shard)),
        };
        shards.push(open_group(&parts, group, notes.get(&group).copied().unwrap_or_default(), machine).await);
    }
    if shards.iter().all(|shard| shard.group().raft.is_some()) {
        evidence.discard();
    } else {
        evidence.keep();
    }
    let meta = shards.pop().expect("the meta group is the last");
    if let Ok(stored) = ClusterMap::load(&Reader::live(meta.group().store.clone())) {
        map_sender.send_replace(Arc::new(stored));
    }
    let cluster = start(&parts, layout, shards, meta, map, writer_end).await;
    register(&parts, &cluster, clock).await?;
    Ok(cluster)
}

fn open_witness(options: &Options, groups: usize) -> Result<Witness, OpenError> {
    Witness::open(&options.data_dir, groups).map_err(|error| match error {
        witness::Error::Locked => OpenError::Locked(display(&options.data_dir)),
        witness::Error::Io(error) => OpenError::Storage(error.to_string()),
    })
}

fn open_database(options: &Options) -> Result<Arc<Database>, OpenError> {
    let path = options.data_dir.join(DATABASE);
    Database::open(&path, options.block_cache_bytes).map_err(|error| {
        let message = error.to_string();
        if message.contains("LOCK") || message.to_lowercase().contains("lock hold") {
            OpenError::Locked(display(&options.data_dir))
        } else {
            OpenError::Storage(message)
        }
    })
}

/// Flushes that the files of the data directory are in it, and it in its parent: `RocksDB` flushes its own
/// directory only, and a power cut would take a new one away with all that was confirmed in it.
fn flush_names(data_dir: &Path) -> std::io::Result<()> {
    let absolute = std::path::absolute(data_dir)?;
    File::open(&absolute)?.sync_all()?;
    // A service may not be allowed to read the parent; then whoever made the directory has to see to it.
    match absolute.parent().map(File::open) {
        Some(Ok(parent)) => parent.sync_all(),
        Some(Err(error)) if error.kind() != std::io::ErrorKind::PermissionDenied => Err(error),
        Some(Err(_)) | None => Ok(()),
    }
}

fn display(path: &Path) -> String {
    path.display().to_string()
}

/// Who this node is: what is stored, or in an empty directory the founder of a new cluster.
fn identify(database: &Database, options: &Options) -> Result<Identity, OpenError> {
    let storage = |error: ReadError| OpenError::Storage(error.to_string());
    let Some(stored) = database.get(Column::Map, &keys::node_record()).map_err(storage)? else {
        let cluster = ClusterId(rand::random());
        return Ok(Identity { cluster, node: FOUNDER, shards: options.shards });
    };
    let identity = codec::decode_identity(&stored).map_err(|error| OpenError::Storage(error.to_string()))?;
    if identity.shards != options.shards {
        return Err(OpenError::Mismatch(format!(
            "the cluster in {} was made with {} shards, the options say {}: the number of shards is set when a \
             cluster is made, so give {} or another data directory",
            display(&options.data_dir),
            identity.shards,
            options.shards,
            identity.shards,
        )));
    }
    Ok(identity)
}

fn raft_config(options: &Options, identity: &Identity) -> Result<Arc<Config>, OpenError> {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let config = Config {
        cluster_name: identity.cluster.to_string(),
        heartbeat_interval: ms(options.heartbeat),
        election_timeout_min: ms(options.election_min),
        election_timeout_max: ms(options.election_max),
        // The node's own ticker drives all groups.
        enable_tick: false,
        enable_pre_vote: Some(true),
        // A restarted leader may not have applied what it confirmed: it has to be elected, and pass its barrier.
        enable_leader_restore: Some(false),
        // Snapshots and purges are asked for by the ticker.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        replication_lag_threshold: options.log_kept_entries.max(1),
        install_snapshot_timeout: ms(SNAPSHOT_TIMEOUT),
        ..Config::default()
    };
    config.validate().map(Arc::new).map_err(|error| OpenError::Options(error.to_string()))
}

/// Opens one group. One that can not be recovered is stopped from the start, the others go on.
async fn open_group(parts: &Parts, id: GroupId, note: Note, machine: Box<dyn Machine>) -> Shard {
    let store = Arc::new(StateStore::new(id, parts.database.clone()));
    let bounds = ProposerBounds {
        entries_in_flight: parts.options.entries_in_flight,
        // The map is not the application's, nor is its size.
        entry_bytes_max: if id == GroupId::META {
            MAP_ENTRY_BYTES_MAX
        } else {
            parts.options.entry_bytes_max
        },
        waiting_max: parts.options.proposals_waiting_max,
        waiting_bytes_max: parts.options.proposals_waiting_bytes_max,
    };
    let proposer = Arc::new(Proposer::new(bounds, parts.metrics.clone()));
    let standing = Arc::new(Standing::default());
    let raft = match start_raft(parts, id, note, machine, &store, &standing).await {
        Ok(running) => {
            proposer.attach(running.raft.clone());
            Some(running)
        }
        Err(reason) => {
            standing.stop(reason);
            None
        }
    };
    Shard::new(Group {
        id,
        node: parts.identity.node,
        raft,
        standing,
        store,
        health: parts.health.clone(),
        proposer,
        lease: parts.options.election_max,
        leadership: watch::channel(None).0,
    })
}

async fn start_raft(
    parts: &Parts,
    id: GroupId,
    note: Note,
    machine: Box<dyn Machine>,
    store: &Arc<StateStore>,
    standing: &Arc<Standing>,
) -> Result<Running, String> {
    let recovered = parts.disk.recover(id).map_err(|error| error.to_string())?;
    check_witness(&recovered, note)?;
    let state = store.recover().map_err(|error| error.to_string())?;
    let leftovers = store.leftover_rows().map_err(|error| error.to_string())?;
    if !leftovers.is_empty() {
        let removed = parts.writer.write(Change::Rows { rows: leftovers, flush: false }).await;
        removed.map_err(|error| error.to_string())?;
    }
    standing.recovered(state.0.log_id.map_or(0, |log_id| log_id.index));
    let cache =
        CacheBounds { entries: parts.options.log_cached_entries, bytes: parts.options.log_cached_bytes };
    let log =
        GroupLog::new(id, recovered, parts.disk.clone(), parts.writer.clone(), parts.metrics.clone(), cache);
    let machine = StateMachine::new(
        machine,
        store.clone(),
        state,
        parts.writer.clone(),
        standing.clone(),
        parts.metrics.clone(),
    );
    let links = Links { group: id, network: parts.network.clone() };
    let raft = Raft::new(parts.identity.node, parts.config.clone(), links, log.clone(), machine).await;
    let raft = raft.map_err(|error| error.to_string())?;
    Ok(Running {
        metrics: raft.metrics(),
        server: raft.server_metrics(),
        data: raft.data_metrics(),
        raft,
        log,
        writer: parts.writer.clone(),
    })
}

/// Compares what was recovered with what was surely on disk.
fn check_witness(recovered: &Recovered, note: Note) -> Result<(), String> {
    if recovered.next_index() < note.next_index {
        return Err(format!(
            "its log ends before index {}, but everything before index {} was on disk and confirmed: the data \
             directory is damaged",
            recovered.next_index(),
            note.next_index,
        ));
    }
    let (term, _, is_leaders) = recovered.vote.as_ref().map(vote_note).unwrap_or_default();
    let (noted_term, _, noted_is_leaders) = note.vote;
    if (term, is_leaders) < (noted_term, noted_is_leaders) {
        return Err(format!(
            "its vote is of term {term}, but it had voted in term {noted_term}: the data directory is damaged"
        ));
    }
    Ok(())
}

/// Starts the tasks of the node, and waits until it leads what it can lead alone.
async fn start(
    parts: &Parts,
    layout: ShardLayout,
    shards: Vec<Shard>,
    meta: Shard,
    map: watch::Receiver<Arc<ClusterMap>>,
    writer_end: oneshot::Receiver<()>,
) -> Cluster {
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let groups: Vec<Arc<Group>> = shards.iter().chain([&meta]).map(|shard| shard.group().clone()).collect();
    for group in &groups {
        tasks.spawn(group.clone().follow());
    }
    join_all(groups.iter().map(|group| take_up(parts, group))).await;
    let ticker = Ticker::new(groups, &parts.options, parts.metrics.clone());
    tasks.spawn(ticker.run(stop.clone()));
    Cluster(Arc::new(Inner {
        identity: parts.identity,
        layout,
        shards,
        meta,
        map,
        network: parts.network.clone(),
        application: OnceLock::new(),
        health: parts.health.clone(),
        metrics: parts.metrics.clone(),
        database: parts.database.clone(),
        writer: parts.writer.clone(),
        writer_end: Mutex::new(Some(writer_end)),
        tasks,
        stop,
    }))
}

/// Makes a new group, or lets its only voter elect itself, and waits until it leads.
async fn take_up(parts: &Parts, group: &Group) {
    let Some(Running { raft, metrics, .. }) = &group.raft else { return };
    let started = match raft.is_initialized().await {
        Ok(false) => {
            let peer = Peer { address: parts.options.peer_address.clone() };
            let members = BTreeMap::from([(parts.identity.node, peer)]);
            raft.initialize(members).await.map_err(|error| error.to_string())
        }
        Ok(true) if group.is_only_voter(&metrics.borrow_watched().membership_config) => {
            raft.trigger().elect(false).await.map_err(|error| error.to_string())
        }
        Ok(true) => return,
        Err(error) => Err(error.to_string()),
    };
    parts.metrics.elections.add(1);
    match started {
        Ok(()) => {
            let mut leadership = group.leadership.subscribe();
            while leadership.borrow_and_update().is_none() && group.stopped().is_none() {
                if leadership.changed().await.is_err() {
                    break;
                }
            }
        }
        Err(reason) => group.standing.stop(reason),
    }
}

/// Says in the cluster's map that this node has started.
async fn register(parts: &Parts, cluster: &Cluster, clock: &dyn Clock) -> Result<(), OpenError> {
    let Ok(term) = cluster.0.meta.lead() else { return Ok(()) };
    let options = &parts.options;
    let create = MapCommand::Create {
        cluster: parts.identity.cluster.to_string(),
        shards: parts.identity.shards,
        replication_factor: options.replication_factor,
        founder: parts.identity.node,
    };
    let register = MapCommand::Register {
        node: parts.identity.node,
        address: options.address.clone(),
        peer_address: options.peer_address.clone(),
        zone: options.zone.clone(),
        version: options.version.clone(),
        started_at_ms: clock.now_ms(),
    };
    for command in [create, register] {
        let (sender, verdict) = oneshot::channel();
        // Whoever opens may be gone by then.
        let done = move |verdict| drop(sender.send(verdict));
        cluster.0.meta.propose(term, command.encode(), Box::new(done));
        match verdict.await {
            Ok(Verdict::Applied { .. }) => {}
            Ok(Verdict::NotProposed(why) | Verdict::Unknown(why)) => {
                return Err(OpenError::Recovery(why.to_string()));
            }
            Err(_) => return Err(OpenError::Recovery("the meta group ended".to_owned())),
        }
    }
    Ok(())
}
