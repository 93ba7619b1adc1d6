//! What a node knows of its cluster at one moment, for operators to see.

use serde::{Deserialize, Serialize};

use crate::layout::{LogIndex, NodeId, ShardId, Term};
use crate::map::NodeState;

/// The cluster as this node sees it.
#[derive(Debug, Clone)]
pub struct ClusterStatus {
    /// The nodes of the cluster's map.
    pub nodes: Vec<NodeStatus>,
    /// The shards, by number.
    pub shards: Vec<ShardStatus>,
    /// The group that keeps the map. Its `id` is not a shard's.
    pub meta: ShardStatus,
    /// What is wrong: a stopped shard, a failed disk, a refused peer. Empty when all is well.
    pub problems: Vec<Problem>,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// A stable word: `disk_failed`, `shard_stopped` or `peer_refused`.
    pub code: String,
    /// What happened.
    pub detail: String,
    /// What an operator can do.
    pub what_to_do: String,
}

/// A node, as the cluster's map has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    /// Its number.
    pub id: NodeId,
    /// Where clients reach it.
    pub address: String,
    /// Where other nodes reach it.
    pub peer_address: String,
    /// Where it stands.
    pub zone: Option<String>,
    /// What the operator wants of it.
    pub state: NodeState,
    /// Whether a link to or from it stands, as seen from the node asked.
    pub is_reachable: bool,
    /// The version of its program.
    pub version: String,
    /// When it was started, in milliseconds since 1970.
    pub started_at_ms: u64,
}

/// What a node tells others of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// Its number.
    pub node: NodeId,
    /// Its replicas, by shard; those of a shard it leads say how far the others are behind.
    pub shards: Vec<ShardStatus>,
    /// The group that keeps the map.
    pub meta: ShardStatus,
    /// What is wrong on it: code, detail, what to do.
    pub problems: Vec<(String, String, String)>,
}

/// One replica of a shard, as its leader sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaStatus {
    /// The node that has it.
    pub node: NodeId,
    /// Whether it counts for a majority.
    pub is_voter: bool,
    /// How many entries it is behind the leader's log, where this node leads and knows.
    pub lag: Option<u64>,
}

/// A shard's replica on this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardStatus {
    /// The shard.
    pub id: ShardId,
    /// The latest term seen here.
    pub term: Term,
    /// The leader of that term, where known. A leader that has lost its majority is none.
    pub leader: Option<NodeId>,
    /// The replicas, by node.
    pub replicas: Vec<ReplicaStatus>,
    /// The voters are being changed: until that is done a majority of those before is needed too.
    #[serde(default)]
    pub is_changing: bool,
    /// The last index known to be committed.
    pub commit: Option<LogIndex>,
    /// The last index applied here.
    pub applied: Option<LogIndex>,
    /// The last index of the log here.
    pub last_log: Option<LogIndex>,
    /// The last index purged from the log here.
    pub purged: Option<LogIndex>,
    /// Why the replica was stopped, if it was. Only a restart of the node lifts it, if even that.
    pub stopped: Option<String>,
}

impl ShardStatus {
    /// A shard of which nothing is known.
    pub(crate) fn unknown(id: ShardId) -> Self {
        Self {
            id,
            term: 0,
            leader: None,
            replicas: Vec::new(),
            is_changing: false,
            commit: None,
            applied: None,
            last_log: None,
            purged: None,
            stopped: None,
        }
    }
}
