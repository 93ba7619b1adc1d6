//! What is wrong with the shards, and with where they are: a pure judgement of what `/v1/cluster`, `/v1/nodes` and
//! `/v1/shards` answered.
//!
//! A replica counts as living while the node asked has a link to its node, for that is what a quorum is made of;
//! whether a node also answers clients is judged elsewhere ([`super::nodes`]).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Finding, array, number, text};

/// Entries a replica may be behind before it is told. A busy shard's followers are always some behind.
const LAG_TOLD_ENTRIES: u64 = 1_000;
/// Shards named one by one; the rest are counted.
const NAMED_MAX: usize = 12;

/// A node as `/v1/nodes` shows it.
struct Node {
    id: u64,
    zone: Option<String>,
    is_reachable: bool,
    is_draining: bool,
    leaders: u64,
}

/// A shard as `/v1/shards` shows it.
struct Shard {
    id: u64,
    is_led: bool,
    voters: Vec<u64>,
    lags: Vec<(u64, u64)>,
}

impl Shard {
    fn majority(&self) -> usize {
        self.voters.len() / 2 + 1
    }
}

/// Judges the shards of a cluster of several nodes.
pub(super) fn judge(cluster: &Value, nodes: &Value, shards: &Value) -> Vec<Finding> {
    let nodes: Vec<Node> = array(nodes, "nodes").filter_map(node).collect();
    let shards: Vec<Shard> = array(shards, "shards").filter_map(shard).collect();
    let factor = usize::try_from(number(cluster, "replication_factor").unwrap_or(1)).unwrap_or(1);
    let living: BTreeSet<u64> = nodes.iter().filter(|node| node.is_reachable).map(|node| node.id).collect();
    let mut findings = leaders(&shards, &living);
    findings.extend(margin(&shards, &living));
    findings.extend(copies(&shards, factor, nodes.len()));
    findings.extend(lags(&shards));
    findings.extend(nodes.iter().filter(|node| node.is_draining && node.leaders > 0).map(still_leads));
    findings.extend(zones(&shards, &nodes));
    if findings.is_empty() {
        findings.push(Finding::good("every shard has a leader, all its replicas, and one to spare"));
    }
    findings
}

fn node(node: &Value) -> Option<Node> {
    let state = text(node, "state");
    (state != "removed").then_some(())?;
    Some(Node {
        id: number(node, "id")?,
        zone: node.get("zone").and_then(Value::as_str).map(str::to_owned),
        is_reachable: node.get("reachable").and_then(Value::as_bool).unwrap_or_default(),
        is_draining: state == "draining",
        leaders: number(node, "leaders").unwrap_or_default(),
    })
}

fn shard(shard: &Value) -> Option<Shard> {
    let leader = number(shard, "leader");
    let replicas = || array(shard, "replicas");
    let voters = replicas().filter(|replica| text(replica, "role") == "voter");
    let lag = |replica: &Value| Some((number(replica, "node")?, number(replica, "lag")?));
    Some(Shard {
        id: number(shard, "id")?,
        is_led: leader.is_some(),
        voters: voters.filter_map(|replica| number(replica, "node")).collect(),
        lags: replicas().filter_map(lag).filter(|(node, _)| Some(*node) != leader).collect(),
    })
}

/// Shards that serve nobody.
fn leaders(shards: &[Shard], living: &BTreeSet<u64>) -> Vec<Finding> {
    let alive = |shard: &Shard| shard.voters.iter().filter(|node| living.contains(node)).count();
    // Of one that nobody reported nothing is known; it has no leader.
    let is_lost = |shard: &&Shard| !shard.voters.is_empty() && alive(shard) < shard.majority();
    let (lost, others): (Vec<&Shard>, Vec<&Shard>) = shards.iter().partition(is_lost);
    let unled: Vec<&Shard> = others.into_iter().filter(|shard| !shard.is_led).collect();
    let mut findings = Vec::new();
    if !lost.is_empty() {
        let voters = lost.iter().flat_map(|shard| &shard.voters);
        let missing: BTreeSet<u64> = voters.copied().filter(|node| !living.contains(node)).collect();
        findings.push(Finding::bad(
            format!(
                "{}: the majority of the replicas is lost, nothing is served",
                named(&lost, shards.len())
            ),
            format!("start {} again with the data directories they had", nodes_named(&missing)),
        ));
    }
    if !unled.is_empty() {
        findings.push(Finding::bad(
            format!("{}: no leader", named(&unled, shards.len())),
            "wait for an election, a second or two; if it lasts, see the logs of the nodes that hold it",
        ));
    }
    findings
}

/// Shards that serve, but would not after the loss of one more node.
fn margin(shards: &[Shard], living: &BTreeSet<u64>) -> Option<Finding> {
    let is_last = |shard: &&Shard| {
        let alive = shard.voters.iter().filter(|node| living.contains(node)).count();
        shard.is_led && alive > 0 && alive == shard.majority()
    };
    let at_the_edge: Vec<&Shard> = shards.iter().filter(is_last).collect();
    let voters = at_the_edge.iter().flat_map(|shard| &shard.voters);
    let missing: BTreeSet<u64> = voters.copied().filter(|node| !living.contains(node)).collect();
    let to_do = if missing.is_empty() {
        "add a node, so that each has three replicas".to_owned()
    } else {
        let nodes = nodes_named(&missing);
        format!("start {nodes} again, or `stead node remove` what is gone for good, with a node to spare")
    };
    (!at_the_edge.is_empty()).then(|| {
        let shards = named(&at_the_edge, shards.len());
        Finding::doubtful(format!("{shards}: the loss of one more node would stop service"), to_do)
    })
}

/// Shards with fewer copies than they should have.
fn copies(shards: &[Shard], factor: usize, nodes: usize) -> Option<Finding> {
    let thin: Vec<&Shard> =
        shards.iter().filter(|shard| shard.is_led && shard.voters.len() < factor).collect();
    let to_do = if nodes < factor {
        format!("add {} with `stead serve --join`", count(factor - nodes, "node"))
    } else {
        "wait until new replicas have caught up; if it lasts, see whether nodes drain or are down".to_owned()
    };
    (!thin.is_empty()).then(|| {
        Finding::doubtful(format!("{}: fewer than {factor} replicas", named(&thin, shards.len())), to_do)
    })
}

fn lags(shards: &[Shard]) -> Option<Finding> {
    let mut worst: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for shard in shards {
        for (node, lag) in shard.lags.iter().filter(|(_, lag)| *lag > LAG_TOLD_ENTRIES) {
            let known = worst.entry(*node).or_default();
            *known = (*known).max((*lag, shard.id));
        }
    }
    let told =
        worst.iter().map(|(node, (lag, shard))| format!("node {node} by {lag} entries (shard {shard})"));
    let told: Vec<String> = told.collect();
    (!told.is_empty()).then(|| {
        Finding::doubtful(
            format!("replicas are behind: {}", told.join(", ")),
            "look again: the number should fall; if it does not, see the disk and the network of that node",
        )
    })
}

fn still_leads(node: &Node) -> Finding {
    Finding::doubtful(
        format!(
            "node {} drains, and still leads {}",
            node.id,
            count(usize::try_from(node.leaders).unwrap_or(usize::MAX), "shard")
        ),
        "wait; if it lasts, the other replicas are down or behind: bring them up first",
    )
}

/// Shards that a single zone could take away although there are several.
fn zones(shards: &[Shard], nodes: &[Node]) -> Vec<Finding> {
    let zone_of: BTreeMap<u64, &str> =
        nodes.iter().filter_map(|node| Some((node.id, node.zone.as_deref()?))).collect();
    let zones: BTreeSet<&str> = zone_of.values().copied().collect();
    let mut findings = Vec::new();
    let without: BTreeSet<u64> =
        nodes.iter().filter(|node| node.zone.is_none()).map(|node| node.id).collect();
    if !zones.is_empty() && !without.is_empty() {
        findings.push(Finding::doubtful(
            format!("{} in no zone, while others are", are(&without)),
            "start every node with --zone, or none",
        ));
    }
    let is_in_one = |shard: &&Shard| {
        let known: Option<BTreeSet<&str>> =
            shard.voters.iter().map(|node| zone_of.get(node).copied()).collect();
        shard.voters.len() > 1 && known.is_some_and(|known| known.len() == 1)
    };
    let narrow: Vec<&Shard> = shards.iter().filter(is_in_one).collect();
    if zones.len() > 1 && !narrow.is_empty() {
        findings.push(Finding::doubtful(
            format!("{}: all replicas in one zone, of {}", named(&narrow, shards.len()), zones.len()),
            "`stead shard rebalance --dry-run` shows what would spread them",
        ));
    }
    findings
}

fn count(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// The shards by number, as the beginning of a sentence.
fn named(shards: &[&Shard], of: usize) -> String {
    let numbers: Vec<String> = shards.iter().take(NAMED_MAX).map(|shard| shard.id.to_string()).collect();
    match (shards, shards.len().saturating_sub(NAMED_MAX)) {
        ([one], _) => format!("shard {}", one.id),
        (all, _) if all.len() == of => format!("all {of} shards"),
        (_, 0) => format!("shards {}", numbers.join(", ")),
        (_, more) => format!("shards {} and {more} more", numbers.join(", ")),
    }
}

fn nodes_named(nodes: &BTreeSet<u64>) -> String {
    let numbers: Vec<String> = nodes.iter().map(u64::to_string).collect();
    format!("{} {}", if nodes.len() == 1 { "node" } else { "nodes" }, numbers.join(", "))
}

fn are(nodes: &BTreeSet<u64>) -> String {
    format!("{} {}", nodes_named(nodes), if nodes.len() == 1 { "is" } else { "are" })
}

#[cfg(test)]
mod tests;
