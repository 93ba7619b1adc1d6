//! `stead object watch`: an object's state, then every change, gap-free through reconnects.
//!
//! It speaks the WebSocket of `/v1/objects/{class}/{name}/live` and keeps the last version it showed;
//! when the connection breaks it comes back with `since`, so that nothing is missed or shown twice: to the node it was
//! given, or to another of the cluster, whose addresses it asked for while it could.

use std::time::Duration;

use clap::Args;
use futures_util::{SinkExt as _, StreamExt as _};
use rand::RngExt as _;
use serde_json::Value;
use tokio_tungstenite::tungstenite::error::Error as SocketError;
use tokio_tungstenite::tungstenite::{Message, http};

use super::super::client::{Answer, Client, refused, with_query};
use super::super::failure::{Failure, Kind};
use super::super::output::{Format, Output, note, plain, print};
use super::Address;
use super::history::change;

/// First pause before connecting again, in milliseconds; it doubles with each failure.
const PAUSE_FIRST_MS: u64 = 100;
/// Longest pause before connecting again, in milliseconds.
const PAUSE_MAX_MS: u64 = 5_000;
/// Failures to connect in a row after which the command gives up.
const FAILURES_MAX: u32 = 30;
/// What being turned away by a crowd counts for, in failures: as many as make the longest pause.
const CROWDED_FAILURES: u32 = 6;

/// Follow an object: its state, then every change
///
/// Changes are shown as they become durable, until Ctrl-C. When the connection breaks it comes back,
/// to another node of the cluster if need be, and misses nothing.
///
///   stead object watch counter/visits
///   stead object watch counter/visits --since 10 --count 5 -o json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(in crate::cli) struct Watch {
    /// The object
    #[arg(value_name = "CLASS/NAME")]
    address: Address,
    /// Begin after this version instead of with the state
    #[arg(long, value_name = "VERSION")]
    since: Option<u64>,
    /// End after so many lines
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

/// How a connection ended.
enum End {
    /// Enough was shown.
    Enough,
    /// It broke or was closed in a way that asks to come back.
    ComeBack(String),
    /// The server has too many subscribers: come back after a long pause.
    Crowded(String),
}

/// Where the object can be watched: at the node that was named, and at the others of its cluster.
struct Servers {
    known: Vec<String>,
    turn: usize,
}

impl Servers {
    fn current(&self) -> &str {
        let server = self.turn.checked_rem(self.known.len()).and_then(|turn| self.known.get(turn));
        server.map_or("", String::as_str)
    }

    /// Asks the node that was named for the others, once. One that does not say knows of no others.
    async fn learn(&mut self, client: &Client) {
        if self.known.len() > 1 {
            return;
        }
        let Ok(answer) = client.probe("/v1/nodes").await else { return };
        let nodes = answer.body.get("nodes").and_then(Value::as_array);
        let is_member = |node: &&Value| node.get("state").and_then(Value::as_str) != Some("removed");
        for node in nodes.into_iter().flatten().filter(is_member) {
            let address = node.get("address").and_then(Value::as_str);
            let server = address.map(|address| format!("http://{address}"));
            self.known.extend(server.filter(|server| server != client.base()));
        }
    }
}

impl Watch {
    pub(in crate::cli) async fn run(mut self, client: &Client, output: &Output) -> Result<(), Failure> {
        let mut failures = 0;
        let mut servers = Servers { known: vec![client.base().to_owned()], turn: 0 };
        while self.count != Some(0) {
            let before = self.since;
            let why = match self.follow(client, &mut servers, output).await? {
                End::Enough => break,
                End::ComeBack(why) => {
                    failures = if self.since == before { failures + 1 } else { 0 };
                    why
                }
                End::Crowded(why) => {
                    failures = (failures + 1).max(CROWDED_FAILURES);
                    why
                }
            };
            if failures >= FAILURES_MAX {
                return Err(Failure::unavailable(format!("{why}; gave up after {FAILURES_MAX} attempts")));
            }
            servers.turn += 1;
            note(&format!("{why}; connecting to {}", servers.current()));
            tokio::time::sleep(pause(failures)).await;
        }
        Ok(())
    }

    /// Follows one connection to its end.
    async fn follow(
        &mut self,
        client: &Client,
        servers: &mut Servers,
        output: &Output,
    ) -> Result<End, Failure> {
        let path = with_query(
            &format!("{}/live", self.address.path()),
            &[("since", self.since.map(|version| version.to_string()))],
        );
        let server = servers.current().to_owned();
        let url = format!("{}{path}", server.replacen("http://", "ws://", 1));
        let connecting = tokio::time::timeout(client.timeout(), tokio_tungstenite::connect_async(&url));
        let mut socket = match connecting.await {
            Ok(Ok((socket, _))) => socket,
            Ok(Err(SocketError::Http(answer))) => return turned_away(&answer),
            Ok(Err(problem)) => {
                return Ok(End::ComeBack(format!("{server} does not answer: {problem}")));
            }
            Err(_) => return Ok(End::ComeBack(format!("{server} does not answer"))),
        };
        servers.learn(client).await;
        while let Some(message) = socket.next().await {
            match message {
                Ok(Message::Text(text)) => {
                    if self.show(&text, output)? && self.count == Some(0) {
                        socket.close(None).await.ok();
                        return Ok(End::Enough);
                    }
                }
                Ok(Message::Close(Some(frame))) => {
                    let (code, reason) = (u16::from(frame.code), frame.reason);
                    return closed(code, &reason);
                }
                // Answers to pings are queued while reading; this sends them.
                Ok(_) => socket.flush().await.ok().unwrap_or_default(),
                Err(problem) => return Ok(End::ComeBack(format!("the connection broke: {problem}"))),
            }
        }
        Ok(End::ComeBack("the connection ended".to_owned()))
    }

    /// Shows a frame, if it says something about the object; true if it did.
    fn show(&mut self, text: &str, output: &Output) -> Result<bool, Failure> {
        let frame: Value = serde_json::from_str(text)
            .map_err(|problem| Failure::failed(format!("the server sent what is no JSON: {problem}")))?;
        let Some(line) = line(&frame) else { return Ok(false) };
        if let Some(version) = frame.get("version").and_then(Value::as_u64)
            && frame.get("type").and_then(Value::as_str) != Some("resumed")
        {
            self.since = Some(version);
        }
        self.count = self.count.map(|count| count.saturating_sub(1));
        match output.format() {
            Format::Json => print(text)?,
            Format::Table => print(&line)?,
        }
        Ok(true)
    }
}

/// A frame as a line: version, what happened, what changed. Frames about others give none.
fn line(frame: &Value) -> Option<String> {
    let text = |field: &str| frame.get(field).map(plain).unwrap_or_default();
    let what = match frame.get("type")?.as_str()? {
        "init" if frame.get("truncated") == Some(&Value::Bool(true)) => {
            "state   too large to be shown here".to_owned()
        }
        "init" => format!("state   {}", frame.get("state")?),
        "resumed" => return None,
        "update" => format!("{} by {}  {}", text("method"), text("by"), change(frame)),
        "deleted" => "deleted".to_owned(),
        _ => return None,
    };
    Some(format!("{:>7}  {what}", text("version")))
}

/// What a close code means: most ask to come back, some to stay away.
fn closed(code: u16, reason: &str) -> Result<End, Failure> {
    let said = if reason.is_empty() {
        format!("closed with {code}")
    } else {
        format!("closed with {code}: {reason}")
    };
    match code {
        1007 | 1009 | 4400..=4499 => {
            let kind = if code == 4404 { Kind::NotFound } else { Kind::Failed };
            Err(Failure::new(kind, said))
        }
        4529 => Ok(End::Crowded(said)),
        _ => Ok(End::ComeBack(said)),
    }
}

/// An HTTP answer instead of a socket.
fn turned_away(answer: &http::Response<Option<Vec<u8>>>) -> Result<End, Failure> {
    let body = answer.body().as_deref().unwrap_or_default();
    let body =
        serde_json::from_slice(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned().into());
    let failure = refused(&Answer { status: answer.status(), body });
    if failure.kind() == Kind::Unavailable { Ok(End::Crowded(failure.to_string())) } else { Err(failure) }
}

/// The pause before the next attempt: doubling, with jitter, so that a crowd does not come back at once.
fn pause(failures: u32) -> Duration {
    let longest_ms = PAUSE_FIRST_MS.saturating_mul(1 << failures.min(16)).min(PAUSE_MAX_MS);
    Duration::from_millis(rand::rng().random_range(longest_ms / 2..=longest_ms))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::{End, closed, line, pause};

    #[test]
    fn frames_are_lines() {
        let frames = [
            json!({"type": "init", "object": "counter/v", "version": 2, "state": {"value": 2}, "self": "x"}),
            json!({"type": "init", "object": "counter/v", "version": 2, "state": null, "truncated": true}),
            json!({"type": "resumed", "object": "counter/v", "version": 2}),
            json!({"type": "update", "version": 3, "changes": {"value": 3}, "deleted": [], "method": "increment", "by": "local"}),
            json!({"type": "presence", "joined": []}),
            json!({"type": "deleted", "object": "counter/v", "version": 4}),
        ];
        let lines: Vec<_> = frames.iter().filter_map(line).collect();
        expect_test::expect![[r#"
            2  state   {"value":2}
                  2  state   too large to be shown here
                  3  increment by local  {"value":3}
                  4  deleted"#]]
        .assert_eq(lines.join("\n").trim_start());
    }

    #[test]
    fn close_codes_say_whether_to_come_back() {
        for (code, back) in
            [(1000, true), (1001, true), (1006, true), (4508, true), (1007, false), (4403, false)]
        {
            assert_eq!(matches!(closed(code, ""), Ok(End::ComeBack(_))), back, "{code}");
        }
        assert!(matches!(closed(4529, ""), Ok(End::Crowded(_))));
        assert!(pause(super::CROWDED_FAILURES) >= Duration::from_millis(super::PAUSE_MAX_MS / 2));
    }

    #[test]
    fn pauses_are_bounded() {
        for failures in [0, 1, 5, 30, u32::MAX] {
            let pause = pause(failures);
            assert!(
                pause >= Duration::from_millis(50) && pause <= Duration::from_secs(5),
                "{failures}: {pause:?}"
            );
        }
    }
}
