//! Bad input: each a precise error, nothing changed, no panic, no leak; and the neighbours are served.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use crate::harness::{Answer, Connection, Node, eventually, seed};

const MIB: usize = 1024 * 1024;
const VICTIM: &str = "/v1/objects/object/victim";

/// What may be answered: status and code.
type Expected = (u16, &'static str);
const BAD: Expected = (400, "invalid_request");

/// A node with an object that nothing here may change.
async fn node_with_victim(config: &str) -> Node {
    let node = Node::configured(config);
    node.put(VICTIM, &json!({"value": 1, "text": "x"})).await.expect(201);
    node.put("/v1/objects/counter/victim", &json!({"value": i64::MAX})).await.expect(201);
    node
}

/// The victims are as they were, the node is ready and did not panic.
async fn unharmed(node: &Node) {
    let victim = node.get(VICTIM).await.expect(200).json();
    assert_eq!((&victim["version"], &victim["state"]), (&json!(1), &json!({"value": 1, "text": "x"})));
    let counter = node.get("/v1/objects/counter/victim").await.expect(200).json();
    assert_eq!((&counter["version"], &counter["state"]["value"]), (&json!(1), &json!(i64::MAX)));
    node.get("/ready").await.expect(200);
    assert!(!node.log().contains("panicked"), "{}", node.log());
}

fn check(what: &str, answer: Answer, (status, code): Expected) {
    println!("{what}");
    answer.expect_problem(status, code);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_keys_values_bodies() {
    let node = node_with_victim("").await;
    let name = |length: usize| format!("/v1/objects/object/{}", "n".repeat(length));
    node.put(&name(512), &json!({})).await.expect(201);
    check("a name of 513 bytes", node.put(&name(513), &json!({})).await, BAD);
    let wide = "%C3%BC".repeat(257);
    check("a name of 514 bytes in 257 letters", node.get(&format!("/v1/objects/object/{wide}")).await, BAD);
    check("an empty name", node.get("/v1/objects/object/%00").await, BAD);

    let key = |length: usize| format!("/v1/objects/object/keys/state/{}", "k".repeat(length));
    node.put(&key(2_048), &json!({"value": 1})).await.expect(200);
    check("a key of 2,049 bytes", node.put(&key(2_049), &json!({"value": 1})).await, BAD);
    let long = json!({"k".repeat(2_049): 1});
    for (verb, path) in [("PUT", VICTIM), ("POST", "/v1/objects/object/victim/methods/set_multiple")] {
        let body = if verb == "PUT" { long.clone() } else { json!({"keys": long}) };
        let answer = node.request(verb, path, &[], body.to_string().as_bytes()).await;
        assert!(
            matches!(answer.status, 400 | 422),
            "a long key in a body: {} {}",
            answer.status,
            answer.text()
        );
    }

    let value = |length: usize| json!({"value": "v".repeat(length - 2)});
    node.put("/v1/objects/object/values/state/large", &value(2 * MIB)).await.expect(200);
    let too_large = (413, "body_too_large");
    check(
        "a value over 2 MiB",
        node.put(&format!("{VICTIM}/state/value"), &value(2 * MIB + 1)).await,
        too_large,
    );
    check("a body over 4 MiB", node.put(&format!("{VICTIM}/state/value"), &value(4 * MIB)).await, too_large);
    let body = json!({"value": "v".repeat(2 * MIB)});
    check("a value over 2 MiB at initialising", node.put(VICTIM, &body).await, too_large);
    let mut connection = node.connect().await;
    let declared = [("Content-Length", "99999999999"), ("Content-Type", "application/json")];
    let answer = connection.request("PUT", VICTIM, &declared, b"").await.expect("an answer before the body");
    check("a declared body over 4 MiB", answer, too_large);
    let mut connection = node.connect().await;
    let chunk = format!("{:x}\r\n{}\r\n", MIB, "x".repeat(MIB)).repeat(5);
    let answer =
        connection.request("PUT", VICTIM, &[("Transfer-Encoding", "chunked")], chunk.as_bytes()).await;
    if let Ok(answer) = answer {
        check("a chunked body over 4 MiB", answer, too_large);
    }
    unharmed(&node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_json() {
    let node = node_with_victim("").await;
    let nested = |depth: usize| format!("{{\"value\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    let put = async |body: &[u8]| node.request("PUT", "/v1/objects/object/json/state/k", &[], body).await;
    put(nested(128).as_bytes()).await.expect(200);
    check("129 levels", put(nested(129).as_bytes()).await, BAD);
    check("a million levels", put("[".repeat(1_000_000).as_bytes()).await, BAD);
    check("a million levels of objects", put("{\"a\":".repeat(700_000).as_bytes()).await, BAD);
    let broken: &[(&str, &[u8])] = &[
        ("nothing", b"   "),
        ("cut", b"{\"value\":"),
        ("trailing text", b"{\"value\":1} x"),
        ("two values", b"{\"value\":1}{\"value\":2}"),
        ("no JSON number", b"{\"value\":NaN}"),
        ("too large a number", b"{\"value\":1e999}"),
        ("a leading zero", b"{\"value\":01}"),
        ("single quotes", b"{'value':1}"),
        ("a trailing comma", b"{\"value\":1,}"),
        ("a raw line break in a text", b"{\"value\":\"a\nb\"}"),
        ("half a surrogate pair", b"{\"value\":\"\\ud800\"}"),
        ("no UTF-8", b"{\"value\":\"\xff\xfe\"}"),
        ("UTF-8 cut short", b"{\"value\":\"\xe2\x82\"}"),
        ("an overlong encoding", b"{\"value\":\"\xc0\xaf\"}"),
        ("a byte order mark", b"\xef\xbb\xbf{\"value\":1}"),
        ("UTF-16", b"{\0\"\0v\0\"\0:\x001\0}\0"),
        ("a list", b"[1]"),
        ("a number", b"7"),
        ("null", b"null"),
    ];
    for (what, body) in broken {
        check(what, put(body).await, BAD);
        check(what, node.request("PUT", VICTIM, &[], body).await, BAD);
        let method = "/v1/objects/object/victim/methods/set";
        if *what != "nothing" {
            check(what, node.request("POST", method, &[], body).await, BAD);
        }
        let answer = node.request("PUT", "/object/victim/state/value", &[], body).await;
        assert_eq!(answer.status, 400, "{what}: {}", answer.text());
        let answer = node.request("POST", "/initialize/victim", &[], body).await;
        assert_eq!(answer.status, 400, "{what}: {}", answer.text());
    }
    unharmed(&node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_types_and_overflow() {
    let node = node_with_victim("").await;
    let refused = (422, "invalid_parameters");
    let object: &[(&str, serde_json::Value)] = &[
        ("set", json!({"value": 1})),
        ("set", json!({"key": 7, "value": 1})),
        ("set", json!({"key": "", "value": 1})),
        ("set_multiple", json!({})),
        ("set_multiple", json!({"keys": [1]})),
        ("increment", json!({"key": "text"})),
        ("increment", json!({"increment": true})),
        ("increment", json!({"increment": [1]})),
        ("increment", json!({"increment": u64::MAX})),
        ("get_value", json!({"key": {}})),
        ("delete", json!({"key": null})),
    ];
    for (method, body) in object {
        let answer = node.post(&format!("{VICTIM}/methods/{method}"), body).await;
        check(&format!("object.{method} {body}"), answer, refused);
    }
    let counter: &[(&str, serde_json::Value)] = &[
        ("increment", json!({})),
        ("increment", json!({"by": u64::MAX})),
        ("increment", json!({"by": 0.5})),
        ("increment", json!({"by": "1"})),
        ("decrement", json!({"by": i64::MIN})),
        ("reset", json!({"to": [0]})),
    ];
    for (method, body) in counter {
        let answer = node.post(&format!("/v1/objects/counter/victim/methods/{method}"), body).await;
        check(&format!("counter.{method} {body}"), answer, refused);
    }
    let document: &[(&str, serde_json::Value)] = &[
        ("insert", json!({"index": -1, "text": "x"})),
        ("insert", json!({"index": 1.5, "text": "x"})),
        ("insert", json!({"index": 0, "text": 7})),
        ("insert", json!({"index": u64::MAX, "text": "x"})),
        ("delete", json!({"index": 0, "length": u64::MAX})),
        ("delete", json!({"index": 0})),
        ("replace", json!({"find": "", "text": "x"})),
        ("edit", json!({"edits": {}})),
        ("edit", json!({"edits": [{"jump": {}}]})),
        ("update", json!({"content": 7})),
    ];
    for (method, body) in document {
        let answer = node.post(&format!("/v1/objects/document/victim/methods/{method}"), body).await;
        check(&format!("document.{method} {body}"), answer, refused);
    }
    node.get("/v1/objects/document/victim").await.expect_problem(404, "object_not_found");
    check("no class", node.put("/v1/objects/nothing/x", &json!({})).await, (404, "class_not_found"));
    check(
        "no method",
        node.post(&format!("{VICTIM}/methods/no"), &json!({})).await,
        (404, "method_not_found"),
    );
    unharmed(&node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_http() {
    let node = node_with_victim("").await;
    let long = "a".repeat(200_000);
    check("a long path", node.get(&format!("/v1/objects/object/{long}")).await, (414, "uri_too_long"));
    check(
        "a long query",
        node.get(&format!("/v1/objects/object?prefix={long}")).await,
        (414, "uri_too_long"),
    );
    let headers = (431, "headers_too_large");
    check("a long header", node.request("GET", VICTIM, &[("X-Long", &long)], b"").await, headers);
    let names: Vec<String> = (0..2_000).map(|number| format!("X-Flood-{number}")).collect();
    let flood: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
    check("2,000 headers", node.request("GET", VICTIM, &flood, b"").await, headers);
    check("an unknown verb", node.request("BREW", VICTIM, &[], b"").await, (405, "method_not_allowed"));

    let garbage: &[&[u8]] = &[
        b"rubbish\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET  HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nBad Header: x\r\n\r\n",
        b"PUT /v1/objects/object/victim HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
        b"PUT /v1/objects/object/victim HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n{}",
        b"PUT /v1/objects/object/victim HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
        b"GET /v1/objects/object/victim HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    for bytes in garbage {
        let mut connection = node.connect().await;
        connection.send(bytes).await.expect("it is sent");
        match connection.answer(false).await {
            Ok(answer) => assert!(
                (400..=505).contains(&answer.status) && answer.status != 500,
                "{:?}: {}",
                String::from_utf8_lossy(bytes),
                answer.status
            ),
            Err(error) => {
                assert_ne!(error.kind(), std::io::ErrorKind::TimedOut, "{bytes:?} was never answered");
            }
        }
    }
    unharmed(&node).await;
}

/// Whatever comes over a connection, the node lives and nothing changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutated_requests() {
    let seed = seed("mutated_requests");
    let mut random = StdRng::seed_from_u64(seed);
    let node = node_with_victim("").await;
    let request: &[u8] =
        b"GET /v1/objects/object/victim/state?prefix=%C3%BC&limit=10 HTTP/1.1\r\nHost: localhost\r\n\
        If-Match: \"1\"\r\nIdempotency-Key: k\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n";
    for _ in 0..400 {
        let mut bytes = request.to_vec();
        for _ in 0..random.random_range(1..6) {
            let at = random.random_range(0..bytes.len());
            match random.random_range(0..3) {
                0 => bytes[at] = random.random(),
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, random.random()),
            }
        }
        let mut connection = node.connect().await;
        connection.send(&bytes).await.expect("it is sent");
        let read = connection.answer(false);
        let answer = tokio::time::timeout(Duration::from_millis(100), read).await; // it may wait for more, rightly
        if let Ok(Ok(answer)) = answer {
            assert_ne!(answer.status, 500, "SEED={seed} {:?}", String::from_utf8_lossy(&bytes));
        }
    }
    unharmed(&node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_and_half_open_connections() {
    let node = node_with_victim("[timing]\nheaders_timeout_ms = 500\nbody_timeout_ms = 500\n").await;
    let base = node.descriptors();
    let mut silent = node.connect().await;
    let mut half_a_head = node.connect().await;
    half_a_head.send(b"PUT /v1/objects/object/victim HTTP/1.1\r\nHost: loc").await.expect("it is sent");
    let mut half_a_body = node.connect().await;
    let head =
        b"PUT /v1/objects/object/victim HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\n{\"value\"";
    half_a_body.send(head).await.expect("it is sent");
    check(
        "a body that does not come",
        half_a_body.answer(false).await.expect("an answer"),
        (408, "request_timeout"),
    );
    if let Ok(answer) = half_a_head.answer(false).await {
        check("a head that does not come", answer, (408, "request_timeout"));
    }
    assert!(half_a_head.closed().await, "half a head is closed");
    let _ = silent.answer(false).await;
    drop((silent, half_a_head, half_a_body));
    for _ in 0..50 {
        let mut connection = node.connect().await;
        connection.send(head).await.expect("it is sent");
    }
    back_to_base(&node, base).await;
    unharmed(&node).await;
}

/// 2,000 connections that do nothing, half of them after a request: the next client is served at
/// once, and when they are gone so is what they held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_idle_connections() {
    let node = node_with_victim("[timing]\nheaders_timeout_ms = 60000\n").await;
    node.get(VICTIM).await.expect(200);
    let (base, memory_kib) = (node.descriptors(), node.memory_kib());
    let mut idle = Vec::new();
    for number in 0..2_000 {
        let mut connection = node.connect().await;
        if number % 2 == 0 {
            connection.request("GET", VICTIM, &[], b"").await.expect("an answer").expect(200);
        }
        idle.push(connection);
    }
    unharmed(&node).await;
    let held_kib = node.memory_kib().saturating_sub(memory_kib);
    drop(idle);
    back_to_base(&node, base).await;
    unharmed(&node).await;
    println!("2,000 idle connections held {held_kib} KiB");
    assert!(held_kib < 64 * 1024, "2,000 idle connections hold {held_kib} KiB");
}

/// The same flood of errors again and again does not make the process grow. (A name asked for is an
/// object in memory until it idles out, so the test bounds their number.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_leave_nothing_behind() {
    let node = node_with_victim("[limits]\nactive_objects = 500\n").await;
    let mut connection = node.connect().await;
    let mut after_kib = Vec::new();
    for round in 0..6 {
        for number in 0..1_500 {
            let name = format!("/v1/objects/object/absent-{round}-{number}");
            let (verb, path, body): (_, _, &[u8]) = match number % 4 {
                0 => ("GET", name, b""),
                1 => ("POST", format!("{name}/methods/none"), b"{}"),
                2 => ("PUT", format!("{name}/state/k"), b"{"),
                _ => ("DELETE", name, b""),
            };
            let answer = connection.request(verb, &path, &[], body).await.expect("an answer");
            assert!((400..500).contains(&answer.status), "{verb} {path}: {}", answer.status);
        }
        after_kib.push(node.memory_kib());
    }
    println!("memory after each 1,500 errors, KiB: {after_kib:?}");
    let (early, late) = (after_kib[2], after_kib[5]);
    assert!(late < early + 8 * 1024, "4,500 errors took {} KiB", late - early);
    let listed = node.get("/v1/objects/object?prefix=absent").await.expect(200).json();
    assert_eq!(listed["objects"], json!([]), "a refused request made an object");
    unharmed(&node).await;
}

/// Two requests in one write are answered in order; one behind a broken one is not served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_requests() {
    let node = node_with_victim("").await;
    let mut connection = node.connect().await;
    let one = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    connection.send((one(VICTIM) + &one("/v1/nothing") + &one(VICTIM)).as_bytes()).await.expect("it is sent");
    for status in [200, 404, 200] {
        connection.answer(false).await.expect("an answer").expect(status);
    }
    let mut connection = node.connect().await;
    let smuggled = "POST /v1/objects/object/victim/methods/none HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\
        Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nDELETE /v1/objects/object/victim HTTP/1.1\r\nHost: localhost\r\n\r\n";
    connection.send(smuggled.as_bytes()).await.expect("it is sent");
    let first = connection.answer(false).await.expect("an answer");
    assert!((400..500).contains(&first.status), "{}", first.status);
    unharmed_or_deleted_openly(&node, &mut connection).await;
}

/// Both lengths given: refusing is best; serving the second request as one of its own is lawful (RFC
/// 9112 section 6.3), hiding it is not.
async fn unharmed_or_deleted_openly(node: &Node, connection: &mut Connection) {
    let second = connection.answer(false).await;
    let deleted = matches!(&second, Ok(answer) if answer.status == 204);
    assert_eq!(node.get(VICTIM).await.status, if deleted { 404 } else { 200 });
}

async fn back_to_base(node: &Node, base: usize) {
    eventually("the descriptors of closed connections to be freed", || async {
        (node.descriptors() <= base + 4).then_some(())
    })
    .await;
}
