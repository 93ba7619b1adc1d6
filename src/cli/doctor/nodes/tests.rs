//! Cases of what nodes answer, and what is found wrong with them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::show;
use super::{Answer, judge, problems};
use crate::object::Timestamp;

/// When the nodes are asked: some moment.
const NOW_MS: u64 = 1_795_227_096_224;
/// How long each takes to answer.
const TOOK_MS: u64 = 40;
const GIB: u64 = 1024 * 1024 * 1024;

fn node(id: u64, is_reachable: bool) -> Value {
    json!({"id": id, "address": format!("10.0.0.{id}:8080"), "peer_address": format!("10.0.0.{id}:9080"),
        "state": "up", "reachable": is_reachable, "version": "0.1.0"})
}

/// A healthy answer of a node whose clock is so far ahead.
fn answer(ahead_ms: i64) -> Answer {
    let told = NOW_MS.saturating_add(TOOK_MS / 2).saturating_add_signed(ahead_ms);
    let health = json!({"timestamp": Timestamp(told).to_string(), "version": "0.1.0", "checks": {
        "storage": {"status": "ok"}, "disk": {"status": "ok", "free_bytes": 30 * GIB, "size_bytes": 100 * GIB}}});
    Answer { health: Ok(health), problems: Vec::new(), asked_ms: (NOW_MS, NOW_MS + TOOK_MS) }
}

fn silent() -> Answer {
    Answer { health: Err("connection refused".to_owned()), ..answer(0) }
}

fn check(nodes: &[Value], answers: Vec<Answer>, expected: &expect_test::Expect) {
    let answers: BTreeMap<u64, Answer> = (1..).zip(answers).collect();
    expected.assert_eq(&show(&judge(&json!({ "nodes": nodes }), &answers)));
}

#[test]
fn all_are_well() {
    check(
        &[node(1, true), node(2, true)],
        vec![answer(0), answer(-900)],
        &expect_test::expect![[r"
        ok    node 1 at 10.0.0.1:8080 is well, 30.0 GiB are free on its disk
        ok    node 2 at 10.0.0.2:8080 is well, 30.0 GiB are free on its disk
        ok    all nodes are version 0.1.0
        ok    the clocks of the nodes and of this machine agree within a second"]],
    );
}

#[test]
fn some_are_silent() {
    let mut nowhere = node(3, true);
    nowhere["address"] = json!("0.0.0.0:8080");
    let nodes = [node(1, false), node(2, true), nowhere];
    check(
        &nodes,
        vec![silent(), silent(), silent()],
        &expect_test::expect![[r"
        bad   node 1 at 10.0.0.1:8080 does not answer: connection refused
              to do: start it again, or mend its network; if it is gone for good, `stead node remove 1` gives its replicas to others
        look  node 2 at 10.0.0.2:8080 does not answer this machine, but the node asked has a link with it: connection refused
              to do: run this where the nodes' addresses can be reached; if this is such a machine, see the node's log
        look  node 3 tells clients to come to 0.0.0.0:8080, which is nowhere
              to do: start it with --advertise HOST, the name or address under which others reach it
        ok    all nodes are version 0.1.0"]],
    );
}

#[test]
fn clocks_are_apart() {
    let clocks = vec![answer(1_500), answer(-12_345), answer(1_020), answer(10_020)];
    check(
        &[],
        clocks,
        &expect_test::expect![[r"
        look  the clock of node 1 is 1.5 s ahead of this machine's
              to do: synchronise the clocks (NTP, chrony): times shown, alarms and retention go by them, replication does not
        bad   the clock of node 2 is 12.3 s behind this machine's
              to do: synchronise the clocks (NTP, chrony): times shown, alarms and retention go by them, replication does not
        look  the clock of node 4 is 10.0 s ahead of this machine's
              to do: synchronise the clocks (NTP, chrony): times shown, alarms and retention go by them, replication does not"]],
    );
}

#[test]
fn versions_differ_and_disks_fill() {
    let (mut newer, mut full) = (answer(0), answer(0));
    if let Ok(health) = &mut newer.health {
        health["version"] = json!("0.2.0");
        health["checks"]["disk"]["free_bytes"] = json!(9 * GIB);
    }
    if let Ok(health) = &mut full.health {
        health["checks"]["disk"] = json!({"status": "failed", "detail": "12 MiB are free"});
    }
    let nodes = [node(1, true), node(2, true), node(3, false)];
    check(
        &nodes,
        vec![answer(0), newer, full],
        &expect_test::expect![[r"
        ok    node 1 at 10.0.0.1:8080 is well, 30.0 GiB are free on its disk
        look  node 2: 9.0 GiB of 100.0 GiB are free on its disk
              to do: make room, or move its data directory to a larger disk before it is full
        bad   node 3: disk is not well: 12 MiB are free
              to do: make room on the disk of the data directory, or move it to a larger one
        bad   node 3 answers here, but the node asked has no link with it at 10.0.0.3:9080
              to do: see the problems it names below, the log of both nodes, and whether they reach each other's peer port
        look  the nodes are of several versions: 0.1.0 on 1, 3; 0.2.0 on 2
              to do: finish the rolling upgrade: one node after the other, waiting for /ready in between
        ok    the clocks of the nodes and of this machine agree within a second"]],
    );
}

#[test]
fn each_problem_is_told_once_and_those_of_one_side_too() {
    let problem = |code: &str, detail: &str| json!({"code": code, "detail": detail, "what_to_do": "mend it"});
    let cluster = json!({"problems": [problem("peer_refused", "node 1: no link with node 3"), problem("node_unreachable", "node 3")]});
    let mut refused = answer(0);
    refused.problems =
        vec![problem("peer_refused", "node 3: no link with node 1"), problem("node_unreachable", "node 1")];
    let mut same = answer(0);
    same.problems = vec![problem("peer_refused", "node 1: no link with node 3")];
    let answers = BTreeMap::from([(2, same), (3, refused)]);
    expect_test::expect![[r"
        bad   node 1: no link with node 3 (peer_refused)
              to do: mend it
        bad   node 3: no link with node 1 (peer_refused), as node 3 says
              to do: mend it"]]
    .assert_eq(&show(&problems(&cluster, &answers, &["node_unreachable"])));
}
