//! How a group reaches its replicas on other nodes.
//!
//! [`Network`] is what a cluster is given: a factory of [`PeerLink`]s. The adapter below makes openraft use it.
//! A node alone has [`NoPeers`]. Messages are openraft's own types, since whoever carries them (a link, a
//! simulation) only has to bring them over and hand the answer back.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, Stream, StreamExt};
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::type_config::alias::SnapshotOf;
use openraft::{RaftNetworkFactory, RaftNetworkV2};

use crate::layout::NodeId;
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

/// The way to the other nodes.
pub trait Network: Send + Sync + 'static {
    /// A link for one group to its replica on one node. Making it connects nothing yet.
    fn link(&self, group: GroupId, node: NodeId, peer: &Peer, lane: Lane) -> Box<dyn PeerLink>;
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

/// The network of a node alone: nobody can be reached.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPeers;

impl Network for NoPeers {
    fn link(&self, _group: GroupId, _node: NodeId, _peer: &Peer, _lane: Lane) -> Box<dyn PeerLink> {
        Box::new(NoPeers)
    }
}

fn alone<T>() -> Result<T, NotReached> {
    Err(NotReached("this node is alone".to_owned()))
}

impl PeerLink for NoPeers {
    fn append<'a>(
        &'a mut self,
        _requests: BoxStream<'static, AppendRequest>,
        _timeout: Duration,
    ) -> BoxStream<'a, Result<StreamAppendResult, NotReached>> {
        futures_util::stream::once(async { alone() }).boxed()
    }

    fn append_one(
        &mut self,
        _: AppendRequest,
        _: Duration,
    ) -> BoxFuture<'_, Result<AppendResponse, NotReached>> {
        async { alone() }.boxed()
    }

    fn vote(&mut self, _: VoteRequest, _: Duration) -> BoxFuture<'_, Result<VoteResponse, NotReached>> {
        async { alone() }.boxed()
    }

    fn pre_vote(&mut self, _: VoteRequest, _: Duration) -> BoxFuture<'_, Result<VoteResponse, NotReached>> {
        async { alone() }.boxed()
    }

    fn transfer(
        &mut self,
        _: TransferRequest,
        _: Duration,
    ) -> BoxFuture<'_, Result<TransferResponse, NotReached>> {
        async { alone() }.boxed()
    }

    fn snapshot(
        &mut self,
        _: Vote,
        _: Snapshot,
        _: BoxFuture<'static, ()>,
        _: Duration,
    ) -> BoxFuture<'_, Result<SnapshotResponse, NotReached>> {
        async { alone() }.boxed()
    }
}

/// Makes the links of one group for openraft.
pub(crate) struct Links {
    pub(crate) group: GroupId,
    pub(crate) network: Arc<dyn Network>,
}

impl Links {
    fn link(&self, node: NodeId, peer: &Peer, lane: Lane) -> Link {
        Link(self.network.link(self.group, node, peer, lane))
    }
}

impl RaftNetworkFactory<TypeConfig> for Links {
    type Network = Link;

    async fn new_client(&mut self, target: NodeId, node: &Peer) -> Link {
        self.link(target, node, Lane::Log)
    }

    async fn new_heartbeat_client(&mut self, target: NodeId, node: &Peer) -> Link {
        self.link(target, node, Lane::Heartbeat)
    }

    async fn new_snapshot_client(&mut self, target: NodeId, node: &Peer) -> Link {
        self.link(target, node, Lane::Snapshot)
    }
}

/// A [`PeerLink`] as openraft uses it.
pub(crate) struct Link(Box<dyn PeerLink>);

type AppendStream<'a> = BoxStream<'a, Result<StreamAppendResult, RPCError<TypeConfig>>>;

fn unreachable(error: &NotReached) -> RPCError<TypeConfig> {
    RPCError::Unreachable(Unreachable::new(error))
}

impl RaftNetworkV2<TypeConfig> for Link {
    type SnapshotData = ShardSnapshot;

    async fn append_entries(
        &mut self,
        request: AppendRequest,
        option: RPCOption,
    ) -> Result<AppendResponse, RPCError<TypeConfig>> {
        self.0.append_one(request, option.hard_ttl()).await.map_err(|error| unreachable(&error))
    }

    fn stream_append<S>(
        &mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<'_, Result<AppendStream<'_>, RPCError<TypeConfig>>>
    where
        S: Stream<Item = AppendRequest> + Send + Unpin + 'static,
    {
        let answers = self.0.append(input.boxed(), option.hard_ttl());
        async move { Ok(answers.map(|answer| answer.map_err(|error| unreachable(&error))).boxed()) }.boxed()
    }

    async fn vote(
        &mut self,
        request: VoteRequest,
        option: RPCOption,
    ) -> Result<VoteResponse, RPCError<TypeConfig>> {
        self.0.vote(request, option.hard_ttl()).await.map_err(|error| unreachable(&error))
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest,
        option: RPCOption,
    ) -> Result<VoteResponse, RPCError<TypeConfig>> {
        self.0.pre_vote(request, option.hard_ttl()).await.map_err(|error| unreachable(&error))
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse, StreamingError<TypeConfig>> {
        let cancel = cancel.map(|_| ()).boxed();
        let sent = self.0.snapshot(vote, snapshot, cancel, option.hard_ttl()).await;
        sent.map_err(|error| StreamingError::Unreachable(Unreachable::new(&error)))
    }

    async fn transfer_leader(
        &mut self,
        request: TransferRequest,
        option: RPCOption,
    ) -> Result<TransferResponse, RPCError<TypeConfig>> {
        self.0.transfer(request, option.hard_ttl()).await.map_err(|error| unreachable(&error))
    }
}
