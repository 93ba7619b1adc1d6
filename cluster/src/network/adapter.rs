//! The network as openraft uses it: an adapter from its traits to [`PeerLink`].

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, Stream, StreamExt};
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::StreamAppendError;
use openraft::{RaftNetworkFactory, RaftNetworkV2};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::group::lease::Lease;
use crate::layout::NodeId;
use crate::metrics::ShardMetrics;
use crate::network::{
    AppendRequest, AppendResponse, GroupId, Lane, Network, NotReached, Peer, PeerLink, ShardSnapshot,
    Snapshot, SnapshotResponse, StreamAppendResult, TransferRequest, TransferResponse, TypeConfig, Vote,
    VoteRequest, VoteResponse, notices,
};

/// Makes the links of one group for openraft.
pub(crate) struct Links {
    pub(crate) group: GroupId,
    pub(crate) network: Arc<dyn Network>,
    pub(crate) lease: Arc<Lease>,
    pub(crate) metrics: Arc<ShardMetrics>,
}

impl Links {
    fn link(&self, node: NodeId, peer: &Peer, lane: Lane) -> Link {
        let peer = self.network.link(self.group, node, peer, lane);
        Link { peer, node, lease: self.lease.clone(), metrics: self.metrics.clone() }
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

/// A [`PeerLink`] as openraft uses it. It notes what each answer promises.
pub(crate) struct Link {
    peer: Box<dyn PeerLink>,
    node: NodeId,
    lease: Arc<Lease>,
    metrics: Arc<ShardMetrics>,
}

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
        let (term, asked) = (request.vote.leader_id.term, Instant::now());
        let answer =
            self.peer.append_one(request, option.hard_ttl()).await.map_err(|error| unreachable(&error))?;
        if !matches!(answer, AppendResponse::HigherVote(_)) {
            self.lease.promise(self.node, term, asked);
        }
        Ok(answer)
    }

    fn stream_append<S>(
        &mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<'_, Result<AppendStream<'_>, RPCError<TypeConfig>>>
    where
        S: Stream<Item = AppendRequest> + Send + Unpin + 'static,
    {
        let Self { peer, node, lease, .. } = self;
        // Answers come in the order of the requests.
        let asked = Arc::new(Mutex::new(VecDeque::new()));
        let asking = asked.clone();
        let requests = notices::with_entries(input).inspect(move |request| {
            asking.lock().push_back((request.vote.leader_id.term, Instant::now()));
        });
        let answers = peer.append(requests.boxed(), option.hard_ttl()).map(move |answer| {
            let of = asked.lock().pop_front();
            if let (Some((term, asked)), Ok(Ok(_) | Err(StreamAppendError::Conflict(_)))) = (of, &answer) {
                lease.promise(*node, term, asked);
            }
            answer.map_err(|error| unreachable(&error))
        });
        async move { Ok(answers.boxed()) }.boxed()
    }

    async fn vote(
        &mut self,
        request: VoteRequest,
        option: RPCOption,
    ) -> Result<VoteResponse, RPCError<TypeConfig>> {
        self.peer.vote(request, option.hard_ttl()).await.map_err(|error| unreachable(&error))
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest,
        option: RPCOption,
    ) -> Result<VoteResponse, RPCError<TypeConfig>> {
        self.peer.pre_vote(request, option.hard_ttl()).await.map_err(|error| unreachable(&error))
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse, StreamingError<TypeConfig>> {
        let cancel = cancel.map(|_| ()).boxed();
        let Snapshot { meta, snapshot } = snapshot;
        let snapshot = snapshot.counted(self.metrics.snapshot_bytes_sent.clone());
        let snapshot = Snapshot { meta, snapshot };
        let sent = self.peer.snapshot(vote, snapshot, cancel, option.hard_ttl()).await;
        let count = if sent.is_ok() { &self.metrics.snapshots_sent } else { &self.metrics.snapshots_failed };
        count.add(1);
        sent.map_err(|error| StreamingError::Unreachable(Unreachable::new(&error)))
    }

    async fn transfer_leader(
        &mut self,
        request: TransferRequest,
        option: RPCOption,
    ) -> Result<TransferResponse, RPCError<TypeConfig>> {
        self.peer.transfer(request, option.hard_ttl()).await.map_err(|error| unreachable(&error))
    }
}
