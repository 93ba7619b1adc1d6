//! The whole cluster saved while it is written, and another made from that: nothing acknowledged before is missing.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Members, Node, eventually, seed};
use crate::workload::{Acknowledged, Workload, audit_history, read, retry};

/// Writers and counters of a workload.
const WRITERS: usize = 6;
const OBJECTS: usize = 24;

/// Runs the command line without a server; gives its exit code, output and complaints.
fn stead(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_stead")).args(arguments).output().expect("it can be run");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn shown(path: &Path) -> &str {
    path.to_str().expect("paths of tests are text")
}

/// Saves through a node; gives the snapshot's file.
async fn save(node: &Node, name: &str) -> String {
    let begun = node.post("/v1/snapshots", &json!({ "name": name })).await.expect(202).json();
    let operation = format!("/v1/operations/{}", begun["operation"]);
    let ended = eventually("the snapshot to be saved", async || {
        let operation = node.get(&operation).await.expect(200).json();
        (operation["state"] != "running").then_some(operation)
    });
    let ended = ended.await;
    assert_eq!((&ended["state"], &ended["progress"]), (&json!("done"), &json!(1.0)), "{ended}");
    let listed = node.get("/v1/snapshots").await.expect(200).json();
    let snapshots = listed["snapshots"].as_array().expect("a list");
    let saved = snapshots.iter().find(|snapshot| snapshot["name"] == name).expect("it is listed");
    let file = saved["file"].as_str().expect("a path").to_owned();
    assert!(ended["detail"].as_str().expect("a sentence").contains(&file), "{ended}");
    assert_eq!(saved["bytes"].as_u64(), std::fs::metadata(&file).ok().map(|metadata| metadata.len()));
    file
}

/// Every increment of this account is there, each counter is as its history says, and a retry has no effect.
async fn check(node: &Node, workload: &Workload, account: &[Acknowledged]) {
    for object in 0..OBJECTS {
        let path = workload.path(object);
        let of_object = || account.iter().filter(|one| one.object == object);
        let newest = of_object().map(|one| one.version).max().unwrap_or(0);
        let (version, value) = read(node, &path).await;
        assert!(version >= newest, "{path}: version {version}, acknowledged before was {newest}");
        assert_eq!(value, i64::try_from(version).expect("it fits"), "{path}");
        audit_history(node, &path, version).await;
        for one in of_object().step_by(5) {
            let again = retry(node, &path, &one.key).await;
            assert_eq!(again.version(), one.version, "{path}: a retry was not given the first answer");
        }
        assert_eq!(read(node, &path).await.0, version, "{path}: a retry took effect again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_saved_under_writes_and_restored_into_one_that_grows() {
    let mut members = Members::three().await;
    let addresses = members.addresses(&[1, 2, 3]);
    let workload = Workload::new("saved", WRITERS, OBJECTS, seed("saved_under_writes"));
    let running = workload.start_through(&addresses);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let workload = running.stop().await;
    let before: Vec<Acknowledged> = workload.acknowledged().cloned().collect();
    assert!(before.len() > OBJECTS, "there is something to save");
    let (kept, value) = ("/v1/objects/object/kept/state/k", json!({ "a": [1, "ä"] }));
    let body = json!({ "value": value }).to_string();
    let head = [("Content-Type", "application/json")];
    members.get(2).request("PUT", kept, &head, body.as_bytes()).await.expect(200);

    let running = workload.start_through(&addresses);
    let first = save(members.get(1), "under-writes").await;
    // Not only the node that leads the map, or holds a replica first, can save.
    let second = save(members.get(3), "under-writes").await;
    let workload = running.stop().await;
    assert_ne!(first, second, "each node has its own");
    for number in 1..=3 {
        members.get_mut(number).kill9();
    }

    for file in [&first, &second] {
        let (code, inspected, problem) = stead(&["-o", "json", "snapshot", "inspect", file]);
        assert_eq!(code, Some(0), "{problem}");
        let inspected: Value = serde_json::from_str(&inspected).expect("it is JSON");
        assert_eq!(inspected["shards"].as_array().map(Vec::len), Some(12));
    }
    let mut new = Members::found_on(Vec::new(), |data| {
        let (code, said, problem) = stead(&["snapshot", "restore", &second, "--data", shown(data)]);
        assert_eq!(code, Some(0), "{problem}");
        assert!(said.contains(&format!("stead serve --data {}", data.display())), "{said}");
    });
    check(new.get(1), &workload, &before).await;
    assert_eq!(new.get(1).get(kept).await.expect(200).json()["value"], value);

    new.join().await;
    new.join().await;
    new.settled(3).await;
    new.get_mut(1).kill9();
    for number in 2..=3 {
        eventually("a leader for every shard", async || {
            let ready = new.get(number).get("/ready").await;
            (ready.status == 200).then_some(())
        })
        .await;
        check(new.get(number), &workload, &before).await;
    }
    let path = format!("{}/methods/increment", workload.path(0));
    let after = new.get(2).post(&path, &json!({})).await.expect(200);
    assert_eq!(read(new.get(3), &workload.path(0)).await.0, after.version());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_do_is_refused_with_the_reason() {
    let elsewhere = tempfile::tempdir().expect("a directory");
    let kept = elsewhere.path().join("kept");
    let mut node = Node::configured(&format!("snapshots_dir = {:?}\n", shown(&kept)));
    let listed = node.get("/v1/snapshots").await.expect(200).json();
    assert_eq!(listed, json!({ "directory": shown(&kept), "snapshots": [] }));
    for number in 0..50 {
        let path = format!("/v1/objects/counter/c{number}/methods/increment");
        node.post(&path, &json!({})).await.expect(200);
    }
    let file = save(&node, "one").await;
    assert_eq!(Path::new(&file), kept.join("one.snapshot"));
    node.post("/v1/snapshots", &json!({ "name": "one" })).await.expect_problem(409, "conflict");
    for name in [json!("../one"), json!("One"), json!(""), json!(7), Value::Null] {
        let refused = node.post("/v1/snapshots", &json!({ "name": name })).await;
        refused.expect_problem(400, "invalid_request");
    }
    // Without a name there is one all the same.
    node.request("POST", "/v1/snapshots", &[], b"").await.expect(202);
    eventually("another snapshot", async || {
        let listed = node.get("/v1/snapshots").await.expect(200).json();
        (listed["snapshots"].as_array().expect("a list").len() == 2).then_some(())
    })
    .await;
    let metrics = node.get("/metrics").await.expect(200).text();
    assert!(metrics.contains("stead_snapshots_saved_total 2"), "{metrics}");

    let mut bytes = std::fs::read(&file).expect("it is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let damaged = elsewhere.path().join("damaged.snapshot");
    std::fs::write(&damaged, bytes).expect("it is written");
    let (code, _, problem) = stead(&["snapshot", "inspect", shown(&damaged)]);
    assert!(code == Some(1) && problem.contains("it is damaged at byte"), "{code:?} {problem}");
    let new = elsewhere.path().join("new");
    let (code, _, problem) = stead(&["snapshot", "restore", shown(&damaged), "--data", shown(&new)]);
    assert!(code == Some(1) && problem.contains("it is damaged at byte"), "{code:?} {problem}");
    assert!(!new.exists(), "nothing is left that could be started");
    let (code, _, problem) = stead(&["snapshot", "restore", &file, "--data", shown(&node.data())]);
    assert!(code == Some(1) && problem.contains("is not empty"), "{code:?} {problem}");
    let (code, _, problem) = stead(&["snapshot", "inspect", shown(&new)]);
    assert_eq!(code, Some(3), "{problem}");

    // Started with another number of shards it says which.
    let (code, _, problem) = stead(&["snapshot", "restore", &file, "--data", shown(&new)]);
    assert_eq!(code, Some(0), "{problem}");
    node.set_environment(vec![
        ("STEAD_DATA".to_owned(), shown(&new).to_owned()),
        ("STEAD_SHARDS".to_owned(), "5".to_owned()),
    ]);
    node.kill9();
    let refused = node.try_start().expect_err("it has 12 shards");
    assert!(refused.contains("was made with 12 shards"), "{refused}");
}
