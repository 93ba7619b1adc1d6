//! Three nodes on hosts of their own, whose network breaks: a side without a majority answers nothing, the other
//! goes on, nothing is lost, doubled or read stale.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use crate::harness::{Members, Network, eventually, network, seed, within};
use crate::workload::Workload;

const WRITERS: usize = 9;
const OBJECTS: usize = 24;
/// Requests give up sooner than by default, so that a side that can not answer says so soon.
const IMPATIENT: &str = "[timing]\nrequest_deadline_ms = 2000\n";

/// Increments every object of a kind through a node, all at once, and says how many could not be.
async fn refused_writes(members: &Members, through: usize, name: &str) -> usize {
    let body = json!({});
    let writes = (0..OBJECTS).map(async |object| {
        let path = format!("/v1/objects/counter/{name}-{object}/methods/increment");
        let answer = within("an answer", members.get(through).post(&path, &body)).await;
        match answer.status {
            200 => 0,
            503 | 504 => 1,
            status => panic!("{status} {}", answer.text()),
        }
    });
    join_all(writes).await.into_iter().sum()
}

/// Waits until every object can be written through a node.
async fn all_writable(members: &Members, through: usize, name: &str) {
    eventually("every object to be written", async || {
        (refused_writes(members, through, name).await == 0).then_some(())
    })
    .await;
}

/// Runs writers and readers through all nodes while the network breaks and heals, and then holds them to account.
async fn while_it_breaks(test: &str, breaks: impl AsyncFnOnce(&Members, &Network)) {
    let network = Network::of(3);
    let members = Members::on_hosts(&network, IMPATIENT).await;
    let all = members.addresses(&[1, 2, 3]);
    let workload = Workload::new(test, WRITERS, OBJECTS, seed(test));
    let running = workload.start_through(&all).and_read_through(&all);
    breaks(&members, &network).await;
    network.heal();
    for node in 1..=3 {
        all_writable(&members, node, "healed").await;
    }
    let workload = running.stop().await.settle(members.get(2).address()).await;
    for node in 1..=3 {
        let losses = workload.losses(members.get(node)).await;
        assert!(losses.is_empty(), "through node {node}: {losses:#?}");
    }
    workload.audit(members.get(1)).await;
    members.settled(3).await;
    members.well(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_answers_nothing_and_the_others_go_on() {
    if !network::enter("cuts::a_node_that_is_cut_off_answers_nothing_and_the_others_go_on") {
        return;
    }
    while_it_breaks("cut-off", async |members, network| {
        for victim in [1, 2] {
            network.cut_off(victim);
            let other = victim % 3 + 1;
            all_writable(members, other, "majority").await;
            assert_eq!(refused_writes(members, victim, "minority").await, OBJECTS, "it has no majority");
            let read = within("an answer", members.get(victim).get("/v1/objects/counter/majority-0")).await;
            assert_eq!(read.status, 503, "{}", read.text());
            network.heal();
            all_writable(members, victim, "back").await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_lost_one_way_stop_nobody_for_good() {
    if !network::enter("cuts::packets_lost_one_way_stop_nobody_for_good") {
        return;
    }
    while_it_breaks("one-way", async |members, network| {
        // The others hear of it, it hears nothing; then it hears all, and nobody hears of it.
        for (from, to) in [([2, 3], 1), ([1, 3], 2)] {
            for from in from {
                network.cut_one_way(from, to);
            }
            all_writable(members, from[1], "hears-nothing").await;
            network.heal();
            all_writable(members, to, "hears-again").await;
            for from in from {
                network.cut_one_way(to, from);
            }
            all_writable(members, from[1], "not-heard").await;
            network.heal();
            all_writable(members, to, "heard-again").await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_do_not_reach_each_other_are_served_by_the_third() {
    if !network::enter("cuts::two_that_do_not_reach_each_other_are_served_by_the_third") {
        return;
    }
    while_it_breaks("not-transitive", async |members, network| {
        network.cut(1, 2);
        // Whatever leads where: the third reaches both, so every shard has a leader with a majority.
        all_writable(members, 3, "through-the-third").await;
        // Longer than a lease and an election, so that leaders have come to rest.
        tokio::time::sleep(Duration::from_secs(2)).await;
        all_writable(members, 3, "through-the-third").await;
    })
    .await;
}
