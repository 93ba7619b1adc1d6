//! MCP on one node: bare requests, and both eras from their first message to their last.

use serde_json::{Value, json};

use crate::harness::Node;
use crate::harness::mcp::{Events, Session, call, request, send};

#[tokio::test]
async fn bare_requests_are_answered() {
    let node = Node::start();
    node.put("/v1/objects/object/a", &json!({ "x": 1 })).await.expect(201);
    let get = call(7, "object_get", json!({ "class": "object", "name": "a" }));
    let answer = send(&node, &[], &get).await.expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let answer = answer.json();
    assert_eq!((&answer["id"], &answer["jsonrpc"]), (&json!(7), &json!("2.0")));
    assert_eq!(answer["result"]["structuredContent"]["state"], json!({ "x": 1 }), "{answer}");
    let text = answer["result"]["content"][0]["text"].as_str().expect("a text");
    let text: Value = serde_json::from_str(text).expect("JSON");
    assert_eq!(text, answer["result"]["structuredContent"]);

    // In whatever form a client takes it.
    for accept in
        ["", "*/*", "application/json", "application/json, text/event-stream", "text/html, */*;q=0.1"]
    {
        let answer = send(&node, &[("Accept", accept)], &get).await.expect(200);
        assert_eq!(answer.header("content-type"), Some("application/json"), "{accept}");
    }
    let mut events =
        Events::open(&node, "POST", "/mcp", &[("Accept", "text/event-stream")], get.to_string().as_bytes())
            .await;
    assert_eq!(events.message().await.json()["id"], 7);
    assert_eq!(events.next().await, None);
    send(&node, &[("Accept", "text/html")], &get).await.expect(406);

    let listed = send(&node, &[], &request(1, "tools/list", json!({}))).await.expect(200).json();
    let names: Vec<_> =
        listed["result"]["tools"].as_array().expect("tools").iter().map(|tool| &tool["name"]).collect();
    assert!(
        names.contains(&&json!("object_get")) && names.contains(&&json!("create_change_request")),
        "{names:?}"
    );
    let answer = node.request("POST", "/mcp/initialize", &[], get.to_string().as_bytes()).await.expect(200);
    assert_eq!(answer.json()["id"], 7);
}

#[tokio::test]
async fn errors_of_bare_requests_are_answers() {
    let node = Node::start();
    let code = async |message: Value| {
        let answer = send(&node, &[], &message).await.expect(200).json();
        (answer["error"]["code"].as_i64(), answer["error"]["message"].as_str().unwrap_or_default().to_owned())
    };
    let unknown = call(1, "no_such_tool", json!({}));
    assert_eq!(code(unknown).await, (Some(-32602), "Unknown tool: no_such_tool".to_owned()));
    assert_eq!(code(request(1, "no/such", json!({}))).await.0, Some(-32601));
    assert_eq!(code(request(1, "tools/call", json!({}))).await.0, Some(-32602));
    assert_eq!(code(request(1, "prompts/get", json!({ "name": "none" }))).await.0, Some(-32602));
    assert_eq!(code(request(1, "resources/read", json!({ "uri": "none://x" }))).await.0, Some(-32002));
    assert_eq!(
        code(request(1, "resources/subscribe", json!({ "uri": "stead://object/a" }))).await.0,
        Some(-32600)
    );
    assert_eq!(code(request(1, "tools/list", json!({ "cursor": "x" }))).await.0, Some(-32602));
    // Arguments may be left out, and null; what a tool makes of that is its answer.
    for params in [json!({ "name": "list_changes" }), json!({ "name": "list_changes", "arguments": null })] {
        let answer = send(&node, &[], &request(1, "tools/call", params)).await.expect(200).json();
        assert!(answer["result"].is_object(), "{answer}");
    }
}

#[tokio::test]
async fn rubbish_is_refused_and_harms_nobody() {
    let node = Node::start();
    let check = async |headers: &[(&str, &str)], body: &[u8], status: u16, code: i64| {
        let answer = node.request("POST", "/mcp", headers, body).await;
        let shown = String::from_utf8_lossy(body).chars().take(80).collect::<String>();
        assert_eq!(answer.status, status, "{shown}: {}", answer.text());
        assert_eq!(answer.json()["error"]["code"], code, "{shown}: {}", answer.text());
    };
    check(&[], b"", 400, -32700).await;
    check(&[], b"{", 400, -32700).await;
    check(&[], b"\xff\xfe", 400, -32700).await;
    check(&[], b"[]", 400, -32600).await;
    check(&[], br#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, 400, -32600).await;
    check(&[], br#"{"jsonrpc":"2.0","id":1}"#, 400, -32600).await;
    check(&[], "[".repeat(100_000).as_bytes(), 400, -32700).await;
    let many = json!(vec![json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }); 101]).to_string();
    check(&[], many.as_bytes(), 400, -32600).await;
    check(&[("Content-Type", "text/plain")], b"{}", 415, -32600).await;
    check(&[], &vec![b' '; 5 * 1024 * 1024], 413, -32602).await;
    let ping = request(1, "ping", json!({})).to_string();
    check(&[("Mcp-Session-Id", "nobody")], ping.as_bytes(), 404, -32001).await;
    check(&[("Mcp-Session-Id", "../../x")], ping.as_bytes(), 404, -32001).await;
    check(&[("MCP-Protocol-Version", "1999-01-01")], ping.as_bytes(), 400, -32022).await;
    for (verb, allow) in [("GET", "POST"), ("PUT", "GET, POST, DELETE"), ("PATCH", "GET, POST, DELETE")] {
        let answer = node.request(verb, "/mcp", &[], b"").await.expect(405);
        assert_eq!(answer.header("allow"), Some(allow), "{verb}");
    }
    node.delete("/mcp").await.expect(400);
    send(&node, &[], &request(1, "ping", json!({}))).await.expect(200);
}

#[tokio::test]
async fn a_session_from_its_first_message_to_its_last() {
    let node = Node::start();
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let session = Session::begin(&node, version).await;
        assert_eq!(session.result(&node, &request(1, "ping", json!({}))).await, json!({}));
        session.result(&node, &request(2, "logging/setLevel", json!({ "level": "debug" }))).await;
        let wrong = session.send(&node, &request(3, "logging/setLevel", json!({ "level": "loud" }))).await;
        assert_eq!(wrong.json()["error"]["code"], -32602);
        let uri = json!({ "uri": "stead://object/watched" });
        session.result(&node, &request(4, "resources/subscribe", uri.clone())).await;
        let mut events = session.listen(&node, None).await;
        node.put("/v1/objects/object/watched/state/x", &json!({ "value": version })).await.expect(200);
        let told = events.message().await;
        assert_eq!(told.json()["method"], "notifications/resources/updated");
        assert_eq!(told.json()["params"], uri);
        session.result(&node, &request(5, "resources/unsubscribe", uri.clone())).await;

        let session_headers = session.headers();
        node.request("DELETE", "/mcp", &session_headers, b"").await.expect(204);
        assert_eq!(events.next().await, None, "its streams end with it");
        session.send(&node, &request(6, "ping", json!({}))).await.expect(404);
        node.request("DELETE", "/mcp", &session_headers, b"").await.expect(404);
    }
    // A version that nobody knows is answered with the newest that has sessions.
    let params = json!({ "protocolVersion": "2099-01-01", "capabilities": {} });
    let answer = send(&node, &[], &request(0, "initialize", params)).await.expect(200).json();
    assert_eq!(answer["result"]["protocolVersion"], "2025-11-25");
    assert!(node.metric("stead_mcp_sessions_begun_total").await >= 5);
    let stats = node.get("/stats").await.expect(200).json();
    assert_eq!(stats["activeSessions"], 1, "{stats}");
    assert!(stats["registeredTools"].as_u64().is_some_and(|tools| tools > 10), "{stats}");
}

#[tokio::test]
async fn several_messages_in_one_body() {
    let node = Node::start();
    let session = Session::begin(&node, "2025-03-26").await;
    let both = json!([
        request(1, "ping", json!({})),
        { "jsonrpc": "2.0", "method": "notifications/initialized" },
        7,
        call(2, "counter_increment", json!({ "name": "c" })),
    ]);
    let answers = session.send(&node, &both).await.expect(200).json();
    assert_eq!(answers.as_array().map(Vec::len), Some(3), "{answers}");
    assert_eq!(
        (&answers[0]["id"], &answers[1]["error"]["code"], &answers[2]["id"]),
        (&json!(1), &json!(-32600), &json!(2))
    );
    let notices = json!([{ "jsonrpc": "2.0", "method": "notifications/initialized" }]);
    session.send(&node, &notices).await.expect(202);
    let later = Session::begin(&node, "2025-06-18").await;
    later.send(&node, &both).await.expect(400);
}

/// The headers of the newest revision for a message.
fn modern(message: &Value) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("MCP-Protocol-Version", "2026-07-28".to_owned()),
        ("Mcp-Method", message["method"].as_str().expect("a method").to_owned()),
    ];
    if let Some(name) = ["name", "uri", "taskId"].iter().find_map(|field| message["params"][field].as_str()) {
        headers.push(("Mcp-Name", name.to_owned()));
    }
    headers
}

/// A request of the newest revision.
fn modern_request(method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    request(1, method, params)
}

#[tokio::test]
async fn the_newest_revision_needs_no_session() {
    let node = Node::start();
    let ask = async |message: &Value, left_out: &str| {
        let headers = modern(message);
        let headers: Vec<_> = headers
            .iter()
            .filter(|(name, _)| *name != left_out)
            .map(|(name, value)| (*name, &**value))
            .collect();
        send(&node, &headers, message).await
    };
    let discovered = ask(&modern_request("server/discover", json!({})), "").await.expect(200).json();
    assert_eq!(discovered["result"]["supportedVersions"][0], "2026-07-28", "{discovered}");
    assert_eq!(discovered["result"]["resultType"], "complete");
    assert!(discovered["result"]["ttlMs"].is_u64() && discovered["result"]["cacheScope"] == "public");

    let change =
        modern_request("tools/call", json!({ "name": "counter_increment", "arguments": { "name": "m" } }));
    let answer = ask(&change, "").await.expect(200).json();
    assert_eq!(answer["result"]["isError"], false, "{answer}");
    let info = &answer["result"]["_meta"]["io.modelcontextprotocol/serverInfo"];
    assert_eq!(info["name"], "stead");
    for header in ["MCP-Protocol-Version", "Mcp-Method", "Mcp-Name"] {
        let answer = ask(&change, header).await.expect(400).json();
        assert_eq!(answer["error"]["code"], -32020, "without {header}: {answer}");
    }
    let gone = ask(&modern_request("ping", json!({})), "").await.expect(404).json();
    assert_eq!(gone["error"]["code"], -32601);
    let none =
        ask(&modern_request("resources/read", json!({ "uri": "none://x" })), "").await.expect(200).json();
    assert_eq!(none["error"]["code"], -32602, "{none}");
    let mut bare = change.clone();
    bare["params"].as_object_mut().expect("params").remove("_meta");
    let answer = ask(&bare, "").await.expect(400).json();
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
    // The call is counted under its tool.
    let metrics = node.get("/metrics").await.expect(200).text();
    assert!(
        metrics.contains(r#"stead_mcp_tool_calls_total{tool="counter_increment",outcome="answered"} 1"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn what_is_listened_to_is_told() {
    let mut node = Node::start();
    node.put("/v1/objects/object/a", &json!({ "x": 1 })).await.expect(201);
    let wanted = json!({ "notifications": {
        "toolsListChanged": true, "resourceSubscriptions": ["stead://object/a", "none://x"] } });
    let listen = modern_request("subscriptions/listen", wanted);
    let headers = modern(&listen);
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, &**value)).collect();
    let mut events = Events::open(&node, "POST", "/mcp", &headers, listen.to_string().as_bytes()).await;
    let first = events.message().await.json();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(
        first["params"]["notifications"],
        json!({ "toolsListChanged": true, "resourceSubscriptions": ["stead://object/a"] })
    );
    assert_eq!(first["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 1);
    for value in 0..3 {
        node.put("/v1/objects/object/a/state/x", &json!({ "value": value })).await.expect(200);
        let told = events.message().await.json();
        assert_eq!(told["method"], "notifications/resources/updated");
        assert_eq!(told["params"]["uri"], "stead://object/a");
        assert_eq!(told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 1);
    }
    // The server that stops says so with the answer to the request.
    let ended = tokio::task::spawn_blocking(move || (node.term(), node));
    let last = events.message().await.json();
    assert_eq!((&last["id"], &last["result"]["resultType"]), (&json!(1), &json!("complete")), "{last}");
    assert_eq!(events.next().await, None);
    assert!(ended.await.expect("it ends").0.success());
}

#[tokio::test]
async fn a_call_takes_effect_once_for_each_idempotency_key() {
    let node = Node::start();
    let increment = |key: Option<&str>| {
        let mut call = call(1, "counter_increment", json!({ "name": "once" }));
        if let Some(key) = key {
            call["params"]["_meta"] = json!({ "stead/idempotency-key": key });
        }
        call
    };
    let value = |answer: Value| answer["result"]["structuredContent"]["result"]["value"].clone();
    let header = [("Idempotency-Key", "k1")];
    assert_eq!(value(send(&node, &header, &increment(None)).await.expect(200).json()), 1);
    assert_eq!(value(send(&node, &header, &increment(None)).await.expect(200).json()), 1);
    assert_eq!(value(send(&node, &[], &increment(Some("k1"))).await.expect(200).json()), 1);
    assert_eq!(value(send(&node, &[], &increment(Some("k2"))).await.expect(200).json()), 2);
    let wrong = send(&node, &[("Idempotency-Key", "a b")], &increment(None)).await.expect(200).json();
    assert_eq!(wrong["error"]["code"], -32602, "{wrong}");
}
