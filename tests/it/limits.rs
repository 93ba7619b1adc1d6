//! Bounds: beyond each there is a clear error, and what is within goes on.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Connection, Node, http};

const MIB: usize = 1024 * 1024;

/// Above 16 MiB a state is read by its entries, and a socket says that it gives none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_too_large_for_one_answer() {
    let node = Node::start();
    let value = json!({"value": "v".repeat(2 * MIB - 2)});
    for number in 0..8 {
        node.put(&format!("/v1/objects/object/large/state/k{number}"), &value).await.expect(200);
    }
    node.get("/v1/objects/object/large").await.expect_problem(413, "state_too_large");
    let page = node.get("/v1/objects/object/large/state?limit=3").await.expect(200).json();
    assert_eq!(page["entries"].as_array().map(Vec::len), Some(3));
    let mut socket = node.socket("/v1/objects/object/large/live").await;
    let init = socket.json().await;
    assert_eq!(
        (&init["state"], &init["truncated"], &init["version"]),
        (&Value::Null, &json!(true), &json!(8))
    );
    node.delete("/v1/objects/object/large/state/k0").await.expect(204);
    node.get("/v1/objects/object/large").await.expect(200);
}

/// 100 rows a page by default; pages of any size together are everything, once, in byte order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_lists_are_paged() {
    let node = Node::start();
    let mut connection = node.connect().await;
    let mut names: Vec<String> = (0..230).map(|number| format!("page-{number}")).collect();
    for name in &names {
        let path = format!("/v1/objects/object/{name}");
        connection.request("PUT", &path, &[], b"{\"k\":1}").await.expect("an answer").expect(201);
    }
    names.sort();
    let first = node.get("/v1/objects/object?prefix=page-").await.expect(200).json();
    assert_eq!(first["objects"].as_array().map(Vec::len), Some(100));
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/objects/object?prefix=page-&limit=7{cursor}");
        let page = node.get(&path).await.expect(200).json();
        let objects = page["objects"].as_array().expect("a list").clone();
        found.extend(objects.iter().filter_map(|object| object["name"].as_str().map(str::to_owned)));
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(found, names);
}

/// With room for 50 objects in memory, 400 are served, with what they had.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_objects_than_memory_has_room_for() {
    let mut node = Node::configured("[limits]\nactive_objects = 50\n");
    for round in 1..=3_u64 {
        let mut tasks = JoinSet::new();
        for first in 0..8 {
            let mut connection = node.connect().await;
            tasks.spawn(async move {
                for number in (first..400).step_by(8) {
                    let path = format!("/v1/objects/counter/many-{number}/methods/increment");
                    let answer =
                        connection.request("POST", &path, &[], b"").await.expect("an answer").expect(200);
                    assert_eq!(answer.version(), round, "many-{number}");
                }
            });
        }
        while let Some(task) = tasks.join_next().await {
            task.expect("every counter counts");
        }
        if round == 2 {
            node.restart();
        }
    }
}

/// 2,500 calls that arrive together: each is served, or told that there are too many and that it did
/// not happen; the neighbours feel nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flooded_object() {
    let node = Node::start();
    let mut connections = Vec::new();
    for _ in 0..2_500 {
        connections.push(Connection::open(node.address()).await.expect("the server accepts"));
    }
    let request =
        http::encode("POST", "/v1/objects/counter/flooded/methods/increment", "localhost", &[], b"");
    node.pause();
    for connection in &mut connections {
        connection.send(&request).await.expect("the kernel takes it");
    }
    node.resume();
    node.post("/v1/objects/counter/neighbour/methods/increment", &json!({})).await.expect(200);
    let (mut served, mut refused) = (0_u64, 0_u64);
    for connection in &mut connections {
        let answer = connection.answer(false).await.expect("an answer");
        match answer.status {
            200 => served += 1,
            503 => refused += 1, // the pause was longer than the lease: surely not proposed
            _ => {
                assert!(answer.header("retry-after").is_some(), "{answer:?}");
                answer.expect_problem(429, "overloaded");
                refused += 1;
            }
        }
    }
    println!("flooded: {served} served, {refused} refused");
    let version = node.get("/v1/objects/counter/flooded").await.expect(200).version();
    assert_eq!(version, served, "refused is not served, and served is not refused");
}

/// Answers under idempotency keys are kept up to 256 MiB; while they are younger than ten minutes no
/// more are taken, and calls without a key go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_answers_to_keep() {
    let node = Node::start();
    let body = json!({"key": "k", "value": "v".repeat(2 * MIB - 100)}).to_string();
    let path = "/v1/objects/object/full/methods/set";
    let mut connection = node.connect().await;
    let mut kept = 0;
    let refusal = loop {
        assert!(kept < 160, "{kept} answers of 2 MiB are more than 256 MiB");
        let key = format!("key-{kept}");
        let answer = connection.request("POST", path, &[("Idempotency-Key", &key)], body.as_bytes()).await;
        let answer = answer.expect("an answer");
        if answer.status != 200 {
            break answer;
        }
        kept += 1;
    };
    assert!(kept >= 120, "only {kept} answers of 2 MiB were kept");
    assert!(refusal.header("retry-after").is_some(), "{refusal:?}");
    assert_eq!(refusal.json()["retry"], "safe");
    refusal.expect_problem(429, "idempotency_full");
    let small = b"{\"key\":\"k\",\"value\":1}";
    let without = connection.request("POST", path, &[], small).await.expect("an answer").expect(200);
    assert_eq!(without.version(), kept + 1);
    let again = connection.request("POST", path, &[("Idempotency-Key", "key-0")], body.as_bytes()).await;
    assert_eq!(again.expect("an answer").expect(200).version(), 1, "the first answer is still kept");
}
