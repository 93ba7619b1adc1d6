//! Shards and moves as operators see them: the shapes of `/v1/shards`.

use std::ops::RangeInclusive;

use serde::Serialize;
use stead_cluster::ShardStatus;
use utoipa::ToSchema;

/// A shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ShardView {
    /// Its number.
    pub id: u16,
    /// The first and the last of its slots.
    pub slots: (u16, u16),
    /// The node that leads it, if one is known.
    pub leader: Option<u64>,
    /// The latest term.
    pub term: u64,
    /// The last entry known to be on a majority.
    pub commit_index: u64,
    /// The last entry applied by the leader.
    pub applied_index: u64,
    /// Whether its voters are being changed: until that is done a majority of the old ones is needed, too.
    pub changing: bool,
    /// Its replicas, by node.
    pub replicas: Vec<ReplicaView>,
}

/// One replica of a shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReplicaView {
    /// The node that has it.
    pub node: u64,
    /// Whether it counts for a majority.
    pub role: ReplicaRole,
    /// Entries it is behind its leader, where that is known.
    pub lag: Option<u64>,
}

/// What a replica is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaRole {
    /// It counts for a majority.
    Voter,
    /// It is being brought up, or only keeps a copy.
    Learner,
}

/// A move of a replica or of the leadership.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MoveView {
    /// The shard.
    pub shard: u16,
    /// What moves.
    pub kind: MoveWhat,
    /// Where it is; `null` for a replica that is added.
    pub from: Option<u64>,
    /// Where it is to be; `null` for a replica that is given up.
    pub to: Option<u64>,
}

/// What moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MoveWhat {
    /// A replica.
    Replica,
    /// The leadership.
    Leader,
}

impl ShardView {
    pub(super) fn of(shard: &ShardStatus, slots: &RangeInclusive<u16>) -> Self {
        let replicas = shard.replicas.iter().map(|replica| ReplicaView {
            node: replica.node.0,
            role: if replica.is_voter { ReplicaRole::Voter } else { ReplicaRole::Learner },
            lag: replica.lag,
        });
        Self {
            id: shard.id.0,
            slots: (*slots.start(), *slots.end()),
            leader: shard.leader.map(|node| node.0),
            term: shard.term,
            commit_index: shard.commit.unwrap_or_default(),
            applied_index: shard.applied.unwrap_or_default(),
            changing: shard.is_changing,
            replicas: replicas.collect(),
        }
    }
}
