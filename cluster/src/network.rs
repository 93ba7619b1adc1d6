//! How a node reaches the others, and they it.
//!
//! [`Network`] is what a cluster is given; [`Inbound`] is what it gives back. Messages are openraft's own types,
//! since whoever carries them (TCP, a simulation) only has to bring them over and hand the answer back.
//!
//! - `adapter`: the network as openraft uses it. `alone`: the network of a node alone. [`tcp`]: the real one.

pub(crate) mod adapter;
mod alone;
mod notices;
pub mod tcp;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use openraft::type_config::alias::SnapshotOf;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::layout::NodeId;
use crate::map::ClusterId;
pub use crate::network::alone::NoPeers;
pub use crate::raft::{Commands, Effect, Peer, TypeConfig};
pub use crate::storage::keys::GroupId;
pub use crate::storage::snapshot::ShardSnapshot;

/// Entries a leader sends, or a heartbeat.
pub type AppendRequest = openraft::raft::AppendEntriesRequest<TypeConfig>;
/// The answer to one [`AppendRequest`].
pub type AppendResponse = openraft::raft::AppendEntriesResponse<TypeConfig>;
/// The answer to one request of a stream of them.
pub type StreamAppendResult = openraft::raft::StreamAppendResult<TypeConfig>;
/// A candidate's request for a vote, or for the promise of one.
pub type VoteRequest = openraft::raft::VoteRequest<TypeConfig>;
/// The answer to a [`VoteRequest`].
pub type VoteResponse = openraft::raft::VoteResponse<TypeConfig>;
/// A leader's request to take over.
pub type TransferRequest = openraft::raft::TransferLeaderRequest<TypeConfig>;
/// The answer to a [`TransferRequest`].
pub type TransferResponse = openraft::raft::TransferLeaderResponse<TypeConfig>;
/// The vote under which a leader acts.
pub type Vote = openraft::type_config::alias::VoteOf<TypeConfig>;
/// A replica's data for another.
pub type Snapshot = SnapshotOf<TypeConfig, ShardSnapshot>;
/// The answer to a [`Snapshot`].
pub type SnapshotResponse = openraft::raft::SnapshotResponse<TypeConfig>;

/// The peer did not answer, or not in time. Whether it acted is unknown.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the peer can not be reached: {0}")]
pub struct NotReached(pub String);

/// What a message is for: a large one must not hold up a small one that keeps a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Entries, votes and transfers.
    Log,
    /// Heartbeats.
    Heartbeat,
    /// Snapshots.
    Snapshot,
}

/// The way to the other nodes, and their way here.
pub trait Network: Send + Sync + 'static {
    /// Begins to take what peers send, and to prove to them who this node is. Called once, before anything is
    /// sent but [`Self::join`].
    fn start(&self, me: Member, inbound: Arc<dyn Inbound>);

    /// Tells where the nodes are reached now. It overrides the address in a [`Peer`], which may be an old one.
    /// A node that is left out is gone: its links are closed.
    fn know(&self, addresses: BTreeMap<NodeId, String>);

    /// Asks a member, of which only the address is known, to be let into its cluster.
    fn join(&self, address: String, request: JoinRequest) -> BoxFuture<'static, Result<Joined, JoinError>>;

    /// A link for one group to its replica on one node. Making it connects nothing yet.
    fn link(&self, group: GroupId, node: NodeId, peer: &Peer, lane: Lane) -> Box<dyn PeerLink>;

    /// Asks a node, and waits for its answer no longer than `timeout`.
    fn ask(
        &self,
        node: NodeId,
        desk: Desk,
        request: Bytes,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<Bytes, AskError>>;

    /// Opens a stream of messages from the application on a node. It ends when either side ends it, when the
    /// link is lost, and when its reader does not keep up; which of them, the messages themselves have to tell.
    /// Dropping it ends it.
    fn stream(&self, node: NodeId, request: Bytes) -> BoxStream<'static, Bytes>;

    /// What is known of each node's process. It changes whenever that does.
    fn peers(&self) -> watch::Receiver<PeerStates>;

    /// Takes nothing any more and closes every link.
    fn stop(&self) -> BoxFuture<'static, ()>;
}

/// What peers send, as the network hands it over. Each is called in the order the messages came on their
/// connection, and the future it returns polled once before the next is called: so entries reach a group in
/// the order its leader sent them.
pub trait Inbound: Send + Sync + 'static {
    /// Whether this process is welcome as a peer; if not, why. The reason is shown on both sides.
    fn admit(&self, peer: &Member) -> Result<(), String>;

    /// A node that has no number yet asks to be let in.
    fn join(&self, request: JoinRequest) -> BoxFuture<'static, Result<Joined, JoinError>>;

    /// Entries from a group's leader, or a heartbeat.
    fn append(
        &self,
        group: GroupId,
        request: AppendRequest,
    ) -> BoxFuture<'static, Result<AppendResponse, NotTaken>>;

    /// A candidate asks for a vote.
    fn vote(
        &self,
        group: GroupId,
        request: VoteRequest,
    ) -> BoxFuture<'static, Result<VoteResponse, NotTaken>>;

    /// A node asks whether it would get a vote.
    fn pre_vote(
        &self,
        group: GroupId,
        request: VoteRequest,
    ) -> BoxFuture<'static, Result<VoteResponse, NotTaken>>;

    /// A leader asks this node to take over.
    fn transfer(
        &self,
        group: GroupId,
        request: TransferRequest,
    ) -> BoxFuture<'static, Result<TransferResponse, NotTaken>>;

    /// A leader sends a replica's data; its chunks come through the [`ShardSnapshot::from_peer`] in it.
    fn snapshot(
        &self,
        group: GroupId,
        vote: Vote,
        snapshot: Snapshot,
    ) -> BoxFuture<'static, Result<SnapshotResponse, NotTaken>>;

    /// Answers what [`Network::ask`] asks. An answer always comes; what went wrong is in it.
    fn answer(&self, from: NodeId, desk: Desk, request: Bytes) -> BoxFuture<'static, Bytes>;

    /// Opens what [`Network::stream`] asks for. It is dropped when its reader is gone.
    fn stream(&self, from: NodeId, request: Bytes) -> BoxStream<'static, Bytes>;
}

/// The group does not take messages on this node; why.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct NotTaken(pub String);

/// Who a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Desk {
    /// This crate: changes of the map, questions of status and of failover.
    Cluster,
    /// The application.
    Application,
    /// This crate too: the shards of a backup.
    Archive,
}

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// It was surely not sent: asking again is safe.
    #[error("the node can not be asked: {0}")]
    NotSent(String),
    /// It may have been acted on.
    #[error("the answer did not come: {0}")]
    Lost(String),
}

/// A process that is a member of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// The cluster it belongs to.
    pub cluster: ClusterId,
    /// Its number there.
    pub node: NodeId,
    /// How often its data directory was opened, this time included. While a process of one epoch runs the
    /// directory is locked; so whoever shows a newer epoch shows that every older process has ended.
    pub epoch: u64,
}

/// What is known of the processes of other nodes.
pub type PeerStates = BTreeMap<NodeId, PeerState>;

/// What is known of the processes of one other node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerState {
    /// Whether a link to or from it stands.
    pub connected: bool,
    /// The newest epoch it has shown, 0 if none.
    pub epoch: u64,
    /// Every process of it of this epoch or an older one has *surely* ended; 0 if nothing is sure. Never on
    /// mere suspicion: see DESIGN of fast failover in ARCHITECTURE.md.
    pub ended: u64,
    /// Why it refuses this node, or is refused by it.
    pub refused: Option<String>,
    /// How long the last heartbeat or probe took there and back, in microseconds.
    pub round_trip_us: Option<u64>,
}

/// A node asks to be let into a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    /// Made at random and kept in the node's data directory, so that asking again after a crash gives the
    /// same number.
    pub token: String,
    /// Who it is already, for a node that was let in before and asks where the others are now.
    pub member: Option<(String, NodeId)>,
    /// Where clients reach it.
    pub address: String,
    /// Where other nodes reach it.
    pub peer_address: String,
    /// Where it stands.
    pub zone: Option<String>,
    /// The version of its program.
    pub version: String,
}

/// A node was let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// The cluster's identity, as hexadecimal digits.
    pub cluster: String,
    /// The number of the node.
    pub node: NodeId,
    /// Shards of the cluster.
    pub shards: u16,
    /// Replicas each shard is to have.
    pub replication_factor: u16,
    /// Where the members are reached, the new one included.
    pub addresses: BTreeMap<NodeId, String>,
}

/// Why a node was not let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum JoinError {
    /// Asking again does not help.
    #[error("the cluster refuses this node: {0}")]
    Refused(String),
    /// The member can not be reached, or can not decide now: ask again.
    #[error("the cluster can not be joined now: {0}")]
    NotReached(String),
}

/// A link of one group to one replica of it.
pub trait PeerLink: Send + Sync + 'static {
    /// Sends requests as they come, without waiting for the answers of those before; answers in their order.
    fn append<'a>(
        &'a mut self,
        requests: BoxStream<'static, AppendRequest>,
        timeout: Duration,
    ) -> BoxStream<'a, Result<StreamAppendResult, NotReached>>;

    /// Sends one request.
    fn append_one(
        &mut self,
        request: AppendRequest,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<AppendResponse, NotReached>>;

    /// Asks for a vote.
    fn vote(
        &mut self,
        request: VoteRequest,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<VoteResponse, NotReached>>;

    /// Asks whether a vote would be given.
    fn pre_vote(
        &mut self,
        request: VoteRequest,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<VoteResponse, NotReached>>;

    /// Asks the peer to take over.
    fn transfer(
        &mut self,
        request: TransferRequest,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<TransferResponse, NotReached>>;

    /// Sends a snapshot, until `cancel` resolves.
    fn snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: BoxFuture<'static, ()>,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<SnapshotResponse, NotReached>>;
}
