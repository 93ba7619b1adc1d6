//! Where shards ought to be. Pure: from the nodes, what they may do, and where shards are wished now.
//!
//! Rules, the stronger first: as many replicas as are asked for and nodes allow; over as many zones as there are;
//! evenly over the nodes; with as few moves as that takes. Then the preferred leaders, evenly too. A plan made of
//! its own result is the same, and every tie goes to the lower number, so two keepers never undo one another.

mod even;
mod replicas;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::layout::{NodeId, ShardId};
use crate::map::Placement;
use crate::placement::even::{Leaders, even_out};
use crate::placement::replicas::Replicas;

/// Voters of the meta group at most: more make a change of the map slower and nothing safer.
const META_VOTERS_MAX: usize = 5;

/// What a node may be used for. A node that is to give up all it has is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) zone: Option<String>,
    /// It may keep the replicas it has. If not, it keeps them until there is another node for them.
    pub(crate) may_hold: bool,
    /// It may be given more.
    pub(crate) may_take: bool,
    /// It may be the preferred leader of a shard.
    pub(crate) may_lead: bool,
}

type Nodes = BTreeMap<NodeId, Candidate>;

/// Where the shards ought to be.
pub(crate) fn plan(nodes: &Nodes, current: &[Placement], replication_factor: u16) -> Vec<Placement> {
    let held = current.iter().map(|placement| placement.replicas.clone()).collect();
    let led: Vec<Option<NodeId>> = current.iter().map(|placement| placement.preferred_leader).collect();
    let replicas = place(nodes, held, &led, usize::from(replication_factor));
    let leaders = prefer(nodes, &replicas, led);
    let both = replicas.into_iter().zip(leaders);
    both.map(|(replicas, preferred_leader)| Placement { replicas, preferred_leader }).collect()
}

/// Who votes in the meta group: those who do while they may, up to the most there may be, over the zones there are.
pub(crate) fn meta_voters(nodes: &Nodes, present: &BTreeSet<NodeId>) -> BTreeSet<NodeId> {
    let may_vote = |(node, candidate): &(&NodeId, &Candidate)| {
        candidate.may_take || candidate.may_hold && present.contains(node)
    };
    // A lost voter that nobody replaces goes on to count: with it the group survives what it would without it, and
    // when it comes back it votes at once.
    let wanted = nodes.iter().filter(may_vote).count().max(present.len()).min(META_VOTERS_MAX);
    let placed = place(nodes, vec![present.iter().copied().collect()], &[None], wanted);
    placed.into_iter().flatten().collect()
}

/// The holders of each shard.
fn place(nodes: &Nodes, held: Vec<Vec<NodeId>>, led: &[Option<NodeId>], wanted: usize) -> Vec<Vec<NodeId>> {
    let shards = held.len();
    let mut replicas = Replicas::new(nodes, held, led);
    (0..shards).for_each(|shard| replicas.fill(shard, wanted));
    (0..shards).for_each(|shard| replicas.spread(shard));
    let takers: Vec<NodeId> = nodes.iter().filter(|(_, node)| node.may_take).map(|(node, _)| *node).collect();
    // What moves anyway is evened out first, so that the rest moves only where that does not do.
    even_out(&takers, &mut replicas);
    replicas.may_settled_move = true;
    even_out(&takers, &mut replicas);
    replicas.held
}

/// The preferred leader of each shard, one of its holders.
fn prefer(nodes: &Nodes, held: &[Vec<NodeId>], mut led: Vec<Option<NodeId>>) -> Vec<Option<NodeId>> {
    let able: Vec<NodeId> = nodes.iter().filter(|(_, node)| node.may_lead).map(|(node, _)| *node).collect();
    for (leader, holders) in led.iter_mut().zip(held) {
        *leader = leader.filter(|leader| holders.contains(leader) && able.contains(leader));
    }
    let mut leaders = Leaders::new(held, led);
    leaders.fill(&able);
    even_out(&able, &mut leaders);
    leaders.may_settled_move = true;
    even_out(&able, &mut leaders);
    leaders.led
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
