//! The cluster and its nodes as operators see them; the shapes of `GET /v1/cluster` and `/v1/nodes`.

use serde::Serialize;
use stead_cluster::{NodeState, NodeStatus, ShardStatus};
use utoipa::ToSchema;

use super::Runtime;
use crate::limits;
use crate::object::Timestamp;

/// The cluster as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ClusterView {
    /// The cluster's identity.
    pub id: String,
    /// How many nodes it has.
    pub nodes: usize,
    /// How many shards it has.
    pub shards: usize,
    /// How many replicas each shard should have.
    pub replication_factor: u16,
    /// Whether all is well.
    pub state: ClusterState,
    /// What is not.
    pub problems: Vec<ProblemView>,
}

/// Whether all is well with a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClusterState {
    /// Every shard is led, and nothing is wrong.
    Ok,
    /// Every shard is led, but something is wrong.
    Degraded,
    /// Some shard is not led.
    Unavailable,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProblemView {
    /// A stable word.
    pub code: String,
    /// What happened.
    pub detail: String,
    /// What an operator can do.
    pub what_to_do: String,
}

/// One node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct NodeView {
    /// Its number.
    pub id: u64,
    /// Where clients reach it.
    pub address: String,
    /// Where other nodes reach it.
    pub peer_address: String,
    /// Where it stands.
    pub zone: Option<String>,
    /// What the operator wants of it.
    pub state: NodeWish,
    /// Whether the node asked can reach it.
    pub reachable: bool,
    /// The version of its program.
    pub version: String,
    /// When it was started.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// Shards that it leads.
    pub leaders: usize,
    /// Shards of which it has a replica.
    pub replicas: usize,
}

/// What the operator wants of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeWish {
    /// It serves.
    Up,
    /// It serves, but leads nothing.
    Draining,
    /// It is no longer of the cluster.
    Removed,
}

fn silent_nodes(nodes: &[NodeStatus]) -> impl Iterator<Item = ProblemView> {
    let silent = nodes.iter().filter(|node| node.state != NodeState::Removed && !node.is_reachable);
    silent.map(|node| ProblemView {
        code: "node_unreachable".to_owned(),
        detail: format!("node {} at {} cannot be reached", node.id, node.peer_address),
        what_to_do: format!(
            "start it again or mend its network; if it is gone for good, `stead node remove {}`",
            node.id
        ),
    })
}

/// Shards with fewer replicas than they should have, where some node leads them and says so.
fn thin_shards(shards: &[ShardStatus], replication_factor: u16) -> Option<ProblemView> {
    let thin = shards.iter().filter(|shard| {
        let voters = shard.replicas.iter().filter(|replica| replica.is_voter).count();
        shard.leader.is_some() && voters < usize::from(replication_factor)
    });
    let count = thin.count();
    // A cluster of one has one of each, and that is how it is meant to be.
    let is_alone = shards.iter().all(|shard| shard.replicas.len() <= 1);
    (count > 0 && !is_alone).then(|| ProblemView {
        code: "shards_under_replicated".to_owned(),
        detail: format!("{count} of {} shards have fewer than {replication_factor} replicas", shards.len()),
        what_to_do: "wait until new replicas have caught up; if it lasts, add a node".to_owned(),
    })
}

impl Runtime {
    /// The cluster, as its nodes know it together.
    pub async fn cluster(&self) -> ClusterView {
        let cluster = &self.inner().cluster;
        let status = cluster.survey(limits::SURVEY_WITHIN).await;
        let mut problems: Vec<ProblemView> = status
            .problems
            .iter()
            .map(|problem| ProblemView {
                code: problem.code.clone(),
                detail: problem.detail.clone(),
                what_to_do: problem.what_to_do.clone(),
            })
            .collect();
        let unled = status.shards.iter().filter(|shard| shard.leader.is_none()).count();
        if unled > 0 {
            problems.push(ProblemView {
                code: "shards_without_leader".to_owned(),
                detail: format!("{unled} of {} shards have no leader", status.shards.len()),
                what_to_do: "wait for an election; if it lasts, start the nodes that are down".to_owned(),
            });
        }
        problems.extend(silent_nodes(&status.nodes));
        problems.extend(thin_shards(&status.shards, cluster.replication_factor()));
        let state = match (unled, problems.is_empty()) {
            (0, true) => ClusterState::Ok,
            (0, false) => ClusterState::Degraded,
            _ => ClusterState::Unavailable,
        };
        ClusterView {
            id: cluster.id().to_string(),
            nodes: status.nodes.iter().filter(|node| node.state != NodeState::Removed).count(),
            shards: status.shards.len(),
            replication_factor: cluster.replication_factor(),
            state,
            problems,
        }
    }

    /// The nodes of the cluster's map.
    pub async fn nodes(&self) -> Vec<NodeView> {
        let status = self.inner().cluster.survey(limits::SURVEY_WITHIN).await;
        let view = |node: &stead_cluster::NodeStatus| NodeView {
            id: node.id.0,
            address: node.address.clone(),
            peer_address: node.peer_address.clone(),
            zone: node.zone.clone(),
            state: match node.state {
                NodeState::Up => NodeWish::Up,
                NodeState::Draining => NodeWish::Draining,
                NodeState::Removed => NodeWish::Removed,
            },
            reachable: node.is_reachable,
            version: node.version.clone(),
            started_at: Timestamp(node.started_at_ms),
            leaders: status.shards.iter().filter(|shard| shard.leader == Some(node.id)).count(),
            replicas: status
                .shards
                .iter()
                .filter(|shard| shard.replicas.iter().any(|replica| replica.node == node.id))
                .count(),
        };
        status.nodes.iter().map(view).collect()
    }

    /// How many objects are in memory.
    #[must_use]
    pub fn active_objects(&self) -> usize {
        self.inner().registry.len()
    }
}
