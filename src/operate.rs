//! What an operator does with the cluster: look at it, drain and remove nodes, move shards and leaders,
//! save it.
//!
//! A wish is written into the cluster's map, and the leaders of the shards carry it out, whoever they are and
//! whatever happens to the node that was asked. An [`Operation`] is that node's view of how far it has come.

mod operations;
mod snapshots;
mod view;

use std::sync::Arc;
use std::time::Duration;

use stead_cluster::{Move, MoveKind, NodeId, ShardId, WishError};

use crate::error::{Code, Error};
use crate::runtime::Runtime;
use operations::Operations;
pub use operations::{Operation, OperationState};
pub use snapshots::{SnapshotList, SnapshotView, Snapshots};
pub use view::{MoveView, MoveWhat, ReplicaRole, ReplicaView, ShardView};

/// How long all nodes are waited for to say what they know.
const SURVEY_WITHIN: Duration = Duration::from_secs(1);

/// The operator's way to the cluster. Cheap to clone.
#[derive(Clone)]
pub struct Operate {
    runtime: Runtime,
    operations: Arc<Operations>,
    snapshots: Snapshots,
}

impl Operate {
    /// The operator's way to the cluster of this node.
    #[must_use]
    pub fn new(runtime: Runtime, snapshots: Snapshots) -> Self {
        Self { runtime, operations: Arc::default(), snapshots }
    }

    /// All shards, as their leaders know them.
    pub async fn shards(&self) -> Vec<ShardView> {
        let cluster = self.runtime.logs();
        let status = cluster.survey(SURVEY_WITHIN).await;
        let layout = cluster.layout();
        status.shards.iter().map(|shard| ShardView::of(shard, &layout.slots_of(shard.id))).collect()
    }

    /// One shard.
    ///
    /// # Errors
    ///
    /// `not_found`.
    pub async fn shard(&self, id: u16) -> Result<ShardView, Error> {
        let shards = self.shards().await;
        let missing = || Error::new(Code::NotFound, format!("there is no shard {id}"));
        shards.into_iter().find(|shard| shard.id == id).ok_or_else(missing)
    }

    /// Has a node lead nothing from now on; done when it leads nothing.
    ///
    /// # Errors
    ///
    /// `not_found`, `conflict`, `unavailable`.
    pub async fn drain(&self, node: u64) -> Result<u64, Error> {
        self.runtime.logs().drain(NodeId(node), true).await.map_err(refused)?;
        let kind = format!("drain node {node}");
        Ok(self.operations.follow(&self.runtime, kind, move |status| {
            let led = status.shards.iter().filter(|shard| shard.leader == Some(NodeId(node))).count();
            (led, status.shards.len(), format!("node {node} leads {led} shards"))
        }))
    }

    /// Has a node lead again what it is to lead; done at once, leaders come back by themselves.
    ///
    /// # Errors
    ///
    /// `not_found`, `conflict`, `unavailable`.
    pub async fn undrain(&self, node: u64) -> Result<u64, Error> {
        self.runtime.logs().drain(NodeId(node), false).await.map_err(refused)?;
        Ok(self.operations.follow(&self.runtime, format!("undrain node {node}"), move |status| {
            (0, status.shards.len(), format!("node {node} may lead again"))
        }))
    }

    /// Has a node leave for good; done when it holds nothing and is removed.
    ///
    /// # Errors
    ///
    /// `not_found`, `conflict` where shards would have fewer replicas, `unavailable`.
    pub async fn remove(&self, node: u64, is_fewer_allowed: bool) -> Result<u64, Error> {
        self.runtime.logs().remove(NodeId(node), is_fewer_allowed).await.map_err(refused)?;
        Ok(self.operations.follow(&self.runtime, format!("remove node {node}"), move |status| {
            let holds = |shard: &&stead_cluster::ShardStatus| {
                shard.replicas.iter().any(|replica| replica.node == NodeId(node))
            };
            let held = status.shards.iter().chain([&status.meta]).filter(holds).count();
            let known = status.nodes.iter().find(|known| known.id == NodeId(node));
            let is_there = known.is_some_and(|known| known.state != stead_cluster::NodeState::Removed);
            // One more step than shards: the map says so.
            (
                held + usize::from(is_there),
                status.shards.len() + 2,
                format!("node {node} holds {held} shards"),
            )
        }))
    }

    /// Moves a shard's replica; done when it has moved.
    ///
    /// # Errors
    ///
    /// `not_found`, `conflict`, `unavailable`.
    pub async fn move_replica(&self, shard: u16, from: u64, to: u64) -> Result<u64, Error> {
        let (id, from, to) = (ShardId(shard), NodeId(from), NodeId(to));
        self.runtime.logs().move_replica(id, from, to).await.map_err(refused)?;
        let kind = format!("move shard {shard} from node {from} to node {to}");
        Ok(self.operations.follow(&self.runtime, kind, move |status| {
            let replicas = status.shards.iter().find(|known| known.id == id).map(|known| &known.replicas);
            let votes =
                |node| replicas.is_some_and(|all| all.iter().any(|of| of.node == node && of.is_voter));
            let left = usize::from(!votes(to)) + usize::from(votes(from));
            (left, 2, format!("{left} of 2 steps are left"))
        }))
    }

    /// Has a shard led by one of its replicas; done when it does.
    ///
    /// # Errors
    ///
    /// `not_found`, `conflict`, `unavailable`.
    pub async fn transfer(&self, shard: u16, to: u64) -> Result<u64, Error> {
        let (id, to) = (ShardId(shard), NodeId(to));
        self.runtime.logs().prefer_leader(id, to).await.map_err(refused)?;
        let kind = format!("transfer shard {shard} to node {to}");
        Ok(self.operations.follow(&self.runtime, kind, move |status| {
            let leader = status.shards.iter().find(|known| known.id == id).and_then(|known| known.leader);
            let led_by = leader.map_or("nobody".to_owned(), |leader| format!("node {leader}"));
            (usize::from(leader != Some(to)), 1, format!("it is led by {led_by}"))
        }))
    }

    /// Spreads replicas and leaders evenly, or only says what that would move.
    ///
    /// # Errors
    ///
    /// `unavailable`.
    pub async fn rebalance(&self, is_dry_run: bool) -> Result<Vec<MoveView>, Error> {
        let moves = self.runtime.logs().rebalance(is_dry_run).await.map_err(refused)?;
        Ok(moves.iter().map(MoveView::of).collect())
    }

    /// How far an operation begun on this node has come.
    ///
    /// # Errors
    ///
    /// `not_found`.
    pub fn operation(&self, id: u64) -> Result<Operation, Error> {
        self.operations.get(id).ok_or_else(|| {
            Error::new(
                Code::NotFound,
                format!("there is no operation {id} on this node; it may have been begun on another"),
            )
        })
    }
}

impl MoveView {
    fn of(moved: &Move) -> Self {
        Self {
            shard: moved.shard.0,
            kind: match moved.kind {
                MoveKind::Replica => MoveWhat::Replica,
                MoveKind::Leader => MoveWhat::Leader,
            },
            from: moved.from.map(|node| node.0),
            to: moved.to.map(|node| node.0),
        }
    }
}

fn refused(error: WishError) -> Error {
    let code = match &error {
        WishError::UnknownNode(_) | WishError::UnknownShard(_) => Code::NotFound,
        WishError::NotPossible(_) | WishError::Fewer(..) | WishError::Quorum(_) => Code::Conflict,
        WishError::NotChanged(_) => Code::Unavailable,
    };
    Error::new(code, error.to_string())
}
