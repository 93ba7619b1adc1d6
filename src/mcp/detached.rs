//! A call that has become a task: it goes on in a task of its own, and what it asks and comes to stands in its record.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::{Map, Value as Json, json};
use tokio::time::{MissedTickBehavior, interval};

use super::done::{Done, stopped};
use super::exchange::{Asks, Question};
use super::pending::Pending;
use super::record::{Record, field};
use super::reply::{self, Kind};
use super::revision::Era;
use super::running::Running;
use super::{Failure, Mcp, task};
use crate::class::mcp_task::{answered_input, is_over};
use crate::limits::MCP_RENEW_EVERY_MS;
use crate::live::{Event, Opening, Subscription};
use crate::object::{Key, Value, Version};

/// Makes a running request a task, which goes on from here; gives the result that says so. The request is given back
/// if that cannot be.
pub(super) async fn make_task(mcp: &Mcp, mut running: Running) -> Result<Done, Running> {
    running.settle();
    let exchange = running.exchange.clone();
    match task::begin(mcp, &exchange.caller).await {
        Ok((record, shown)) => {
            let pending = Arc::new(Pending::default());
            let asks = TaskAsks { record: record.clone(), pending: pending.clone(), asked: Mutex::default() };
            exchange.outbox.become_task();
            exchange.detach.settle(Ok(Arc::new(asks)));
            mcp.spawn(run(mcp.clone(), record, running, pending));
            Ok(Ok(reply::Result { kind: Kind::Task, ..reply::Result::of_object(shown) }))
        }
        Err(error) => {
            tracing::warn!(%error, "a call could not be made a task and goes on without");
            exchange.detach.settle(Err(error.into()));
            Err(running)
        }
    }
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
