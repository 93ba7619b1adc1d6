//! One message to `/mcp` and what comes back, for [`super::Mcp`].
//!
//! What the revision in use wants in headers is taken from the messages themselves: the session and version that
//! `initialize` was answered with, or the version, method and name that a message of the stateless revision says.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use parking_lot::Mutex;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use sse_stream::SseStream;
use tokio::io::{AsyncWriteExt, Stdout};
use tokio::task::JoinHandle;

use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::limits::{MCP_STDIO_RESUME_PAUSE, MCP_STDIO_RESUMES_MAX};

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");
/// Where a message of the stateless revision says which one it is.
const META_VERSION: &str = "/params/_meta/io.modelcontextprotocol~1protocolVersion";

/// The way to a server and back.
pub(super) struct Exchange {
    http: reqwest::Client,
    url: String,
    timeout: Duration,
    output: tokio::sync::Mutex<Stdout>,
    session: Mutex<Session>,
}

/// What was agreed with the server.
#[derive(Default)]
struct Session {
    headers: HeaderMap,
    /// A message has said that it is of the stateless revision.
    is_stateless: bool,
    /// Listens to what the server says of its own accord.
    listening: Option<JoinHandle<()>>,
}

/// How a stream of answers ended.
enum Ended {
    /// What was asked has been answered, or nothing was.
    Answered,
    /// It broke off; where it can be taken up again.
    Cut(Option<HeaderValue>),
}

impl Exchange {
    pub(super) fn new(server: &str, timeout: Duration) -> Result<Self, Failure> {
        // It checks the address.
        let url = format!("{}/mcp", Client::new(server, timeout)?.base());
        let http = crate::outgoing::plain()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("stead/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|problem| Failure::failed(format!("cannot make an HTTP client: {problem}")))?;
        let output = tokio::sync::Mutex::new(tokio::io::stdout());
        Ok(Self { http, url, timeout, output, session: Mutex::default() })
    }

    /// Whether the client speaks the stateless revision.
    pub(super) fn is_stateless(&self) -> bool {
        self.session.lock().is_stateless
    }

    /// Sends a message and writes whatever comes back. Only the output may fail for good.
    pub(super) async fn send(self: &Arc<Self>, message: Value) -> Result<(), Failure> {
        let id = message.get("id").filter(|_| message.get("method").is_some()).cloned();
        let method = message.get("method").and_then(Value::as_str).unwrap_or_default().to_owned();
        let post = self.http.post(&self.url).headers(self.headers_of(&message)).json(&message);
        let response = match post.send().await {
            Ok(response) => response,
            Err(problem) => {
                let why = format!("{} does not answer: {}", self.url, innermost(&problem));
                return self.complain(id, -32603, why).await;
            }
        };
        if method == "initialize" {
            self.open(response, id).await
        } else {
            self.relay(response, id).await?;
            if method == "notifications/initialized" {
                self.listen();
            }
            Ok(())
        }
    }

    /// Tells the client what went wrong: as the answer to its request, or on standard error.
    pub(super) async fn complain(&self, id: Option<Value>, code: i32, why: String) -> Result<(), Failure> {
        match id {
            Some(id) => {
                let error = json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": why}});
                self.write(&error.to_string()).await
            }
            None if code == -32700 => {
                let error = json!({"jsonrpc": "2.0", "id": null, "error": {"code": code, "message": why}});
                self.write(&error.to_string()).await
            }
            None => {
                crate::cli::output::note(&format!("stead: {why}"));
                Ok(())
            }
        }
    }

    /// The client has gone: so does its session.
    pub(super) async fn end(&self) {
        let (headers, listening) = {
            let mut session = self.session.lock();
            (session.headers.clone(), session.listening.take())
        };
        if let Some(listening) = listening {
            listening.abort();
        }
        if headers.contains_key(&SESSION) {
            // Nobody is there to tell; a session that is left ends by itself.
            drop(self.http.delete(&self.url).headers(headers).timeout(self.timeout).send().await);
        }
    }

    /// What `initialize` was answered with goes beside every message from here on.
    async fn open(&self, response: Response, id: Option<Value>) -> Result<(), Failure> {
        let session = response.headers().get(&SESSION).cloned();
        let answer = match self.read(response).await {
            Ok(answers) => answers,
            Err(why) => return self.complain(id, -32603, why).await,
        };
        for text in answer {
            let parsed: Value = serde_json::from_str(&text).unwrap_or_default();
            let version = parsed.pointer("/result/protocolVersion").and_then(Value::as_str);
            if let Some(version) = version.and_then(|version| HeaderValue::from_str(version).ok()) {
                let mut agreed = self.session.lock();
                agreed.headers.insert(VERSION, version);
                if let Some(session) = &session {
                    agreed.headers.insert(SESSION, session.clone());
                }
            }
            self.write(&text).await?;
        }
        Ok(())
    }

    /// All that a short answer says.
    async fn read(&self, response: Response) -> Result<Vec<String>, String> {
        if is_stream(&response) {
            let mut events = SseStream::from_bytes_stream(response.bytes_stream());
            let mut texts = Vec::new();
            while let Some(event) = events.next().await {
                let event = event.map_err(|problem| problem.to_string())?;
                texts.extend(event.data.filter(|data| !data.is_empty()));
            }
            return Ok(texts);
        }
        let status = response.status();
        let text = response.text().await.map_err(|problem| innermost(&problem))?;
        one_line(status, &text).map(|text| vec![text])
    }

    /// Writes what comes back, as it comes; an answer whose connection breaks is taken up where it can be.
    async fn relay(&self, mut response: Response, id: Option<Value>) -> Result<(), Failure> {
        for _ in 0..MCP_STDIO_RESUMES_MAX {
            if response.status() == StatusCode::ACCEPTED || response.status() == StatusCode::NO_CONTENT {
                return Ok(());
            }
            if !is_stream(&response) {
                return match self.read(response).await {
                    Ok(texts) => {
                        for text in texts {
                            self.write(&text).await?;
                        }
                        Ok(())
                    }
                    Err(why) => self.complain(id, -32603, why).await,
                };
            }
            let last = match self.stream(response, id.as_ref()).await? {
                Ended::Answered => return Ok(()),
                Ended::Cut(None) => break,
                Ended::Cut(Some(last)) => last,
            };
            match self.resume(last).await {
                Some(resumed) => response = resumed,
                None => break,
            }
        }
        self.complain(id, -32603, format!("the connection to {} broke before the answer", self.url)).await
    }

    /// Writes what one stream brings.
    async fn stream(&self, response: Response, id: Option<&Value>) -> Result<Ended, Failure> {
        let mut events = SseStream::from_bytes_stream(response.bytes_stream());
        let mut last = None;
        while let Some(event) = events.next().await {
            let Ok(event) = event else { break };
            if let Some(id) = event.id.and_then(|id| HeaderValue::from_str(&id).ok()) {
                last = Some(id);
            }
            let Some(data) = event.data.filter(|data| !data.is_empty()) else { continue };
            self.write(&data).await?;
            if id.is_some_and(|id| answers(&data, id)) {
                return Ok(Ended::Answered);
            }
        }
        Ok(if id.is_none() && last.is_none() { Ended::Answered } else { Ended::Cut(last) })
    }

    /// Takes a stream up after the last event that came; the server may be on its way back.
    async fn resume(&self, last: HeaderValue) -> Option<Response> {
        for pause in 1..=MCP_STDIO_RESUMES_MAX {
            tokio::time::sleep(MCP_STDIO_RESUME_PAUSE * pause).await;
            let headers = self.session.lock().headers.clone();
            let get = self.http.get(&self.url).headers(headers).header(LAST_EVENT, last.clone());
            match get.header(ACCEPT, "text/event-stream").send().await {
                Ok(response) if response.status().is_success() => return Some(response),
                Ok(response) if response.status().is_client_error() => return None,
                _ => {}
            }
        }
        None
    }

    /// Listens to what the server says of its own accord, for as long as the session stands.
    fn listen(self: &Arc<Self>) {
        let mut session = self.session.lock();
        if session.listening.is_some() || !session.headers.contains_key(&SESSION) {
            return;
        }
        let exchange = self.clone();
        #[expect(clippy::disallowed_methods, reason = "it ends with the session, in `end`")]
        let listening = tokio::spawn(async move {
            let mut last: Option<HeaderValue> = None;
            loop {
                let headers = exchange.session.lock().headers.clone();
                let mut get = exchange.http.get(&exchange.url).headers(headers);
                if let Some(last) = &last {
                    get = get.header(LAST_EVENT, last.clone());
                }
                match get.header(ACCEPT, "text/event-stream").send().await {
                    Ok(response) if response.status().is_success() => {
                        match exchange.stream(response, None).await {
                            Ok(Ended::Cut(Some(seen))) => last = Some(seen),
                            Ok(_) => {}
                            Err(_) => return,
                        }
                    }
                    // The session is gone, or the server has nothing to say.
                    Ok(response) if response.status().is_client_error() => return,
                    _ => {}
                }
                tokio::time::sleep(MCP_STDIO_RESUME_PAUSE).await;
            }
        });
        session.listening = Some(listening);
    }

    /// What goes beside a message.
    fn headers_of(&self, message: &Value) -> HeaderMap {
        let mut session = self.session.lock();
        let mut headers = session.headers.clone();
        if let Some(version) = message.pointer(META_VERSION).and_then(Value::as_str) {
            session.is_stateless = true;
            let mut say = |name: HeaderName, text: Option<&str>| {
                if let Some(value) = text.and_then(|text| HeaderValue::from_str(text).ok()) {
                    headers.insert(name, value);
                }
            };
            say(VERSION, Some(version));
            say(METHOD, message.get("method").and_then(Value::as_str));
            let named = message.pointer("/params/name").or_else(|| message.pointer("/params/uri"));
            say(NAME, named.and_then(Value::as_str));
        }
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        headers
    }

    /// Writes one message, a line of its own.
    async fn write(&self, text: &str) -> Result<(), Failure> {
        let mut output = self.output.lock().await;
        let mut line = String::with_capacity(text.len() + 1);
        line.push_str(text.trim_end());
        line.push('\n');
        let written = async {
            output.write_all(line.as_bytes()).await?;
            output.flush().await
        };
        written.await.map_err(|problem| Failure::failed(format!("cannot write the output: {problem}")))
    }
}

fn is_stream(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("text/event-stream"))
}

/// A body as one line: a JSON-RPC message as it is, anything else is what went wrong.
fn one_line(status: StatusCode, text: &str) -> Result<String, String> {
    match serde_json::from_str::<Value>(text) {
        Ok(message) if message.get("jsonrpc").is_some() || message.is_array() => {
            Ok(if text.contains('\n') { message.to_string() } else { text.to_owned() })
        }
        Ok(problem) => {
            let detail = problem.get("detail").and_then(Value::as_str);
            Err(detail.map_or_else(|| format!("the server answered {status}"), str::to_owned))
        }
        Err(_) => Err(format!("the server answered {status}, not MCP")),
    }
}

/// Whether a message is the answer to a request.
fn answers(text: &str, id: &Value) -> bool {
    serde_json::from_str::<Value>(text)
        .is_ok_and(|message| message.get("method").is_none() && message.get("id") == Some(id))
}

fn innermost(problem: &dyn std::error::Error) -> String {
    let mut innermost = problem;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_from_the_message() {
        let exchange = Exchange::new("http://127.0.0.1:1", Duration::from_secs(1)).expect("an address");
        let of = |message: Value| {
            let headers = exchange.headers_of(&message);
            let get = |name: &HeaderName| {
                headers.get(name).map_or("-", |value| value.to_str().expect("text")).to_owned()
            };
            [get(&VERSION), get(&METHOD), get(&NAME)].join(" ")
        };
        assert_eq!(of(json!({"method": "tools/list", "id": 1})), "- - -");
        assert!(!exchange.is_stateless());
        let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28"});
        let call = json!({"method": "tools/call", "id": 1, "params": {"name": "echo", "_meta": meta}});
        assert_eq!(of(call), "2026-07-28 tools/call echo");
        assert!(exchange.is_stateless());
        let read = json!({"method": "resources/read", "params": {"uri": "stead://counter/a", "_meta": meta}});
        assert_eq!(of(read), "2026-07-28 resources/read stead://counter/a");
    }

    #[test]
    fn only_messages_are_passed_on() {
        let ok = StatusCode::OK;
        assert_eq!(one_line(ok, r#"{"jsonrpc":"2.0"}"#), Ok(r#"{"jsonrpc":"2.0"}"#.to_owned()));
        assert_eq!(one_line(ok, "{\n\"jsonrpc\": \"2.0\"}"), Ok(r#"{"jsonrpc":"2.0"}"#.to_owned()));
        assert_eq!(one_line(StatusCode::NOT_FOUND, r#"{"code":"x","detail":"no"}"#), Err("no".to_owned()));
        assert_eq!(
            one_line(StatusCode::BAD_GATEWAY, "<html>"),
            Err("the server answered 502 Bad Gateway, not MCP".to_owned())
        );
    }

    #[test]
    fn an_answer_has_the_id_and_no_method() {
        assert!(answers(r#"{"id":1,"result":{}}"#, &json!(1)));
        assert!(!answers(r#"{"id":1,"method":"ping"}"#, &json!(1)));
        assert!(!answers(r#"{"id":"1","result":{}}"#, &json!(1)));
    }
}
