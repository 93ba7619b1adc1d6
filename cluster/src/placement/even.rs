//! Evening out: what the nodes have of something differs by one at most, as far as what may move where allows.
//!
//! Where nothing of the fullest node may move to an emptier one at once, a chain of moves may do: one node gives to
//! a second, which gives to a third. The shortest chain is taken, so no shard moves that need not.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::layout::NodeId;

/// What nodes have some of.
pub(super) trait Shares {
    /// How many a node has.
    fn count(&self, node: NodeId) -> usize;
    /// A shard whose share one node can give to another.
    fn movable(&self, from: NodeId, to: NodeId) -> Option<usize>;
    /// Gives it.
    fn shift(&mut self, shard: usize, from: NodeId, to: NodeId);
}

/// Evens out the shares of these nodes.
pub(super) fn even_out(nodes: &[NodeId], shares: &mut impl Shares) {
    loop {
        let mut has_moved = false;
        // Nodes from which no chain leads to an emptier one. What they reach is no better off, so each is looked at
        // once a round; a last round, in which nothing moves, looks at all again.
        let mut stuck = BTreeSet::new();
        loop {
            let mut fullest_first: Vec<NodeId> =
                nodes.iter().copied().filter(|node| !stuck.contains(node)).collect();
            fullest_first.sort_by_key(|node| (usize::MAX - shares.count(*node), *node));
            let Some(fullest) = fullest_first.first() else { break };
            match chain(nodes, shares, *fullest) {
                Ok(chain) => {
                    for (shard, from, to) in chain {
                        shares.shift(shard, from, to);
                    }
                    has_moved = true;
                }
                Err(reached) => stuck.extend(reached),
            }
        }
        if !has_moved {
            return;
        }
    }
}

/// The shortest chain of moves from a node to one that has at least two less, or all nodes that it can give to.
fn chain(
    nodes: &[NodeId],
    shares: &impl Shares,
    fullest: NodeId,
) -> Result<Vec<(usize, NodeId, NodeId)>, BTreeSet<NodeId>> {
    let most = shares.count(fullest);
    let mut emptiest_first: Vec<(usize, NodeId)> =
        nodes.iter().map(|node| (shares.count(*node), *node)).collect();
    emptiest_first.sort_unstable();
    let mut came_by: BTreeMap<NodeId, (usize, NodeId)> = BTreeMap::new();
    let mut reached = BTreeSet::from([fullest]);
    let mut to_look_at = VecDeque::from([fullest]);
    while let Some(from) = to_look_at.pop_front() {
        for (has, to) in &emptiest_first {
            if reached.contains(to) {
                continue;
            }
            let Some(shard) = shares.movable(from, *to) else { continue };
            reached.insert(*to);
            came_by.insert(*to, (shard, from));
            to_look_at.push_back(*to);
            if has + 2 <= most {
                let back =
                    std::iter::successors(came_by.get(to).map(|(shard, from)| (*shard, *from, *to)), {
                        |(_, to, _)| came_by.get(to).map(|(shard, from)| (*shard, *from, *to))
                    });
                return Ok(back.collect());
            }
        }
    }
    Err(reached)
}

/// Who leads which shard.
pub(super) struct Leaders<'a> {
    held: &'a [Vec<NodeId>],
    pub(super) led: Vec<Option<NodeId>>,
    before: Vec<Option<NodeId>>,
    /// Leaderships that are where they were may move; if not, only those that move anyway.
    pub(super) may_settled_move: bool,
    shards: BTreeMap<NodeId, BTreeSet<usize>>,
}

impl<'a> Leaders<'a> {
    pub(super) fn new(held: &'a [Vec<NodeId>], led: Vec<Option<NodeId>>) -> Self {
        let mut shards: BTreeMap<NodeId, BTreeSet<usize>> = BTreeMap::new();
        for (shard, leader) in led.iter().enumerate() {
            if let Some(leader) = leader {
                shards.entry(*leader).or_default().insert(shard);
            }
        }
        Self { held, before: led.clone(), led, may_settled_move: false, shards }
    }

    /// Gives each shard without a leader the holder that leads least.
    pub(super) fn fill(&mut self, able: &[NodeId]) {
        for (shard, (holders, leader)) in self.held.iter().zip(&mut self.led).enumerate() {
            if leader.is_none() {
                let holders = holders.iter().copied().filter(|holder| able.contains(holder));
                let leads = |node: &NodeId| self.shards.get(node).map_or(0, BTreeSet::len);
                *leader = holders.min_by_key(|node| (leads(node), *node));
                if let Some(leader) = *leader {
                    self.shards.entry(leader).or_default().insert(shard);
                }
            }
        }
    }
}

impl Shares for Leaders<'_> {
    fn count(&self, node: NodeId) -> usize {
        self.shards.get(&node).map_or(0, BTreeSet::len)
    }

    fn movable(&self, from: NodeId, to: NodeId) -> Option<usize> {
        let is_settled = |shard: usize| self.before.get(shard) == Some(&Some(from));
        let is_held = |shard: usize| self.held.get(shard).is_some_and(|holders| holders.contains(&to));
        let of_giver = self.shards.get(&from)?.iter().copied();
        let ranked = of_giver.filter(|shard| is_held(*shard)).map(|shard| (is_settled(shard), shard));
        ranked.filter(|(is_settled, _)| self.may_settled_move || !is_settled).min().map(|(_, shard)| shard)
    }

    fn shift(&mut self, shard: usize, from: NodeId, to: NodeId) {
        if let Some(leader) = self.led.get_mut(shard) {
            *leader = Some(to);
        }
        self.shards.entry(from).or_default().remove(&shard);
        self.shards.entry(to).or_default().insert(shard);
    }
}
