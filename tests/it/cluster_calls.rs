//! What is asked through a node that does not lead: every action, large values, calls that must take effect once,
//! and subscribers, while leaders are killed and moved.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::harness::{Connection, Frame, Members, Node, Socket, eventually, within};

/// Calls on their way at once when a leader is killed.
const CALLERS: usize = 8;
/// Objects that are watched: enough that each node leads some.
const WATCHED: usize = 12;

/// A node that does not lead an object, and the one that does.
async fn gateway_of(members: &Members, object: &str) -> (usize, usize) {
    let leader = members.leader_of(1, object).await;
    (leader % 3 + 1, leader)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_action_is_the_same_through_another_node() {
    let members = Members::three().await;
    let (gateway, leader) = gateway_of(&members, "object/far").await;
    let (gateway, leader) = (members.get(gateway), members.get(leader));
    let base = "/v1/objects/object/far";
    let keys = json!({"a": null, "b": i64::MIN, "c": u64::MAX, "d": "€", "e": [1.5, {}]});
    assert_eq!(gateway.put(base, &keys).await.expect(201).version(), 1);
    assert_eq!(
        gateway.put(&format!("{base}/state/b%20c"), &json!({"value": 7})).await.expect(200).version(),
        2
    );
    same(gateway, leader, base).await;
    // A value that is null is there; one that is not there is not.
    let null = same(gateway, leader, &format!("{base}/state/a")).await;
    assert_eq!((null["value"].clone(), null.get("value").is_some()), (Value::Null, true));
    gateway.get(&format!("{base}/state/none")).await.expect_problem(404, "key_not_found");
    let page = same(gateway, leader, &format!("{base}/state?limit=2")).await;
    let cursor = page["cursor"].as_str().expect("there is more");
    same(gateway, leader, &format!("{base}/state?limit=2&cursor={cursor}")).await;
    same(gateway, leader, &format!("{base}/updates?since=0")).await;
    gateway.delete(&format!("{base}/state/a")).await.expect(204);
    gateway.delete(&format!("{base}/state/a")).await.expect_problem(404, "key_not_found");
    large(gateway, leader).await;
    gateway.delete(base).await.expect(204);
    for node in [gateway, leader] {
        node.get(base).await.expect_problem(404, "object_not_found");
    }
}

/// Reads the same from two nodes.
async fn same(one: &Node, other: &Node, path: &str) -> Value {
    let (first, second) = (one.get(path).await.expect(200), other.get(path).await.expect(200));
    assert_eq!(first.header("etag"), second.header("etag"), "{path}");
    assert_eq!(first.text(), second.text(), "{path}");
    first.json()
}

/// Values as large as they may be go through, and a state as large as an answer may be comes back.
async fn large(gateway: &Node, leader: &Node) {
    let value = json!({"value": "x".repeat(2 * 1024 * 1024 - 2)});
    for number in 0..7 {
        gateway.put(&format!("/v1/objects/object/far/state/large-{number}"), &value).await.expect(200);
    }
    same(gateway, leader, "/v1/objects/object/far").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_with_a_key_take_effect_once_across_a_kill() {
    let mut members = Members::three().await;
    for round in 0..3 {
        let object = format!("counter/once-{round}");
        let (gateway, leader) = gateway_of(&members, &object).await;
        let address = members.get(gateway).address();
        let stop = Arc::new(AtomicBool::new(false));
        let mut callers = tokio::task::JoinSet::new();
        for caller in 0..CALLERS {
            callers.spawn(call_with_keys(address, object.clone(), caller, stop.clone()));
        }
        let path = format!("/v1/objects/{object}/state/value");
        eventually("calls before the kill", async || {
            let state = members.get(gateway).get(&path).await;
            (state.status == 200 && state.json()["value"].as_u64() > Some(50)).then_some(())
        })
        .await;
        members.get_mut(leader).kill9();
        // As many calls again once the others have taken over.
        let before = members.get(gateway).get(&path).await.expect(200).json()["value"].as_u64();
        eventually("calls after the kill", async || {
            let now = members.get(gateway).get(&path).await.expect(200).json()["value"].as_u64();
            (now > before.map(|before| before + 50)).then_some(())
        })
        .await;
        stop.store(true, Ordering::Relaxed);
        let mut given: Vec<u64> = Vec::new();
        while let Some(values) = within("the callers", callers.join_next()).await {
            given.extend(values.expect("every call is answered"));
        }
        given.sort_unstable();
        let expected: Vec<u64> = (1..=given.len() as u64).collect();
        assert_eq!(given, expected, "each call counts once, and is told its own count");
        members.get_mut(leader).start_again();
        members.settled(3).await;
    }
}

/// Increments with a new key each time, and gives what each was told.
async fn call_with_keys(
    address: SocketAddr,
    object: String,
    caller: usize,
    stop: Arc<AtomicBool>,
) -> Vec<u64> {
    let mut connection = Connection::open(address).await.expect("the node accepts");
    let path = format!("/v1/objects/{object}/methods/increment");
    let mut given = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let key = format!("{caller}-{}", given.len());
        let headers = [("Idempotency-Key", key.as_str())];
        let answer = connection.request("POST", &path, &headers, b"").await.expect("the node answers");
        assert_eq!(answer.status, 200, "{}", answer.text());
        given.push(answer.json()["result"]["value"].as_u64().expect("a count"));
    }
    given
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_see_each_version_once_while_leaders_are_killed_and_come_back() {
    let mut members = Members::three().await;
    let stop = Arc::new(AtomicBool::new(false));
    let (mut watchers, mut writers) = (tokio::task::JoinSet::new(), tokio::task::JoinSet::new());
    for number in 0..WATCHED {
        let path = format!("/v1/objects/counter/seen-{number}");
        members.get(1).post(&format!("{path}/methods/increment"), &json!({})).await.expect(200);
        let mut socket = members.get(1).socket(&format!("{path}/live")).await;
        assert_eq!(frame(&mut socket).await["version"], 1);
        let (end, told) = tokio::sync::watch::channel(None);
        watchers.spawn(watch(socket, told));
        writers.spawn(write(members.get(1).address(), path, stop.clone(), end));
    }
    for _ in 0..2 {
        for victim in [2, 3] {
            members.get_mut(victim).kill9();
            eventually("the others to lead everything", async || {
                let shards = members.shards(1).await;
                let is_led =
                    |shard: &Value| shard["leader"].as_u64().is_some_and(|leader| leader != victim as u64);
                shards.iter().all(is_led).then_some(())
            })
            .await;
            members.get_mut(victim).start_again();
            // Leaders move back to it, with nobody dead.
            members.settled(3).await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(written) = within("the writers", writers.join_next()).await {
        written.expect("every write is answered");
    }
    while let Some(seen) = within("the subscribers", watchers.join_next()).await {
        let seen = seen.expect("each version came once, in order");
        assert!(seen > 20, "only {seen} versions were written");
    }
}

/// Answers and lost updates come at the same time: neither may keep the other from the client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_over_sockets_are_answered_across_kills() {
    let mut members = Members::three().await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut callers = tokio::task::JoinSet::new();
    for number in 0..WATCHED * 2 {
        let socket = members.get(1).socket(&format!("/v1/objects/counter/called-{number}/live")).await;
        callers.spawn(call_over(socket, stop.clone()));
    }
    for victim in [2, 3, 2] {
        members.get_mut(victim).kill9();
        let path = "/v1/objects/counter/through/methods/increment";
        let key = [("Idempotency-Key", "through")];
        members.get(1).request("POST", path, &key, b"").await.expect(200);
        members.get_mut(victim).start_again();
        members.settled(3).await;
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(answered) = within("every call to be answered", callers.join_next()).await {
        let answered = answered.expect("each answer came, behind its update");
        assert!(answered > 20, "only {answered} calls were answered");
    }
}

/// Calls over a socket, several at once, until told to stop; how many were answered, which all are.
async fn call_over(mut socket: Socket, stop: Arc<AtomicBool>) -> u64 {
    assert_eq!(frame(&mut socket).await["type"], "init");
    let (mut sent, mut answered, mut seen) = (0_u64, 0_u64, 0_u64);
    loop {
        while sent < answered + 4 && !stop.load(Ordering::Relaxed) {
            let call = json!({"type": "call", "id": sent, "method": "increment", "idempotency_key": format!("call-{sent}")});
            socket.send(&call).await;
            sent += 1;
        }
        if sent == answered {
            return answered;
        }
        let frame = frame(&mut socket).await;
        match frame["type"].as_str() {
            Some("update") => {
                seen += 1;
                assert_eq!(frame["version"], seen, "{frame}");
            }
            Some("reply") => {
                assert_eq!((&frame["id"], &frame["ok"]), (&json!(answered), &json!(true)), "{frame}");
                answered += 1;
                assert!(
                    frame["version"].as_u64().is_some_and(|version| version <= seen),
                    "{frame} at {seen}"
                );
            }
            _ => panic!("{frame}"),
        }
    }
}

/// Increments with keys until told to stop, then says which version was the last.
async fn write(
    address: SocketAddr,
    path: String,
    stop: Arc<AtomicBool>,
    end: tokio::sync::watch::Sender<Option<u64>>,
) {
    let mut connection = Connection::open(address).await.expect("the node accepts");
    let path = format!("{path}/methods/increment");
    let mut version = 1;
    while !stop.load(Ordering::Relaxed) {
        let key = format!("write-{version}");
        let headers = [("Idempotency-Key", key.as_str())];
        let answer = connection.request("POST", &path, &headers, b"").await.expect("the node answers");
        assert_eq!(answer.status, 200, "{}", answer.text());
        version += 1;
        assert_eq!(answer.version(), version);
    }
    end.send_replace(Some(version));
}

/// Reads frames until the last version, and holds each to be the next; gives the last.
async fn watch(mut socket: Socket, mut end: tokio::sync::watch::Receiver<Option<u64>>) -> u64 {
    let mut seen = 1;
    loop {
        let last = *end.borrow_and_update();
        if last == Some(seen) {
            return seen;
        }
        tokio::select! {
            update = frame(&mut socket) => {
                assert_eq!(update["type"], "update", "{update}");
                assert_eq!(update["version"], seen + 1, "{update}");
                assert_eq!(update["changes"]["value"], seen + 1, "{update}");
                seen += 1;
            }
            changed = end.changed(), if last.is_none() => changed.expect("the writer tells its last version"),
        }
    }
}

async fn frame(socket: &mut Socket) -> Value {
    loop {
        match within("a frame", socket.next()).await {
            Frame::Text(text) => return serde_json::from_str(&text).expect("a frame is JSON"),
            Frame::Ping => {}
            end => panic!("the socket ended: {end:?}"),
        }
    }
}
