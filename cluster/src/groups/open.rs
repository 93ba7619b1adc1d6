//! How a node is opened: the directory, who it is, each group's recovery, and its place in the map.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::join_all;
use openraft::async_runtime::WatchReceiver;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::archive::lending::Lending;
use crate::group::{Group, Running, Shard};
use crate::groups::identify::{self, FOUNDER};
use crate::groups::reception::Reception;
use crate::groups::recover::{Membered, Parts, open_group, raft_config};
use crate::groups::ticker::Ticker;
use crate::groups::{Clock, Cluster, Inner, OpenError, keeper, reconciler, register, takeover};
use crate::layout::{ShardId, ShardLayout};
use crate::machine::Machine;
use crate::map::{ClusterMap, MapMachine};
use crate::metrics::ClusterMetrics;
use crate::network::{Joined, Member, Network};
use crate::options::{Options, SHARDS_MAX};
use crate::raft::Peer;
use crate::storage::codec::Identity;
use crate::storage::database::{DIRECTORY, Database};
use crate::storage::evidence::Evidence;
use crate::storage::health::Health;
use crate::storage::keys::GroupId;
use crate::storage::log::{LogDisk, RocksLog};
use crate::storage::witness::{self, Witness};
use crate::storage::writer::Writer;
use crate::storage::{Reader, UNFINISHED_RESTORE};

pub(super) async fn open(
    options: Options,
    network: Arc<dyn Network>,
    clock: &dyn Clock,
    machine: &(dyn Fn(ShardId) -> Box<dyn Machine> + '_),
) -> Result<Cluster, OpenError> {
    options.check().map_err(OpenError::Options)?;
    let storage = |error: std::io::Error| OpenError::Storage(error.to_string());
    std::fs::create_dir_all(&options.data_dir).map_err(storage)?;
    if options.data_dir.join(UNFINISHED_RESTORE).exists() && !options.data_dir.join(DIRECTORY).exists() {
        let what =
            format!("a restore into {} did not come to its end: restore again", display(&options.data_dir));
        return Err(OpenError::Storage(what));
    }
    let witness = open_witness(&options)?;
    let evidence = if witness.was_shut_down() {
        Evidence::none()
    } else {
        Evidence::copy(&options.data_dir, &options.data_dir.join(DIRECTORY)).map_err(storage)?
    };
    let database = open_database(&options)?;
    flush_names(&options.data_dir).map_err(storage)?;
    let notes = witness.notes();

    let (health, metrics) = (Arc::new(Health::default()), Arc::new(ClusterMetrics::default()));
    let disk: Arc<dyn LogDisk> = Arc::new(RocksLog { database: database.clone() });
    let rocks = database.rocks().map_err(|error| OpenError::Storage(error.to_string()))?;
    let (hook, simulated) = (options.write_hook.clone(), options.simulated_disk.clone());
    let (writer, writer_end) =
        Writer::start(rocks, disk.clone(), witness, health.clone(), metrics.clone(), hook, simulated)
            .map_err(storage)?;
    let parts = Parts { options, network, database, disk, writer, health, metrics };
    let (identity, joined) = match identify::identify(&parts).await {
        Ok(identified) => identified,
        Err(error) => {
            // So that the directory is free on return.
            parts.writer.end().await;
            let _ = writer_end.await;
            parts.database.close().await;
            return Err(error);
        }
    };
    let member = Membered { identity, config: raft_config(&parts.options, &identity)? };
    let layout = ShardLayout::new(identity.shards);

    let (map_sender, map) = watch::channel(Arc::default());
    let mut shards = Vec::new();
    for group in (0..layout.count()).map(GroupId).chain([GroupId::META]) {
        let machine = match group {
            GroupId::META => Box::new(MapMachine::new(map_sender.clone())) as Box<dyn Machine>,
            GroupId(shard) => machine(ShardId(shard)),
        };
        let note = notes.get(&group).copied().unwrap_or_default();
        shards.push(open_group(&parts, &member, group, note, machine).await);
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
    let cluster = start(parts, &member, Groups { layout, shards, meta, map }, joined, writer_end).await;
    register::register(&cluster, clock.now_ms()).await?;
    Ok(cluster)
}

fn open_witness(options: &Options) -> Result<Witness, OpenError> {
    // Room for the most groups a cluster may have: how many this one has may be for others to say.
    Witness::open(&options.data_dir, usize::from(SHARDS_MAX) + 1).map_err(|error| match error {
        witness::Error::Locked => OpenError::Locked(display(&options.data_dir)),
        witness::Error::Io(error) => OpenError::Storage(error.to_string()),
    })
}

fn open_database(options: &Options) -> Result<Arc<Database>, OpenError> {
    let path = options.data_dir.join(DIRECTORY);
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

/// All groups of a node, recovered.
struct Groups {
    layout: ShardLayout,
    shards: Vec<Shard>,
    meta: Shard,
    map: watch::Receiver<Arc<ClusterMap>>,
}

/// Starts the tasks of the node, waits until it leads what it can lead alone, and opens the door to its peers.
async fn start(
    parts: Parts,
    member: &Membered,
    groups: Groups,
    joined: Option<Joined>,
    writer_end: oneshot::Receiver<()>,
) -> Cluster {
    let Groups { layout, shards, meta, map } = groups;
    let (tasks, drivers, stop) = (TaskTracker::new(), TaskTracker::new(), CancellationToken::new());
    let groups: Vec<Arc<Group>> = shards.iter().chain([&meta]).map(|shard| shard.group().clone()).collect();
    for group in &groups {
        tasks.spawn(group.clone().follow());
        tasks.spawn(group.proposer.clone().gather());
    }
    join_all(groups.iter().map(|group| take_up(&parts, member, group))).await;
    let ticker = Ticker::new(groups, &parts.options);
    drivers.spawn(ticker.run(stop.clone()));
    let Parts { options, network, database, writer, health, metrics, disk: _ } = parts;
    let inner = Arc::new(Inner {
        options,
        identity: member.identity,
        layout,
        shards,
        meta,
        meta_led: Mutex::default(),
        map,
        network: network.clone(),
        application: OnceLock::new(),
        lending: Arc::new(Lending::new(member.identity.epoch)),
        health,
        metrics,
        database,
        writer,
        writer_end: Mutex::new(Some(writer_end)),
        tasks,
        drivers,
        stop,
    });
    network.know(joined.map(|joined| joined.addresses).unwrap_or_default());
    inner.tasks.spawn(follow_addresses(inner.map.clone(), network.clone(), inner.stop.clone()));
    let Identity { cluster, node, epoch, .. } = inner.identity;
    network.start(Member { cluster, node, epoch }, Arc::new(Reception::new(&inner)));
    inner.drivers.spawn(takeover::watch(Arc::downgrade(&inner), inner.stop.clone()));
    inner.tasks.spawn(reconciler::run(Arc::downgrade(&inner), inner.stop.clone()));
    inner.tasks.spawn(keeper::run(Arc::downgrade(&inner), inner.stop.clone()));
    Cluster(inner)
}

/// How long a removed node still has its links: it is to hear of its removal from the log, like everybody else.
const FAREWELL: Duration = Duration::from_millis(500);

/// Tells the network where the nodes are whenever the map says something new.
async fn follow_addresses(
    mut map: watch::Receiver<Arc<ClusterMap>>,
    network: Arc<dyn Network>,
    stop: CancellationToken,
) {
    let mut told = BTreeMap::new();
    loop {
        let addresses = map.borrow_and_update().addresses();
        if told.keys().any(|node| !addresses.contains_key(node)) {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(FAREWELL) => {}
            }
        }
        // A node that has just joined does not have the map yet, and knows where others are all the same.
        if !addresses.is_empty() {
            told.clone_from(&addresses);
            network.know(addresses);
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            changed = map.changed() => if changed.is_err() { return },
        }
    }
}

/// Makes a new group, or lets its only voter elect itself, and waits until it leads.
async fn take_up(parts: &Parts, member: &Membered, group: &Group) {
    let Some(Running { raft, metrics, .. }) = &group.raft else { return };
    let started = match raft.is_initialized().await {
        Ok(false) if member.identity.node == FOUNDER => {
            let peer = Peer { address: parts.options.peer_address.clone() };
            raft.initialize(BTreeMap::from([(FOUNDER, peer)])).await.map_err(|error| error.to_string())
        }
        // Its leader brings it up.
        Ok(false) => return,
        Ok(true) if group.is_only_voter(&metrics.borrow_watched().membership_config) => {
            raft.trigger().elect(false).await.map_err(|error| error.to_string())
        }
        Ok(true) => return,
        Err(error) => Err(error.to_string()),
    };
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
