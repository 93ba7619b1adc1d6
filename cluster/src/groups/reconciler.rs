//! Brings the groups this node leads from what they are to what the map wishes, one step at a time.
//!
//! What the next step is, `reconcile` decides from what is known now; here it is only looked up and carried out.
//! One step of a group is under way at most, each is bounded in time, and none is remembered: whoever leads next
//! looks again.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::{ChangeMembers, Instant as _, RaftMetrics};
use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;

use crate::group::{Group, Running};
use crate::groups::Inner;
use crate::groups::keeper::members;
use crate::layout::NodeId;
use crate::map::ClusterMap;
use crate::placement::meta_voters;
use crate::raft::{Peer, TypeConfig};
use crate::reconcile::{Fact, Step, Wish, next_step};
use crate::storage::keys::GroupId;

/// How often wish and fact are compared, beside whenever the map changes.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long one step may take before it is looked at anew. A change of voters waits for a majority.
const STEP_WITHIN: Duration = Duration::from_secs(10);
/// How long a hand-over may take.
pub(super) const TRANSFER_WITHIN: Duration = Duration::from_secs(2);
/// A follower heard of within so many heartbeats counts as alive.
const ALIVE_HEARTBEATS: u32 = 4;

/// Compares and acts for the life of the node.
pub(super) async fn run(node: Weak<Inner>, stop: CancellationToken) {
    let Some(mut map) = node.upgrade().map(|node| node.map.clone()) else { return };
    let busy: Arc<Mutex<BTreeSet<GroupId>>> = Arc::default();
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            changed = map.changed() => if changed.is_err() { return },
            _ = looks.tick() => {}
        }
        let Some(node) = node.upgrade() else { return };
        let wished = map.borrow_and_update().clone();
        for group in node.groups() {
            if let Some(step) = look(&node, group, &wished)
                && busy.lock().insert(group.id)
            {
                let (group, wished, busy) = (group.clone(), wished.clone(), busy.clone());
                node.tasks.spawn(async move {
                    carry_out(&group, &step, &wished).await;
                    busy.lock().remove(&group.id);
                });
            }
        }
    }
}

/// What is to be done for a group that this node leads, if anything is.
fn look(node: &Inner, group: &Group, map: &ClusterMap) -> Option<Step> {
    group.lead().ok()?;
    let running = group.raft.as_ref()?;
    let metrics = running.metrics.borrow_watched().clone();
    // An only voter of a cluster of one, the commonest case, has nothing to compare.
    if map.nodes.len() <= 1 && group.is_only_voter(&metrics.membership_config) {
        return None;
    }
    let fact = fact(node, group, &metrics);
    let wish = wish(node, group, map, &fact)?;
    match next_step(&fact, &wish) {
        Step::Nothing | Step::Wait(_) => None,
        step => Some(step),
    }
}

fn fact(node: &Inner, group: &Group, metrics: &RaftMetrics<TypeConfig>) -> Fact {
    let membership = metrics.membership_config.membership();
    let configs: Vec<BTreeSet<NodeId>> = membership.get_joint_config().clone();
    let last = metrics.last_log_index.map_or(0, |last| last + 1);
    let matched = metrics.replication.iter().flatten();
    // A follower that has nothing yet is not little behind a short log: it may not even be there.
    let lag = matched.filter_map(|(follower, matched)| {
        Some((*follower, last.saturating_sub(matched.as_ref()?.index + 1)))
    });
    let within = node.options.heartbeat * ALIVE_HEARTBEATS;
    let heard = metrics.heartbeat.iter().flatten();
    let alive =
        heard.filter(|(_, acked)| acked.as_ref().is_some_and(|acked| acked.into_inner().elapsed() < within));
    let alive: BTreeSet<NodeId> = alive.map(|(follower, _)| *follower).chain([group.node]).collect();
    // A node without a replica is sent no heartbeats; a link to it has to do. It does not do for one that has a
    // replica: the links of a process that hangs stand for a while, and it would be given the leadership.
    let peers = node.network.peers().borrow().clone();
    let is_member = |other: &NodeId| membership.get_node(other).is_some();
    let linked = peers.iter().filter(|(other, state)| state.connected && !is_member(other));
    let alive = alive.into_iter().chain(linked.map(|(other, _)| *other)).collect();
    Fact {
        own: group.node,
        alive,
        learners: membership.learner_ids().collect(),
        configs,
        lag: lag.collect(),
        is_change_in_flight: metrics.membership_config != metrics.committed_membership_config,
    }
}

fn wish(node: &Inner, group: &Group, map: &ClusterMap, fact: &Fact) -> Option<Wish> {
    if group.id == GroupId::META {
        let present = fact.configs.last().cloned().unwrap_or_default();
        let members = members(map, &node.silent());
        let voters = meta_voters(&members, &present);
        let nodes = members.iter().filter(|(_, candidate)| candidate.may_hold).map(|(node, _)| *node);
        let learners = nodes.filter(|node| !voters.contains(node)).collect();
        // A draining node leads nothing, the map included.
        let is_free = members.get(&group.node).is_some_and(|own| own.may_lead);
        let mut others = voters.iter().filter(|voter| members.get(voter).is_some_and(|other| other.may_lead));
        let leader = if is_free { Some(group.node) } else { others.next().copied() };
        return Some(Wish { voters, learners, leader });
    }
    let placement = map.placements.get(usize::from(group.id.0))?;
    Some(Wish {
        voters: placement.replicas.iter().copied().collect(),
        learners: BTreeSet::new(),
        leader: placement.preferred_leader,
    })
}

async fn carry_out(group: &Group, step: &Step, map: &ClusterMap) {
    let Some(Running { raft, .. }) = &group.raft else { return };
    let address =
        |node: &NodeId| map.nodes.get(node).map(|node| node.peer_address.clone()).unwrap_or_default();
    let result = match step {
        Step::Nothing | Step::Wait(_) => return,
        Step::TransferTo(to) => {
            let transferred = group.transfer(*to, TRANSFER_WITHIN).await;
            transferred.map_err(|error| error.to_string())
        }
        Step::AddLearner(learner) => {
            let peer = Peer { address: address(learner) };
            let added = timeout(STEP_WITHIN, raft.add_learner(*learner, peer, false)).await;
            flat(added)
        }
        Step::ChangeVoters(voters) => {
            let change = ChangeMembers::ReplaceAllVoters(voters.clone());
            flat(timeout(STEP_WITHIN, raft.change_membership(change, false)).await)
        }
        Step::RemoveLearner(learner) => {
            let change = ChangeMembers::RemoveNodes(BTreeSet::from([*learner]));
            flat(timeout(STEP_WITHIN, raft.change_membership(change, false)).await)
        }
    };
    match result {
        Ok(()) => tracing::info!(group = %group.id, ?step, "a step towards the cluster's map is done"),
        Err(error) => {
            tracing::debug!(group = %group.id, ?step, error, "a step was not done; it is looked at again");
        }
    }
}

fn flat<T, E: std::fmt::Display>(
    result: Result<Result<T, E>, tokio::time::error::Elapsed>,
) -> Result<(), String> {
    match result {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("it took too long".to_owned()),
    }
}
