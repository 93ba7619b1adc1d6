//! Tables of what a plan is to look like, and random walks over clusters that grow, shrink, drain and lose nodes.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{Candidate, META_VOTERS_MAX, Move, MoveKind, Nodes, meta_voters, moves, plan};
use crate::layout::{NodeId, ShardId};
use crate::map::Placement;

const UP: (bool, bool, bool) = (true, true, true);
const DRAINING: (bool, bool, bool) = (true, false, false);
const LOST: (bool, bool, bool) = (false, false, false);

fn candidate(zone: &str, (may_hold, may_take, may_lead): (bool, bool, bool)) -> Candidate {
    let zone = (!zone.is_empty()).then(|| zone.to_owned());
    Candidate { zone, may_hold, may_take, may_lead }
}

/// Nodes from 1 on, of these zones; an empty name is none.
fn up(zones: &[&str]) -> Nodes {
    (1..).map(NodeId).zip(zones.iter().map(|zone| candidate(zone, UP))).collect()
}

fn founded(shards: usize) -> Vec<Placement> {
    vec![Placement { replicas: vec![NodeId(1)], preferred_leader: Some(NodeId(1)) }; shards]
}

/// The plan, checked for what holds of every plan.
fn planned(nodes: &Nodes, current: &[Placement], replication_factor: u16) -> Vec<Placement> {
    let planned = plan(nodes, current, replication_factor);
    assert_eq!(plan(nodes, &planned, replication_factor), planned, "a plan of its own result is the same");
    assert_eq!(planned.len(), current.len());
    for (before, after) in current.iter().zip(&planned) {
        check_shard(nodes, before, after, usize::from(replication_factor));
    }
    check_balance(nodes, &planned);
    planned
}

fn check_shard(nodes: &Nodes, before: &Placement, after: &Placement, wanted: usize) {
    let holders = &after.replicas;
    let distinct: BTreeSet<_> = holders.iter().collect();
    assert_eq!(distinct.len(), holders.len(), "a node holds a shard once: {after:?}");
    let present: Vec<&NodeId> = before.replicas.iter().filter(|node| nodes.contains_key(node)).collect();
    let takers = nodes.iter().filter(|(node, taker)| taker.may_take && !present.contains(node)).count();
    let possible = wanted.min(present.len() + takers);
    if possible == 0 {
        assert_eq!(before.replicas, after.replicas, "an empty wish helps nobody");
        return;
    }
    assert!(
        holders.iter().all(|node| nodes.contains_key(node)),
        "nothing stays on a node that goes: {after:?}"
    );
    assert_eq!(holders.len(), possible, "from {before:?} to {after:?}");
    let is_new = |node: &&NodeId| !before.replicas.contains(node);
    assert!(holders.iter().filter(is_new).all(|node| nodes[node].may_take));
    let free = || nodes.iter().filter(|(node, taker)| taker.may_take && !holders.contains(node));
    let in_zone = |node: NodeId| {
        let same = |other: &&NodeId| {
            **other == node || nodes[other].zone.is_some() && nodes[other].zone == nodes[&node].zone
        };
        holders.iter().filter(same).count()
    };
    for (node, _) in free() {
        let most = holders.iter().map(|holder| in_zone(*holder)).max().unwrap_or_default();
        assert!(most < in_zone(*node) + 2, "node {node:?} would spread {after:?} better");
    }
    assert!(
        free().next().is_none() || holders.iter().all(|node| nodes[node].may_hold),
        "a lost one is replaced"
    );
    match after.preferred_leader {
        Some(leader) => assert!(holders.contains(&leader) && nodes[&leader].may_lead),
        None => assert!(!holders.iter().any(|node| nodes[node].may_lead)),
    }
}

fn counts<'a>(
    nodes: impl Iterator<Item = &'a NodeId>,
    all: impl Iterator<Item = NodeId>,
) -> BTreeMap<NodeId, usize> {
    let mut counts: BTreeMap<NodeId, usize> = nodes.map(|node| (*node, 0)).collect();
    for node in all {
        *counts.entry(node).or_default() += 1;
    }
    counts
}

fn replicas(nodes: &Nodes, placements: &[Placement]) -> BTreeMap<NodeId, usize> {
    counts(nodes.keys(), placements.iter().flat_map(|placement| placement.replicas.clone()))
}

fn leaders(nodes: &Nodes, placements: &[Placement]) -> BTreeMap<NodeId, usize> {
    counts(nodes.keys(), placements.iter().filter_map(|placement| placement.preferred_leader))
}

/// Nodes of a zone hold equally much, and so do all where there are no zones. Whatever shard could be led by a
/// node that leads less, it would be.
fn check_balance(nodes: &Nodes, planned: &[Placement]) {
    let (held, led) = (replicas(nodes, planned), leaders(nodes, planned));
    let has_zones = nodes.values().any(|node| node.zone.is_some());
    let takers = || nodes.iter().filter(|(_, node)| node.may_take);
    for ((one, candidate), (other, other_candidate)) in
        takers().flat_map(|one| takers().map(move |other| (one, other)))
    {
        if !has_zones || candidate.zone.is_some() && candidate.zone == other_candidate.zone {
            assert!(held[one].abs_diff(held[other]) <= 1, "{one:?} and {other:?} hold {held:?}");
        }
    }
    for placement in planned {
        let Some(leader) = placement.preferred_leader else { continue };
        let able = placement.replicas.iter().filter(|node| nodes.get(node).is_some_and(|node| node.may_lead));
        able.for_each(|other| assert!(led[&leader] < led[other] + 2, "leaders {led:?}, {placement:?}"));
    }
}

fn counted(counts: &BTreeMap<NodeId, usize>) -> Vec<usize> {
    counts.values().copied().collect()
}

fn moved_replicas(from: &[Placement], to: &[Placement]) -> Vec<Move> {
    moves(from, to).into_iter().filter(|moved| moved.kind == MoveKind::Replica).collect()
}

#[test]
fn a_cluster_grows_from_one_to_four() {
    let three = up(&["", "", ""]);
    let grown = planned(&three, &founded(12), 3);
    assert_eq!(counted(&replicas(&three, &grown)), [12, 12, 12]);
    assert_eq!(counted(&leaders(&three, &grown)), [4, 4, 4]);

    let four = up(&["", "", "", ""]);
    let joined = planned(&four, &grown, 3);
    assert_eq!(counted(&replicas(&four, &joined)), [9, 9, 9, 9]);
    assert_eq!(counted(&leaders(&four, &joined)), [3, 3, 3, 3]);
    let moved = moved_replicas(&grown, &joined);
    assert_eq!(moved.len(), 9);
    assert!(moved.iter().all(|moved| moved.to == Some(NodeId(4))));
    let led = moves(&grown, &joined).len() - moved.len();
    assert_eq!(led, 3, "only the newcomer gets leaders");
}

#[test]
fn two_nodes_hold_what_two_can() {
    let two = up(&["", ""]);
    let grown = planned(&two, &founded(4), 3);
    assert_eq!(counted(&replicas(&two, &grown)), [4, 4]);
    assert_eq!(counted(&leaders(&two, &grown)), [2, 2]);
}

#[test]
fn a_lost_node_keeps_its_replicas_until_there_is_another_for_them() {
    let mut nodes = up(&["", "", ""]);
    let before = planned(&nodes, &founded(12), 3);
    nodes.insert(NodeId(2), candidate("", LOST));
    let lost = planned(&nodes, &before, 3);
    assert_eq!(moved_replicas(&before, &lost), []);
    assert_eq!(counted(&leaders(&nodes, &lost)), [6, 0, 6]);

    nodes.insert(NodeId(4), candidate("", UP));
    let replaced = planned(&nodes, &lost, 3);
    let moved = moved_replicas(&lost, &replaced);
    assert_eq!(moved.len(), 12);
    assert!(moved.iter().all(|moved| (moved.from, moved.to) == (Some(NodeId(2)), Some(NodeId(4)))));
}

#[test]
fn a_node_that_leaves_gives_up_all_even_where_nobody_can_take_it() {
    let mut nodes = up(&["", "", ""]);
    let before = planned(&nodes, &founded(12), 3);
    nodes.remove(&NodeId(1));
    let after = planned(&nodes, &before, 3);
    assert_eq!(counted(&replicas(&nodes, &after)), [12, 12]);
    assert!(
        moved_replicas(&before, &after).iter().all(|moved| (moved.from, moved.to) == (Some(NodeId(1)), None))
    );
    let emptied = planned(&Nodes::new(), &after, 3);
    assert_eq!(moved_replicas(&after, &emptied), [], "but the last holders stay what they are");
}

#[test]
fn a_node_that_leaves_moves_only_its_own() {
    let mut nodes = up(&["a", "b", "c", "a", "b", "c"]);
    let before = planned(&nodes, &founded(64), 3);
    nodes.remove(&NodeId(5));
    let after = planned(&nodes, &before, 3);
    let moved = moved_replicas(&before, &after);
    assert_eq!(moved.len(), 32);
    assert!(moved.iter().all(|moved| moved.from == Some(NodeId(5))));
}

#[test]
fn a_draining_node_leads_nothing_and_keeps_its_replicas() {
    let mut nodes = up(&["", "", "", ""]);
    let before = planned(&nodes, &founded(12), 3);
    nodes.insert(NodeId(3), candidate("", DRAINING));
    let drained = planned(&nodes, &before, 3);
    assert_eq!(moved_replicas(&before, &drained), []);
    assert_eq!(counted(&leaders(&nodes, &drained)), [4, 4, 0, 4]);
}

#[test]
fn a_smaller_factor_takes_replicas_from_the_crowded_zone() {
    let nodes = up(&["a", "a", "b", "b"]);
    let before = planned(&nodes, &founded(4), 4);
    let after = planned(&nodes, &before, 2);
    assert_eq!(counted(&replicas(&nodes, &after)), [2, 2, 2, 2]);
}

#[test]
fn zones_come_before_balance() {
    // Each shard has one replica in each zone, so the only node of a zone holds them all.
    let nodes = up(&["a", "b", "b", "c", "c"]);
    let placed = planned(&nodes, &founded(12), 3);
    assert_eq!(counted(&replicas(&nodes, &placed)), [12, 6, 6, 6, 6]);
    assert_eq!(counted(&leaders(&nodes, &placed)), [3, 3, 2, 2, 2]);
    // A zone that comes later gets its part.
    let one_zone = up(&["a", "a", "a"]);
    let crowded = planned(&one_zone, &founded(12), 3);
    let spread = planned(&up(&["a", "a", "a", "b", "c"]), &crowded, 3);
    assert_eq!(counted(&replicas(&up(&["a", "a", "a", "b", "c"]), &spread)), [4, 4, 4, 12, 12]);
}

#[test]
fn what_may_not_move_at_once_moves_in_a_chain() {
    // Node 1 leads two and node 3 none, but holds neither: node 2 takes one and gives its own.
    let led = |held: [u64; 2], leader| Placement {
        replicas: held.map(NodeId).to_vec(),
        preferred_leader: Some(NodeId(leader)),
    };
    let before = [led([1, 2], 1), led([1, 2], 1), led([2, 3], 2)];
    let after = super::prefer(
        &up(&["", "", ""]),
        &before.clone().map(|placement| placement.replicas),
        before.iter().map(|placement| placement.preferred_leader).collect(),
    );
    assert_eq!(after, [2, 1, 3].map(|leader| Some(NodeId(leader))));
}

#[test]
fn differences_are_told_replica_by_replica() {
    let placement = |replicas: &[u64], leader: u64| Placement {
        replicas: replicas.iter().copied().map(NodeId).collect(),
        preferred_leader: Some(NodeId(leader)),
    };
    let from = [placement(&[1], 1), placement(&[1, 2, 3], 1), placement(&[1, 2], 2)];
    let to = [placement(&[1, 2], 1), placement(&[3, 4, 2], 4), placement(&[2], 2)];
    let moved = |shard, kind, from: Option<u64>, to: Option<u64>| Move {
        shard: ShardId(shard),
        kind,
        from: from.map(NodeId),
        to: to.map(NodeId),
    };
    let expected = [
        moved(0, MoveKind::Replica, None, Some(2)),
        moved(1, MoveKind::Replica, Some(1), Some(4)),
        moved(2, MoveKind::Replica, Some(1), None),
        moved(1, MoveKind::Leader, Some(1), Some(4)),
    ];
    assert_eq!(moves(&from, &to), expected);
    assert_eq!(moves(&from, &from), []);
}

#[test]
fn the_meta_group_has_five_voters_at_most_over_the_zones() {
    let ids = |ids: &[u64]| ids.iter().copied().map(NodeId).collect::<BTreeSet<_>>();
    let check = |nodes: &Nodes, present: &[u64], expected: &[u64]| {
        let voters = meta_voters(nodes, &ids(present));
        assert_eq!(voters, ids(expected));
        assert_eq!(meta_voters(nodes, &voters), voters, "they stay");
    };
    check(&up(&[""]), &[1], &[1]);
    check(&up(&["", "", ""]), &[1], &[1, 2, 3]);
    check(&up(&["", "", "", "", "", "", ""]), &[1, 3, 7], &[1, 2, 3, 4, 7]);
    check(&up(&["a", "a", "a", "a", "a", "b", "c"]), &[1, 2, 3, 4, 5], &[1, 2, 3, 6, 7]);
    let mut nodes = up(&["", "", ""]);
    nodes.insert(NodeId(3), candidate("", LOST));
    check(&nodes, &[1, 2, 3], &[1, 2, 3]);
    nodes.insert(NodeId(4), candidate("", UP));
    check(&nodes, &[1, 2, 3], &[1, 2, 4]);
    nodes.insert(NodeId(5), candidate("", DRAINING));
    check(&nodes, &[1, 2, 4], &[1, 2, 4]);
    check(&nodes, &[1, 2, 5], &[1, 2, 4, 5]);
    nodes.remove(&NodeId(1));
    check(&nodes, &[1, 2, 4], &[2, 4]);
    check(&Nodes::new(), &[1, 2], &[1, 2]);
}

#[test]
fn a_large_cluster_is_planned_at_once() {
    let zones: Vec<&str> = ["a", "b", "c", "d"].into_iter().cycle().take(100).collect();
    let placed = plan(&up(&zones), &founded(1_024), 3);
    check_balance(&up(&zones), &placed);
    assert!(counted(&replicas(&up(&zones), &placed)).iter().all(|held| (30..=31).contains(held)));
    assert!(counted(&leaders(&up(&zones), &placed)).iter().all(|led| (10..=11).contains(led)));
}

/// What happens to a cluster.
#[derive(Debug, Clone)]
enum Event {
    Join(&'static str),
    Leave(usize),
    Becomes(usize, (bool, bool, bool)),
}

fn event(zones: &'static [&'static str]) -> impl Strategy<Value = Event> {
    let state = prop::sample::select(vec![UP, DRAINING, LOST]);
    prop_oneof![
        3 => prop::sample::select(zones).prop_map(Event::Join),
        1 => any::<usize>().prop_map(Event::Leave),
        3 => (any::<usize>(), state).prop_map(|(node, state)| Event::Becomes(node, state)),
    ]
}

fn happen(nodes: &mut Nodes, next: &mut u64, event: &Event) {
    let nth = |nodes: &Nodes, n: usize| nodes.keys().nth(n % nodes.len()).copied();
    match event {
        Event::Join(zone) if nodes.len() < 10 => {
            nodes.insert(NodeId(*next), candidate(zone, UP));
            *next += 1;
        }
        Event::Leave(node) if nodes.len() > 1 => {
            let gone = nth(nodes, *node).expect("there are nodes");
            nodes.remove(&gone);
        }
        Event::Becomes(node, state) => {
            let id = nth(nodes, *node).expect("there are nodes");
            let zone = nodes[&id].zone.clone().unwrap_or_default();
            nodes.insert(id, candidate(&zone, *state));
        }
        Event::Join(_) | Event::Leave(_) => {}
    }
}

fn walk(shards: usize, factor: u16, events: &[Event]) -> (Nodes, Vec<Placement>, u64) {
    let (mut nodes, mut placements, mut next) = (up(&[""]), founded(shards), 2);
    for event in events {
        happen(&mut nodes, &mut next, event);
        placements = planned(&nodes, &placements, factor);
        let present: BTreeSet<NodeId> =
            placements.iter().flat_map(|placement| placement.replicas.clone()).collect();
        let voters = meta_voters(&nodes, &present.into_iter().take(META_VOTERS_MAX).collect());
        assert_eq!(meta_voters(&nodes, &voters), voters);
    }
    (nodes, placements, next)
}

proptest! {
    #[test]
    fn every_plan_of_a_random_walk_keeps_the_rules(
        shards in 1..20_usize,
        factor in 1..6_u16,
        events in prop::collection::vec(event(&["", "a", "b", "c"]), 1..16),
    ) {
        walk(shards, factor, &events);
    }

    #[test]
    fn without_zones_only_what_has_to_moves(
        shards in 1..20_usize,
        factor in 1..4_u16,
        events in prop::collection::vec(event(&[""]), 1..12),
    ) {
        let (mut nodes, placements, next) = walk(shards, factor, &events);
        for node in nodes.values_mut() {
            *node = candidate("", UP);
        }
        let before = planned(&nodes, &placements, factor);
        let total: usize = replicas(&nodes, &before).values().sum();

        let mut joined = nodes.clone();
        joined.insert(NodeId(next), candidate("", UP));
        let after = planned(&joined, &before, factor);
        let moved = moved_replicas(&before, &after);
        prop_assert!(moved.iter().all(|moved| moved.to == Some(NodeId(next))));
        if nodes.len() >= usize::from(factor) {
            prop_assert_eq!(moved.len(), total / joined.len());
        }

        let gone = *nodes.keys().next().expect("there are nodes");
        nodes.remove(&gone);
        let after = planned(&nodes, &before, factor);
        let moved = moved_replicas(&before, &after);
        let own = before.iter().filter(|placement| placement.replicas.contains(&gone)).count();
        // One more may have to where all that the node leaves behind is with the same others already.
        prop_assert!(nodes.is_empty() || moved.len() <= own + nodes.len(), "{} moves of {own}", moved.len());
    }

    #[test]
    fn a_shard_never_has_fewer_holders_for_a_plan_unless_one_leaves(
        shards in 1..20_usize,
        events in prop::collection::vec(event(&["", "a", "b"]), 1..16),
        n in any::<usize>(),
        state in prop::sample::select(vec![UP, DRAINING, LOST]),
    ) {
        let (mut nodes, placements, mut next) = walk(shards, 3, &events);
        happen(&mut nodes, &mut next, &Event::Becomes(n, state));
        for (before, after) in placements.iter().zip(planned(&nodes, &placements, 3)) {
            prop_assert!(after.replicas.len() >= before.replicas.len());
        }
    }
}
