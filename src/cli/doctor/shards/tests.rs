//! Cases of clusters, and what is found wrong with them.

use serde_json::{Value, json};

use super::super::show;
use super::judge;

fn node(id: u64, zone: Option<&str>, state: &str, is_reachable: bool, leaders: u64) -> Value {
    json!({"id": id, "zone": zone, "state": state, "reachable": is_reachable, "leaders": leaders})
}

/// A shard with its voters and how far each is behind.
fn shard(id: u64, leader: Option<u64>, voters: &[(u64, u64)]) -> Value {
    let replicas: Vec<Value> =
        voters.iter().map(|(node, lag)| json!({"node": node, "role": "voter", "lag": lag})).collect();
    json!({"id": id, "leader": leader, "replicas": replicas})
}

fn check(nodes: &[Value], shards: &[Value], expected: &expect_test::Expect) {
    let cluster = json!({"replication_factor": 3});
    let found = judge(&cluster, &json!({ "nodes": nodes }), &json!({ "shards": shards }));
    expected.assert_eq(&show(&found));
}

const EVEN: [(u64, u64); 3] = [(1, 0), (2, 0), (3, 0)];

fn up(id: u64) -> Value {
    node(id, None, "up", true, 1)
}

fn dead(id: u64) -> Value {
    node(id, None, "up", false, 0)
}

#[test]
fn all_is_well() {
    let shards = [shard(0, Some(1), &EVEN), shard(1, Some(2), &EVEN)];
    check(
        &[up(1), up(2), up(3)],
        &shards,
        &expect_test::expect![[r"
        ok    every shard has a leader, all its replicas, and one to spare"]],
    );
}

#[test]
fn one_of_three_is_dead() {
    let shards = [shard(0, Some(1), &EVEN), shard(1, Some(2), &EVEN)];
    check(
        &[up(1), up(2), dead(3)],
        &shards,
        &expect_test::expect![[r"
        look  all 2 shards: the loss of one more node would stop service
              to do: start node 3 again, or `stead node remove` what is gone for good, with a node to spare"]],
    );
}

#[test]
fn two_of_three_are_dead() {
    // The one that is left remembers who led shard 0.
    let shards = [shard(0, Some(1), &EVEN), shard(1, None, &EVEN)];
    check(
        &[up(1), dead(2), dead(3)],
        &shards,
        &expect_test::expect![[r"
        bad   all 2 shards: the majority of the replicas is lost, nothing is served
              to do: start nodes 2, 3 again with the data directories they had"]],
    );
}

#[test]
fn a_shard_elects() {
    let shards = [shard(0, Some(1), &EVEN), shard(1, None, &EVEN), shard(2, Some(1), &EVEN)];
    check(
        &[up(1), up(2), up(3)],
        &shards,
        &expect_test::expect![[r"
        bad   shard 1: no leader
              to do: wait for an election, a second or two; if it lasts, see the logs of the nodes that hold it"]],
    );
}

#[test]
fn two_nodes_hold_two_copies() {
    let shards = [shard(0, Some(1), &[(1, 0), (2, 0)])];
    check(
        &[up(1), up(2)],
        &shards,
        &expect_test::expect![[r"
        look  shard 0: the loss of one more node would stop service
              to do: add a node, so that each has three replicas
        look  shard 0: fewer than 3 replicas
              to do: add 1 node with `stead serve --join`"]],
    );
}

#[test]
fn a_replica_is_behind_and_a_draining_node_leads() {
    let shards = [shard(4, Some(1), &[(1, 9_999), (2, 1_000), (3, 2_000)])];
    let nodes = [node(1, None, "draining", true, 1), up(2), up(3), node(4, None, "removed", false, 0)];
    check(
        &nodes,
        &shards,
        &expect_test::expect![[r"
        look  replicas are behind: node 3 by 2000 entries (shard 4)
              to do: look again: the number should fall; if it does not, see the disk and the network of that node
        look  node 1 drains, and still leads 1 shard
              to do: wait; if it lasts, the other replicas are down or behind: bring them up first"]],
    );
}

#[test]
fn replicas_stand_in_one_zone() {
    let nodes = [
        node(1, Some("a"), "up", true, 1),
        node(2, Some("a"), "up", true, 1),
        node(3, Some("a"), "up", true, 1),
        node(4, Some("b"), "up", true, 1),
        node(5, None, "up", true, 1),
    ];
    let shards = [
        shard(0, Some(1), &EVEN),
        shard(1, Some(4), &[(1, 0), (2, 0), (4, 0)]),
        shard(2, Some(5), &[(5, 0), (1, 0), (4, 0)]),
    ];
    check(
        &nodes,
        &shards,
        &expect_test::expect![[r"
        look  node 5 is in no zone, while others are
              to do: start every node with --zone, or none
        look  shard 0: all replicas in one zone, of 2
              to do: `stead shard rebalance --dry-run` shows what would spread them"]],
    );
}

#[test]
fn many_shards_are_counted() {
    let shards: Vec<Value> = (0..20).map(|id| shard(id, (id == 0).then_some(1), &EVEN)).collect();
    check(
        &[up(1), up(2), up(3)],
        &shards,
        &expect_test::expect![[r"
        bad   shards 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 7 more: no leader
              to do: wait for an election, a second or two; if it lasts, see the logs of the nodes that hold it"]],
    );
}
