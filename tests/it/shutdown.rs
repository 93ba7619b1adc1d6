//! Ends and beginnings: SIGTERM drains, a directory has one owner, a careless configuration is refused.

use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::harness::node::Settings;
use crate::harness::{Node, eventually, seed};
use crate::workload::Workload;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_closes_with_a_reason() {
    let mut node = Node::start();
    let mut native = node.socket("/v1/objects/object/end/live").await;
    let mut compatible = node.socket("/object/end/websocket").await;
    assert_eq!(native.json().await["type"], "init");
    assert_eq!(compatible.json().await["type"], "init");
    node.put("/v1/objects/object/end", &json!({"a": 1})).await.expect(201);
    let status = node.term();
    assert!(status.success(), "{status}");
    assert_eq!(native.closing().await.0, 1001);
    assert_eq!(compatible.closing().await.0, 1001);
    node.start_again();
    assert_eq!(node.get("/v1/objects/object/end").await.version(), 1);
}

/// Under load: who was answered was served, and the process ends well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_writers_loses_nothing() {
    let seed = seed("shutdown");
    let mut node = Node::start();
    let mut workload = Workload::new("shutdown", 8, 3, seed);
    for _ in 0..3 {
        let running = workload.start(node.address());
        tokio::time::sleep(Duration::from_millis(200)).await; // some load
        let status = node.term();
        assert!(status.success(), "{status}");
        workload = running.ended().await;
        node.start_again();
        let losses = workload.losses(&node).await;
        assert!(losses.is_empty(), "{losses:#?}");
    }
    workload.settle(node.address()).await.audit(&node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_node_goes_on() {
    let node = Node::start();
    node.put("/v1/objects/object/pause", &json!({"a": 1})).await.expect(201);
    node.pause();
    tokio::time::sleep(Duration::from_millis(1_500)).await; // longer than its lease
    node.resume();
    eventually("the node to serve again", || async {
        let answer = node.get("/v1/objects/object/pause").await;
        assert!(matches!(answer.status, 200 | 503), "{}", answer.text());
        (answer.status == 200).then_some(())
    })
    .await;
    assert_eq!(node.put("/v1/objects/object/pause", &json!({"a": 2})).await.expect(200).version(), 2);
}

#[test]
fn a_data_directory_has_one_owner() {
    let node = Node::start();
    let second = Command::new(env!("CARGO_BIN_EXE_stead"))
        .args(["serve", "--listen", "127.0.0.1:0", "--peer-listen", "127.0.0.1:0", "--data"])
        .arg(node.data())
        .output()
        .expect("it can be started");
    assert_eq!(second.status.code(), Some(1), "{}", String::from_utf8_lossy(&second.stderr));
    let said = String::from_utf8_lossy(&second.stderr).to_lowercase();
    assert!(said.contains("lock") || said.contains("in use") || said.contains("another"), "{said}");
}

#[test]
fn an_open_listener_needs_a_word() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = Command::new(env!("CARGO_BIN_EXE_stead"))
        .args(["serve", "--listen", "0.0.0.0:0", "--peer-listen", "127.0.0.1:0", "--data"])
        .arg(directory.path())
        .output()
        .expect("it can be started");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(1 | 2)), "{:?} {said}", output.status);
    assert!(said.contains("--insecure") || said.contains("insecure"), "{said}");
    let insecure = Settings { config: "insecure = true\n".to_owned(), ..Settings::default() };
    assert!(Node::start_with(insecure).url().starts_with("http://127.0.0.1:"));
}
