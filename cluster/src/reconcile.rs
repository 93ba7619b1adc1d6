//! What a group's leader does next to bring the group to what the map wishes. Pure: it knows what it is told.
//!
//! One step at a time, each safe to be the last: a leader may die after any of them, and the next one looks anew.

use std::collections::{BTreeMap, BTreeSet};

use crate::layout::NodeId;

/// Entries a replica may be behind to count as caught up: what is on its way anyway.
const CAUGHT_UP_ENTRIES: u64 = 1_000;

/// What the group is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fact {
    /// The node that asks: the leader.
    pub(crate) own: NodeId,
    /// The voters; two sets while they change.
    pub(crate) configs: Vec<BTreeSet<NodeId>>,
    /// Replicas that do not vote.
    pub(crate) learners: BTreeSet<NodeId>,
    /// Entries each follower is behind; unknown of one that is not there.
    pub(crate) lag: BTreeMap<NodeId, u64>,
    /// Nodes heard of lately, the leader among them.
    pub(crate) alive: BTreeSet<NodeId>,
    /// A change of the members is not yet committed.
    pub(crate) is_change_in_flight: bool,
}

/// What it ought to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) voters: BTreeSet<NodeId>,
    pub(crate) learners: BTreeSet<NodeId>,
    /// Who is to lead.
    pub(crate) leader: Option<NodeId>,
}

/// The next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is as it ought to be.
    Nothing,
    /// It is not, and nothing can be done now.
    Wait(&'static str),
    AddLearner(NodeId),
    /// From now on exactly these vote, by joint consensus.
    ChangeVoters(BTreeSet<NodeId>),
    RemoveLearner(NodeId),
    TransferTo(NodeId),
}

/// The next step from fact to wish.
pub(crate) fn next_step(fact: &Fact, wish: &Wish) -> Step {
    let Some(voters) = fact.configs.last() else { return Step::Wait("the group has no voters yet") };
    if fact.is_change_in_flight {
        return Step::Wait("a change of the members is being committed");
    }
    if fact.configs.len() > 1 {
        // A leader died in the middle of a change: it is brought to its end, whatever is wished now.
        return Step::ChangeVoters(voters.clone());
    }
    if wish.voters.is_empty() {
        return Step::Wait("the map does not place the group yet");
    }
    let missing = wish
        .voters
        .union(&wish.learners)
        .find(|node| !voters.contains(node) && !fact.learners.contains(node) && fact.alive.contains(node));
    if let Some(node) = missing {
        return Step::AddLearner(*node);
    }
    if *voters != wish.voters {
        return change_voters(fact, wish, voters);
    }
    if let Some(leader) = wish.leader
        && leader != fact.own
        && can_lead(fact, voters, leader)
    {
        return Step::TransferTo(leader);
    }
    let unwished = |node: &&NodeId| !wish.learners.contains(node) && !wish.voters.contains(node);
    if let Some(learner) = fact.learners.iter().find(unwished) {
        return Step::RemoveLearner(*learner);
    }
    Step::Nothing
}

fn change_voters(fact: &Fact, wish: &Wish, voters: &BTreeSet<NodeId>) -> Step {
    // All at once, when all can vote with effect: a group on the way from one replica to three is better off with
    // one than with two, of which either can stop it.
    let is_ready = |node: &&NodeId| voters.contains(node) || is_caught_up(fact, **node);
    if !wish.voters.iter().all(|node| is_ready(&node)) {
        return Step::Wait("a new replica has not caught up yet");
    }
    let alive = wish.voters.iter().filter(|node| fact.alive.contains(node)).count();
    if alive * 2 <= wish.voters.len() {
        return Step::Wait("too few of the wished replicas are alive");
    }
    if wish.voters.contains(&fact.own) {
        return Step::ChangeVoters(wish.voters.clone());
    }
    // A leader that is to go hands over first, so that no moment is without one.
    let heirs = wish.leader.into_iter().chain(wish.voters.iter().copied());
    match heirs.into_iter().find(|heir| can_lead(fact, voters, *heir)) {
        Some(heir) => Step::TransferTo(heir),
        None if wish.voters.is_disjoint(voters) || !voters.is_superset(&wish.voters) => {
            let with_own = wish.voters.iter().copied().chain([fact.own]).collect();
            Step::ChangeVoters(with_own)
        }
        None => Step::Wait("no wished replica can take over yet"),
    }
}

fn is_caught_up(fact: &Fact, node: NodeId) -> bool {
    fact.alive.contains(&node) && fact.lag.get(&node).is_some_and(|lag| *lag <= CAUGHT_UP_ENTRIES)
}

fn can_lead(fact: &Fact, voters: &BTreeSet<NodeId>, node: NodeId) -> bool {
    voters.contains(&node) && is_caught_up(fact, node)
}
