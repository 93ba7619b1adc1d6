//! Tasks: long calls that go on without a connection, each in a record that outlives the node which runs it. Here is that
//! record and what clients ask of it; `detached` runs them, and stands above what it runs.

use serde_json::{Map, Value as Json, json};

use super::exchange::{Client, Exchange, missing_capability};
use super::params::text;
use super::record::Record;
use super::{Failure, Mcp, reply};
use crate::caller::Caller;
use crate::error::Error;
use crate::limits::{MCP_TASK_POLL_MS, MCP_TASK_TTL_MS};
use crate::live::Subscription;

/// The class that tasks are objects of.
const CLASS: &str = "mcp-task";

/// What a client must have declared.
pub(super) const EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// Whether a client knows tasks.
pub(super) fn knows_tasks(client: &Client) -> bool {
    let extensions = client.capabilities.extensions.as_ref();
    extensions.is_some_and(|extensions| extensions.contains_key(EXTENSION))
}

/// What a client that does not know tasks is refused with.
pub(super) fn needs_tasks() -> Failure {
    missing_capability(json!({ "extensions": { EXTENSION: {} } }))
}

/// Begins the record of a task; with how it is shown.
pub(super) async fn begin(mcp: &Mcp, caller: &Caller) -> Result<(Record, Map<String, Json>), Error> {
    let record = mcp.record(caller, CLASS, &Record::fresh_name());
    let record = record.expect("hex digits are a name");
    let params = json!({ "ttl_ms": MCP_TASK_TTL_MS, "poll_ms": MCP_TASK_POLL_MS });
    match record.call("begin", params).await? {
        Json::Object(shown) => Ok((record, shown)),
        other => unreachable!("a task is shown as an object, not {other}"),
    }
}

/// `tasks/get`, `tasks/update` and `tasks/cancel`.
pub(super) async fn answer(
    mcp: &Mcp,
    exchange: &Exchange,
    method: &str,
    params: &Map<String, Json>,
) -> Result<reply::Result, Failure> {
    if !knows_tasks(&exchange.client) {
        return Err(needs_tasks());
    }
    let id = text(params, "taskId")?;
    let record = mcp.record(&exchange.caller, CLASS, id).ok_or_else(|| unknown(id))?;
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
pub(super) async fn follow(
    mcp: &Mcp,
    caller: &Caller,
    id: &str,
) -> Result<Option<(Record, Subscription)>, Error> {
    let Some(record) = mcp.record(caller, CLASS, id) else { return Ok(None) };
    match record.ask("task", json!({})).await {
        Ok((_, version)) => Ok(Some((record.clone(), record.watch(version).await?))),
        Err(error) if error.code.status() == 404 => Ok(None),
        Err(error) => Err(error),
    }
}

fn unknown(id: &str) -> Failure {
    Failure::invalid_params(format!("there is no task {id}"))
}
