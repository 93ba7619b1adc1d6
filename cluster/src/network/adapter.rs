//! The network as openraft uses it: an adapter from its traits to [`PeerLink`].

use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, Stream, StreamExt};
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::{RaftNetworkFactory, RaftNetworkV2};

use crate::layout::NodeId;
use crate::network::{
    AppendRequest, AppendResponse, GroupId, Lane, Network, NotReached, Peer, PeerLink, ShardSnapshot,
    Snapshot, SnapshotResponse, StreamAppendResult, TransferRequest, TransferResponse, TypeConfig, Vote,
    VoteRequest, VoteResponse,
};

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
