//! What an operator wishes of the cluster, written into its map. The leaders of the shards see to the rest.

use futures_util::future::join_all;
use std::collections::BTreeSet;

use crate::groups::keeper::{SURVEY_WITHIN, candidates, planned};
use crate::groups::quorum::{self, Lost};
use crate::groups::reconciler::TRANSFER_WITHIN;
use crate::groups::register::{CHANGE_WITHIN, ChangeError, change};
use crate::groups::{Cluster, Inner};
use crate::layout::{NodeId, ShardId};
use crate::map::{ClusterMap, MapCommand, MapNode, NodeState, Placement};
use crate::placement::{Move, meta_voters, moves, plan};

/// Why a wish was not taken.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WishError {
    /// There is no such node in the cluster.
    #[error("there is no node {0} in the cluster")]
    UnknownNode(NodeId),
    /// There is no such shard.
    #[error("there is no shard {0}")]
    UnknownShard(ShardId),
    /// The wish contradicts what is.
    #[error("{0}")]
    NotPossible(String),
    /// Shards would have fewer replicas than they should.
    #[error("shards would have {0} replicas instead of {1}; add a node first, or allow fewer")]
    Fewer(usize, u16),
    /// A shard, or the map, would be left without a majority that lives.
    #[error("{0}")]
    Quorum(Lost),
    /// The map could not be changed.
    #[error(transparent)]
    NotChanged(#[from] ChangeError),
}

impl Cluster {
    /// Has a node lead nothing from now on (`draining`), or again what it is to lead (`up`).
    ///
    /// # Errors
    ///
    /// When there is no such node, nobody else is up and reached, or the map can not be changed.
    pub async fn drain(&self, node: NodeId, is_draining: bool) -> Result<(), WishError> {
        let map = self.0.map.borrow().clone();
        present(&map, node)?;
        let alive = self.0.alive();
        let others = map.nodes.iter().filter(|(id, other)| **id != node && other.state == NodeState::Up);
        if is_draining && !others.map(|(id, _)| id).any(|id| alive.contains(id)) {
            return Err(WishError::NotPossible(format!(
                "node {node} is the only one that is up: nobody could lead in its stead; start or add a node, or \
                 undrain one"
            )));
        }
        let state = if is_draining { NodeState::Draining } else { NodeState::Up };
        let command = MapCommand::SetState { node, state };
        Ok(change(&self.0, &command, CHANGE_WITHIN).await?)
    }

    /// Has a node leave for good: its replicas go to others first.
    ///
    /// # Errors
    ///
    /// When there is no such node, it is the last, shards would have fewer replicas and that is not allowed, a group
    /// would be left without a living majority, or the map can not be changed.
    pub async fn remove(&self, node: NodeId, is_fewer_allowed: bool) -> Result<(), WishError> {
        let map = self.0.map.borrow().clone();
        present(&map, node)?;
        let left = map
            .nodes
            .iter()
            .filter(|(id, other)| **id != node && other.state != NodeState::Removed && !other.is_leaving);
        let left = left.count();
        if left == 0 {
            return Err(WishError::NotPossible(format!(
                "node {node} is the last of its cluster; to end the cluster, stop it"
            )));
        }
        let holders =
            map.placements.iter().map(|placement| placement.replicas.len()).max().unwrap_or_default();
        if left < holders && !is_fewer_allowed {
            return Err(WishError::Fewer(left, map.replication_factor));
        }
        if let Some(Lost { group, dead, .. }) = self.lost_already().await {
            return Err(WishError::NotPossible(format!(
                "{group} has lost its majority, and none of its replicas can be removed before it has one again: start {} first",
                quorum::listed(&dead),
            )));
        }
        if let Some(lost) = self.lost_without(&map, node) {
            return Err(WishError::Quorum(lost));
        }
        Ok(change(&self.0, &MapCommand::Leave { node }, CHANGE_WITHIN).await?)
    }

    /// Moves a shard's replica from one node to another.
    ///
    /// # Errors
    ///
    /// When it is not there, or there already, or the node takes nothing or is not reached, or the shard would be left
    /// without a living majority, or the map can not be changed.
    pub async fn move_replica(&self, shard: ShardId, from: NodeId, to: NodeId) -> Result<(), WishError> {
        self.place(shard, |map, placement| {
            present(map, from)?;
            self.takes(map, to)?;
            if placement.replicas.contains(&to) {
                return Err(WishError::NotPossible(format!(
                    "node {to} has a replica of shard {shard} already"
                )));
            }
            let replica = placement.replicas.iter_mut().find(|node| **node == from);
            *replica.ok_or_else(|| {
                WishError::NotPossible(format!("node {from} has no replica of shard {shard}"))
            })? = to;
            if placement.preferred_leader == Some(from) {
                placement.preferred_leader = Some(to);
            }
            let lost = quorum::lost(|| format!("shard {shard}"), &placement.replicas, &self.0.alive());
            lost.map_or(Ok(()), |lost| Err(WishError::Quorum(lost)))
        })
        .await
    }

    /// Has a shard led by one of its replicas, now and whenever that is up.
    ///
    /// # Errors
    ///
    /// When the node has no replica of it, is draining or not reached, or the map can not be changed.
    pub async fn prefer_leader(&self, shard: ShardId, to: NodeId) -> Result<(), WishError> {
        self.place(shard, |map, placement| {
            self.takes(map, to)?;
            if !placement.replicas.contains(&to) {
                return Err(WishError::NotPossible(format!("node {to} has no replica of shard {shard}")));
            }
            placement.preferred_leader = Some(to);
            Ok(())
        })
        .await
    }

    /// Spreads replicas and leaders evenly; says what that moves, and only says it if it is to change nothing.
    ///
    /// # Errors
    ///
    /// When the map can not be changed.
    pub async fn rebalance(&self, is_dry_run: bool) -> Result<Vec<Move>, WishError> {
        let map = self.0.map.borrow().clone();
        let command = planned(&map, &candidates(&map, &self.0.silent()));
        let MapCommand::Place { placements, .. } = &command else { return Ok(Vec::new()) };
        let moved = moves(&map.placements, placements);
        if !is_dry_run && !moved.is_empty() {
            change(&self.0, &command, CHANGE_WITHIN).await?;
        }
        Ok(moved)
    }

    /// Hands every leadership of this node over, as it is about to stop; returns when others lead, or when it takes
    /// too long. Nobody to hand over to is no reason to wait.
    pub async fn hand_over(&self) {
        let groups = self.0.groups().filter(|group| group.lead().is_ok());
        let transfers = groups.filter_map(|group| {
            let heir = heir(&self.0, group)?;
            Some(async move { (group.id, group.transfer(heir, TRANSFER_WITHIN).await) })
        });
        for (group, transferred) in join_all(transfers).await {
            if let Err(error) = transferred {
                tracing::warn!(%group, %error, "a leadership was not handed over; the others elect one");
            }
        }
    }

    /// The first shard whose voters have no majority that lives, as far as anybody knows. Whoever led it may not have
    /// noticed yet.
    async fn lost_already(&self) -> Option<Lost> {
        let (status, alive) = (self.survey(SURVEY_WITHIN).await, self.0.alive());
        let lost = status.shards.iter().filter_map(|shard| {
            let voters = shard.replicas.iter().filter(|replica| replica.is_voter);
            let voters: Vec<NodeId> = voters.map(|replica| replica.node).collect();
            let is_known = !voters.is_empty();
            quorum::lost(|| format!("shard {}", shard.id), &voters, &alive).filter(|_| is_known)
        });
        lost.into_iter().next()
    }

    /// What would lose its majority if a node went: the first of the shards that it would leave, or the map.
    fn lost_without(&self, map: &ClusterMap, node: NodeId) -> Option<Lost> {
        let (alive, silent) = (self.0.alive(), self.0.silent());
        let mut without = map.clone();
        if let Some(leaving) = without.nodes.get_mut(&node) {
            (leaving.state, leaving.is_leaving) = (NodeState::Draining, true);
        }
        let candidates = candidates(&without, &silent);
        let wished = plan(&candidates, &map.placements, map.replication_factor);
        let changed = map.placements.iter().zip(&wished).zip(0_u16..);
        let changed = changed.filter(|((before, after), _)| before.replicas != after.replicas);
        let of_shards = changed.filter_map(|((_, after), shard)| {
            quorum::lost(|| format!("shard {shard}"), &after.replicas, &alive)
        });
        let voters = self.0.meta.status().replicas.into_iter().filter(|replica| replica.is_voter);
        let voters: BTreeSet<NodeId> =
            voters.map(|replica| replica.node).filter(|voter| *voter != node).collect();
        let keepers: Vec<NodeId> = meta_voters(&candidates, &voters).into_iter().collect();
        let of_map = || quorum::lost(|| "the cluster's map".to_owned(), &keepers, &alive);
        of_shards.into_iter().next().or_else(of_map)
    }

    /// Whether a node can be given something: it is up, and reached.
    fn takes(&self, map: &ClusterMap, node: NodeId) -> Result<(), WishError> {
        if present(map, node)?.state != NodeState::Up {
            return Err(WishError::NotPossible(format!("node {node} is draining; undrain it first")));
        }
        if !self.reaches(node) {
            return Err(WishError::NotPossible(format!("node {node} can not be reached; start it first")));
        }
        Ok(())
    }

    /// Changes the placement of one shard.
    async fn place(
        &self,
        shard: ShardId,
        wish: impl FnOnce(&ClusterMap, &mut Placement) -> Result<(), WishError>,
    ) -> Result<(), WishError> {
        let map = self.0.map.borrow().clone();
        let mut placements = map.placements.clone();
        let placement = placements.get_mut(usize::from(shard.0)).ok_or(WishError::UnknownShard(shard))?;
        wish(&map, placement)?;
        let wished = placement.clone();
        let command = MapCommand::Place { revision: map.revision, placements, planned_for: None };
        change(&self.0, &command, CHANGE_WITHIN).await?;
        let placed = self.0.map.borrow().placements.get(usize::from(shard.0)).cloned();
        if placed == Some(wished) {
            Ok(())
        } else {
            Err(WishError::NotPossible(
                "the map has changed meanwhile; look again, then try again".to_owned(),
            ))
        }
    }
}

/// A node of the map that is not removed.
fn present(map: &ClusterMap, node: NodeId) -> Result<&MapNode, WishError> {
    let known = map.nodes.get(&node).filter(|known| known.state != NodeState::Removed);
    known.ok_or(WishError::UnknownNode(node))
}

/// Who is to lead a group in this node's stead: of the voters that are reached and up, the one furthest on.
fn heir(node: &Inner, group: &crate::group::Group) -> Option<NodeId> {
    let map = node.map.borrow().clone();
    let peers = node.network.peers().borrow().clone();
    let status = group.status();
    let others = status.replicas.iter().filter(|replica| {
        replica.is_voter
            && replica.node != group.node
            && peers.get(&replica.node).is_some_and(|peer| peer.connected)
    });
    let furthest = others.min_by_key(|replica| {
        let is_up = map.nodes.get(&replica.node).is_some_and(|known| known.state == NodeState::Up);
        (!is_up, replica.lag.unwrap_or(u64::MAX), replica.node)
    });
    furthest.map(|replica| replica.node)
}
