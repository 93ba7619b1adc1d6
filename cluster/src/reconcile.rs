//! What a group's leader does next to bring the group to what the map wishes. Pure: it knows what it is told.
//!
//! One step at a time, each safe to be the last: a leader may die after any of them, and the next one looks anew.
//! No step leads to voters of which no majority is alive and caught up, and none takes the vote of whoever leads
//! while another could.

#[cfg(test)]
mod tests;

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
    /// Nodes that drain: they lead only while nobody else can.
    pub(crate) draining: BTreeSet<NodeId>,
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
        // Raft takes one change at a time.
        return Step::Wait("a change of the members is being committed");
    }
    if let [old, .., new] = fact.configs.as_slice() {
        return end_change(fact, wish, old, new);
    }
    if wish.voters.is_empty() {
        return Step::Wait("the map does not place the group yet");
    }
    // A dead node is not added: nothing could be sent to it, and a log would be kept for it.
    let missing = wish
        .voters
        .union(&wish.learners)
        .find(|node| !voters.contains(node) && !fact.learners.contains(node) && fact.alive.contains(node));
    if let Some(node) = missing {
        return Step::AddLearner(*node);
    }
    let unwished = |node: &&NodeId| !wish.learners.contains(node) && !wish.voters.contains(node);
    let unwished = fact.learners.iter().find(unwished).map(|learner| Step::RemoveLearner(*learner));
    if *voters != wish.voters {
        return match change_voters(fact, wish, voters) {
            // What cannot go on holds nothing else up.
            Step::Wait(why) => change_leader(fact, wish, voters).or(unwished).unwrap_or(Step::Wait(why)),
            step => step,
        };
    }
    if let Some(step) = change_leader(fact, wish, voters).or(unwished) {
        return step;
    }
    let has_all = wish.learners.iter().all(|node| fact.learners.contains(node));
    if has_all { Step::Nothing } else { Step::Wait("a wished replica is not alive") }
}

/// A change of the voters was begun, by this leader or one that died, and is brought to its end, whatever is wished now:
/// until then two majorities are needed for everything. Where the new voters have none that is alive it goes back,
/// which is as safe: until now both were needed, so the old ones know everything.
fn end_change(fact: &Fact, wish: &Wish, old: &BTreeSet<NodeId>, new: &BTreeSet<NodeId>) -> Step {
    let is_alive = |voters: &BTreeSet<NodeId>| voters.intersection(&fact.alive).count() * 2 > voters.len();
    if !is_alive(new) && is_alive(old) && old.contains(&fact.own) {
        return Step::ChangeVoters(old.clone());
    }
    with_heir(fact, new, wish).unwrap_or_else(|| Step::ChangeVoters(new.clone()))
}

/// Hands the leadership to whom it belongs, if that one can take over; from one that drains to any other that can.
fn change_leader(fact: &Fact, wish: &Wish, voters: &BTreeSet<NodeId>) -> Option<Step> {
    let preferred = wish.leader.filter(|leader| *leader == fact.own || can_lead(fact, voters, *leader));
    let heir = match preferred {
        Some(leader) => leader,
        None if wish.draining.contains(&fact.own) => {
            let others =
                voters.difference(&wish.draining).copied().filter(|node| can_lead(fact, voters, *node));
            others.min_by_key(|node| (fact.lag.get(node).copied(), *node))?
        }
        None => return None,
    };
    (heir != fact.own).then_some(Step::TransferTo(heir))
}

/// The step to the wished voters. One that is wished to be a learner from now on is dropped with the others, and
/// added again as what it is to be.
fn change_voters(fact: &Fact, wish: &Wish, voters: &BTreeSet<NodeId>) -> Step {
    // All at once, when all can vote with effect: a group on the way from one replica to three is better off with
    // one than with two, of which either can stop it. Who votes already may be dead: it is no worse off then.
    let is_ready = |node: &NodeId| voters.contains(node) || is_caught_up(fact, *node);
    if !wish.voters.iter().all(is_ready) {
        return Step::Wait("a new replica has not caught up yet");
    }
    if !has_majority(fact, &wish.voters) {
        return Step::Wait("too few of the wished replicas are alive and have caught up");
    }
    if wish.voters.contains(&fact.own) {
        return Step::ChangeVoters(wish.voters.clone());
    }
    if let Some(step) = with_heir(fact, &wish.voters.intersection(voters).copied().collect(), wish) {
        return step;
    }
    // Those who can take over do not vote yet: they do so first beside the leader, which hands over then. It counts
    // as caught up, so these have a majority as well.
    let mut with_own = wish.voters.clone();
    with_own.insert(fact.own);
    if *voters == with_own {
        return Step::Wait("no wished replica can take over yet");
    }
    Step::ChangeVoters(with_own)
}

/// A leader that is not to vote hands over first, so that no moment is without one: to the wished leader, or to
/// whoever is furthest on. None where there is no such need, or nobody who can.
fn with_heir(fact: &Fact, heirs: &BTreeSet<NodeId>, wish: &Wish) -> Option<Step> {
    if heirs.contains(&fact.own) {
        return None;
    }
    let able = heirs.iter().copied().filter(|heir| can_lead(fact, heirs, *heir));
    let best = able.min_by_key(|heir| {
        let is_drained = wish.draining.contains(heir);
        (wish.leader != Some(*heir), is_drained, fact.lag.get(heir).copied(), *heir)
    });
    best.map(Step::TransferTo)
}

fn has_majority(fact: &Fact, voters: &BTreeSet<NodeId>) -> bool {
    voters.iter().filter(|voter| is_caught_up(fact, **voter)).count() * 2 > voters.len()
}

/// The leader is behind nobody.
fn is_caught_up(fact: &Fact, node: NodeId) -> bool {
    let is_near = |lag: &u64| *lag <= CAUGHT_UP_ENTRIES;
    node == fact.own || fact.alive.contains(&node) && fact.lag.get(&node).is_some_and(is_near)
}

fn can_lead(fact: &Fact, voters: &BTreeSet<NodeId>, node: NodeId) -> bool {
    voters.contains(&node) && is_caught_up(fact, node)
}
