//! What is wrong with the nodes, as each of them answered: a pure judgement.
//!
//! Clocks are compared with that of this machine, half way between question and answer; the way there and back says
//! how far that may be wrong. Replication goes by no clock; timestamps, alarms and retention do.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Finding, array, number, of_check, size, text};

/// Difference of a clock at which times shown begin to mislead, in milliseconds.
const CLOCK_DOUBTFUL_MS: u64 = 1_000;
/// Difference of a clock at which alarms and retention go visibly wrong, in milliseconds.
const CLOCK_BAD_MS: u64 = 10_000;
/// Share of a disk that should be free, as one part of so many.
const DISK_FREE_PARTS: u64 = 10;

/// What a node answered when it was asked for its health.
#[derive(Debug)]
pub(super) struct Answer {
    /// `/health`, or why there is none.
    pub(super) health: Result<Value, String>,
    /// Problems that it tells of the cluster.
    pub(super) problems: Vec<Value>,
    /// This machine's clock when it was asked, and when it had answered, in milliseconds since 1970.
    pub(super) asked_ms: (u64, u64),
}

/// Judges the nodes that `/v1/nodes` lists by what each answered.
pub(super) fn judge(nodes: &Value, answers: &BTreeMap<u64, Answer>) -> Vec<Finding> {
    let listed: Vec<&Value> = array(nodes, "nodes").filter(|node| text(node, "state") != "removed").collect();
    let mut findings = Vec::new();
    for node in &listed {
        let answer = number(node, "id").and_then(|id| answers.get(&id));
        findings.extend(answer.map(|answer| of_node(node, answer)).into_iter().flatten());
    }
    findings.extend(versions(&listed, answers));
    findings.extend(clocks(answers));
    findings
}

fn of_node(node: &Value, answer: &Answer) -> Vec<Finding> {
    let (id, address) = (text(node, "id"), text(node, "address"));
    let health = match &answer.health {
        Ok(health) => health,
        Err(why) => return vec![silent(node, why)],
    };
    let mut findings: Vec<Finding> = checks(health)
        .filter(|(_, check)| text(check, "status") != "ok")
        .map(|(name, check)| of_check(&format!("node {id}: "), name, check))
        .collect();
    let room = health.pointer("/checks/disk");
    let room = room.and_then(|disk| Some((number(disk, "free_bytes")?, number(disk, "size_bytes")?)));
    if findings.is_empty() {
        findings.push(match room {
            Some((free, of)) if free < of / DISK_FREE_PARTS => Finding::doubtful(
                format!("node {id}: {} of {} are free on its disk", size(free), size(of)),
                "make room, or move its data directory to a larger disk before it is full",
            ),
            Some((free, _)) => {
                Finding::good(format!("node {id} at {address} is well, {} are free on its disk", size(free)))
            }
            None => Finding::good(format!("node {id} at {address} is well")),
        });
    }
    if text(node, "reachable") == "false" {
        findings.push(Finding::bad(
            format!("node {id} answers here, but the node asked has no link with it at {}", text(node, "peer_address")),
            "see the problems it names below, the log of both nodes, and whether they reach each other's peer port",
        ));
    }
    findings
}

fn checks(health: &Value) -> impl Iterator<Item = (&String, &Value)> {
    health.get("checks").and_then(Value::as_object).into_iter().flatten()
}

fn silent(node: &Value, why: &str) -> Finding {
    let (id, address) = (text(node, "id"), text(node, "address"));
    if ["0.0.0.0", "[::]"].iter().any(|anywhere| address.starts_with(anywhere)) {
        return Finding::doubtful(
            format!("node {id} tells clients to come to {address}, which is nowhere"),
            "start it with --advertise HOST, the name or address under which others reach it",
        );
    }
    if text(node, "reachable") == "true" {
        return Finding::doubtful(
            format!(
                "node {id} at {address} does not answer this machine, but the node asked has a link with it: {why}"
            ),
            "run this where the nodes' addresses can be reached; if this is such a machine, see the node's log",
        );
    }
    Finding::bad(
        format!("node {id} at {address} does not answer: {why}"),
        format!(
            "start it again, or mend its network; if it is gone for good, `stead node remove {id}` gives its replicas to others"
        ),
    )
}

/// One version on all, once a rolling upgrade is over.
fn versions(nodes: &[&Value], answers: &BTreeMap<u64, Answer>) -> Option<Finding> {
    let version = |node: &&Value| {
        let id = number(node, "id")?;
        // What a node says itself is newer than what the map says of it.
        let own = answers.get(&id).and_then(|answer| answer.health.as_ref().ok());
        Some((own.map_or_else(|| text(node, "version"), |health| text(health, "version")), id))
    };
    let mut of: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (version, id) in nodes.iter().filter_map(version) {
        of.entry(version).or_default().push(id.to_string());
    }
    let told = of.iter().map(|(version, ids)| format!("{version} on {}", ids.join(", ")));
    let told: Vec<String> = told.collect();
    match of.len() {
        0 => None,
        1 => Some(Finding::good(format!(
            "all nodes are version {}",
            of.keys().next().map_or("", String::as_str)
        ))),
        _ => Some(Finding::doubtful(
            format!("the nodes are of several versions: {}", told.join("; ")),
            "finish the rolling upgrade: one node after the other, waiting for /ready in between",
        )),
    }
}

pub(super) fn clocks(answers: &BTreeMap<u64, Answer>) -> Vec<Finding> {
    let known = answers.iter().filter_map(|(id, answer)| Some((*id, apart_ms(answer)?)));
    let known: Vec<(u64, i64)> = known.collect();
    let apart = known.iter().filter(|(_, ms)| ms.unsigned_abs() > CLOCK_DOUBTFUL_MS);
    let findings: Vec<Finding> = apart.map(|(id, ms)| wrong_clock(*id, *ms)).collect();
    if findings.is_empty() && !known.is_empty() {
        return vec![Finding::good("the clocks of the nodes and of this machine agree within a second")];
    }
    findings
}

/// By how much at least a node's clock is ahead of this machine's; negative where it is behind.
fn apart_ms(answer: &Answer) -> Option<i64> {
    let told = answer.health.as_ref().ok()?.get("timestamp")?.as_str()?;
    let told = told.parse::<jiff::Timestamp>().ok()?.as_millisecond();
    let (before, after) = answer.asked_ms;
    let half = after.saturating_sub(before) / 2;
    let middle = before.saturating_add(half);
    let apart = told.saturating_sub(i64::try_from(middle).ok()?);
    let least = i64::try_from(apart.unsigned_abs().saturating_sub(half)).ok()?;
    Some(least * apart.signum())
}

fn wrong_clock(id: u64, ms: i64) -> Finding {
    let seconds = ms.unsigned_abs() as f64 / 1_000.0;
    let way = if ms > 0 { "ahead of" } else { "behind" };
    let what = format!("the clock of node {id} is {seconds:.1} s {way} this machine's");
    let to_do = "synchronise the clocks (NTP, chrony): times shown, alarms and retention go by them, replication does not";
    if ms.unsigned_abs() > CLOCK_BAD_MS { Finding::bad(what, to_do) } else { Finding::doubtful(what, to_do) }
}

/// The problems that the cluster tells, each once, also where only some nodes see them. `judged` are those that
/// are found here from what they rest on.
pub(super) fn problems(cluster: &Value, answers: &BTreeMap<u64, Answer>, judged: &[&str]) -> Vec<Finding> {
    let mut said = BTreeSet::new();
    let mut findings = Vec::new();
    let asked = array(cluster, "problems").map(|problem| (None, problem));
    let others =
        answers.iter().flat_map(|(id, answer)| answer.problems.iter().map(|problem| (Some(*id), problem)));
    for (by, problem) in asked.chain(others) {
        let (code, detail) = (text(problem, "code"), text(problem, "detail"));
        if judged.contains(&code.as_str()) || !said.insert(detail.clone()) {
            continue;
        }
        let by = by.map_or_else(String::new, |id| format!(", as node {id} says"));
        findings.push(Finding::bad(format!("{detail} ({code}){by}"), text(problem, "what_to_do")));
    }
    findings
}

#[cfg(test)]
mod tests;
