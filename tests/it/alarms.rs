//! Alarms, and classes of one's own: `examples/reminder.rs`, an embedder's class served by its own
//! `main`, as a process that is killed too.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::node::Settings;
use crate::harness::{Node, eventually};

/// The example's binary, which cargo builds before it runs the tests.
fn example() -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_stead")).parent().expect("a binary lies in a directory");
    beside.join("examples/reminder")
}

fn start(environment: &[(&str, &str)]) -> Node {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Node::start_with(Settings {
        program: Some(example()),
        environment: environment.collect(),
        ..Settings::default()
    })
}

async fn remind(node: &Node, name: &str, after_ms: u64) {
    let body = json!({"text": "tea", "after_ms": after_ms});
    node.post(&format!("/v1/objects/reminder/{name}/methods/remind"), &body).await.expect(200);
}

async fn delivered(node: &Node, name: &str) -> Option<()> {
    let answer = node.get(&format!("/v1/objects/reminder/{name}/state/delivered")).await;
    assert!(matches!(answer.status, 200 | 404), "{}", answer.text());
    (answer.status == 200).then_some(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_rings_in_a_turn_of_its_own() {
    let node = start(&[]);
    let mut socket = node.socket("/v1/objects/reminder/tea/live").await;
    assert_eq!(socket.json().await["type"], "init");
    let begun = Instant::now();
    remind(&node, "tea", 400).await;
    let set = socket.json().await;
    assert_eq!((&set["method"], &set["version"]), (&json!("remind"), &json!(1)), "{set}");
    let rung = socket.json().await;
    assert_eq!((&rung["method"], &rung["version"]), (&json!("alarm"), &json!(2)), "{rung}");
    assert!(rung["changes"]["delivered"].is_string(), "{rung}");
    assert!(begun.elapsed() >= Duration::from_millis(400), "it rang early: {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_outlives_the_process() {
    let mut node = start(&[]);
    remind(&node, "before", 600).await;
    remind(&node, "while-down", 1).await;
    node.kill9();
    node.start_again();
    eventually("an alarm that was due while the node was down", || delivered(&node, "while-down")).await;
    eventually("an alarm set before the crash", || delivered(&node, "before")).await;
}

/// A cleared alarm does not ring, one set anew rings at its new time only, and an object that has left
/// memory is woken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alarms_are_cleared_and_moved() {
    let node = start(&[("STEAD_TIMING_PASSIVATION_IDLE_MS", "200")]);
    remind(&node, "forgotten", 500).await;
    node.post("/v1/objects/reminder/forgotten/methods/forget", &json!({})).await.expect(200);
    remind(&node, "moved", 500).await;
    remind(&node, "moved", 60_000).await;
    remind(&node, "deleted", 500).await;
    node.delete("/v1/objects/reminder/deleted").await.expect(204);
    remind(&node, "last", 1_000).await;
    eventually("the alarm of a passivated object", || delivered(&node, "last")).await;
    for name in ["forgotten", "moved", "deleted"] {
        assert_eq!(delivered(&node, name).await, None, "{name} rang");
    }
}

/// The class is served by every surface like the built-in ones, and refuses like them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_class_of_ones_own() {
    let node = start(&[]);
    let path = "/v1/objects/reminder/own/methods";
    node.post(&format!("{path}/remind"), &json!({"text": 7})).await.expect_problem(422, "invalid_parameters");
    node.post(&format!("{path}/dance"), &json!({})).await.expect_problem(404, "method_not_found");
    remind(&node, "own", 60_000).await;
    let list = node.get("/v1/objects/reminder?limit=10").await.expect(200).json();
    assert_eq!(list["objects"][0]["name"], "own", "{list}");
    node.post("/v1/objects/counter/own/methods/increment", &json!({})).await.expect(200);
}
