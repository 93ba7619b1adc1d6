//! What transcripts cannot show of sockets: readers that do not read, pings, frames that are none,
//! limits, long histories, pipelining. The frames themselves are in `tests/golden/2*.txt`.

use serde_json::{Value, json};

use crate::harness::{Connection, Frame, Node, Socket, http, within};

const LIVE: &str = "/v1/objects/object/socket/live";
const COMPATIBLE: &str = "/object/socket/websocket";

/// A text frame as a client sends it, masked with zeros.
fn frame(payload: &[u8], declared: u64) -> Vec<u8> {
    let mut bytes = vec![0x81, 0x80 | 127];
    bytes.extend(declared.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_does_not_read_is_told_to_come_back() {
    let node = Node::start();
    let mut slow = Socket::open_narrow(node.address(), LIVE).await;
    let mut fast = node.socket(LIVE).await;
    assert_eq!(fast.json().await["type"], "init");
    let value = "x".repeat(100_000);
    let writes = 200_u64;
    for version in 1..=writes {
        node.put("/v1/objects/object/socket/state/value", &json!({"value": value})).await.expect(200);
        assert_eq!(fast.json().await["version"], version, "a slow reader held up a fast one");
    }
    let mut seen = 0;
    let (code, reason) = loop {
        match slow.next().await {
            Frame::Text(text) => {
                let frame: Value = serde_json::from_str(&text).expect("frames are JSON");
                if frame["type"] == "update" {
                    assert_eq!(frame["version"], seen + 1, "a version is missing before the end");
                    seen += 1;
                }
            }
            Frame::Closed(code, reason) => break (code, reason),
            other => panic!("{other:?} after version {seen}"),
        }
    };
    assert_eq!(code, 4508, "{reason}");
    assert!(seen < writes, "everything was sent: the reader was not slow");
    let version: u64 = reason
        .split(|c: char| !c.is_ascii_digit())
        .find_map(|word| word.parse().ok())
        .unwrap_or_else(|| panic!("no version in the reason {reason:?}"));
    assert!(version <= seen, "told version {version}, was sent {seen}: the rest would be missed");
    let mut again = node.socket(&format!("{LIVE}?since={version}")).await;
    let opening = again.json().await;
    assert_eq!(opening["version"], writes, "{}", opening["type"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_sockets_are_closed_and_others_kept() {
    let node = Node::configured("[timing]\nping_interval_ms = 300\n");
    for path in [LIVE, COMPATIBLE] {
        let mut silent = Connection::open(node.address()).await.expect("the server accepts");
        let upgrade = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        silent.request("GET", path, &upgrade, b"").await.expect("an answer").expect(101);
        within("the end of a silent socket", async { while !silent.closed().await {} }).await;
    }
    let mut kept = node.socket(LIVE).await;
    let mut pings = 0;
    while pings < 5 {
        match kept.frame().await {
            Frame::Ping => pings += 1,
            Frame::Text(_) => {}
            other => panic!("a socket that answers pings was closed: {other:?}"),
        }
    }
    kept.send(&json!({"type": "ping"})).await;
    assert_eq!(kept.json().await["type"], "pong");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_are_none() {
    let node = Node::start();
    for path in [LIVE, COMPATIBLE] {
        let mut socket = node.socket(path).await;
        let bytes = b"{\"type\":\"\xff\"}";
        socket.send_raw(&frame(bytes, bytes.len() as u64)).await.expect("it is sent");
        assert_eq!(socket.closing().await.0, 1007, "{path}: not UTF-8");

        let mut socket = node.socket(path).await;
        socket.send_raw(&frame(b"{", 4 * 1024 * 1024 + 1)).await.expect("it is sent");
        assert_eq!(socket.closing().await.0, 1009, "{path}: too large");

        let mut socket = node.socket(path).await;
        socket.send_text(&"[".repeat(100_000)).await;
        let answer = loop {
            let answer = socket.json().await;
            if answer["type"] != "init" {
                break answer;
            }
        };
        assert_eq!(answer["type"], "error", "{path}: too deep is an error, and the socket stays");
    }
    let mut socket = node.socket(COMPATIBLE).await;
    socket.json().await;
    let data = "x".repeat(4 * 1024 * 1024 - 100);
    socket.send(&json!({"type": "echo", "id": 1, "data": data})).await;
    assert_eq!(socket.json().await["data"], data, "a frame just below the limit is served");
    node.get("/v1/objects/object/socket").await.expect_problem(404, "object_not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_such_class_and_too_many_sockets() {
    let node = Node::configured("[limits]\nsockets = 3\n");
    let mut wrong = node.socket("/v1/objects/nothing/x/live").await;
    assert_eq!(wrong.closing().await.0, 4404);
    let mut first = node.socket(LIVE).await;
    let second = node.socket(LIVE).await;
    let third = node.socket(COMPATIBLE).await;
    for path in [LIVE, COMPATIBLE] {
        let mut fourth = node.socket(path).await;
        assert_eq!(fourth.closing().await.0, 4529, "{path}");
    }
    assert_eq!(first.json().await["type"], "init");
    second.close().await;
    third.close().await;
    crate::harness::eventually("room for another socket", || async {
        let mut socket = node.socket(LIVE).await;
        matches!(socket.next().await, Frame::Text(_)).then_some(())
    })
    .await;
}

/// 300 versions: from 100 on is history, from 1 on is not any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_reaches_back_so_far() {
    let mut node = Node::start();
    let mut connection = node.connect().await;
    for _ in 0..300 {
        let path = "/v1/objects/object/socket/methods/increment";
        connection.request("POST", path, &[], b"").await.expect("an answer").expect(200);
    }
    for _ in 0..2 {
        let mut old = node.socket(&format!("{LIVE}?since=1")).await;
        let init = old.json().await;
        assert_eq!(
            (&init["type"], &init["version"], &init["state"]["value"]),
            (&json!("init"), &json!(300), &json!(300))
        );
        let mut recent = node.socket(&format!("{LIVE}?since=100")).await;
        assert_eq!(recent.json().await["type"], "resumed");
        for version in 101..=300 {
            assert_eq!(recent.json().await["version"], version);
        }
        let updates =
            node.get("/v1/objects/object/socket/updates?since=1&limit=1000").await.expect(200).json();
        assert_eq!(updates["complete"], false);
        assert_eq!(updates["updates"].as_array().map(Vec::len), Some(256));
        node.restart();
    }
}

/// 200 calls at once on one socket: replies in their order, each after its update.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_pipelined() {
    let node = Node::start();
    let mut socket = node.socket(LIVE).await;
    socket.json().await;
    for id in 1..=200 {
        socket.send(&json!({"type": "call", "id": id, "method": "increment"})).await;
    }
    let (mut seen, mut replied) = (0, 0);
    while replied < 200 {
        let frame = socket.json().await;
        if frame["type"] == "update" {
            seen += 1;
            assert_eq!(frame["version"], seen);
        } else {
            replied += 1;
            assert_eq!((&frame["id"], &frame["version"]), (&json!(replied), &json!(replied)), "{frame}");
            assert!(seen >= replied, "reply {replied} came before its update");
        }
    }
}

/// A browser's EventSource comes back with `Last-Event-ID`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_resumed() {
    let node = Node::start();
    for value in 1..=3 {
        node.put("/v1/objects/object/socket/state/value", &json!({"value": value})).await.expect(200);
    }
    let mut connection = node.connect().await;
    let headers = [("Accept", "text/event-stream"), ("Last-Event-ID", "1")];
    let request = http::encode("GET", LIVE, &node.address().to_string(), &headers, b"");
    connection.send(&request).await.expect("it is sent");
    let head = connection.head().await.expect("an answer").expect(200);
    assert!(
        head.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")),
        "{head:?}"
    );
    let mut text = String::new();
    while !text.contains("{\"value\":3}") {
        let chunk = connection.chunk().await.expect("the stream goes on").expect("and does not end");
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(text.contains("event: resumed") || text.contains("event:resumed"), "{text}");
    assert!(text.contains("\"version\":2"), "{text}");
}

/// Subscriptions keep nobody awake: an object leaves memory, and its subscribers still hear of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_of_a_passivated_object() {
    let node = Node::configured("[timing]\npassivation_idle_ms = 300\n");
    let mut native = node.socket(LIVE).await;
    let mut compatible = node.socket(COMPATIBLE).await;
    native.json().await;
    compatible.json().await;
    for version in 1..=3 {
        node.put("/v1/objects/object/socket/state/value", &json!({"value": version})).await.expect(200);
        assert_eq!(native.json().await["version"], version);
        assert_eq!(compatible.json().await["value"], version);
        crate::harness::eventually("the object to leave memory", || async {
            let metrics = node.get("/metrics").await.expect(200).text();
            metrics.lines().any(|line| line == "stead_active_objects 0").then_some(())
        })
        .await;
    }
}
