//! An MCP client of raw requests: messages as they are, headers as a test wants them, streams event by event.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::node::{Node, Settings};
use super::{Answer, Connection, within};

/// The program with the fixtures of the conformance suite, which cargo builds before it runs the tests.
pub(crate) fn fixtures() -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_stead")).parent().expect("a binary lies in a directory");
    beside.join("examples/mcp_fixtures")
}

/// A node that has the fixtures beside its own tools, a member of the cluster of another if one is given.
pub(crate) async fn with_fixtures(member_of: Option<&Node>) -> Node {
    let mut environment = vec![("STEAD_JOIN_SECRET".to_owned(), "the secret of a test's cluster".to_owned())];
    if let Some(member) = member_of {
        let nodes = member.get("/v1/nodes").await.expect(200).json();
        let at = nodes["nodes"][0]["peer_address"].as_str().expect("an address").to_owned();
        environment.push(("STEAD_JOIN".to_owned(), at));
    }
    Node::start_with(Settings { program: Some(fixtures()), environment, ..Settings::default() })
}

/// A request of JSON-RPC.
pub(crate) fn request(id: u64, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

/// A call of a tool.
pub(crate) fn call(id: u64, tool: &str, arguments: Value) -> Value {
    request(id, "tools/call", json!({ "name": tool, "arguments": arguments }))
}

/// Sends a message.
pub(crate) async fn send(node: &Node, headers: &[(&str, &str)], message: &Value) -> Answer {
    node.request("POST", "/mcp", headers, message.to_string().as_bytes()).await
}

/// A session of one of the older revisions.
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) version: String,
}

impl Session {
    /// Begins one, by a client that can do everything.
    pub(crate) async fn begin(node: &Node, version: &str) -> Self {
        let params = json!({
            "protocolVersion": version, "clientInfo": { "name": "test", "version": "1" },
            "capabilities": { "sampling": {}, "elicitation": {}, "roots": {} },
        });
        let answer = send(node, &[], &request(0, "initialize", params)).await.expect(200);
        assert_eq!(answer.json()["result"]["protocolVersion"], version, "{}", answer.text());
        let id = answer.header("mcp-session-id").expect("a session").to_owned();
        let session = Self { id, version: version.to_owned() };
        let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        session.send(node, &initialized).await.expect(202);
        session
    }

    pub(crate) fn headers(&self) -> [(&'static str, &str); 2] {
        [("Mcp-Session-Id", &self.id), ("MCP-Protocol-Version", &self.version)]
    }

    /// Sends a message of the session.
    pub(crate) async fn send(&self, node: &Node, message: &Value) -> Answer {
        send(node, &self.headers(), message).await
    }

    /// The result of a request of the session.
    pub(crate) async fn result(&self, node: &Node, message: &Value) -> Value {
        let answer = self.send(node, message).await.expect(200).json();
        assert!(answer["error"].is_null(), "{message}: {answer}");
        answer["result"].clone()
    }

    /// Sends a request that is answered with a stream.
    pub(crate) async fn speaks(&self, node: &Node, message: &Value) -> Events {
        Events::open(node, "POST", "/mcp", &self.headers(), message.to_string().as_bytes()).await
    }

    /// Opens the standing stream, or the one of an event behind that event.
    pub(crate) async fn listen(&self, node: &Node, last_event_id: Option<&str>) -> Events {
        let mut headers = self.headers().to_vec();
        if let Some(id) = last_event_id {
            headers.push(("Last-Event-ID", id));
        }
        Events::open(node, "GET", "/mcp", &headers, b"").await
    }
}

/// A stream of events.
pub(crate) struct Events {
    connection: Connection,
    received: String,
}

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) data: String,
}

impl Event {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }

    pub(crate) fn id(&self) -> &str {
        self.id.as_deref().expect("an event with an id")
    }
}

impl Events {
    pub(crate) async fn open(
        node: &Node,
        verb: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Self {
        let mut connection = node.connect().await;
        let bytes = super::http::encode(verb, path, &node.address().to_string(), headers, body);
        connection.send(&bytes).await.expect("the server reads");
        let head = connection.head().await.expect("the server answers").expect(200);
        assert_eq!(head.header("content-type"), Some("text/event-stream"), "{head:?}");
        Self { connection, received: String::new() }
    }

    /// The next event; none when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((text, rest)) = self.received.split_once("\n\n") {
                let (text, rest) = (text.to_owned(), rest.to_owned());
                self.received = rest;
                let event = parse(&text);
                if event != Event::default() {
                    return Some(event);
                }
                continue;
            }
            let chunk = within("an event", self.connection.chunk()).await.ok()??;
            self.received.push_str(&String::from_utf8(chunk).expect("events are text"));
        }
    }

    /// The next message.
    pub(crate) async fn message(&mut self) -> Event {
        loop {
            let event = self.next().await.expect("the stream goes on");
            if !event.data.is_empty() {
                return event;
            }
        }
    }
}

fn parse(text: &str) -> Event {
    let mut event = Event::default();
    for line in text.lines() {
        match line.split_once(": ").or_else(|| line.split_once(':')) {
            Some(("id", id)) => event.id = Some(id.to_owned()),
            Some(("event", kind)) => event.kind = Some(kind.to_owned()),
            Some(("data", data)) => event.data.push_str(data),
            _ => {}
        }
    }
    event
}
