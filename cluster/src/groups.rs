//! All Raft groups of one node: opened together, driven by one timer, stopped together.

mod desk;
mod identify;
mod keeper;
mod open;
mod quorum;
mod reception;
mod reconciler;
mod recover;
mod register;
mod save;
mod survey;
mod takeover;
mod ticker;
mod wish;

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::application::Application;
use crate::archive::lending::Lending;
use crate::group::{Group, Shard};
pub use crate::groups::quorum::Lost;
pub use crate::groups::register::ChangeError;
pub use crate::groups::save::{SaveError, SaveProgress};
pub use crate::groups::wish::WishError;
use crate::layout::{NodeId, ShardId, ShardLayout};
use crate::machine::Machine;
use crate::map::{ClusterId, ClusterMap, NodeState};
use crate::metrics::ClusterMetrics;
use crate::network::{AskError, Desk, Network, PeerStates};
use crate::options::Options;
use crate::status::{ClusterStatus, NodeReport, Problem};
use crate::storage::codec::Identity;
use crate::storage::database::Database;
use crate::storage::health::Health;
use crate::storage::writer::Writer;

/// How long a shutdown waits for readers that still hold the database.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// Wall time, for records such as a node's start. Nothing of the protocol depends on it.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> u64;
}

/// Why a node can not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The options contradict themselves.
    #[error("{0}")]
    Options(String),
    /// Another process has the data directory open.
    #[error("the data directory {0} is in use by another process")]
    Locked(String),
    /// The data directory was made with other options.
    #[error("{0}")]
    Mismatch(String),
    /// The data directory can not be read or written.
    #[error("the data directory can not be opened: {0}")]
    Storage(String),
    /// The node can not take its place in the cluster.
    #[error("recovery failed: {0}")]
    Recovery(String),
    /// The cluster does not let the node in.
    #[error("the cluster can not be joined: {0}")]
    Join(String),
}

/// All Raft groups of one node: a cheap handle.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

struct Inner {
    options: Options,
    identity: Identity,
    layout: ShardLayout,
    shards: Vec<Shard>,
    meta: Shard,
    meta_led: Mutex<keeper::Led>,
    map: watch::Receiver<Arc<ClusterMap>>,
    network: Arc<dyn Network>,
    application: OnceLock<Arc<dyn Application>>,
    lending: Arc<Lending>,
    health: Arc<Health>,
    metrics: Arc<ClusterMetrics>,
    database: Arc<Database>,
    writer: Writer,
    writer_end: Mutex<Option<oneshot::Receiver<()>>>,
    tasks: TaskTracker,
    /// Those of them that poll a message to Raft once and drop it: openraft does not survive that while it ends, so
    /// they end first.
    drivers: TaskTracker,
    stop: CancellationToken,
}

impl Inner {
    /// All groups, the meta group the last.
    fn groups(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.shards.iter().chain([&self.meta]).map(Shard::group)
    }

    /// What this node tells others of itself.
    fn report(&self) -> NodeReport {
        let problem = |problem: Problem| (problem.code, problem.detail, problem.what_to_do);
        NodeReport {
            node: self.identity.node,
            shards: self.shards.iter().map(Shard::status).collect(),
            meta: self.meta.status(),
            problems: self.problems().into_iter().map(problem).collect(),
        }
    }

    /// The nodes that are reached from here now, this one among them.
    fn alive(&self) -> BTreeSet<NodeId> {
        let peers = self.network.peers().borrow().clone();
        let connected = peers.iter().filter(|(_, peer)| peer.connected).map(|(node, _)| *node);
        connected.chain([self.identity.node]).collect()
    }

    fn problems(&self) -> Vec<Problem> {
        if let Some(failure) = self.health.failure() {
            return vec![Problem {
                code: "disk_failed".to_owned(),
                detail: failure.to_owned(),
                what_to_do: "look at the disk and the system's log, make room or replace it, then start the node again".to_owned(),
            }];
        }
        let stopped = self.groups().filter_map(|group| Some((group.id, group.stopped()?)));
        let stopped = stopped.map(|(group, reason)| Problem {
            code: "shard_stopped".to_owned(),
            detail: format!("shard {group} is stopped on this node: {reason}"),
            what_to_do:
                "keep a copy of the data directory, then restore this node from a snapshot or its peers"
                    .to_owned(),
        });
        stopped.chain(self.refusals()).collect()
    }

    /// The nodes that refuse this one or are refused by it. Each of the two shows it, for nobody else can: there is
    /// no link to ask the other over.
    fn refusals(&self) -> Vec<Problem> {
        let map = self.map.borrow().clone();
        let peers = self.network.peers().borrow().clone();
        // A removed node that comes again is told so, and is no trouble of the cluster's.
        let is_gone = |node| map.nodes.get(node).is_some_and(|known| known.state == NodeState::Removed);
        let refused = peers.iter().filter(|(node, _)| !is_gone(node));
        let refused = refused.filter_map(|(node, peer)| Some((node, peer.refused.as_ref()?)));
        let refused = refused.map(|(node, reason)| Problem {
            code: "peer_refused".to_owned(),
            detail: format!("no link with node {node}: {reason}"),
            what_to_do:
                "give all nodes the same join secret, certificates of one authority and the same version, \
                         and each a data directory of its own"
                    .to_owned(),
        });
        refused.collect()
    }
}

impl Cluster {
    /// Opens the data directory, or makes it: a new cluster of this node alone. Recovers all groups and
    /// returns when this node leads those it can lead alone, and is in the cluster's map.
    ///
    /// `machine` makes the application's side of each shard. A shard whose data is damaged is not opened but
    /// stopped from the start; [`Self::status`] says why.
    ///
    /// # Errors
    ///
    /// When the node as a whole can not be opened.
    pub async fn open(
        options: Options,
        network: Arc<dyn Network>,
        clock: Arc<dyn Clock>,
        machine: impl Fn(ShardId) -> Box<dyn Machine>,
    ) -> Result<Self, OpenError> {
        open::open(options, network, clock.as_ref(), &machine).await
    }

    /// Which shard owns which slots.
    #[must_use]
    pub fn layout(&self) -> &ShardLayout {
        &self.0.layout
    }

    /// A shard's replica on this node.
    ///
    /// # Panics
    ///
    /// With a shard that is not of the layout.
    #[must_use]
    pub fn shard(&self, id: ShardId) -> &Shard {
        self.0.shards.get(usize::from(id.0)).expect("shards come from the layout, which has as many")
    }

    /// All shards, by number.
    #[must_use]
    pub fn shards(&self) -> &[Shard] {
        &self.0.shards
    }

    /// The group that keeps the cluster's map. Its number is not a shard's.
    #[must_use]
    pub fn meta(&self) -> &Shard {
        &self.0.meta
    }

    /// The number of this node.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.0.identity.node
    }

    /// The identity of the cluster.
    #[must_use]
    pub fn id(&self) -> ClusterId {
        self.0.identity.cluster
    }

    /// The replicas a shard is to have, as the cluster's map says.
    #[must_use]
    pub fn replication_factor(&self) -> u16 {
        self.0.map.borrow().replication_factor
    }

    /// Where the cluster's map wishes a shard: its replicas, and the one that is to lead. What [`Shard::lead`]
    /// says of the leader is newer, where it says anything; a node without a replica is told nothing.
    ///
    /// # Panics
    ///
    /// With a shard that is not of the layout.
    #[must_use]
    pub fn placement(&self, shard: ShardId) -> (Vec<NodeId>, Option<NodeId>) {
        assert!(shard.0 < self.0.layout.count(), "shards come from the layout");
        let map = self.0.map.borrow();
        let placement = map.placements.get(usize::from(shard.0));
        placement.map_or_else(Default::default, |placement| {
            (placement.replicas.clone(), placement.preferred_leader)
        })
    }

    /// Answers from now on what the application on other nodes asks. Called once.
    ///
    /// # Panics
    ///
    /// When it is called again.
    pub fn serve(&self, application: Arc<dyn Application>) {
        assert!(self.0.application.set(application).is_ok(), "one application serves a node");
    }

    /// Asks the application on another node.
    ///
    /// # Errors
    ///
    /// When there is no answer within `timeout`; the error says whether the question may have been acted on.
    pub async fn ask(&self, node: NodeId, request: Bytes, timeout: Duration) -> Result<Bytes, AskError> {
        self.0.network.ask(node, Desk::Application, request, timeout).await
    }

    /// Opens a stream of messages from the application on another node. It ends when either side ends it, when
    /// the link is lost, and when it is not read fast enough.
    #[must_use]
    pub fn stream(&self, node: NodeId, request: Bytes) -> BoxStream<'static, Bytes> {
        self.0.network.stream(node, request)
    }

    /// What this node knows of its cluster now.
    #[must_use]
    pub fn status(&self) -> ClusterStatus {
        survey::merge(&self.0, vec![self.0.report()])
    }

    /// Whether a node can be reached from here now. This node itself always can.
    #[must_use]
    pub fn reaches(&self, node: NodeId) -> bool {
        node == self.0.identity.node
            || self.0.network.peers().borrow().get(&node).is_some_and(|peer| peer.connected)
    }

    /// What is known of the processes of the other nodes.
    #[must_use]
    pub fn peers(&self) -> PeerStates {
        self.0.network.peers().borrow().clone()
    }

    /// What all nodes that answer within so long know of the cluster.
    pub async fn survey(&self, within: Duration) -> ClusterStatus {
        survey::survey(&self.0, within).await
    }

    /// Whether the disk works.
    ///
    /// # Errors
    ///
    /// With what happened, once a write or flush failed. It stays failed until the process is started again.
    pub fn storage_health(&self) -> Result<(), String> {
        self.0.health.failure().map_or(Ok(()), |failure| Err(failure.to_owned()))
    }

    /// What this node counts.
    #[must_use]
    pub fn metrics(&self) -> &ClusterMetrics {
        &self.0.metrics
    }

    /// Stops all groups, writes what waits, closes the data directory. Its lock is released on return, unless
    /// a [`crate::Scan`] or a snapshot of a [`crate::Reader`] is still held for long.
    pub async fn shutdown(&self) {
        let inner = &self.0;
        inner.stop.cancel();
        inner.drivers.close();
        inner.drivers.wait().await;
        inner.tasks.close();
        for shard in inner.shards.iter().chain([&inner.meta]) {
            shard.group().proposer.close("the node is shutting down");
        }
        for running in
            inner.shards.iter().chain([&inner.meta]).filter_map(|shard| shard.group().raft.as_ref())
        {
            if let Err(error) = running.raft.shutdown().await {
                tracing::warn!(%error, "a raft did not end cleanly");
            }
        }
        // Last, for a port that refuses tells the others that nothing is answered here any more.
        inner.network.stop().await;
        inner.tasks.wait().await;
        inner.writer.end().await;
        let writer_end = inner.writer_end.lock().take();
        if let Some(writer_end) = writer_end {
            // Resolves also when the thread panicked.
            let _ = writer_end.await;
        }
        if tokio::time::timeout(CLOSE_WAIT, inner.database.close()).await.is_err() {
            tracing::warn!("the data directory is still being read, its lock is not released yet");
        }
    }
}
