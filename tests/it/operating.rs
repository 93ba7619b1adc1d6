//! What an operator is told of a cluster in which something is wrong, and what is refused to him.

use serde_json::Value;

use crate::console::Shell;
use crate::harness::{Members, Node, eventually};

/// Runs a command against a node; what it said and its exit code.
async fn run(node: &Node, command: &str) -> (String, i32) {
    let (url, home, command) = (node.url(), node.home().to_owned(), command.to_owned());
    let running = tokio::task::spawn_blocking(move || {
        let environment = vec![("STEAD_URL", url), ("COLUMNS", "160".to_owned())];
        Shell { directory: &home, environment }.run(&command)
    });
    running.await.expect("the command ends")
}

/// Each line that is not told, of those that have to be.
fn check(said: &str, needed: &[&str]) {
    for part in needed {
        assert!(said.contains(part), "nobody said `{part}`:\n{said}");
    }
}

/// The detail of each problem of a kind that a node tells.
async fn problems(node: &Node, code: &str) -> Vec<String> {
    let cluster = node.get("/v1/cluster").await.expect(200).json();
    let problems = cluster["problems"].as_array().expect("a list").clone();
    let of_kind = problems.iter().filter(|problem| problem["code"] == code);
    of_kind.map(|problem| problem["detail"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_and_status_tell_of_a_dead_node_and_what_would_lose_a_quorum_is_refused() {
    let mut members = Members::three().await;
    members.well(1).await;
    let (said, code) = run(members.get(1), "stead doctor").await;
    assert_eq!(code, 0, "{said}");
    let wells = ["ok    node 1 at 127.0.0.1:", "ok    node 2 at 127.0.0.1:", "ok    node 3 at 127.0.0.1:"];
    check(&said, &wells);
    check(
        &said,
        &[
            "free on its disk",
            "ok    all nodes are version ",
            "ok    the clocks of the nodes and of this machine agree",
            "ok    every shard has a leader, all its replicas, and one to spare",
        ],
    );
    members.get_mut(3).kill9();
    let dead = [
        "bad   node 3 at 127.0.0.1:",
        "does not answer: Connection refused",
        "all 12 shards: the loss of one more node would stop service",
        "start node 3 again",
    ];
    eventually("the doctor to find the dead node", async || {
        let (said, code) = run(members.get(1), "stead doctor").await;
        (code == 1 && dead.iter().all(|part| said.contains(part))).then_some(())
    })
    .await;
    refusals(&members).await;
    let (said, code) = run(members.get(1), "stead status").await;
    assert_eq!(code, 1, "{said}");
    check(
        &said,
        &[
            "note: node 2 is draining, it leads nothing",
            "problem: node 3 at 127.0.0.1:",
            "to do: start it again",
        ],
    );
    let (said, _) = run(members.get(1), "stead node undrain 2").await;
    check(&said, &["done: undrain node 2"]);
    members.get_mut(3).start_again();
    members.settled(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_lost_its_majority_does_not_say_that_it_leads() {
    let mut members = Members::three().await;
    members.well(1).await;
    members.get_mut(2).kill9();
    members.get_mut(3).kill9();
    eventually("node 1 to name no leader", async || {
        let shards = members.shards(1).await;
        shards.iter().all(|shard| shard["leader"].is_null()).then_some(())
    })
    .await;
    let (said, code) = run(members.get(1), "stead status").await;
    assert_eq!(code, 4, "{said}");
    check(&said, &["problem: 12 of 12 shards have no leader", "the cluster is unavailable"]);
    members.get_mut(2).start_again();
    members.get_mut(3).start_again();
    members.settled(3).await;
}

/// With node 3 dead: what of the others can not be spared is not given up.
async fn refusals(members: &Members) {
    let (said, code) = run(members.get(1), "stead node remove 2 --yes --allow-fewer").await;
    assert_eq!(code, 1, "{said}");
    check(
        &said,
        &[
            "shard 0 would be left without a majority",
            "node 3 can not be reached; start it first, or remove that node instead",
        ],
    );
    let (said, code) = run(members.get(1), "stead node remove 2 --allow-fewer").await;
    assert_eq!(code, 2, "it asks, and here is nobody to answer: {said}");
    let (said, code) = run(members.get(1), "stead shard transfer 0 --to 3").await;
    assert_eq!(code, 1, "{said}");
    check(&said, &["node 3 can not be reached; start it first"]);
    let (said, code) = run(members.get(1), "stead shard move 0 --from 1 --to 3").await;
    assert_eq!(code, 1, "{said}");
    check(&said, &["node 3 can not be reached; start it first"]);
    let (said, code) = run(members.get(1), "stead node drain 2").await;
    assert_eq!(code, 0, "{said}");
    let (said, code) = run(members.get(1), "stead node drain 1").await;
    assert_eq!(code, 1, "{said}");
    check(&said, &["nobody could lead in its stead"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_secret_is_told_by_both_sides() {
    let mut members = Members::three().await;
    // Where the others know it: who is refused can tell them of no other port.
    let listen = ("STEAD_LISTEN".to_owned(), members.get(3).address().to_string());
    // It ends well, and so has written what it learnt of the others.
    assert!(members.get_mut(3).term().success());
    let environment = members.get(3).environment();
    let wrong = environment.iter().filter(|(name, _)| name != "STEAD_JOIN").map(|(name, value)| {
        let value = if name == "STEAD_JOIN_SECRET" { "quite another secret" } else { value };
        (name.clone(), value.to_owned())
    });
    members.get_mut(3).set_environment(wrong.chain([listen]).collect());
    members.get_mut(3).try_listen().expect("it starts, and finds nobody who takes it");
    for (asked, told) in [
        (1, "node 1: no link with node 3"),
        (2, "node 2: no link with node 3"),
        (1, "node 2: no link with node 3"),
        (3, "node 3: no link with node 1"),
    ] {
        eventually("both sides to tell of the refusal", async || {
            let told_of = problems(members.get(asked), "peer_refused").await;
            told_of.iter().any(|detail| detail.contains(told) && detail.contains("join secret")).then_some(())
        })
        .await;
    }
    let (said, code) = run(members.get(1), "stead doctor").await;
    assert_eq!(code, 1, "{said}");
    check(
        &said,
        &[
            "node 3 answers here, but the node asked has no link with it",
            "(peer_refused)",
            ", as node 3 says",
            "same join secret",
        ],
    );
    members.get_mut(3).kill9();
    eventually("the refusal to be forgotten with who refused", async || {
        problems(members.get(1), "peer_refused").await.is_empty().then_some(())
    })
    .await;
    members.get_mut(3).set_environment(environment);
    members.get_mut(3).start_again();
    members.settled(3).await;
    members.well(1).await;
    let metrics = members.get(1).get("/metrics").await.expect(200).text();
    assert!(metrics.lines().any(|line| line == "stead_peer_refused{node=\"3\"} 0"), "{metrics}");
    let health: Value = members.get(2).get("/health").await.expect(200).json();
    assert!(
        health["checks"]["disk"]["free_bytes"].as_u64() <= health["checks"]["disk"]["size_bytes"].as_u64()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_says_whose_it_is_and_that_it_was_removed() {
    let mut members = Members::three().await;
    let offline = async |members: &Members, number: usize| {
        let directory = members.get(number).data();
        let (home, command) = (directory.clone(), format!("stead doctor --offline {}", directory.display()));
        let shell = move || Shell { directory: &home, environment: Vec::new() }.run(&command);
        tokio::task::spawn_blocking(shell).await.expect("it ends")
    };
    let (said, code) = offline(&members, 3).await;
    assert_eq!(code, 0, "{said}");
    check(&said, &["a process uses the data"]);
    assert!(!said.contains("it is node 3"), "a database in use is not opened: {said}");
    members.get_mut(3).kill9();
    let before = listing(&members.get(3).data());
    let (said, code) = offline(&members, 3).await;
    assert_eq!(code, 0, "{said}");
    check(
        &said,
        &[
            "ok    no process uses the data",
            "ok    it is node 3 of the cluster ",
            "of 12 shards, opened once",
            "no join secret was made here",
        ],
    );
    assert_eq!(listing(&members.get(3).data()), before, "it changed what it looked at");
    members.get_mut(3).start_again();
    members.settled(3).await;
    // It hears of its own removal while it runs.
    let (said, code) = run(members.get(1), "stead node remove 3 --yes --allow-fewer").await;
    assert_eq!(code, 0, "{said}");
    eventually("node 3 to hear of its removal", async || {
        let nodes = members.get(3).get("/v1/nodes").await.expect(200).json();
        (nodes["nodes"][2]["state"] == "removed").then_some(())
    })
    .await;
    members.get_mut(3).term();
    let (said, code) = offline(&members, 3).await;
    assert_eq!(code, 1, "{said}");
    check(&said, &["bad   this was node 3 of the cluster ", "start the node with an empty directory"]);
}

/// Files below a directory, with their sizes and times of change.
fn listing(directory: &std::path::Path) -> Vec<(std::path::PathBuf, u64, std::time::SystemTime)> {
    let mut found = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(next) = left.pop() {
        for entry in std::fs::read_dir(next).expect("it can be read").flatten() {
            let metadata = entry.metadata().expect("it can be looked at");
            if metadata.is_dir() {
                left.push(entry.path());
            } else {
                found.push((
                    entry.path(),
                    metadata.len(),
                    metadata.modified().expect("the file system knows"),
                ));
            }
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_lost_its_majority_can_not_be_removed_from() {
    let mut members = Members::found();
    members.join().await;
    members.settled(2).await;
    members.get_mut(2).kill9();
    eventually("it to be missed", async || {
        let nodes = members.get(1).get("/v1/nodes").await.expect(200).json();
        (nodes["nodes"][1]["reachable"] == false).then_some(())
    })
    .await;
    let refused = members.get(1).delete("/v1/nodes/2?allow_fewer=true").await;
    let detail = refused.expect_problem(409, "conflict").text();
    assert!(detail.contains("has lost its majority") && detail.contains("start node 2 first"), "{detail}");
    members.get_mut(2).start_again();
    members.settled(2).await;
    members
        .get(1)
        .post("/v1/objects/counter/after/methods/increment", &serde_json::json!({}))
        .await
        .expect(200);
}
