//! Fast failover: when a leader's process has *surely* ended, the others do not wait for its lease to run out.
//!
//! What is sure is for the network to say ([`PeerState::ended`](crate::network::PeerState)), and it says so on proof
//! only. The dead process confirms nothing and answers nothing any more, so the promise its lease stands for, that
//! nobody else leads meanwhile, protects nobody. The survivors use openraft's leadership-transfer path, which a
//! leader would itself use to make another one leader despite its lease: each lets go of the lease here, and the
//! one with the longest log campaigns with a vote that others grant despite theirs.
//!
//! Every survivor does this, knowing nothing of the others: they tell each other how far their logs reach, so they
//! choose the same one. Were the chosen one not to win (it fell behind, or died too), each campaigns after a
//! random while. A vote of a later term than that of the dead ends it: then somebody leads, or the usual elections
//! go on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use openraft::async_runtime::WatchReceiver;
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::group::{Group, Running};
use crate::groups::Inner;
use crate::groups::desk::{Question, Reply, decode_reply, encode};
use crate::layout::{LogIndex, NodeId, Term};
use crate::network::{Desk, PeerState, TransferRequest};
use crate::raft::{Vote, term_of};
use crate::storage::keys::GroupId;

/// How long the others are waited for to say how far their logs reach.
const TAILS_WITHIN: Duration = Duration::from_millis(50);
/// A chosen successor has so long to win before the others campaign; at random, so that they do not collide.
const WIN_WITHIN_MS: std::ops::RangeInclusive<u64> = 40..=100;
/// Campaigns before the usual elections are left to it.
const CAMPAIGNS_MAX: usize = 20;

/// The last entry of a group's log here.
pub(super) type Tail = (Term, LogIndex);

/// How far a group's log reaches here; none if the group is stopped.
pub(super) fn tail(group: &Group) -> Option<Tail> {
    let running = group.raft.as_ref().filter(|_| group.stopped().is_none())?;
    Some(running.log.last().map_or((0, 0), |last| (term_of(&last), last.index)))
}

/// Takes over what dead nodes led, whenever one is surely dead; and lets replication go on at once to those that
/// came back. Runs for the life of the node.
pub(super) async fn watch(node: Weak<Inner>, stop: CancellationToken) {
    let Some(mut peers) = node.upgrade().map(|node| node.network.peers()) else { return };
    let mut handled: BTreeMap<NodeId, u64> = BTreeMap::new();
    let mut connected = BTreeSet::new();
    loop {
        let states = peers.borrow_and_update().clone();
        let Some(node) = node.upgrade() else { return };
        for (id, state) in &states {
            if is_gone(state) && handled.get(id).is_none_or(|ended| *ended < state.ended) {
                handled.insert(*id, state.ended);
                let taking_over = take_over(Arc::downgrade(&node), *id);
                let stop = stop.clone();
                node.drivers.spawn(async move { stop.run_until_cancelled(taking_over).await });
            }
            if state.connected && connected.insert(*id) {
                resume_replication(&node, *id);
            } else if !state.connected {
                connected.remove(id);
            }
        }
        drop(node);
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            changed = peers.changed() => if changed.is_err() { return },
        }
    }
}

/// Whether no process of the node runs: everything it has shown of itself has ended.
fn is_gone(state: &PeerState) -> bool {
    state.ended > 0 && state.ended >= state.epoch
}

fn resume_replication(node: &Inner, peer: NodeId) {
    for running in node.groups().filter_map(|group| group.raft.as_ref()) {
        super::ticker::send(running.raft.trigger().reset_backoff([peer]));
    }
}

async fn take_over(node: Weak<Inner>, dead: NodeId) {
    let Some(node) = node.upgrade() else { return };
    let led: Vec<(Arc<Group>, Vote)> = node
        .groups()
        .filter_map(|group| Some((group.clone(), vote_of_dead(group.raft.as_ref()?, dead)?)))
        .filter(|(group, _)| group.is_voter())
        .collect();
    if led.is_empty() {
        return;
    }
    let begun = Instant::now();
    let groups: Vec<Arc<Group>> = led.iter().map(|(group, _)| group.clone()).collect();
    let tails = ask_tails(&node, dead, &led).await;
    let campaigns = led.into_iter().map(|(group, vote)| {
        let known = tails.get(&group.id).cloned().unwrap_or_default();
        campaign(group, vote, known, node.options.random())
    });
    join_all(campaigns).await;
    let took_ms = begun.elapsed().as_millis();
    let is_led = |group: &&Arc<Group>| group.leader.borrow().is_some_and(|leader| leader != dead);
    let (of, led) = (groups.len(), groups.iter().filter(is_led).count());
    if led == of {
        tracing::info!(%dead, groups = of, took_ms, "a node's process has ended; what it led is led by others");
    } else {
        tracing::warn!(%dead, groups = of, led, took_ms, "a node's process has ended; not all that it led is led yet");
    }
}

/// The vote under which the dead node leads, if it does.
fn vote_of_dead(running: &Running, dead: NodeId) -> Option<Vote> {
    let vote = running.server.borrow_watched().vote;
    (vote.committed && vote.leader_id.voted_for == dead).then_some(vote)
}

/// By group, how far the logs of its voters reach, this node's included.
async fn ask_tails(
    node: &Arc<Inner>,
    dead: NodeId,
    led: &[(Arc<Group>, Vote)],
) -> BTreeMap<GroupId, BTreeMap<NodeId, Tail>> {
    let own = node.identity.node;
    let mut tails: BTreeMap<GroupId, BTreeMap<NodeId, Tail>> = BTreeMap::new();
    let mut questions: BTreeMap<NodeId, Vec<GroupId>> = BTreeMap::new();
    for (group, _) in led {
        tails.entry(group.id).or_default().extend(tail(group).map(|tail| (own, tail)));
        for voter in group.voters().into_iter().filter(|voter| *voter != own && *voter != dead) {
            questions.entry(voter).or_default().push(group.id);
        }
    }
    let asked = questions.into_iter().map(|(voter, groups)| async move {
        let question = encode(&Question::Tails(groups.clone()));
        let reply = node.network.ask(voter, Desk::Cluster, question, TAILS_WITHIN).await;
        (voter, groups, reply)
    });
    for (voter, groups, reply) in join_all(asked).await {
        if let Ok(Reply::Tails(told)) = reply.map(|reply| decode_reply(&reply)) {
            for (group, tail) in groups.into_iter().zip(told) {
                tails.entry(group).or_default().extend(tail.map(|tail| (voter, tail)));
            }
        }
    }
    tails
}

/// Has the longest log campaign, and all of them if that does not help.
async fn campaign(group: Arc<Group>, dead: Vote, tails: BTreeMap<NodeId, Tail>, mut random: StdRng) {
    let Some(running) = &group.raft else { return };
    let mut chosen = chosen(&tails, group.node);
    let mut server = running.server.clone();
    for _ in 0..CAMPAIGNS_MAX {
        let vote = server.borrow_and_update().vote;
        if vote == dead {
            let own_last = running.log.last().filter(|_| chosen == group.node);
            let request = TransferRequest::new(dead, chosen, own_last);
            match running.raft.handle_transfer_leader(request).await {
                Ok(Ok(())) => {}
                Ok(Err(refused)) => tracing::debug!(group = %group.id, %refused, "a campaign was not begun"),
                Err(_) => return,
            }
        } else if vote.committed {
            return;
        } else {
            // Somebody's campaign, perhaps this node's own, that nobody has won yet.
            super::ticker::send(running.raft.trigger().elect(false));
        }
        let wait = Duration::from_millis(random.random_range(WIN_WITHIN_MS));
        let until = Instant::now() + wait;
        while let Ok(Ok(())) = tokio::time::timeout_at(until, server.changed()).await {
            let vote = server.borrow_watched().vote;
            if vote.committed && vote != dead {
                return;
            }
        }
        chosen = group.node;
    }
}

/// The one with the longest log; of several the same for everybody, and not the same for every group.
fn chosen(tails: &BTreeMap<NodeId, Tail>, own: NodeId) -> NodeId {
    let longest = tails.values().max().copied().unwrap_or_default();
    let holders = tails.iter().filter(|(_, tail)| **tail == longest);
    holders.map(|(node, _)| *node).next().unwrap_or(own)
}

impl Group {
    /// The voters of the group as this node knows them, of both configurations while they change.
    pub(crate) fn voters(&self) -> BTreeSet<NodeId> {
        let Some(running) = &self.raft else { return BTreeSet::new() };
        let membership = running.server.borrow_watched().membership_config.clone();
        membership.membership().voter_ids().collect()
    }

    pub(crate) fn is_voter(&self) -> bool {
        self.voters().contains(&self.node)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{chosen, is_gone};
    use crate::layout::NodeId;
    use crate::network::PeerState;

    #[test]
    fn the_longest_log_of_the_latest_term_is_chosen() {
        let tails = |tails: &[(u64, (u64, u64))]| -> BTreeMap<NodeId, (u64, u64)> {
            tails.iter().map(|(node, tail)| (NodeId(*node), *tail)).collect()
        };
        let check = |given: &[(u64, (u64, u64))], expected: u64| {
            assert_eq!(chosen(&tails(given), NodeId(9)), NodeId(expected), "{given:?}");
        };
        check(&[(1, (3, 7)), (2, (3, 8))], 2);
        check(&[(1, (4, 1)), (2, (3, 8))], 1);
        check(&[(2, (3, 8)), (3, (3, 8))], 2);
        check(&[], 9);
    }

    #[test]
    fn a_node_is_gone_only_if_its_newest_process_is() {
        let state = |epoch, ended| PeerState { epoch, ended, ..PeerState::default() };
        assert!(is_gone(&state(3, 3)));
        assert!(!is_gone(&state(4, 3)));
        assert!(!is_gone(&state(0, 0)));
    }
}
