//! What other nodes send, handed to the group or the desk it is for.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};

use crate::archive;
use crate::group::{Group, Raft};
use crate::groups::desk::{Question, Reply, decode_question, encode};
use crate::groups::register::{CHANGE_WITHIN, change, change_here};
use crate::groups::{Inner, takeover};
use crate::layout::NodeId;
use crate::map::{MapCommand, NodeState};
use crate::network::{
    AppendRequest, AppendResponse, Desk, GroupId, Inbound, JoinError, JoinRequest, Joined, Member, NotTaken,
    ShardSnapshot, Snapshot, SnapshotResponse, TransferRequest, TransferResponse, Vote, VoteRequest,
    VoteResponse,
};
use crate::storage::staging::Staged;

/// The node as its peers see it. It keeps the node no longer than others do.
pub(super) struct Reception {
    node: Weak<Inner>,
}

impl Reception {
    pub(super) fn new(node: &Arc<Inner>) -> Self {
        Self { node: Arc::downgrade(node) }
    }

    fn node(&self) -> Result<Arc<Inner>, NotTaken> {
        self.node.upgrade().ok_or_else(|| NotTaken("the node is shutting down".to_owned()))
    }

    /// Hands a message to a group's Raft.
    fn hand<T, F>(
        &self,
        group: GroupId,
        act: impl FnOnce(Raft) -> F,
    ) -> BoxFuture<'static, Result<T, NotTaken>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, openraft::errors::Fatal<crate::raft::TypeConfig>>> + Send + 'static,
    {
        let raft = self.node().and_then(|node| raft_of(&node, group));
        match raft {
            Ok(raft) => {
                let acting = act(raft);
                async move { acting.await.map_err(|fatal| NotTaken(fatal.to_string())) }.boxed()
            }
            Err(not_taken) => async { Err(not_taken) }.boxed(),
        }
    }
}

fn group_of(node: &Inner, id: GroupId) -> Option<&Arc<Group>> {
    if id == GroupId::META {
        return Some(node.meta.group());
    }
    node.shards.get(usize::from(id.0)).map(crate::group::Shard::group)
}

fn raft_of(node: &Inner, id: GroupId) -> Result<Raft, NotTaken> {
    let group = group_of(node, id).ok_or_else(|| NotTaken(format!("there is no shard {id} here")))?;
    if let Some(reason) = group.stopped() {
        return Err(NotTaken(format!("shard {id} is stopped on this node: {reason}")));
    }
    let running = group.raft.as_ref();
    running
        .map(|running| running.raft.clone())
        .ok_or_else(|| NotTaken(format!("shard {id} does not run here")))
}

impl Inbound for Reception {
    fn admit(&self, peer: &Member) -> Result<(), String> {
        let node = self.node().map_err(|not_taken| not_taken.0)?;
        let map = node.map.borrow();
        match map.nodes.get(&peer.node).map(|known| known.state) {
            Some(NodeState::Removed) => Err(format!(
                "node {} was removed from the cluster; start it with an empty data directory to join again",
                peer.node
            )),
            // One that is not in the map here may be in the map of others, which is newer.
            Some(NodeState::Up | NodeState::Draining) | None => Ok(()),
        }
    }

    fn join(&self, request: JoinRequest) -> BoxFuture<'static, Result<Joined, JoinError>> {
        let node = self.node();
        async move {
            let node = node.map_err(|not_taken| JoinError::NotReached(not_taken.0))?;
            let number = match &request.member {
                Some((cluster, number)) => welcome_back(&node, cluster, *number)?,
                None => admit(&node, &request).await?,
            };
            let map = node.map.borrow();
            Ok(Joined {
                cluster: node.identity.cluster.to_string(),
                node: number,
                shards: node.identity.shards,
                replication_factor: map.replication_factor,
                addresses: map.addresses(),
            })
        }
        .boxed()
    }

    fn append(
        &self,
        group: GroupId,
        request: AppendRequest,
    ) -> BoxFuture<'static, Result<AppendResponse, NotTaken>> {
        self.hand(group, |raft| async move {
            raft.append_entries(request).await.map_err(|error| match error {
                openraft::errors::RaftError::Fatal(fatal) => fatal,
                openraft::errors::RaftError::APIError(infallible) => match infallible {},
            })
        })
    }

    fn vote(
        &self,
        group: GroupId,
        request: VoteRequest,
    ) -> BoxFuture<'static, Result<VoteResponse, NotTaken>> {
        self.hand(group, |raft| async move {
            raft.vote(request).await.map_err(|error| match error {
                openraft::errors::RaftError::Fatal(fatal) => fatal,
                openraft::errors::RaftError::APIError(infallible) => match infallible {},
            })
        })
    }

    fn pre_vote(
        &self,
        group: GroupId,
        request: VoteRequest,
    ) -> BoxFuture<'static, Result<VoteResponse, NotTaken>> {
        self.hand(group, |raft| async move {
            raft.pre_vote(request).await.map_err(|error| match error {
                openraft::errors::RaftError::Fatal(fatal) => fatal,
                openraft::errors::RaftError::APIError(infallible) => match infallible {},
            })
        })
    }

    fn transfer(
        &self,
        group: GroupId,
        request: TransferRequest,
    ) -> BoxFuture<'static, Result<TransferResponse, NotTaken>> {
        self.hand(group, |raft| async move { raft.handle_transfer_leader(request).await })
    }

    fn snapshot(
        &self,
        group: GroupId,
        vote: Vote,
        snapshot: Snapshot,
    ) -> BoxFuture<'static, Result<SnapshotResponse, NotTaken>> {
        let node = self.node();
        async move {
            let node = node?;
            let raft = raft_of(&node, group)?;
            let known = group_of(&node, group).map(|group| (group.store.clone(), group.metrics.clone()));
            let (store, metrics) =
                known.ok_or_else(|| NotTaken(format!("there is no shard {group} here")))?;
            let writer = node.writer.clone();
            drop(node);
            // First the whole of it; a peer that breaks off must not trouble the replica.
            let Snapshot { meta, snapshot } = snapshot;
            let snapshot = snapshot.counted(metrics.snapshot_bytes_received.clone());
            let staged = Staged::receive(store, writer, snapshot).await;
            let count = if staged.is_ok() { &metrics.snapshots_received } else { &metrics.snapshots_failed };
            count.add(1);
            let snapshot = ShardSnapshot::staged(staged.map_err(|error| NotTaken(error.to_string()))?);
            let installed = raft.install_full_snapshot(vote, Snapshot { meta, snapshot }).await;
            installed.map_err(|fatal| NotTaken(fatal.to_string()))
        }
        .boxed()
    }

    fn answer(&self, from: NodeId, desk: Desk, request: Bytes) -> BoxFuture<'static, Bytes> {
        let node = self.node();
        async move {
            match (node, desk) {
                (Ok(node), Desk::Cluster) => encode(&reply(&node, &request).await),
                (Ok(node), Desk::Application) => match node.application.get() {
                    Some(application) => application.answer(from, request).await,
                    // An empty answer is none an application gives, so it is taken as not understood.
                    None => Bytes::new(),
                },
                (Ok(node), Desk::Archive) => match archive::desk::Question::decode(&request) {
                    Some(question) => lend(&node, question).await.encode(),
                    None => Bytes::new(),
                },
                (Err(_), _) => Bytes::new(),
            }
        }
        .boxed()
    }

    fn stream(&self, from: NodeId, request: Bytes) -> BoxStream<'static, Bytes> {
        let application = self.node().ok().and_then(|node| node.application.get().cloned());
        match application {
            Some(application) => application.stream(from, request),
            None => futures_util::stream::empty().boxed(),
        }
    }
}

/// Answers a node that saves the cluster.
async fn lend(node: &Arc<Inner>, question: archive::desk::Question) -> archive::desk::Answer {
    let group = |shard| node.shards.get(usize::from(shard)).map(|shard| shard.group().clone());
    node.lending.answer(group, question, &node.tasks, &node.stop).await
}

async fn reply(node: &Arc<Inner>, request: &[u8]) -> Reply {
    match decode_question(request) {
        Ok(Question::Change(command)) => change_here(&node.meta, &command).await,
        Ok(Question::Tails(groups)) => {
            Reply::Tails(groups.iter().map(|id| takeover::tail(group_of(node, *id)?)).collect())
        }
        Ok(Question::Report) => Reply::Report(Box::new(node.report())),
        Err(why) => Reply::NotUnderstood(why),
    }
}

/// A node that is a member already asks where the others are.
fn welcome_back(node: &Inner, cluster: &str, number: NodeId) -> Result<NodeId, JoinError> {
    let own = node.identity.cluster.to_string();
    if cluster != own {
        return Err(JoinError::Refused(format!(
            "its data directory is of the cluster {cluster}, this is the cluster {own}; give it an empty data directory, \
             or the address of a member of its own cluster"
        )));
    }
    let map = node.map.borrow();
    match map.nodes.get(&number).map(|known| known.state) {
        Some(NodeState::Removed) => Err(JoinError::Refused(format!(
            "node {number} was removed from the cluster; start it with an empty data directory to join again"
        ))),
        Some(NodeState::Up | NodeState::Draining) => Ok(number),
        None => Err(JoinError::NotReached(format!(
            "node {number} is not yet known to node {}",
            node.identity.node
        ))),
    }
}

/// A new node: the map gives it its number.
async fn admit(node: &Inner, request: &JoinRequest) -> Result<NodeId, JoinError> {
    let command = MapCommand::Admit {
        token: request.token.clone(),
        address: request.address.clone(),
        peer_address: request.peer_address.clone(),
        zone: request.zone.clone(),
        version: request.version.clone(),
    };
    let changed = change(node, &command, CHANGE_WITHIN).await;
    changed.map_err(|error| JoinError::NotReached(error.to_string()))?;
    let number = node.map.borrow().joined(&request.token);
    number.ok_or_else(|| JoinError::Refused("the cluster has no room for another node".to_owned()))
}
