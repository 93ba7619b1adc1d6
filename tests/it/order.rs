//! Hundreds of writers and subscribers on one object: every subscriber sees every version once and in
//! order, and every caller its update before its reply.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Node, Socket};

const CALLERS: u64 = 150;
const CALLS_EACH: u64 = 6;
const SUBSCRIBERS: u64 = 200;
const COMPATIBLE: u64 = 50;
const LAST: u64 = CALLERS * CALLS_EACH;

const LIVE: &str = "/v1/objects/object/crowd/live";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_on_one_object() {
    let node = Node::start();
    let address = node.address();
    let mut tasks = JoinSet::new();
    for _ in 0..SUBSCRIBERS {
        let socket = Socket::open(address, LIVE).await;
        tasks.spawn(subscriber(socket));
    }
    for _ in 0..COMPATIBLE {
        let socket = Socket::open(address, "/object/crowd/websocket").await;
        tasks.spawn(compatible_subscriber(socket));
    }
    for number in 0..CALLERS {
        if number % 3 == 0 {
            tasks.spawn(compatible_caller(address));
        } else {
            tasks.spawn(caller(address, number));
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no subscriber or caller found a fault");
    }
    let answer = node.get("/v1/objects/object/crowd").await.expect(200);
    assert_eq!((answer.version(), answer.json()["state"]["value"].as_u64()), (LAST, Some(LAST)));
}

/// Sees version 1 to the last, each once.
async fn subscriber(mut socket: Socket) {
    let opening = socket.json().await;
    assert_eq!((opening["type"].as_str(), opening["version"].as_u64()), (Some("init"), Some(0)), "{opening}");
    for version in 1..=LAST {
        let update = socket.json().await;
        assert_eq!(update["version"], version, "{update}");
        assert_eq!(update["changes"]["value"], version, "{update}");
    }
    socket.send(&json!({"type": "ping"})).await;
    assert_eq!(socket.json().await["type"], "pong", "something came after the last version");
}

/// The same in the compatible frames: the values count up.
async fn compatible_subscriber(mut socket: Socket) {
    assert_eq!(socket.json().await["type"], "init");
    for value in 1..=LAST {
        let update = socket.json().await;
        assert_eq!(
            (update["type"].as_str(), &update["value"]),
            (Some("update"), &Value::from(value)),
            "{update}"
        );
    }
    socket.send(&json!({"type": "echo", "id": 1, "data": null})).await;
    assert_eq!(socket.json().await["type"], "echo_response", "something came after the last value");
}

/// Calls, and sees its own update before its reply; what it sees of others is in order too.
async fn caller(address: SocketAddr, number: u64) {
    let mut socket = Socket::open(address, LIVE).await;
    let mut seen = socket.json().await["version"].as_u64().expect("init has a version");
    for call in 0..CALLS_EACH {
        let id = format!("{number}-{call}");
        socket.send(&json!({"type": "call", "id": id, "method": "increment"})).await;
        loop {
            let frame = socket.json().await;
            let version = frame["version"].as_u64().unwrap_or_else(|| panic!("no version: {frame}"));
            if frame["type"] == "update" {
                assert_eq!(version, seen + 1, "{frame}");
                seen = version;
            } else {
                assert_eq!(
                    (&frame["type"], &frame["id"], &frame["ok"]),
                    (&"reply".into(), &id.into(), &true.into())
                );
                assert!(
                    version <= seen,
                    "the reply of version {version} came when only {seen} had been seen"
                );
                assert_eq!(frame["result"]["value"], version, "{frame}");
                break;
            }
        }
    }
    socket.close().await;
}

async fn compatible_caller(address: SocketAddr) {
    let mut socket = Socket::open(address, "/object/crowd/websocket").await;
    let mut seen = socket.json().await["state"]["value"].as_u64().unwrap_or(0);
    for call in 0..CALLS_EACH {
        socket.send(&json!({"type": "method", "id": call, "method": "increment", "params": {}})).await;
        loop {
            let frame = socket.json().await;
            if frame["type"] == "update" {
                let value = frame["value"].as_u64().unwrap_or_else(|| panic!("no value: {frame}"));
                assert_eq!(value, seen + 1, "{frame}");
                seen = value;
            } else {
                assert_eq!((&frame["id"], &frame["success"]), (&call.into(), &true.into()), "{frame}");
                let value = frame["result"]["value"].as_u64().expect("a value");
                assert!(value <= seen, "the response with {value} came when only {seen} had been seen");
                break;
            }
        }
    }
    socket.close().await;
}
