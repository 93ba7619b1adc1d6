//! Where shards ought to be. Pure: from the nodes, what they may do, and where shards are wished now.
//!
//! Rules, the stronger first: as many replicas as are asked for and nodes allow; over as many zones as there are;
//! evenly over the nodes; with as few moves as that takes. Then the preferred leaders, evenly too.

use std::collections::{BTreeMap, BTreeSet};

use crate::layout::{NodeId, ShardId};
use crate::map::Placement;

/// Voters of the meta group at most: more make a change of the map slower and nothing safer.
const META_VOTERS_MAX: usize = 5;

/// What a node may be used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) zone: Option<String>,
    /// It may keep the replicas it has.
    pub(crate) may_hold: bool,
    /// It may be given more.
    pub(crate) may_take: bool,
    /// It may be the preferred leader of a shard.
    pub(crate) may_lead: bool,
}

type Nodes = BTreeMap<NodeId, Candidate>;

/// Where the shards ought to be.
pub(crate) fn plan(nodes: &Nodes, current: &[Placement], replication_factor: u16) -> Vec<Placement> {
    let mut planned = current.to_vec();
    for placement in &mut planned {
        // A node that is gone for good keeps nothing; one that is lost, until there is another for it.
        placement.replicas.retain(|node| nodes.contains_key(node));
    }
    let wanted = usize::from(replication_factor);
    for shard in 0..planned.len() {
        fill(nodes, &mut planned, shard, wanted);
    }
    spread_zones(nodes, &mut planned);
    balance(nodes, &mut planned);
    prefer(nodes, &mut planned);
    planned
}

/// Who votes in the meta group: those who do while they may, up to the most there may be.
pub(crate) fn meta_voters(nodes: &Nodes, present: &BTreeSet<NodeId>) -> BTreeSet<NodeId> {
    let may = |node: &&NodeId| nodes.get(node).is_some_and(|candidate| candidate.may_hold);
    let mut voters: BTreeSet<NodeId> = present.iter().filter(may).copied().take(META_VOTERS_MAX).collect();
    while voters.len() < META_VOTERS_MAX {
        let free = nodes.iter().filter(|(node, candidate)| candidate.may_take && !voters.contains(node));
        let zones: Vec<Zone> = voters.iter().map(|voter| zone_of(nodes, *voter)).collect();
        let next = free.min_by_key(|(node, _)| (count(&zones, &zone_of(nodes, **node)), **node));
        match next {
            Some((node, _)) => voters.insert(*node),
            None => break,
        };
    }
    voters
}

/// One difference between two placements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// The shard.
    pub shard: ShardId,
    /// Whether a replica moves, or only the leadership.
    pub kind: MoveKind,
    /// Where it is; none for a replica that is added.
    pub from: Option<NodeId>,
    /// Where it is to be; none for a replica that is given up.
    pub to: Option<NodeId>,
}

/// What moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoveKind {
    /// A replica.
    Replica,
    /// The leadership.
    Leader,
}

/// What differs between two placements of all shards: replicas first, then leaders.
pub(crate) fn moves(from: &[Placement], to: &[Placement]) -> Vec<Move> {
    let shards = || from.iter().zip(to).zip(0_u16..).map(|((from, to), shard)| (ShardId(shard), from, to));
    let replicas = shards().flat_map(|(shard, from, to)| {
        let mut gone = from.replicas.iter().filter(|node| !to.replicas.contains(node));
        let mut new = to.replicas.iter().filter(|node| !from.replicas.contains(node));
        std::iter::from_fn(move || match (gone.next().copied(), new.next().copied()) {
            (None, None) => None,
            (from, to) => Some(Move { shard, kind: MoveKind::Replica, from, to }),
        })
    });
    let leaders = shards().filter(|(_, from, to)| from.preferred_leader != to.preferred_leader).map(
        |(shard, from, to)| Move {
            shard,
            kind: MoveKind::Leader,
            from: from.preferred_leader,
            to: to.preferred_leader,
        },
    );
    replicas.chain(leaders).collect()
}

/// A zone, or a node without one, which is a zone of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Zone {
    Named(String),
    Own(NodeId),
}

fn zone_of(nodes: &Nodes, node: NodeId) -> Zone {
    let named = nodes.get(&node).and_then(|candidate| candidate.zone.clone());
    named.map_or(Zone::Own(node), Zone::Named)
}

fn count<T: PartialEq>(all: &[T], one: &T) -> usize {
    all.iter().filter(|other| *other == one).count()
}

fn holds(placements: &[Placement], node: NodeId) -> usize {
    placements.iter().filter(|placement| placement.replicas.contains(&node)).count()
}

/// Gives a shard what replicas it lacks, and takes away what it has too many, the lost ones first.
fn fill(nodes: &Nodes, planned: &mut [Placement], shard: usize, wanted: usize) {
    let Some(present) = planned.get(shard).map(|placement| placement.replicas.clone()) else { return };
    let may_hold = |node: &NodeId| nodes.get(node).is_some_and(|candidate| candidate.may_hold);
    let (mut kept, lost): (Vec<NodeId>, Vec<NodeId>) = present.into_iter().partition(may_hold);
    while kept.len() < wanted {
        let zones: Vec<Zone> = kept.iter().map(|node| zone_of(nodes, *node)).collect();
        let free = nodes.iter().filter(|(node, candidate)| candidate.may_take && !kept.contains(node));
        let next = free
            .min_by_key(|(node, _)| (count(&zones, &zone_of(nodes, **node)), holds(planned, **node), **node));
        match next {
            Some((node, _)) => kept.push(*node),
            None => break,
        }
    }
    let room = wanted.saturating_sub(kept.len());
    kept.extend(lost.into_iter().take(room));
    while kept.len() > wanted {
        let zones: Vec<Zone> = kept.iter().map(|node| zone_of(nodes, *node)).collect();
        let most = kept
            .iter()
            .max_by_key(|node| (count(&zones, &zone_of(nodes, **node)), holds(planned, **node), **node));
        let Some(most) = most.copied() else { break };
        kept.retain(|node| *node != most);
    }
    if let Some(placement) = planned.get_mut(shard) {
        placement.replicas = kept;
    }
}

/// Moves replicas that share a zone to zones that the shard is not in, as long as there are such.
fn spread_zones(nodes: &Nodes, planned: &mut [Placement]) {
    for shard in 0..planned.len() {
        loop {
            let Some(replicas) = planned.get(shard).map(|placement| placement.replicas.clone()) else {
                break;
            };
            let zones: Vec<Zone> = replicas.iter().map(|node| zone_of(nodes, *node)).collect();
            let crowded = replicas.iter().filter(|node| count(&zones, &zone_of(nodes, **node)) > 1);
            let Some(from) = crowded.max_by_key(|node| (holds(planned, **node), **node)).copied() else {
                break;
            };
            let free = nodes
                .iter()
                .filter(|(node, candidate)| candidate.may_take && !zones.contains(&zone_of(nodes, **node)));
            let Some(to) = free.min_by_key(|(node, _)| (holds(planned, **node), **node)).map(|(to, _)| *to)
            else {
                break;
            };
            replace(planned, shard, from, to);
        }
    }
}

fn replace(planned: &mut [Placement], shard: usize, from: NodeId, to: NodeId) {
    if let Some(placement) = planned.get_mut(shard) {
        placement.replicas.iter_mut().filter(|node| **node == from).for_each(|node| *node = to);
    }
}

/// Moves replicas from the fullest nodes to the emptiest, until they differ by one at most, where no shard is in
/// fewer zones for it.
fn balance(nodes: &Nodes, planned: &mut [Placement]) {
    let takers: Vec<NodeId> = nodes.iter().filter(|(_, node)| node.may_take).map(|(node, _)| *node).collect();
    loop {
        let mut loads: Vec<(usize, NodeId)> =
            takers.iter().map(|node| (holds(planned, *node), *node)).collect();
        loads.sort_unstable();
        let moved = loads.iter().rev().find_map(|(high, from)| {
            let lower = loads.iter().take_while(|(low, _)| low + 1 < *high);
            lower.map(|(_, to)| *to).find_map(|to| {
                let shard = planned.iter().position(|placement| may_move(nodes, placement, *from, to))?;
                Some((shard, *from, to))
            })
        });
        match moved {
            Some((shard, from, to)) => replace(planned, shard, from, to),
            None => return,
        }
    }
}

fn may_move(nodes: &Nodes, placement: &Placement, from: NodeId, to: NodeId) -> bool {
    if !placement.replicas.contains(&from) || placement.replicas.contains(&to) {
        return false;
    }
    let others = placement.replicas.iter().filter(|node| **node != from);
    let zones: Vec<Zone> = others.map(|node| zone_of(nodes, *node)).collect();
    count(&zones, &zone_of(nodes, to)) <= count(&zones, &zone_of(nodes, from))
}

/// Gives each shard a preferred leader among its replicas, evenly.
fn prefer(nodes: &Nodes, planned: &mut [Placement]) {
    let may_lead = |node: &NodeId| nodes.get(node).is_some_and(|candidate| candidate.may_lead);
    let mut leads: BTreeMap<NodeId, usize> = BTreeMap::new();
    for placement in planned.iter_mut() {
        let replicas = &placement.replicas;
        placement.preferred_leader =
            placement.preferred_leader.filter(|leader| replicas.contains(leader) && may_lead(leader));
        if let Some(leader) = placement.preferred_leader {
            *leads.entry(leader).or_default() += 1;
        }
    }
    let least = |leads: &BTreeMap<NodeId, usize>, placement: &Placement| {
        let able = placement.replicas.iter().copied().filter(may_lead);
        able.min_by_key(|node| (leads.get(node).copied().unwrap_or_default(), *node))
    };
    for placement in planned.iter_mut().filter(|placement| placement.preferred_leader.is_none()) {
        placement.preferred_leader = least(&leads, placement);
        if let Some(leader) = placement.preferred_leader {
            *leads.entry(leader).or_default() += 1;
        }
    }
    loop {
        let led = |node: &NodeId| leads.get(node).copied().unwrap_or_default();
        let better = planned.iter_mut().find_map(|placement| {
            let (now, next) = (placement.preferred_leader?, least(&leads, placement)?);
            (led(&next) + 1 < led(&now)).then_some((placement, now, next))
        });
        let Some((placement, now, next)) = better else { return };
        placement.preferred_leader = Some(next);
        leads.entry(now).and_modify(|count| *count -= 1);
        *leads.entry(next).or_default() += 1;
    }
}
