//! Tasks: long calls that go on without a connection, each in a record that outlives the node which runs it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use rmcp::model::{ErrorCode, ErrorData};
use serde_json::{Map, Value as Json, json};
use tokio::time::{MissedTickBehavior, interval};

use super::exchange::{Asks, Exchange, Question};
use super::pending::Pending;
use super::record::{Record, field};
use super::reply::{self, Kind};
use super::revision::Era;
use super::running::{Done, Running};
use super::{Failure, Mcp};
use crate::caller::Caller;
use crate::class::mcp_task::{answered_input, is_over};
use crate::error::Error;
use crate::limits::{MCP_RENEW_EVERY_MS, MCP_TASK_POLL_MS, MCP_TASK_TTL_MS};
use crate::live::{Event, Opening, Subscription};
use crate::object::{Key, Value, Version};

/// The class that tasks are objects of.
const CLASS: &str = "mcp-task";

/// What a client must have declared.
pub(super) const EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// Whether a client knows tasks.
pub(super) fn knows_tasks(exchange: &super::Client) -> bool {
    let extensions = exchange.capabilities.extensions.as_ref();
    extensions.is_some_and(|extensions| extensions.contains_key(EXTENSION))
}

/// What a client that does not know tasks is refused with.
pub(super) fn needs_tasks() -> Failure {
    super::exchange::missing_capability(json!({ "extensions": { EXTENSION: {} } }))
}

impl Mcp {
    /// Makes a running request a task, which goes on from here; gives the result that says so. The request is given back
    /// if that cannot be.
    pub(super) async fn make_task(&self, mut running: Running) -> Result<Done, Running> {
        running.settle();
        let exchange = running.exchange.clone();
        match self.begin_task(&exchange.caller).await {
            Ok((record, shown)) => {
                let pending = Arc::new(Pending::default());
                let asks =
                    TaskAsks { record: record.clone(), pending: pending.clone(), asked: Mutex::default() };
                exchange.outbox.become_task();
                exchange.detach.settle(Ok(Arc::new(asks)));
                self.spawn(run(self.clone(), record, running, pending));
                Ok(Ok(reply::Result { kind: Kind::Task, ..reply::Result::of_object(shown) }))
            }
            Err(error) => {
                tracing::warn!(%error, "a call could not be made a task and goes on without");
                exchange.detach.settle(Err(error.into()));
                Err(running)
            }
        }
    }

    async fn begin_task(&self, caller: &Caller) -> Result<(Record, Map<String, Json>), Error> {
        let record = self.record(caller, CLASS, &Record::fresh_name());
        let record = record.expect("hex digits are a name");
        let params = json!({ "ttl_ms": MCP_TASK_TTL_MS, "poll_ms": MCP_TASK_POLL_MS });
        match record.call("begin", params).await? {
            Json::Object(shown) => Ok((record, shown)),
            other => unreachable!("a task is shown as an object, not {other}"),
        }
    }

    /// `tasks/get`, `tasks/update` and `tasks/cancel`.
    pub(super) async fn task_method(
        &self,
        exchange: &Exchange,
        method: &str,
        params: &Map<String, Json>,
    ) -> Result<reply::Result, Failure> {
        if !knows_tasks(&exchange.client) {
            return Err(needs_tasks());
        }
        let id = super::dispatch::text(params, "taskId")?;
        let record = self.record(&exchange.caller, CLASS, id).ok_or_else(|| unknown(id))?;
        let answered = match method {
            "tasks/get" => record.ask("task", json!({})).await.map(|(shown, _)| shown),
            "tasks/update" => {
                let answers = params.get("inputResponses").cloned().unwrap_or(Json::Null);
                if !answers.is_object() {
                    return Err(Failure::invalid_params("inputResponses is a JSON object"));
                }
                record.call("answer", json!({ "answers": answers })).await.map(|_| json!({}))
            }
            _ => record.call("cancel", json!({})).await.map(|_| json!({})),
        };
        match answered {
            Ok(Json::Object(shown)) => Ok(reply::Result::of_object(shown)),
            Ok(other) => unreachable!("a task answers with objects, not {other}"),
            Err(error) if error.code.status() == 404 => Err(unknown(id)),
            Err(error) => Err(error.into()),
        }
    }

    /// Follows a task, for who wants to be told of it; none if there is no such task.
    pub(super) async fn follow_task(
        &self,
        caller: &Caller,
        id: &str,
    ) -> Result<Option<(Record, Subscription)>, Error> {
        let Some(record) = self.record(caller, CLASS, id) else { return Ok(None) };
        match record.ask("task", json!({})).await {
            Ok((_, version)) => Ok(Some((record.clone(), record.watch(version).await?))),
            Err(error) if error.code.status() == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn unknown(id: &str) -> Failure {
    Failure::invalid_params(format!("there is no task {id}"))
}

/// Runs a task to its end, and keeps what it comes to.
async fn run(mcp: Mcp, record: Record, mut running: Running, pending: Arc<Pending>) {
    let mut renewals = interval(Duration::from_millis(MCP_RENEW_EVERY_MS));
    renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let Ok(mut watch) = record.watch(Version(1)).await else {
        tracing::warn!(task = record.name(), "a task cannot be followed and is given up");
        return;
    };
    if absorb_opening(&mut watch, &pending) {
        return;
    }
    let exchange = running.exchange.clone();
    let done = loop {
        tokio::select! {
            biased;
            done = running.done() => break done,
            event = watch.next() => match event {
                Event::Update(update) if update.deleted_object || absorb(&update.changes, &pending) => return,
                Event::Reset(Opening::Init { state: Some(state), .. }) if absorb(&state, &pending) => return,
                Event::TooSlow { .. } | Event::GoingAway { .. } => {
                    // Nothing is heard of it any more; it may end well all the same.
                    break tokio::select! { done = running.done() => done, () = mcp.stopping() => Err(stopped()) };
                }
                _ => {}
            },
            _ = renewals.tick() => {
                let message = exchange.outbox.take_status();
                match record.call("renew", json!({ "message": message })).await {
                    Ok(answer) if *field(&answer, "over") == true => return,
                    Ok(_) => {}
                    Err(error) => tracing::warn!(task = record.name(), %error, "a task's lease was not renewed"),
                }
            }
            () = mcp.stopping() => break Err(stopped()),
        }
    };
    let outcome = match done {
        Ok(result) => {
            let text = result.into_object(Era::Legacy);
            json!({ "result": serde_json::from_str::<Json>(&text).unwrap_or(Json::Null) })
        }
        Err(error) => json!({ "error": error }),
    };
    if let Err(error) = record.insist("finish", outcome).await {
        tracing::warn!(task = record.name(), %error, "what a task came to could not be kept");
    }
}

/// The node ends before the request does.
pub(super) fn stopped() -> ErrorData {
    let data = json!({ "code": "outcome_unknown", "retry": "unknown" });
    ErrorData::new(
        ErrorCode::INTERNAL_ERROR,
        "the node that ran the request stops; whether it took effect is not known",
        Some(data),
    )
}

fn absorb_opening(watch: &mut Subscription, pending: &Pending) -> bool {
    match watch.take_opening() {
        Opening::Init { state: Some(state), .. } => absorb(&state, pending),
        _ => false,
    }
}

/// Hands on the answers among new keys; says whether the task is over.
fn absorb(keys: &[(Key, Value)], pending: &Pending) -> bool {
    let mut over = false;
    for (key, value) in keys {
        if let Some(input) = answered_input(key.as_str()) {
            pending.resolve(input, value.to_json());
        }
        over |= key.as_str() == "task" && is_over(key.as_str(), &value.to_json());
    }
    over
}

/// Asks the client of a task through its record.
struct TaskAsks {
    record: Record,
    pending: Arc<Pending>,
    /// A key stands for one question over the task's whole life.
    asked: Mutex<HashSet<String>>,
}

impl TaskAsks {
    fn key(&self, wanted: &str) -> String {
        let mut asked = self.asked.lock();
        let mut key = wanted.to_owned();
        let mut number = 1_u64;
        while !asked.insert(key.clone()) {
            number += 1;
            key = format!("{wanted}-{number}");
        }
        key
    }
}

impl Asks for TaskAsks {
    fn ask(&self, questions: Vec<(String, Question)>) -> BoxFuture<'_, Result<Vec<Json>, Failure>> {
        Box::pin(async move {
            let (mut inputs, mut expected) = (Map::new(), Vec::new());
            for (wanted, question) in &questions {
                let key = self.key(wanted);
                expected.push(self.pending.expect(&key));
                inputs.insert(key, question.input());
            }
            self.record.insist("ask", json!({ "inputs": inputs })).await?;
            let mut answers = Vec::new();
            for answer in expected {
                answers.push(answer.wait().await?);
            }
            Ok(answers)
        })
    }
}
