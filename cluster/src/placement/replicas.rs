//! Who holds which shard, while it is planned: enough holders, over the zones there are.

use std::collections::{BTreeMap, BTreeSet};

use super::Nodes;
use super::even::Shares;
use crate::layout::NodeId;

/// A zone, or a node without one, which is a zone of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Zone {
    Named(String),
    Own(NodeId),
}

/// Who holds which shard.
pub(super) struct Replicas<'a> {
    nodes: &'a Nodes,
    zones: BTreeMap<NodeId, Zone>,
    /// By shard.
    pub(super) held: Vec<Vec<NodeId>>,
    /// By shard: who held it before.
    before: Vec<Vec<NodeId>>,
    /// By shard: who leads it now, whose replica had better stay.
    led: &'a [Option<NodeId>],
    /// Replicas that are where they were may move; if not, only those that move anyway.
    pub(super) may_settled_move: bool,
    shards: BTreeMap<NodeId, BTreeSet<usize>>,
}

impl<'a> Replicas<'a> {
    pub(super) fn new(nodes: &'a Nodes, held: Vec<Vec<NodeId>>, led: &'a [Option<NodeId>]) -> Self {
        let zone = |(node, candidate): (&NodeId, &super::Candidate)| {
            (*node, candidate.zone.clone().map_or(Zone::Own(*node), Zone::Named))
        };
        let mut shards: BTreeMap<NodeId, BTreeSet<usize>> = BTreeMap::new();
        for (shard, holders) in held.iter().enumerate() {
            for holder in holders {
                shards.entry(*holder).or_default().insert(shard);
            }
        }
        let zones = nodes.iter().map(zone).collect();
        Self { nodes, zones, before: held.clone(), held, led, may_settled_move: false, shards }
    }

    /// Gives a shard the replicas it lacks, and takes away those it has too many.
    ///
    /// A node that is gone for good keeps nothing; one that is lost keeps its replicas until there is another node
    /// for them. A shard without any other holder stays where it is: an empty wish helps nobody.
    pub(super) fn fill(&mut self, shard: usize, wanted: usize) {
        let Some(before) = self.held.get(shard).cloned() else { return };
        let may_hold = |node: &NodeId| self.nodes.get(node).is_some_and(|candidate| candidate.may_hold);
        let mut holders: Vec<NodeId> = before.iter().copied().filter(may_hold).collect();
        while holders.len() < wanted {
            let Some(to) = self.emptiest(&holders) else { break };
            holders.push(to);
        }
        let lost = before.iter().filter(|node| self.nodes.contains_key(node) && !may_hold(node));
        let room = wanted.saturating_sub(holders.len());
        let lost: Vec<NodeId> = lost.filter(|node| !holders.contains(node)).take(room).copied().collect();
        holders.extend(lost);
        while holders.len() > wanted.max(1) {
            let Some(from) = self.fullest(&holders) else { break };
            holders.retain(|node| *node != from);
        }
        if holders.is_empty() {
            return;
        }
        for gone in before.iter().filter(|node| !holders.contains(node)) {
            self.shards.entry(*gone).or_default().remove(&shard);
        }
        for new in holders.iter().filter(|node| !before.contains(node)) {
            self.shards.entry(*new).or_default().insert(shard);
        }
        if let Some(held) = self.held.get_mut(shard) {
            *held = holders;
        }
    }

    /// Moves replicas that share a zone to zones that hold at least two fewer, as long as there are such.
    pub(super) fn spread(&mut self, shard: usize) {
        loop {
            let Some(holders) = self.held.get(shard) else { return };
            let (Some(from), Some(to)) = (self.fullest(holders), self.emptiest(holders)) else { return };
            if self.in_zone_of(holders, from) < self.in_zone_of(holders, to) + 2 {
                return;
            }
            self.shift(shard, from, to);
        }
    }

    /// The node to take a replica beside these: in the zone with the fewest of them, itself the emptiest.
    fn emptiest(&self, holders: &[NodeId]) -> Option<NodeId> {
        let takers = self.nodes.iter().filter(|(_, candidate)| candidate.may_take).map(|(node, _)| *node);
        let free = takers.filter(|node| !holders.contains(node));
        free.min_by_key(|node| (self.in_zone_of(holders, *node), self.count(*node), *node))
    }

    /// The one of these to give its replica up: in the zone with the most of them, itself on its way out or the
    /// fullest.
    fn fullest(&self, holders: &[NodeId]) -> Option<NodeId> {
        let takes = |node: &NodeId| self.nodes.get(node).is_some_and(|candidate| candidate.may_take);
        let crowd = |node: &NodeId| self.in_zone_of(holders, *node);
        holders.iter().copied().max_by_key(|node| (crowd(node), !takes(node), self.count(*node), *node))
    }

    fn in_zone_of(&self, holders: &[NodeId], node: NodeId) -> usize {
        let zone = self.zones.get(&node);
        holders.iter().filter(|holder| self.zones.get(holder) == zone).count()
    }
}

impl Shares for Replicas<'_> {
    fn count(&self, node: NodeId) -> usize {
        self.shards.get(&node).map_or(0, BTreeSet::len)
    }

    /// One that is in no fewer zones for it: rather one that moves anyway, then one that the giver does not lead.
    fn movable(&self, from: NodeId, to: NodeId) -> Option<usize> {
        let is_same_zone = self.zones.get(&from) == self.zones.get(&to);
        let may_move = |shard: &usize| {
            // The giver counts as one of its zone.
            self.held.get(*shard).is_some_and(|holders| {
                !holders.contains(&to)
                    && (is_same_zone || self.in_zone_of(holders, to) < self.in_zone_of(holders, from))
            })
        };
        let is_settled = |shard: usize| self.before.get(shard).is_some_and(|before| before.contains(&from));
        let is_led = |shard: usize| self.led.get(shard) == Some(&Some(from));
        let of_giver = self.shards.get(&from)?.iter().copied();
        let ranked = of_giver.map(|shard| (is_settled(shard), is_led(shard), shard));
        let free = ranked.filter(|(is_settled, _, _)| self.may_settled_move || !is_settled);
        free.filter(|(_, _, shard)| may_move(shard)).min().map(|(_, _, shard)| shard)
    }

    fn shift(&mut self, shard: usize, from: NodeId, to: NodeId) {
        if let Some(holders) = self.held.get_mut(shard) {
            holders.iter_mut().filter(|node| **node == from).for_each(|node| *node = to);
        }
        self.shards.entry(from).or_default().remove(&shard);
        self.shards.entry(to).or_default().insert(shard);
    }
}
