//! What a running request does with its client: asks, tells, breaks off, becomes a task; on nodes that have the fixtures.

use serde_json::{Value, json};

use crate::harness::mcp::{Events, Session, call, request, send, with_fixtures};
use crate::harness::{Node, eventually};

#[tokio::test]
async fn an_answer_finds_the_node_that_asked() {
    let one = with_fixtures(None).await;
    let other = with_fixtures(Some(&one)).await;
    let session = Session::begin(&one, "2025-06-18").await;
    let mut events = session.speaks(&one, &call(1, "test_sampling", json!({ "prompt": "hello" }))).await;
    let asked = events.message().await.json();
    assert_eq!(
        (&asked["method"], &asked["params"]["maxTokens"]),
        (&json!("sampling/createMessage"), &json!(100))
    );
    let said = json!({ "role": "assistant", "model": "m", "content": { "type": "text", "text": "hi" } });
    let answer = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": said });
    // One that nobody asked for is let go by.
    session.send(&other, &json!({ "jsonrpc": "2.0", "id": "nobody-1", "result": {} })).await.expect(202);
    session.send(&other, &answer).await.expect(202);
    let done = events.message().await;
    assert_eq!(done.json()["result"]["content"][0]["text"], "LLM response: hi");
    assert_eq!(events.next().await, None);

    // All of it is in the log, for a client that lost the stream, at any node.
    let (stream, _) = done.id().rsplit_once('-').expect("an id of a stream");
    let mut again = session.listen(&other, Some(&format!("{stream}-0"))).await;
    assert_eq!(again.message().await.json()["id"], asked["id"]);
    let repeated = again.message().await;
    assert_eq!((repeated.id(), repeated.json()), (done.id(), done.json()));
    assert_eq!(again.next().await, None);
}

#[tokio::test]
async fn a_stream_that_broke_off_goes_on_at_another_node() {
    let one = with_fixtures(None).await;
    let other = with_fixtures(Some(&one)).await;
    let session = Session::begin(&one, "2025-11-25").await;
    let mut events = session.speaks(&one, &call(1, "test_reconnection", json!({}))).await;
    let first = events.next().await.expect("an event to come back behind");
    assert_eq!(first.data, "");
    assert_eq!(events.next().await, None, "it broke off");
    let mut resumed = session.listen(&other, Some(first.id())).await;
    assert_eq!(resumed.message().await.json()["id"], 1);
    assert_eq!(resumed.next().await, None);
    // An id of another session is none of this one's.
    let stranger = Session::begin(&other, "2025-11-25").await;
    let mut headers = stranger.headers().to_vec();
    headers.push(("Last-Event-ID", first.id()));
    headers.push(("Accept", "text/event-stream"));
    other.request("GET", "/mcp", &headers, b"").await.expect(400);
}

#[tokio::test]
async fn a_request_that_is_taken_back_ends() {
    let node = with_fixtures(None).await;
    let session = Session::begin(&node, "2025-11-25").await;
    let mut events = session.speaks(&node, &call(5, "test_elicitation", json!({ "message": "?" }))).await;
    let asked = events.message().await.json();
    assert_eq!(asked["method"], "elicitation/create");
    let cancelled =
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 5 } });
    session.send(&node, &cancelled).await.expect(202);
    assert_eq!(events.next().await, None, "no answer comes of it");
    eventually("nothing to run any more", async || {
        (node.metric("stead_mcp_running").await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn progress_is_told_to_bare_requests_too() {
    let node = with_fixtures(None).await;
    let mut asked = call(1, "test_tool_with_progress", json!({}));
    asked["params"]["_meta"] = json!({ "progressToken": "p" });
    let mut events = Events::open(&node, "POST", "/mcp", &[], asked.to_string().as_bytes()).await;
    for done in [0, 50, 100] {
        let told = events.message().await.json();
        assert_eq!(
            (&told["params"]["progressToken"], &told["params"]["progress"]),
            (&json!("p"), &json!(done))
        );
    }
    assert_eq!(events.message().await.json()["id"], 1);
    // Who takes no events is told nothing, and answered all the same.
    let answer = send(&node, &[("Accept", "application/json")], &asked).await.expect(200).json();
    assert_eq!(answer["result"]["content"][0]["text"], "done");
    let refused =
        send(&node, &[], &call(2, "test_sampling", json!({ "prompt": "x" }))).await.expect(200).json();
    assert_eq!(refused["error"]["code"], -32021, "{refused}");
}

/// A request of the newest revision, of a client that knows tasks.
async fn modern(node: &Node, method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {
            "elicitation": {}, "sampling": {}, "roots": {}, "extensions": { "io.modelcontextprotocol/tasks": {} } },
    });
    let name = params["name"].as_str().or(params["taskId"].as_str()).unwrap_or_default().to_owned();
    let headers = [("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", method), ("Mcp-Name", &name)];
    let answer = send(node, &headers, &request(1, method, params)).await.json();
    assert!(answer["error"].is_null(), "{method}: {answer}");
    answer["result"].clone()
}

async fn status(node: &Node, id: &str, wanted: &str) -> Value {
    eventually("the task to get on", async || {
        let task = modern(node, "tasks/get", json!({ "taskId": id })).await;
        (task["status"] == wanted).then_some(task)
    })
    .await
}

#[tokio::test]
async fn a_task_is_asked_for_and_answered_at_any_node() {
    let one = with_fixtures(None).await;
    let other = with_fixtures(Some(&one)).await;
    let task = modern(&one, "tools/call", json!({ "name": "confirm_delete", "arguments": {} })).await;
    assert_eq!(task["resultType"], "task", "{task}");
    let id = task["taskId"].as_str().expect("an id");
    let open = status(&other, id, "input_required").await;
    assert_eq!(open["inputRequests"]["confirm"]["method"], "elicitation/create", "{open}");
    let yes = json!({ "confirm": { "action": "accept", "content": { "confirm": true } } });
    modern(&other, "tasks/update", json!({ "taskId": id, "inputResponses": yes })).await;
    let done = status(&other, id, "completed").await;
    assert_eq!(done["result"]["content"][0]["text"], "deleted");

    let long =
        modern(&one, "tools/call", json!({ "name": "slow_compute", "arguments": { "seconds": 60 } })).await;
    let id = long["taskId"].as_str().expect("an id");
    modern(&other, "tasks/cancel", json!({ "taskId": id })).await;
    status(&one, id, "cancelled").await;
    eventually("nothing to run any more", async || {
        (one.metric("stead_mcp_running").await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn rounds_go_on_at_another_node_and_only_there_where_they_belong() {
    let one = with_fixtures(None).await;
    let other = with_fixtures(Some(&one)).await;
    let tool = "test_input_required_result_multi_round";
    let first = modern(&one, "tools/call", json!({ "name": tool, "arguments": {} })).await;
    assert_eq!(first["resultType"], "input_required", "{first}");
    let answer = |field: &str, text: &str| json!({ "action": "accept", "content": { field: text } });
    let second = modern(
        &other,
        "tools/call",
        json!({
            "name": tool, "arguments": {}, "inputResponses": { "step1": answer("name", "Ada") },
            "requestState": first["requestState"],
        }),
    )
    .await;
    assert!(second["inputRequests"]["step2"].is_object(), "{second}");
    let state = second["requestState"].clone();
    let third = json!({
        "name": tool, "arguments": {}, "inputResponses": { "step2": answer("color", "blue") }, "requestState": state,
    });
    let done = modern(&one, "tools/call", third.clone()).await;
    assert_eq!(done["content"][0]["text"], "Ada likes blue");

    // The same state with other arguments, or changed by anybody, is refused.
    let refused = async |mut params: Value| {
        params["_meta"] = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": { "elicitation": {} } });
        let name = params["name"].as_str().expect("a name").to_owned();
        let headers =
            [("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", "tools/call"), ("Mcp-Name", &name)];
        send(&one, &headers, &request(1, "tools/call", params)).await.json()["error"]["code"].clone()
    };
    let mut elsewhere = third.clone();
    elsewhere["arguments"] = json!({ "other": 1 });
    assert_eq!(refused(elsewhere).await, -32602);
    let mut forged = third.clone();
    forged["requestState"] = json!(format!("{}x", state.as_str().expect("a text")));
    assert_eq!(refused(forged).await, -32602);
}
