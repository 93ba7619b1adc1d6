//! Keeps the map: whoever leads the meta group plans where shards ought to be, and writes it down.
//!
//! The plan is made anew whenever the nodes, what the operator wants of them, or who has been silent for too
//! long has changed. It is written under the revision it was made from, so a keeper that has been deposed
//! without knowing changes nothing.

use std::collections::BTreeMap;
use std::sync::Weak;
use std::time::Duration;

use openraft::Instant as _;
use openraft::async_runtime::WatchReceiver;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::groups::register::change_here;
use crate::groups::{Inner, survey};
use crate::layout::NodeId;
use crate::map::{ClusterMap, MapCommand, NodeState, Usable};
use crate::placement::{Candidate, plan};

/// How often the keeper looks, beside whenever the map changes.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long nodes are waited for to say what they hold.
pub(super) const SURVEY_WITHIN: Duration = Duration::from_secs(1);

/// Plans for the life of the node, as long as it leads the meta group.
pub(super) async fn run(node: Weak<Inner>, stop: CancellationToken) {
    let Some(mut map) = node.upgrade().map(|node| node.map.clone()) else { return };
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
        let known = map.borrow_and_update().clone();
        if node.meta.lead().is_err() || known.placements.is_empty() {
            continue;
        }
        finish_removals(&node, &known).await;
        let candidates = candidates(&known, &node.silent());
        if usable(&candidates) != known.planned_for {
            let reply = change_here(&node.meta, &planned(&known, &candidates)).await;
            tracing::info!(?reply, "the shards are placed anew");
        }
    }
}

/// The plan for these nodes, to be written down.
pub(super) fn planned(map: &ClusterMap, candidates: &BTreeMap<NodeId, Candidate>) -> MapCommand {
    MapCommand::Place {
        revision: map.revision,
        placements: plan(candidates, &map.placements, map.replication_factor),
        planned_for: Some(usable(candidates)),
    }
}

fn usable(candidates: &BTreeMap<NodeId, Candidate>) -> Vec<Usable> {
    let usable = candidates.iter().map(|(node, candidate)| Usable {
        node: *node,
        zone: candidate.zone.clone(),
        takes: candidate.may_take,
        leads: candidate.may_lead,
    });
    usable.collect()
}

/// Nodes on their way out that hold nothing any more are removed.
async fn finish_removals(node: &Inner, known: &ClusterMap) {
    let leaving: Vec<NodeId> =
        known.nodes.iter().filter(|(_, other)| other.is_leaving).map(|(id, _)| *id).collect();
    if leaving.is_empty() {
        return;
    }
    let status = survey::survey(node, SURVEY_WITHIN).await;
    for id in leaving {
        let is_empty = status.shards.iter().all(|shard| {
            // A shard without a leader may still count on it.
            shard.leader.is_some() && shard.replicas.iter().all(|replica| replica.node != id)
        });
        if is_empty {
            let command = MapCommand::SetState { node: id, state: NodeState::Removed };
            let reply = change_here(&node.meta, &command).await;
            tracing::info!(node = %id, ?reply, "a node holds nothing any more and is removed");
        }
    }
}

/// What each node may do for shards. One on its way out is to hold none.
pub(super) fn candidates(
    map: &ClusterMap,
    silent: &BTreeMap<NodeId, Duration>,
) -> BTreeMap<NodeId, Candidate> {
    let mut candidates = members(map, silent);
    candidates.retain(|id, _| map.nodes.get(id).is_none_or(|node| !node.is_leaving));
    candidates
}

/// What each node may do for the map: what the operator wants of it, and whether it has been heard of. One on its way
/// out has to hear of the map until it holds nothing any more, or it would not know what to hand over to whom.
pub(super) fn members(map: &ClusterMap, silent: &BTreeMap<NodeId, Duration>) -> BTreeMap<NodeId, Candidate> {
    let candidate = |(id, node): (&NodeId, &crate::map::MapNode)| {
        let is_lost = silent.contains_key(id);
        let is_up = node.state == NodeState::Up && !is_lost;
        let candidate =
            Candidate { zone: node.zone.clone(), may_hold: !is_lost, may_take: is_up, may_lead: is_up };
        (*id, candidate)
    };
    let present = map.nodes.iter().filter(|(_, node)| node.state != NodeState::Removed);
    present.map(candidate).collect()
}

impl Inner {
    /// The nodes that have been silent for longer than `replace_after`, as far as this node leads the meta group
    /// and has led it for as long.
    pub(super) fn silent(&self) -> BTreeMap<NodeId, Duration> {
        let group = self.meta.group();
        let Some(running) = &group.raft else { return BTreeMap::new() };
        let metrics = running.metrics.borrow_watched().clone();
        let Some(heard) = metrics.heartbeat.filter(|_| self.meta.lead().is_ok()) else {
            return BTreeMap::new();
        };
        let led_for = self.meta_led.lock().led_for(metrics.current_term);
        let silence =
            heard.into_iter().filter(|(node, _)| *node != self.identity.node).map(|(node, acked)| {
                (node, acked.map_or(led_for, |acked| acked.into_inner().elapsed().min(led_for)))
            });
        silence.filter(|(_, silent)| *silent > self.options.replace_after).collect()
    }
}

/// Since when this node has led the meta group.
#[derive(Debug, Default)]
pub(super) struct Led {
    since: Option<(u64, Instant)>,
}

impl Led {
    /// How long it has led in this term, as far as it was asked.
    fn led_for(&mut self, term: u64) -> Duration {
        match self.since {
            Some((led, since)) if led == term => since.elapsed(),
            _ => {
                self.since = Some((term, Instant::now()));
                Duration::ZERO
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{candidates, members};
    use crate::layout::NodeId;
    use crate::map::{ClusterMap, MapNode, NodeState};

    #[test]
    fn a_leaving_node_hears_of_the_map_and_is_given_no_shard() {
        let node = |state, is_leaving| MapNode {
            address: String::new(),
            peer_address: String::new(),
            zone: None,
            version: String::new(),
            started_at_ms: 0,
            state,
            is_leaving,
        };
        let nodes = BTreeMap::from([
            (NodeId(1), node(NodeState::Up, false)),
            (NodeId(2), node(NodeState::Draining, true)),
            (NodeId(3), node(NodeState::Removed, false)),
        ]);
        let map = ClusterMap { nodes, ..ClusterMap::default() };
        let of_the_map = members(&map, &BTreeMap::new());
        assert_eq!(of_the_map.keys().collect::<Vec<_>>(), [&NodeId(1), &NodeId(2)]);
        assert!(of_the_map[&NodeId(2)].may_hold && !of_the_map[&NodeId(2)].may_lead);
        assert_eq!(candidates(&map, &BTreeMap::new()).into_keys().collect::<Vec<_>>(), [NodeId(1)]);
    }
}
