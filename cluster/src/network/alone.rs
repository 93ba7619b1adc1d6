//! The network of a node alone: nobody is there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::watch;

use crate::layout::NodeId;
use crate::network::{
    AppendRequest, AppendResponse, AskError, Desk, GroupId, Inbound, JoinError, JoinRequest, Joined, Lane,
    Member, Network, NotReached, Peer, PeerLink, PeerStates, Snapshot, SnapshotResponse, StreamAppendResult,
    TransferRequest, TransferResponse, Vote, VoteRequest, VoteResponse,
};

/// The network of a node alone: nobody can be reached.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPeers;

impl Network for NoPeers {
    fn start(&self, _me: Member, _inbound: Arc<dyn Inbound>) {}

    fn know(&self, _addresses: BTreeMap<NodeId, String>) {}

    fn join(&self, _: String, _: JoinRequest) -> BoxFuture<'static, Result<Joined, JoinError>> {
        async { Err(JoinError::NotReached("this node was started without a network".to_owned())) }.boxed()
    }

    fn ask(&self, _: NodeId, _: Desk, _: Bytes, _: Duration) -> BoxFuture<'static, Result<Bytes, AskError>> {
        async { Err(AskError::NotSent("this node is alone".to_owned())) }.boxed()
    }

    fn stream(&self, _: NodeId, _: Bytes) -> BoxStream<'static, Bytes> {
        futures_util::stream::empty().boxed()
    }

    fn peers(&self) -> watch::Receiver<PeerStates> {
        watch::channel(PeerStates::new()).1
    }

    fn stop(&self) -> BoxFuture<'static, ()> {
        async {}.boxed()
    }

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
