//! What all groups of a node are made from, and how one group is recovered from the data directory.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use openraft::{Config, SnapshotPolicy};
use tokio::sync::watch;

use crate::group::apply::StateMachine;
use crate::group::lease::Lease;
use crate::group::order::Order;
use crate::group::standing::Standing;
use crate::group::{Group, Proposer, ProposerBounds, Raft, Running, Shard};
use crate::groups::OpenError;
use crate::machine::Machine;
use crate::metrics::{ClusterMetrics, ShardMetrics};
use crate::network::Network;
use crate::network::adapter::Links;
use crate::options::Options;
use crate::storage::codec::Identity;
use crate::storage::database::Database;
use crate::storage::health::Health;
use crate::storage::keys::{Column, GroupId};
use crate::storage::log::{CacheBounds, GroupLog, LogDisk, Recovered};
use crate::storage::state::StateStore;
use crate::storage::witness::{Note, vote_note};
use crate::storage::writer::{Change, Writer};

/// Largest change of the cluster's map, in bytes.
const MAP_ENTRY_BYTES_MAX: usize = 1024 * 1024;
/// How long sending a snapshot to a peer may take.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_mins(10);

/// What all groups of a node are made from.
pub(super) struct Parts {
    pub(super) options: Options,
    pub(super) network: Arc<dyn Network>,
    pub(super) database: Arc<Database>,
    pub(super) disk: Arc<dyn LogDisk>,
    pub(super) writer: Writer,
    pub(super) health: Arc<Health>,
    pub(super) metrics: Arc<ClusterMetrics>,
}

/// What they need to know once it is clear who the node is.
pub(super) struct Membered {
    pub(super) identity: Identity,
    pub(super) config: Arc<Config>,
}

impl Parts {
    /// A record of the node's own.
    pub(super) fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        self.database.get(Column::Map, key).map_err(|error| error.to_string())
    }
}

pub(super) fn raft_config(options: &Options, identity: &Identity) -> Result<Arc<Config>, OpenError> {
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
pub(super) async fn open_group(
    parts: &Parts,
    member: &Membered,
    id: GroupId,
    note: Note,
    machine: Box<dyn Machine>,
) -> Shard {
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
    let metrics = Arc::new(ShardMetrics::default());
    let proposer = Arc::new(Proposer::new(bounds, parts.metrics.clone()));
    let standing = Arc::new(Standing::default());
    let raft = match start_raft(parts, member, (id, &metrics), note, machine, &store, &standing).await {
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
        node: member.identity.node,
        raft,
        standing,
        store,
        health: parts.health.clone(),
        metrics,
        proposer,
        lease: parts.options.election_max,
        leadership: watch::channel(None).0,
        leader: watch::channel(None).0,
        is_handing_over: AtomicBool::new(false),
    })
}

async fn start_raft(
    parts: &Parts,
    member: &Membered,
    (id, metrics): (GroupId, &Arc<ShardMetrics>),
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
    let log_ends = recovered.last.map_or(0, |last| last.index);
    standing.recovered(state.0.log_id.map_or(0, |log_id| log_id.index), Order::of(&state.0), log_ends);
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
    let lease = Arc::new(Lease::default());
    let links =
        Links { group: id, network: parts.network.clone(), lease: lease.clone(), metrics: metrics.clone() };
    let raft = Raft::new(member.identity.node, member.config.clone(), links, log.clone(), machine).await;
    let raft = raft.map_err(|error| error.to_string())?;
    Ok(Running {
        metrics: raft.metrics(),
        server: raft.server_metrics(),
        lease,
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
