//! What each command does to the map. The same on every replica, and whatever the command: one that contradicts the
//! map, comes late or comes again changes nothing, and does not count.

use super::{ClusterMap, MapCommand, MapNode, NodeState, Placement, Usable};
use crate::layout::NodeId;

/// What a node says of itself.
struct Described {
    address: String,
    peer_address: String,
    zone: Option<String>,
    version: String,
    started_at_ms: u64,
}

impl ClusterMap {
    /// Carries a command out.
    pub(super) fn change(&mut self, command: MapCommand) {
        let before = self.clone();
        match command {
            MapCommand::Create { cluster, shards, replication_factor, founder } => {
                self.create(cluster, shards, replication_factor, founder);
            }
            MapCommand::Admit { token, address, peer_address, zone, version } => {
                self.admit(token, Described { address, peer_address, zone, version, started_at_ms: 0 });
            }
            MapCommand::Register { node, address, peer_address, zone, version, started_at_ms } => {
                self.register(node, Described { address, peer_address, zone, version, started_at_ms });
            }
            MapCommand::SetState { node, state } => self.set_state(node, state),
            MapCommand::Leave { node } => {
                if let Some(known) = self.present(node) {
                    (known.state, known.is_leaving) = (NodeState::Draining, true);
                }
            }
            MapCommand::Place { revision, placements, planned_for } => {
                self.place(revision, placements, planned_for);
            }
        }
        if *self != before {
            self.revision += 1;
        }
    }

    fn create(&mut self, cluster: String, shards: u16, replication_factor: u16, founder: NodeId) {
        if self.placements.is_empty() {
            let placement = Placement { replicas: vec![founder], preferred_leader: Some(founder) };
            self.placements = vec![placement; usize::from(shards)];
            (self.cluster, self.replication_factor) = (cluster, replication_factor);
        }
    }

    fn admit(&mut self, token: String, described: Described) {
        if self.tokens.contains_key(&token) {
            return;
        }
        // Nodes never leave the map, so no number is given twice. The founder holds shards before it is a node.
        let founders = self.placements.iter().flat_map(|placement| &placement.replicas);
        let last = self.nodes.keys().chain(founders).max();
        let next = last.map_or(NodeId(1), |last| NodeId(last.0 + 1));
        self.nodes.insert(next, described.into_node(NodeState::Up, false));
        self.tokens.insert(token, next);
    }

    fn register(&mut self, node: NodeId, described: Described) {
        match self.nodes.get(&node) {
            Some(known) if known.state == NodeState::Removed => {}
            Some(known) => {
                let (state, is_leaving) = (known.state, known.is_leaving);
                self.nodes.insert(node, described.into_node(state, is_leaving));
            }
            // The founder has nobody to be let in by. Any other number was never given out.
            None if self.nodes.is_empty() || self.holds(node) => {
                self.nodes.insert(node, described.into_node(NodeState::Up, false));
            }
            None => {}
        }
    }

    fn set_state(&mut self, node: NodeId, state: NodeState) {
        if let Some(known) = self.present(node) {
            // A node on its way out drains anyway; only to want it up again keeps it.
            known.is_leaving &= state == NodeState::Draining;
            known.state = state;
        }
    }

    fn place(&mut self, revision: u64, placements: Vec<Placement>, planned_for: Option<Vec<Usable>>) {
        let is_possible = placements.len() == self.placements.len()
            && self
                .placements
                .iter()
                .zip(&placements)
                .all(|(before, after)| self.may_be_placed(before, after));
        if revision != self.revision || !is_possible {
            return;
        }
        self.placements = placements;
        if let Some(planned_for) = planned_for {
            self.planned_for = planned_for;
        }
    }

    /// Whether a shard can be where it is wished: somewhere, nowhere twice, on nodes of the map. A node that is
    /// removed gets nothing, but may be left with what it had.
    fn may_be_placed(&self, before: &Placement, after: &Placement) -> bool {
        let is_present = |node: &NodeId| {
            before.replicas.contains(node)
                || self.nodes.get(node).is_some_and(|known| known.state != NodeState::Removed)
        };
        let replicas = &after.replicas;
        let is_distinct = |(place, node)| !replicas.iter().take(place).any(|earlier| earlier == node);
        !replicas.is_empty()
            && replicas.iter().all(is_present)
            && replicas.iter().enumerate().all(is_distinct)
            && after.preferred_leader.is_none_or(|leader| replicas.contains(&leader))
    }

    fn holds(&self, node: NodeId) -> bool {
        self.placements.iter().any(|placement| placement.replicas.contains(&node))
    }

    /// A node that is not removed, which is for good.
    fn present(&mut self, node: NodeId) -> Option<&mut MapNode> {
        self.nodes.get_mut(&node).filter(|known| known.state != NodeState::Removed)
    }
}

impl Described {
    fn into_node(self, state: NodeState, is_leaving: bool) -> MapNode {
        let Self { address, peer_address, zone, version, started_at_ms } = self;
        MapNode { address, peer_address, zone, version, started_at_ms, state, is_leaving }
    }
}
