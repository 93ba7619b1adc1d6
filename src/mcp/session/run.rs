//! A request of a session that answers with a stream: each event is in the session's log before it is sent, so the client
//! can lose the stream, and the request goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Value as Json, json};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::Session;
use crate::class::mcp_session::{STANDING, answered_question, cancelled_stream};
use crate::error::{Code, Error};
use crate::limits::MCP_RENEW_EVERY_MS;
use crate::live::{self, Opening};
use crate::mcp::done::{self, Done, stopped};
use crate::mcp::events::Event;
use crate::mcp::exchange::{Asks, Outbox, Outgoing, Question};
use crate::mcp::pending::Pending;
use crate::mcp::record::{Record, field};
use crate::mcp::running::Running;
use crate::mcp::{Failure, Mcp};
use crate::object::{Key, Value};

/// A stream of a session's log, and how many events it has had.
struct Log {
    record: Record,
    stream: String,
    request: Json,
    count: u64,
    /// Others write into it too, and it goes on when the request is over.
    is_shared: bool,
}

impl Log {
    /// Appends messages, however often it takes; gives the number of the last.
    async fn append(&mut self, messages: Vec<Json>, asks: Vec<String>, done: bool) -> Result<u64, Error> {
        let params = if self.is_shared {
            json!({ "stream": self.stream, "messages": messages, "asks": asks })
        } else {
            json!({
                "stream": self.stream, "request": self.request, "from": self.count,
                "messages": messages, "asks": asks, "done": done,
            })
        };
        let appended = self.record.insist("append", params).await?;
        self.count = field(&appended, "count").as_u64().unwrap_or_default();
        Ok(field(&appended, "last").as_u64().unwrap_or_default())
    }
}

/// Runs a request to its end. Its events go to `sender` for as long as somebody takes them; without one, to the session's
/// standing stream.
pub(in crate::mcp) async fn run(
    mcp: Mcp,
    session: Arc<Session>,
    mut running: Running,
    asks: Arc<SessionAsks>,
    sender: Option<mpsc::Sender<Event>>,
) {
    let is_shared = sender.is_none();
    let mut client = sender;
    if session.takes_priming() {
        send(&mut client, Event::priming(&asks.stream));
    }
    let record = session.record.clone();
    let stream = if is_shared { STANDING.to_owned() } else { asks.stream.clone() };
    let mut log = Log { record, stream, request: running.id.clone(), count: 0, is_shared };
    let ended = drive(&mcp, &session, &mut running, &asks, &mut log, &mut client).await;
    let answer = match ended {
        Ok(Some(done)) => done,
        // Taken back: nothing more is said of it.
        Ok(None) => {
            running.exchange.cancelled.cancel();
            drop(log.append(Vec::new(), Vec::new(), true).await);
            return;
        }
        Err(error) => {
            tracing::warn!(session = session.record.name(), %error, "a stream of a session cannot go on");
            return;
        }
    };
    while let Some(outgoing) = running.exchange.outbox.take() {
        if let Err(error) = pass(outgoing, &mut log, &mut client).await {
            tracing::warn!(session = session.record.name(), %error, "an event could not be kept");
            return;
        }
    }
    let text = done::message(&running.id, &answer, running.era());
    let message = serde_json::from_str(&text).unwrap_or(Json::Null);
    match log.append(vec![message], Vec::new(), true).await {
        Ok(number) => send(&mut client, Event::kept(&log.stream, number, text)),
        Err(error) => {
            tracing::warn!(session = session.record.name(), %error, "an answer could not be kept");
        }
    }
}

/// Until the request's end, or until it is taken back.
async fn drive(
    mcp: &Mcp,
    session: &Session,
    running: &mut Running,
    asks: &SessionAsks,
    log: &mut Log,
    client: &mut Option<mpsc::Sender<Event>>,
) -> Result<Option<Done>, Error> {
    let exchange = running.exchange.clone();
    let mut watch = session.record.watch(session.at).await?;
    if let Opening::Init { state: Some(state), .. } = watch.take_opening()
        && absorb(&state, asks)
    {
        return Ok(None);
    }
    let mut renewals = interval(Duration::from_millis(MCP_RENEW_EVERY_MS));
    renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is at once, and the first event has a lease of its own.
    renewals.tick().await;
    loop {
        tokio::select! {
            biased;
            () = exchange.outbox.filled() => {
                while let Some(outgoing) = exchange.outbox.take() {
                    pass(outgoing, log, client).await?;
                }
            }
            () = exchange.cancelled.cancelled() => return Ok(None),
            done = running.done() => return Ok(Some(done)),
            event = watch.next() => match event {
                live::Event::Update(update) if update.deleted_object || absorb(&update.changes, asks) => {
                    return Ok(None);
                }
                live::Event::Reset(Opening::Init { state: Some(state), .. }) if absorb(&state, asks) => {
                    return Ok(None);
                }
                live::Event::TooSlow { .. } | live::Event::GoingAway { .. } => {
                    // Without it no answer of the client comes; the request may not need one.
                    let done = tokio::select! { done = running.done() => done, () = mcp.stopping() => Err(stopped()) };
                    return Ok(Some(done));
                }
                _ => {}
            },
            _ = renewals.tick() => {
                if log.is_shared {
                    continue;
                }
                if log.count == 0 {
                    log.append(Vec::new(), Vec::new(), false).await?;
                } else if let Err(error) = session.record.insist("renew", json!({ "stream": log.stream })).await {
                    if error.code == Code::NotFound {
                        return Ok(None);
                    }
                    return Err(error);
                }
            }
            () = mcp.stopping() => return Ok(Some(Err(stopped()))),
        }
    }
}

/// Keeps a message, then sends it.
async fn pass(
    outgoing: Outgoing,
    log: &mut Log,
    client: &mut Option<mpsc::Sender<Event>>,
) -> Result<(), Error> {
    let (text, asks) = match outgoing {
        Outgoing::Notice(text) => (text, Vec::new()),
        Outgoing::Question { id, text } => (text, vec![id]),
        Outgoing::BreakOff => {
            // What is there to come back for must be there before the client does.
            log.append(Vec::new(), Vec::new(), false).await?;
            *client = None;
            return Ok(());
        }
    };
    let message = serde_json::from_str(&text).unwrap_or(Json::Null);
    let number = log.append(vec![message], asks, false).await?;
    send(client, Event::kept(&log.stream, number, text));
    Ok(())
}

/// A client that does not read is let go; it finds everything in the log.
fn send(client: &mut Option<mpsc::Sender<Event>>, event: Event) {
    if client.as_ref().is_some_and(|sender| sender.try_send(event).is_err()) {
        *client = None;
    }
}

/// Hands on the answers among new keys; says whether the request was taken back.
fn absorb(keys: &[(Key, Value)], asks: &SessionAsks) -> bool {
    let mut taken_back = false;
    for (key, value) in keys {
        if let Some(id) = answered_question(key.as_str()) {
            asks.pending.resolve(id, value.to_json());
        }
        taken_back |= cancelled_stream(key.as_str()) == Some(&*asks.stream);
    }
    taken_back
}

/// Asks the client of a session on the stream of the request.
pub(in crate::mcp) struct SessionAsks {
    pub(in crate::mcp) stream: String,
    outbox: Arc<Outbox>,
    pending: Arc<Pending>,
    asked: AtomicU64,
}

impl SessionAsks {
    /// On a stream of its own.
    pub(in crate::mcp) fn new(outbox: Arc<Outbox>) -> Self {
        let stream = format!("{:08x}", rand::random::<u32>());
        Self { stream, outbox, pending: Arc::default(), asked: AtomicU64::new(0) }
    }
}

impl Asks for SessionAsks {
    fn ask(&self, questions: Vec<(String, Question)>) -> BoxFuture<'_, Result<Vec<Json>, Failure>> {
        Box::pin(async move {
            let mut expected = Vec::new();
            for (_, question) in questions {
                let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
                let id = format!("{}-{number}", self.stream);
                expected.push(self.pending.expect(&id));
                let text = json!({ "jsonrpc": "2.0", "id": id, "method": question.method, "params": question.params });
                self.outbox.put(Outgoing::Question { id, text: text.to_string() }).await;
            }
            let mut answers = Vec::new();
            for answer in expected {
                answers.push(answered(answer.wait().await?)?);
            }
            Ok(answers)
        })
    }
}

/// What the client answered: a result, or an error of its own.
pub(in crate::mcp) fn answered(mut answer: Json) -> Result<Json, Failure> {
    if let Some(error) = answer.get("error") {
        let error = serde_json::from_value(error.clone());
        return Err(error.map_or_else(
            |_| Failure::internal("the client answered with an error that is none"),
            Failure::Rpc,
        ));
    }
    Ok(answer.get_mut("result").map(Json::take).unwrap_or_default())
}
