//! Many subscriptions on one socket; who is present, and signals, over nodes that die.

use serde_json::{Value, json};

use crate::harness::{Members, Node, Socket, eventually, within};

/// The next frame of a type; others pass.
async fn next_of(socket: &mut Socket, kind: &str) -> Value {
    loop {
        let frame = socket.json().await;
        if frame["type"] == kind {
            return frame;
        }
    }
}

/// Subscribes, and gives the opening.
async fn subscribe(socket: &mut Socket, subscription: Value) -> Value {
    let mut frame = subscription;
    frame["type"] = json!("subscribe");
    socket.send(&frame).await;
    let opening = socket.json().await;
    assert!(opening["type"] == "init" || opening["type"] == "resumed", "{opening}");
    assert_eq!(opening["ref"], frame["ref"]);
    opening
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_objects_on_one_socket() {
    let node = Node::start();
    let mut socket = node.socket("/v1/live").await;
    let opening = subscribe(&mut socket, json!({"ref": "a", "object": "counter/one"})).await;
    assert_eq!((&opening["object"], &opening["version"]), (&json!("counter/one"), &json!(0)));
    subscribe(&mut socket, json!({"ref": {"n": 2}, "object": "object/two/with a slash"})).await;
    socket.send(&json!({"type": "call", "ref": "a", "id": 1, "method": "increment"})).await;
    let update = socket.json().await;
    assert_eq!(
        (&update["type"], &update["ref"], &update["version"]),
        (&json!("update"), &json!("a"), &json!(1))
    );
    assert_eq!(update["changes"], json!({"value": 1}));
    let reply = socket.json().await;
    assert_eq!(
        reply,
        json!({"type": "reply", "ref": "a", "id": 1, "ok": true, "result": {"value": 1}, "version": 1})
    );
    node.put("/v1/objects/object/two%2Fwith%20a%20slash", &json!({"k": 1})).await.expect(201);
    let update = socket.json().await;
    assert_eq!((&update["ref"], &update["object"]), (&json!({"n": 2}), &json!("object/two/with a slash")));

    socket.send(&json!({"type": "subscribe", "ref": "a", "object": "counter/other"})).await;
    assert_eq!(socket.json().await["type"], "error", "the ref is taken");
    socket.send(&json!({"type": "unsubscribe", "ref": "a"})).await;
    assert_eq!(socket.json().await, json!({"type": "unsubscribed", "ref": "a"}));
    node.post("/v1/objects/counter/one/methods/increment", &json!({})).await.expect(200);
    socket.send(&json!({"type": "call", "ref": "a", "id": 2, "method": "get"})).await;
    let absent = socket.json().await;
    assert_eq!((&absent["type"], &absent["id"]), (&json!("error"), &json!(2)), "{absent}");
    let again = subscribe(&mut socket, json!({"ref": "a", "object": "counter/one", "since": 1})).await;
    assert_eq!((&again["type"], &again["version"]), (&json!("resumed"), &json!(2)));
    assert_eq!(socket.json().await["version"], 2);

    // What can not be subscribed to is said, and the socket stays.
    socket.send(&json!({"type": "subscribe", "ref": 9, "object": "nothing/x"})).await;
    let refused = socket.json().await;
    assert_eq!(
        (&refused["type"], &refused["ref"], &refused["code"]),
        (&json!("error"), &json!(9), &json!("class_not_found"))
    );
    socket.send(&json!({"type": "ping"})).await;
    assert_eq!(socket.json().await, json!({"type": "pong"}));
    node.delete("/v1/objects/counter/one").await.expect(204);
    assert_eq!(
        socket.json().await,
        json!({"type": "deleted", "ref": "a", "object": "counter/one", "version": 3})
    );
    assert_eq!(node.metric("stead_subscribers").await, 2);
    socket.close().await;
    eventually("the subscriptions to end", async || {
        (node.metric("stead_subscribers").await == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_subscriptions_on_one_socket_and_not_more() {
    const MANY: usize = 10_000;
    let node = Node::start();
    let mut socket = node.socket("/v1/live").await;
    for number in 0..MANY {
        socket
            .send(&json!({"type": "subscribe", "ref": number, "object": format!("counter/{}", number % 100)}))
            .await;
        if number % 50 == 49 {
            for _ in 0..50 {
                assert_eq!(next_of(&mut socket, "init").await["version"], 0);
            }
        }
    }
    node.post("/v1/objects/counter/7/methods/increment", &json!({})).await.expect(200);
    let mut told: Vec<u64> = Vec::new();
    for _ in 0..MANY / 100 {
        told.push(socket.json().await["ref"].as_u64().expect("the ref is a number"));
    }
    told.sort_unstable();
    assert!(told.iter().copied().eq((0..MANY as u64 / 100).map(|number| number * 100 + 7)), "{told:?}");
    socket.send(&json!({"type": "subscribe", "ref": "more", "object": "counter/x"})).await;
    assert_eq!(socket.closing().await.0, 4529);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_takes_so_many_subscriptions_and_not_more() {
    let node = Node::configured("[limits]\nsubscriptions = 2\n");
    let mut many = node.socket("/v1/live").await;
    subscribe(&mut many, json!({"ref": 1, "object": "counter/a"})).await;
    many.send(&json!({"type": "subscribe", "ref": 2, "feed": "counter"})).await;
    assert_eq!(many.json().await["type"], "subscribed");
    let mut single = node.socket("/v1/objects/counter/a/live").await;
    assert_eq!(single.closing().await.0, 4529);
    many.send(&json!({"type": "subscribe", "ref": 3, "object": "counter/a"})).await;
    assert_eq!(many.closing().await.0, 4529);
    // With the socket its subscriptions are gone, and there is room again.
    eventually("room", async || (node.metric("stead_subscribers").await == 0).then_some(())).await;
    let mut again = node.socket("/v1/objects/counter/a/live").await;
    assert_eq!(again.json().await["type"], "init");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_server_says_goodbye_to_sockets_with_and_without_subscriptions() {
    let mut node = Node::start();
    let mut empty = node.socket("/v1/live").await;
    let mut full = node.socket("/v1/live").await;
    subscribe(&mut full, json!({"ref": 1, "object": "counter/a"})).await;
    subscribe(&mut full, json!({"ref": 2, "object": "counter/b"})).await;
    let stopped = tokio::task::spawn_blocking(move || node.term());
    assert_eq!(empty.closing().await.0, 1001);
    assert_eq!(full.closing().await.0, 1001);
    assert!(within("the server's end", stopped).await.expect("it ended").success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_many_that_does_not_read_is_closed() {
    let node = Node::start();
    let mut slow = Socket::open_narrow(node.address(), "/v1/live").await;
    slow.send(&json!({"type": "subscribe", "ref": 1, "object": "object/socket"})).await;
    let mut fast = node.socket("/v1/live").await;
    subscribe(&mut fast, json!({"ref": 1, "object": "object/socket"})).await;
    let value = "x".repeat(100_000);
    for version in 1..=200 {
        node.put("/v1/objects/object/socket/state/value", &json!({"value": value})).await.expect(200);
        assert_eq!(next_of(&mut fast, "update").await["version"], version);
    }
    assert_eq!(slow.closing().await.0, 4508);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_and_signals_on_one_node() {
    let node = Node::start();
    let path = "/v1/objects/document/notes/live";
    let mut ada = node.socket(path).await;
    let opening = ada.json().await;
    assert_eq!(opening["presence"], json!([]));
    let ada_id = opening["self"].clone();
    ada.send(&json!({"type": "presence", "data": {"name": "Ada"}})).await;
    let joined = json!([{"id": ada_id, "data": {"name": "Ada"}}]);
    let told = json!({"type": "presence", "joined": joined, "left": [], "changed": []});
    assert_eq!(ada.json().await, told);

    let mut ben = node.socket("/v1/live").await;
    let presence = json!({"name": "Ben"});
    let opening =
        subscribe(&mut ben, json!({"ref": 7, "object": "document/notes", "presence": presence})).await;
    let ben_id = opening["self"].clone();
    assert_eq!(opening["presence"], joined);
    let ben_joined = json!([{"id": ben_id, "data": presence}]);
    assert_eq!(ada.json().await["joined"], ben_joined);
    assert_eq!(next_of(&mut ben, "presence").await["joined"], ben_joined, "everybody sees the same");

    ben.send(&json!({"type": "signal", "ref": 7, "data": {"wave": true}})).await;
    assert_eq!(ada.json().await, json!({"type": "signal", "from": ben_id, "data": {"wave": true}}));
    ada.send(&json!({"type": "signal", "data": 1})).await;
    assert_eq!(
        ben.json().await,
        json!({"type": "signal", "ref": 7, "from": ada_id, "data": 1}),
        "not his own"
    );

    ben.send(&json!({"type": "presence", "ref": 7, "data": {"name": "Ben", "at": 3}})).await;
    assert_eq!(ada.json().await["changed"], json!([{"id": ben_id, "data": {"name": "Ben", "at": 3}}]));
    ben.close().await;
    assert_eq!(ada.json().await["left"], json!([ben_id]));

    ada.send(&json!({"type": "presence", "data": "x".repeat(20_000)})).await;
    let refused = ada.json().await;
    assert_eq!((&refused["type"], &refused["code"]), (&json!("error"), &json!("invalid_request")));
    ada.send(&json!({"type": "signal", "data": "x".repeat(100_000)})).await;
    assert_eq!(ada.json().await["code"], "invalid_request");

    // Who comes back where it left off is told anew who is present.
    let mut again = node.socket(&format!("{path}?since=0")).await;
    assert_eq!(again.json().await["type"], "resumed");
    assert_eq!(again.json().await["joined"], joined);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_goes_with_its_node_and_outlives_the_leader() {
    let mut members = Members::three().await;
    let object = "object/board";
    members.get(1).put("/v1/objects/object/board", &json!({})).await.expect(201);
    let leader = members.leader_of(1, object).await;
    let (other, last) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    let path = "/v1/objects/object/board/live";
    let mut sockets = Vec::new();
    for node in [leader, other, last] {
        let mut socket = members.get(node).socket(path).await;
        let id = socket.json().await["self"].as_str().expect("it has an id").to_owned();
        socket.send(&json!({"type": "presence", "data": {"node": node}})).await;
        sockets.push((socket, id));
    }
    let ids: Vec<String> = sockets.iter().map(|(_, id)| id.clone()).collect();
    for (socket, _) in &mut sockets {
        let mut here = std::collections::BTreeSet::new();
        while here.len() < 3 {
            for member in next_of(socket, "presence").await["joined"].as_array().expect("a list") {
                here.insert(member["id"].to_string());
            }
        }
    }
    let [(_, _), (mut watcher, watcher_id), (mut last_one, _)] =
        <[(Socket, String); 3]>::try_from(sockets).unwrap_or_else(|_| panic!("there are three"));
    // The leader dies: its own client is gone, the others are not.
    members.get_mut(leader).kill9();
    let gone = next_of(&mut watcher, "presence").await;
    assert_eq!((&gone["left"], &gone["joined"]), (&json!([ids[0]]), &json!([])));
    assert_eq!(next_of(&mut last_one, "presence").await["left"], json!([ids[0]]));
    // Signals go on, through the new leader.
    let heard = within("a signal over the new leader", async {
        loop {
            last_one.send(&json!({"type": "signal", "data": "hello"})).await;
            let frame = watcher.json().await;
            if frame["type"] == "signal" {
                return frame;
            }
        }
    })
    .await;
    assert_eq!((&heard["from"], &heard["data"]), (&json!(ids[2]), &json!("hello")));
    assert_eq!(watcher_id, ids[1]);
    // Nobody who is here was said to have left.
    let mut late = members.get(other).socket(path).await;
    let opening = late.json().await;
    let present: Vec<&str> = opening["presence"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|member| member["id"].as_str())
        .collect();
    let mut expected = vec![ids[1].as_str(), ids[2].as_str()];
    expected.sort_unstable();
    assert_eq!(present, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_dies_takes_its_clients_along() {
    let mut members = Members::three().await;
    let object = "object/board";
    members.get(1).put("/v1/objects/object/board", &json!({})).await.expect(201);
    let leader = members.leader_of(1, object).await;
    let (gateway, watching) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    let path = "/v1/objects/object/board/live";
    let mut watcher = members.get(watching).socket(path).await;
    watcher.json().await;
    let mut lost = members.get(gateway).socket(path).await;
    let id = lost.json().await["self"].clone();
    lost.send(&json!({"type": "presence", "data": 1})).await;
    assert_eq!(next_of(&mut watcher, "presence").await["joined"], json!([{"id": id, "data": 1}]));
    members.get_mut(gateway).kill9();
    assert_eq!(next_of(&mut watcher, "presence").await["left"], json!([id]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_carries_every_object_of_a_class_and_is_resumed_elsewhere() {
    let mut members = Members::three().await;
    let mut socket = members.get(1).socket("/v1/live").await;
    socket.send(&json!({"type": "subscribe", "ref": "all", "feed": "counter"})).await;
    let opening = socket.json().await;
    assert_eq!(
        (&opening["type"], &opening["ref"], &opening["feed"], &opening["complete"]),
        (&json!("subscribed"), &json!("all"), &json!("counter"), &json!(true))
    );
    socket.send(&json!({"type": "call", "ref": "all", "id": 1, "method": "increment"})).await;
    assert_eq!(socket.json().await["ok"], false, "a feed takes no calls");
    for round in 0..2 {
        for name in 0..20 {
            let path = format!("/v1/objects/counter/fed-{name}/methods/increment");
            members.get(2).post(&path, &json!({})).await.expect(200);
            members.get(2).put(&format!("/v1/objects/object/other-{name}"), &json!({"round": round})).await;
        }
    }
    let mut seen: std::collections::BTreeMap<String, u64> = std::collections::BTreeMap::new();
    let mut cursor = Value::Null;
    let mut follow = |frame: &Value| {
        assert_eq!((&frame["type"], &frame["ref"]), (&json!("update"), &json!("all")), "{frame}");
        let object = frame["object"].as_str().expect("it names its object").to_owned();
        assert!(object.starts_with("counter/fed-"), "{object}");
        let version = seen.entry(object).or_default();
        *version += 1;
        assert_eq!(frame["version"], *version, "once, and in order");
        frame["cursor"].clone()
    };
    for _ in 0..30 {
        cursor = follow(&socket.json().await);
    }
    socket.close().await;
    // Through another node, when the one that it came from is gone.
    members.get_mut(1).kill9();
    let mut socket = members.get(3).socket("/v1/live").await;
    let again = json!({"type": "subscribe", "ref": "all", "feed": "counter", "cursor": cursor});
    socket.send(&again).await;
    let opening = socket.json().await;
    assert_eq!((&opening["type"], &opening["complete"]), (&json!("subscribed"), &json!(true)), "{opening}");
    for _ in 0..10 {
        follow(&socket.json().await);
    }
    members.get(2).delete("/v1/objects/counter/fed-3").await.expect(204);
    let deleted = socket.json().await;
    assert_eq!(
        (&deleted["type"], &deleted["object"], &deleted["version"]),
        (&json!("deleted"), &json!("counter/fed-3"), &json!(3))
    );
    assert!(seen.len() == 20 && seen.values().all(|version| *version == 2), "{seen:?}");

    for (cursor, code) in [("nonsense!", "invalid_request"), ("", "invalid_request")] {
        socket.send(&json!({"type": "subscribe", "ref": 2, "feed": "counter", "cursor": cursor})).await;
        assert_eq!(socket.json().await["code"], code);
    }
    socket.send(&json!({"type": "subscribe", "ref": 2, "feed": "nothing"})).await;
    assert_eq!(socket.json().await["code"], "class_not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn phoenix_channels() {
    let node = Node::start();
    let mut socket = node.socket("/socket/websocket?vsn=2.0.0&token=x").await;
    let mut ask = async |message: Value| {
        socket.send(&message).await;
        socket.json().await
    };
    assert_eq!(
        ask(json!([null, "1", "phoenix", "heartbeat", {}])).await,
        json!([null, "1", "phoenix", "phx_reply", {"status": "ok", "response": {}}])
    );
    assert_eq!(
        ask(json!(["2", "2", "durable_object:likes", "phx_join", {}])).await,
        json!(["2", "2", "durable_object:likes", "phx_reply", {"status": "ok", "response": {"state": {}, "version": 0}}])
    );
    let call = json!({"method": "increment", "params": {"increment": 2}});
    assert_eq!(
        ask(json!(["2", "3", "durable_object:likes", "call_method", call])).await,
        json!(["2", null, "durable_object:likes", "state_updated", {"value": 2}]),
        "the update comes first"
    );
    let reply = socket.json().await;
    assert_eq!(
        reply[4]["response"],
        json!({"success": true, "result": {"key": "value", "value": 2}, "key": "value", "value": 2})
    );
    node.delete("/object/likes/state/value").await.expect(200);
    assert_eq!(socket.json().await[4], json!({"value": null}));
    let mut again = node.socket("/socket/websocket").await;
    again.send(&json!({"topic": "object:object/likes", "event": "phx_join", "payload": {"since": 1, "presence": {"name": "Ada"}}, "ref": "1"})).await;
    let joined = again.json().await;
    assert_eq!(joined["payload"], json!({"status": "ok", "response": {"resumed": true, "version": 2}}));
    assert_eq!(again.json().await["event"], "presence_state");
    assert_eq!(again.json().await["payload"]["version"], 2);
    let diff = again.json().await;
    let joins = diff["payload"]["joins"].as_object().expect("somebody joined");
    assert_eq!(joins.values().next().expect("one")["metas"][0]["name"], "Ada");
    again.send(&json!({"topic": "object:object/likes", "event": "phx_leave", "payload": {}, "ref": "2", "join_ref": "1"})).await;
    assert_eq!(again.json().await["payload"]["status"], "ok");
    assert_eq!(again.json().await["event"], "phx_close");
    assert_eq!(Socket::try_open(node.address(), "/socket/websocket?vsn=9", &[]).await.err(), Some(400));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_watches_on_through_another_node() {
    let mut members = Members::three().await;
    let path = "/v1/objects/counter/watched/methods/increment";
    members.get(2).post(path, &json!({})).await.expect(200);
    let mut watching = tokio::process::Command::new(env!("CARGO_BIN_EXE_stead"))
        .args(["object", "watch", "counter/watched", "--count", "40", "-o", "json", "--server"])
        .arg(members.get(1).url())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the program starts");
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(
        watching.stdout.take().expect("its output is piped"),
    ));
    let mut versions = Vec::new();
    for increment in 2..=40_u64 {
        let line = within("a line", lines.next_line()).await.expect("it is text").expect("it goes on");
        let frame: Value = serde_json::from_str(&line).expect("frames are JSON");
        versions.push(frame["version"].as_u64().expect("a version"));
        if increment == 20 {
            // The node it watches through is gone.
            members.get_mut(1).kill9();
        }
        let key = format!("w{increment}");
        let headers = [("Idempotency-Key", key.as_str())];
        members.get(2).request("POST", path, &headers, b"{}").await.expect(200);
    }
    let line = within("the last line", lines.next_line()).await.expect("it is text").expect("it is there");
    let frame: Value = serde_json::from_str(&line).expect("frames are JSON");
    versions.push(frame["version"].as_u64().expect("a version"));
    assert!(versions.iter().copied().eq(1..=40), "{versions:?}");
    assert!(within("its end", watching.wait()).await.expect("it ends").success());
}
