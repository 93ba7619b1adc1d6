//! Tables of single decisions, and a model of a group whose leaders carry the decisions out while nodes die, come
//! back, fall behind and catch up.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{CAUGHT_UP_ENTRIES, Fact, Step, Wish, next_step};
use crate::layout::NodeId;

fn set(ids: &[u64]) -> BTreeSet<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

/// A group led by node 1, in which all are alive and caught up.
fn healthy(voters: &[u64], learners: &[u64]) -> Fact {
    let all = set(&[voters, learners].concat());
    Fact {
        own: NodeId(1),
        configs: vec![set(voters)],
        learners: set(learners),
        lag: all.iter().map(|node| (*node, 0)).collect(),
        alive: (1..10).map(NodeId).collect(),
        is_change_in_flight: false,
    }
}

fn voters(voters: &[u64]) -> Wish {
    Wish { voters: set(voters), ..Wish::default() }
}

fn dead(mut fact: Fact, node: u64) -> Fact {
    fact.alive.remove(&NodeId(node));
    fact
}

fn behind(mut fact: Fact, node: u64, lag: u64) -> Fact {
    fact.lag.insert(NodeId(node), lag);
    fact
}

fn check(fact: &Fact, wish: &Wish, expected: Step) {
    assert_eq!(next_step(fact, wish), expected, "from {fact:?} to {wish:?}");
}

const NOT_CAUGHT_UP: Step = Step::Wait("a new replica has not caught up yet");
const TOO_FEW: Step = Step::Wait("too few of the wished replicas are alive and have caught up");

#[test]
fn one_grows_to_three_at_once() {
    let wish = voters(&[1, 2, 3]);
    check(&healthy(&[1], &[]), &wish, Step::AddLearner(NodeId(2)));
    check(&healthy(&[1], &[2]), &wish, Step::AddLearner(NodeId(3)));
    check(&dead(healthy(&[1], &[2]), 3), &wish, NOT_CAUGHT_UP);
    check(&behind(healthy(&[1], &[2, 3]), 3, CAUGHT_UP_ENTRIES + 1), &wish, NOT_CAUGHT_UP);
    check(&behind(healthy(&[1], &[2, 3]), 3, CAUGHT_UP_ENTRIES), &wish, Step::ChangeVoters(set(&[1, 2, 3])));
    check(&healthy(&[1, 2, 3], &[]), &wish, Step::Nothing);
}

#[test]
fn a_dead_voter_is_replaced_by_one_that_has_caught_up() {
    let group = dead(healthy(&[1, 2, 3], &[4]), 3);
    check(&group, &voters(&[1, 2, 4]), Step::ChangeVoters(set(&[1, 2, 4])));
    // Of two, none may be dead or behind.
    let group = healthy(&[1, 2, 3], &[]);
    check(&dead(group.clone(), 2), &voters(&[1, 2]), TOO_FEW);
    check(&behind(group, 2, CAUGHT_UP_ENTRIES + 1), &voters(&[1, 2]), TOO_FEW);
}

#[test]
fn a_leader_that_goes_hands_over_first() {
    let to = |leader: Option<u64>| Wish { leader: leader.map(NodeId), ..voters(&[2, 3, 4]) };
    let group = healthy(&[1, 2, 3], &[4]);
    check(&group, &to(Some(3)), Step::TransferTo(NodeId(3)));
    check(&group, &to(Some(4)), Step::TransferTo(NodeId(2)));
    check(&behind(group.clone(), 2, 5), &to(None), Step::TransferTo(NodeId(3)));
    check(&dead(group.clone(), 3), &to(Some(3)), Step::TransferTo(NodeId(2)));
    // Nobody of the wished votes yet, so they vote beside the leader first.
    let alone = healthy(&[1], &[2, 3, 4]);
    check(&alone, &to(None), Step::ChangeVoters(set(&[1, 2, 3, 4])));
    check(&healthy(&[1, 2, 3, 4], &[]), &to(None), Step::TransferTo(NodeId(2)));
}

#[test]
fn the_preferred_leader_leads_when_it_can() {
    let wish = Wish { leader: Some(NodeId(2)), ..voters(&[1, 2, 3]) };
    let group = healthy(&[1, 2, 3], &[]);
    check(&group, &wish, Step::TransferTo(NodeId(2)));
    check(&dead(group.clone(), 2), &wish, Step::Nothing);
    check(&behind(group.clone(), 2, CAUGHT_UP_ENTRIES + 1), &wish, Step::Nothing);
    check(&group, &Wish { leader: Some(NodeId(1)), ..wish }, Step::Nothing);
}

#[test]
fn a_change_is_ended_before_another() {
    let mut group = healthy(&[1, 2, 3], &[4]);
    group.configs.push(set(&[1, 2, 4]));
    check(&group, &voters(&[1, 2, 3]), Step::ChangeVoters(set(&[1, 2, 4])));
    group.is_change_in_flight = true;
    check(&group, &voters(&[1, 2, 3]), Step::Wait("a change of the members is being committed"));
    // A leader that this change takes the vote hands over, if there is somebody.
    let mut group = healthy(&[1, 2, 3], &[4]);
    group.configs.push(set(&[2, 3, 4]));
    check(&group, &voters(&[1, 2, 3]), Step::TransferTo(NodeId(2)));
    let alone = dead(dead(dead(group, 2), 3), 4);
    check(&alone, &voters(&[1, 2, 3]), Step::ChangeVoters(set(&[2, 3, 4])));
}

#[test]
fn a_change_to_voters_that_died_goes_back() {
    let mut group = healthy(&[1, 2, 3], &[4, 5]);
    group.configs.push(set(&[1, 4, 5]));
    let group = dead(dead(group, 4), 5);
    check(&group, &voters(&[1, 4, 5]), Step::ChangeVoters(set(&[1, 2, 3])));
    // Without a majority of the old ones either, it waits for whoever comes back.
    let lost = dead(dead(group, 2), 3);
    check(&lost, &voters(&[1, 4, 5]), Step::ChangeVoters(set(&[1, 4, 5])));
}

#[test]
fn a_draining_leader_hands_over_to_whoever_can() {
    let wish = Wish { leader: Some(NodeId(2)), draining: set(&[1]), ..voters(&[1, 2, 3]) };
    let group = healthy(&[1, 2, 3], &[]);
    check(&group, &wish, Step::TransferTo(NodeId(2)));
    check(&dead(group.clone(), 2), &wish, Step::TransferTo(NodeId(3)));
    check(&dead(dead(group.clone(), 2), 3), &wish, Step::Nothing);
    let both = Wish { leader: None, draining: set(&[1, 2]), ..voters(&[1, 2, 3]) };
    check(&behind(group.clone(), 3, 10), &both, Step::TransferTo(NodeId(3)));
    // A change that has to wait does not keep it.
    let moved = Wish { leader: None, draining: set(&[1]), ..voters(&[1, 2, 4]) };
    check(&behind(healthy(&[1, 2, 3], &[4]), 4, 2_000), &moved, Step::TransferTo(NodeId(2)));
}

#[test]
fn learners_are_what_is_wished() {
    let wish = Wish { learners: set(&[4, 5]), ..voters(&[1, 2, 3]) };
    check(&healthy(&[1, 2, 3], &[5, 6]), &wish, Step::AddLearner(NodeId(4)));
    check(&healthy(&[1, 2, 3], &[4, 5, 6]), &wish, Step::RemoveLearner(NodeId(6)));
    check(&healthy(&[1, 2, 3], &[4, 5]), &wish, Step::Nothing);
    check(&dead(healthy(&[1, 2, 3], &[4]), 5), &wish, Step::Wait("a wished replica is not alive"));
    // A voter becomes a learner by way of nothing.
    check(&healthy(&[1, 2, 3, 4], &[5]), &wish, Step::ChangeVoters(set(&[1, 2, 3])));
    check(&healthy(&[1, 2, 3], &[5]), &wish, Step::AddLearner(NodeId(4)));
    // What waits does not keep an unwished one.
    check(&dead(healthy(&[1, 2], &[4, 5, 6]), 3), &wish, Step::RemoveLearner(NodeId(6)));
    check(&healthy(&[1], &[]), &Wish::default(), Step::Wait("the map does not place the group yet"));
    check(&Fact::default(), &wish, Step::Wait("the group has no voters yet"));
}

const NODES: u64 = 6;
/// Looks within which a group in which all are alive is what it is wished to be.
const CONVERGES_WITHIN: usize = 60;

/// A group, as its members and a leader make it. The leader's own decisions are what is tested.
#[derive(Debug)]
struct Group {
    configs: Vec<BTreeSet<NodeId>>,
    learners: BTreeSet<NodeId>,
    behind: BTreeMap<NodeId, u64>,
    dead: BTreeSet<NodeId>,
    leader: NodeId,
}

impl Group {
    fn founded() -> Self {
        Self {
            configs: vec![set(&[1])],
            learners: BTreeSet::new(),
            behind: BTreeMap::new(),
            dead: BTreeSet::new(),
            leader: NodeId(1),
        }
    }

    fn members(&self) -> BTreeSet<NodeId> {
        self.configs.iter().flatten().chain(&self.learners).copied().collect()
    }

    /// Whether each of the sets of voters has a majority that is alive.
    fn has_quorum(&self) -> bool {
        let alive = |voters: &BTreeSet<NodeId>| voters.difference(&self.dead).count() * 2 > voters.len();
        self.configs.iter().all(alive)
    }

    fn fact(&self) -> Fact {
        Fact {
            own: self.leader,
            configs: self.configs.clone(),
            learners: self.learners.clone(),
            lag: self.members().into_iter().map(|node| (node, self.lag(node))).collect(),
            alive: (1..=NODES).map(NodeId).filter(|node| !self.dead.contains(node)).collect(),
            is_change_in_flight: false,
        }
    }

    fn lag(&self, node: NodeId) -> u64 {
        self.behind.get(&node).copied().unwrap_or_default()
    }

    /// The living follow, and another leader is elected where the old one is dead: a voter that is behind nobody
    /// of a majority.
    fn live(&mut self) {
        let members = self.members();
        self.behind.retain(|node, _| members.contains(node));
        let dead = &self.dead;
        self.behind.iter_mut().filter(|(node, _)| !dead.contains(node)).for_each(|(_, lag)| *lag /= 2);
        if self.dead.contains(&self.leader)
            || !self.configs.iter().flatten().any(|voter| *voter == self.leader)
        {
            let living = self.configs.iter().flatten().copied().filter(|voter| !self.dead.contains(voter));
            if let Some(elected) =
                living.min_by_key(|voter| (self.lag(*voter), *voter)).filter(|_| self.has_quorum())
            {
                self.lead(elected);
            }
        }
    }

    fn lead(&mut self, leader: NodeId) {
        self.leader = leader;
        self.behind.remove(&leader);
    }

    /// One look of the leader, if the group has one; a change of voters may be cut short by its death.
    fn look(&mut self, wish: &Wish, is_cut_short: bool) {
        if !self.has_quorum() || self.dead.contains(&self.leader) {
            return;
        }
        match next_step(&self.fact(), wish) {
            Step::Nothing | Step::Wait(_) => {}
            Step::AddLearner(node) => {
                assert!(!self.members().contains(&node) && !self.dead.contains(&node));
                self.learners.insert(node);
                self.behind.insert(node, 100 * CAUGHT_UP_ENTRIES);
            }
            Step::RemoveLearner(node) => assert!(self.learners.remove(&node)),
            Step::TransferTo(node) => {
                assert!(
                    node != self.leader && !self.dead.contains(&node) && self.lag(node) <= CAUGHT_UP_ENTRIES
                );
                assert!(self.configs.iter().flatten().any(|voter| *voter == node));
                self.lead(node);
            }
            Step::ChangeVoters(voters) => self.change(voters, is_cut_short),
        }
    }

    fn change(&mut self, voters: BTreeSet<NodeId>, is_cut_short: bool) {
        assert!(voters.is_subset(&self.members()), "only who follows already can vote");
        if self.configs.len() == 1 {
            assert!(voters.contains(&self.leader), "the leader hands over before its vote is taken");
            self.learners.retain(|learner| !voters.contains(learner));
            self.configs.push(voters);
            assert!(self.has_quorum(), "the voters that were and those that come can both decide: {self:?}");
            if is_cut_short {
                self.dead.insert(self.leader);
                return;
            }
        } else {
            assert_eq!(self.configs.last(), Some(&voters), "there is no way back");
        }
        self.configs.remove(0);
    }
}

/// What happens between two looks.
#[derive(Debug, Clone)]
enum Event {
    Dies(u64),
    Returns(u64),
    FallsBehind(u64, u64),
    Wish(Wish),
    /// The leader dies in the middle of its next change, if that is one.
    CutShort,
    Look,
}

fn wish() -> impl Strategy<Value = Wish> {
    let nodes = (1..=NODES).collect::<Vec<_>>();
    (Just(nodes).prop_shuffle(), 1..=4_usize, 0..=2_usize, any::<bool>()).prop_map(
        |(nodes, voters, learners, has_leader)| {
            let mut nodes = nodes.into_iter().map(NodeId);
            let voters: BTreeSet<NodeId> = nodes.by_ref().take(voters).collect();
            Wish {
                leader: voters.last().copied().filter(|_| has_leader),
                learners: nodes.take(learners).collect(),
                draining: BTreeSet::new(),
                voters,
            }
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        1 => (1..=NODES).prop_map(Event::Dies),
        2 => (1..=NODES).prop_map(Event::Returns),
        1 => (1..=NODES, 0..10 * CAUGHT_UP_ENTRIES).prop_map(|(node, lag)| Event::FallsBehind(node, lag)),
        1 => wish().prop_map(Event::Wish),
        1 => Just(Event::CutShort),
        8 => Just(Event::Look),
    ]
}

proptest! {
    /// What `Group` asserts on the way holds in any event; in the end, with all alive, the wish becomes the fact.
    #[test]
    fn a_group_becomes_what_is_wished_whatever_happens_on_the_way(
        first in wish(),
        events in prop::collection::vec(event(), 0..80),
    ) {
        let (mut group, mut wish) = (Group::founded(), first);
        for event in events {
            match event {
                Event::Dies(node) => _ = group.dead.insert(NodeId(node)),
                Event::Returns(node) => _ = group.dead.remove(&NodeId(node)),
                Event::FallsBehind(node, lag) if NodeId(node) != group.leader => _ = group.behind.insert(NodeId(node), lag),
                Event::Wish(wished) => wish = wished,
                Event::CutShort => group.look(&wish, true),
                Event::Look => group.look(&wish, false),
                Event::FallsBehind(..) => {}
            }
            group.live();
        }
        // Who is in none of the sets may stay dead.
        let wanted: BTreeSet<NodeId> = group.members().union(&wish.voters).chain(&wish.learners).copied().collect();
        group.dead.retain(|node| !wanted.contains(node));
        for _ in 0..CONVERGES_WITHIN {
            group.live();
            group.look(&wish, false);
        }
        prop_assert_eq!(&group.configs, &vec![wish.voters.clone()]);
        prop_assert_eq!(&group.learners, &wish.learners);
        prop_assert!(wish.voters.contains(&group.leader));
        prop_assert!(wish.leader.is_none_or(|leader| leader == group.leader));
        prop_assert_eq!(next_step(&group.fact(), &wish), Step::Nothing);
    }

    #[test]
    fn a_group_becomes_what_is_wished_past_dead_members_that_are_not_wished(
        wish in wish(),
        voters in prop::sample::subsequence((1..=NODES).collect::<Vec<_>>(), 1..=5),
        learners in prop::sample::subsequence((1..=NODES).collect::<Vec<_>>(), 0..=3),
    ) {
        let mut group = Group::founded();
        group.configs = vec![set(&voters)];
        group.learners = set(&learners).difference(&set(&voters)).copied().collect();
        let wished: BTreeSet<NodeId> = wish.voters.union(&wish.learners).copied().collect();
        for unwished in group.members().difference(&wished) {
            group.dead.insert(*unwished);
            if !group.has_quorum() {
                group.dead.remove(unwished);
            }
        }
        for _ in 0..CONVERGES_WITHIN {
            group.live();
            group.look(&wish, false);
        }
        prop_assert_eq!(next_step(&group.fact(), &wish), Step::Nothing);
        prop_assert_eq!(&group.configs, &vec![wish.voters.clone()]);
    }
}
