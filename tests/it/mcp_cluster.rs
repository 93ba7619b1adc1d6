//! Sessions on several nodes: any of them serves the next request, and a stream goes on elsewhere when its node is killed.

use serde_json::{Value, json};

use crate::harness::mcp::{Event, Events, Session, call, request};
use crate::harness::{Members, Node, eventually};

const URI: &str = "stead://object/watched";

async fn write(node: &Node, value: u64) {
    // While a leader is being elected a write may not be taken at once.
    eventually("the write to be taken", async || {
        let answer = node.put("/v1/objects/object/watched/state/x", &json!({ "value": value })).await;
        (answer.status == 200).then_some(())
    })
    .await;
}

fn check_told(event: &Event) {
    let told = event.json();
    assert_eq!(told["method"], "notifications/resources/updated", "{told}");
    assert_eq!(told["params"]["uri"], URI);
}

#[tokio::test]
async fn a_session_outlives_its_node() {
    let mut members = Members::three().await;
    let session = Session::begin(members.get(1), "2025-11-25").await;
    write(members.get(3), 0).await;

    // Its requests are served by any node.
    for number in [2, 3, 1] {
        let tools = session.result(members.get(number), &request(1, "tools/list", json!({}))).await;
        assert!(tools["tools"].as_array().is_some_and(|tools| !tools.is_empty()));
    }
    // Subscribed through one node, watched through another, changed through a third.
    let mut events = session.listen(members.get(1), None).await;
    session.result(members.get(2), &request(2, "resources/subscribe", json!({ "uri": URI }))).await;
    let mut seen = Vec::new();
    for value in 1..=3 {
        write(members.get(3), value).await;
        let event = events.message().await;
        check_told(&event);
        seen.push(event);
    }

    // Its node is killed, and what is changed meanwhile is told once it has come back somewhere else.
    members.get_mut(1).kill9();
    assert_eq!(events.next().await, None);
    write(members.get(3), 4).await;
    let last = seen.last().expect("it was told").id().to_owned();
    let mut resumed = session.listen(members.get(2), Some(&last)).await;
    let event = resumed.message().await;
    check_told(&event);
    write(members.get(3), 5).await;
    let next = resumed.message().await;
    check_told(&next);
    assert!(
        next.id() != event.id() && seen.iter().all(|old| old.id() != next.id() && old.id() != event.id())
    );

    // From the first event on everything comes again, in order.
    let first = seen.first().expect("it was told").id().to_owned();
    let mut again = session.listen(members.get(3), Some(&first)).await;
    let expected: Vec<_> = seen.iter().skip(1).chain([&event, &next]).cloned().collect();
    for expected in expected {
        assert_eq!(again.message().await, expected);
    }
    // The newest connection holds the stream; the older one ends.
    assert_eq!(resumed.next().await, None);

    // It ends on one node for all.
    members.get(2).request("DELETE", "/mcp", &session.headers(), b"").await.expect(204);
    session.send(members.get(3), &request(3, "ping", json!({}))).await.expect(404);
}

#[tokio::test]
async fn a_stream_of_2024_is_answered_whoever_takes_the_message() {
    let members = Members::three().await;
    let mut events = Events::open(members.get(1), "GET", "/mcp/sse", &[], b"").await;
    let endpoint = events.next().await.expect("the first event");
    assert_eq!(endpoint.kind.as_deref(), Some("endpoint"));
    assert!(endpoint.data.starts_with("/mcp/messages?sessionId="), "{endpoint:?}");
    let params = json!({ "protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": { "name": "old", "version": "1" } });
    let messages = [
        (1, request(1, "initialize", params)),
        (2, request(2, "tools/list", json!({}))),
        (3, call(3, "counter_increment", json!({ "name": "old" }))),
        (1, request(4, "no/such", json!({}))),
    ];
    for (number, message) in messages {
        let node = members.get(number);
        node.request("POST", &endpoint.data, &[], message.to_string().as_bytes()).await.expect(202);
        let answer = events.message().await.json();
        assert_eq!(answer["id"], message["id"], "{answer}");
        assert_eq!(answer["error"].is_null(), message["method"] != "no/such", "{answer}");
    }
    members.get(1).post("/mcp/messages?sessionId=none", &json!({})).await.expect(404);
    members.get(1).post("/mcp/messages", &json!({})).await.expect(400);
    // The session is the connection's: it ends with it.
    drop(events);
    eventually("the session to end", async || {
        let answer: Value = request(9, "ping", json!({}));
        let answer = members.get(2).post(&endpoint.data, &answer).await;
        (answer.status == 404).then_some(())
    })
    .await;
}
