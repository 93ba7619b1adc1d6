//! What the nodes know together: each is asked what it knows of its shards, and who leads a shard knows it best.

use std::time::Duration;

use futures_util::future::join_all;

use crate::groups::Inner;
use crate::groups::desk::{Question, Reply, decode_reply, encode};
use crate::layout::NodeId;
use crate::map::NodeState;
use crate::network::Desk;
use crate::status::{ClusterStatus, NodeReport, NodeStatus, Problem, ShardStatus};

/// Asks every node, and puts together what those answered that did in time.
pub(super) async fn survey(node: &Inner, within: Duration) -> ClusterStatus {
    let map = node.map.borrow().clone();
    let present = map.nodes.iter().filter(|(_, other)| other.state != NodeState::Removed);
    let others: Vec<NodeId> = present.map(|(id, _)| *id).filter(|id| *id != node.identity.node).collect();
    let question = encode(&Question::Report);
    let asked = others.iter().map(|other| node.network.ask(*other, Desk::Cluster, question.clone(), within));
    let mut reports = vec![node.report()];
    for reply in join_all(asked).await {
        if let Ok(Reply::Report(report)) = reply.map(|reply| decode_reply(&reply)) {
            reports.push(*report);
        }
    }
    merge(node, reports)
}

/// Puts reports together; the first is this node's own.
pub(super) fn merge(node: &Inner, reports: Vec<NodeReport>) -> ClusterStatus {
    let map = node.map.borrow().clone();
    let peers = node.network.peers().borrow().clone();
    let is_reachable =
        |id: NodeId| id == node.identity.node || peers.get(&id).is_some_and(|peer| peer.connected);
    let shards = (0..node.layout.count()).map(|shard| {
        let known =
            reports.iter().filter_map(|report| report.shards.get(usize::from(shard)).map(|of| (report, of)));
        let best = best(known).unwrap_or_else(|| ShardStatus::unknown(crate::layout::ShardId(shard)));
        // A follower that hears of no other goes on to name the dead.
        ShardStatus { leader: best.leader.filter(|leader| is_reachable(*leader)), ..best }
    });
    let meta = best(reports.iter().map(|report| (report, &report.meta)));
    let nodes = map.nodes.iter().map(|(id, known)| NodeStatus {
        id: *id,
        address: known.address.clone(),
        peer_address: known.peer_address.clone(),
        zone: known.zone.clone(),
        state: known.state,
        is_reachable: is_reachable(*id),
        version: known.version.clone(),
        started_at_ms: known.started_at_ms,
    });
    let problems = reports.iter().flat_map(|report| {
        report.problems.iter().map(|(code, detail, what_to_do)| Problem {
            code: code.clone(),
            detail: format!("node {}: {detail}", report.node),
            what_to_do: what_to_do.clone(),
        })
    });
    ClusterStatus {
        shards: shards.collect(),
        meta: meta.unwrap_or_else(|| node.meta.status()),
        nodes: nodes.collect(),
        problems: problems.collect(),
    }
}

/// What the shard's leader says of it, or else whoever has seen the latest term.
fn best<'a>(known: impl Iterator<Item = (&'a NodeReport, &'a ShardStatus)>) -> Option<ShardStatus> {
    let best = known.max_by_key(|(report, shard)| {
        let leads = shard.leader == Some(report.node) && shard.stopped.is_none();
        (shard.term, leads, shard.leader.is_some(), shard.applied)
    });
    best.map(|(_, shard)| shard.clone())
}
