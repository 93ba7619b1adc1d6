//! The class `mcp-task`: a long call of an MCP client, as a record that outlives whoever runs it.
//!
//! A task is working, waits for its client's input, or is over; over it does not change any more. The node that runs it
//! renews its lease; when the lease ends without that, the node is gone, and the alarm ends the task with an error that says so.
//! When the task's time is over, the alarm empties it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::limits::{MCP_ANSWER_MAX_BYTES, MCP_LEASE_MS, MCP_TASK_INPUTS_MAX, MCP_TASK_RESULT_MAX_BYTES};
use crate::object::{Page, Refusal, Timestamp, Turn};

use super::parameters::{integer, optional, required};
use super::{Access, Class, Parameters};

const TASK: &str = "task";
const INPUT: &str = "input/";
const ANSWER: &str = "answer/";
/// Private: a result may be larger than a value, and is of no use in an update.
const OUTCOME: &str = "outcome";

/// A long call of an MCP client.
#[derive(Debug, Clone, Copy, Default)]
pub struct McpTask;

#[derive(Debug, Serialize, Deserialize)]
struct Task {
    subject: String,
    status: Status,
    message: Option<String>,
    created_at: Timestamp,
    updated_at: Timestamp,
    ttl_ms: u64,
    poll_ms: u64,
    lease: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Working,
    InputRequired,
    Completed,
    Failed,
    Cancelled,
}

impl Status {
    fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl Class for McpTask {
    fn access(&self) -> Access {
        Access::Internal
    }

    fn call(&self, turn: &mut Turn<'_>, method: &str, parameters: Parameters) -> Result<Json, Refusal> {
        if method == "begin" {
            return begin(turn, &parameters);
        }
        let mut task = task(turn)?;
        if task.status.is_final() {
            return Ok(json!({ "over": true }));
        }
        match method {
            "renew" => {
                if let Some(message) = optional(&parameters, "message").and_then(Json::as_str) {
                    task.message = Some(message.to_owned());
                }
                task.lease = turn.now().plus_ms(MCP_LEASE_MS);
            }
            "ask" => {
                let inputs = required(&parameters, "inputs")?.as_object().cloned().unwrap_or_default();
                if open(turn)?.len() + inputs.len() > MCP_TASK_INPUTS_MAX {
                    let detail = format!("a task asks at most {MCP_TASK_INPUTS_MAX} things at once");
                    return Err(Refusal::TooLarge { detail });
                }
                for (key, input) in inputs {
                    turn.put(&format!("{INPUT}{key}"), &input)?;
                }
                task.status = Status::InputRequired;
            }
            "answer" => {
                let answers = required(&parameters, "answers")?.as_object().cloned().unwrap_or_default();
                for (key, answer) in answers {
                    if answer.to_string().len() > MCP_ANSWER_MAX_BYTES {
                        let detail = format!("an answer has at most {MCP_ANSWER_MAX_BYTES} bytes");
                        return Err(Refusal::TooLarge { detail });
                    }
                    if turn.delete(&format!("{INPUT}{key}"))? {
                        turn.put(&format!("{ANSWER}{key}"), &answer)?;
                    }
                }
                if task.status == Status::InputRequired && open(turn)?.is_empty() {
                    task.status = Status::Working;
                }
            }
            "finish" => {
                let failed = parameters.contains_key("error");
                let outcome = required(&parameters, if failed { "error" } else { "result" })?;
                finish(
                    turn,
                    &mut task,
                    if failed { Status::Failed } else { Status::Completed },
                    Some(outcome),
                )?;
            }
            "cancel" => finish(turn, &mut task, Status::Cancelled, None)?,
            _ => return Err(Refusal::MethodNotFound { method: method.to_owned() }),
        }
        task.updated_at = turn.now();
        turn.put(TASK, &task)?;
        arm(turn, &task);
        Ok(json!({ "over": false }))
    }

    fn ask(&self, turn: &mut Turn<'_>, question: &str, _: &Parameters) -> Result<Json, Refusal> {
        match question {
            "task" => shown(turn, &task(turn)?),
            _ => Err(Refusal::MethodNotFound { method: question.to_owned() }),
        }
    }

    fn alarm(&self, turn: &mut Turn<'_>) -> Result<(), Refusal> {
        let Some(mut task) = turn.get_as::<Task>(TASK)? else { return Ok(()) };
        let now = turn.now();
        if task.created_at.plus_ms(task.ttl_ms) <= now {
            turn.clear();
            return Ok(());
        }
        if !task.status.is_final() && task.lease <= now {
            let lost = json!({
                "code": -32603, "message": "the node that ran the task is lost; whether it took effect is not known",
                "data": { "code": "outcome_unknown", "retry": "unknown" },
            });
            finish(turn, &mut task, Status::Failed, Some(&lost))?;
            task.updated_at = now;
            turn.put(TASK, &task)?;
        }
        arm(turn, &task);
        Ok(())
    }
}

fn begin(turn: &mut Turn<'_>, parameters: &Parameters) -> Result<Json, Refusal> {
    if turn.get(TASK)?.is_some() {
        return Err(Refusal::Conflict { detail: "the task has begun already".to_owned() });
    }
    let now = turn.now();
    let positive = |name: &str| -> Result<u64, Refusal> {
        Ok(u64::try_from(integer(parameters, name, 0)?).unwrap_or_default())
    };
    let task = Task {
        subject: turn.caller().subject.to_string(),
        status: Status::Working,
        message: optional(parameters, "message").and_then(Json::as_str).map(str::to_owned),
        created_at: now,
        updated_at: now,
        ttl_ms: positive("ttl_ms")?,
        poll_ms: positive("poll_ms")?,
        lease: now.plus_ms(MCP_LEASE_MS),
    };
    turn.put(TASK, &task)?;
    arm(turn, &task);
    shown(turn, &task)
}

/// The task, for whom it is run: to anybody else there is none.
fn task(turn: &Turn<'_>) -> Result<Task, Refusal> {
    let none = || Refusal::NotFound { detail: "there is no such task".to_owned() };
    let task = turn.get_as::<Task>(TASK)?.ok_or_else(none)?;
    if *task.subject == *turn.caller().subject { Ok(task) } else { Err(none()) }
}

fn finish(
    turn: &mut Turn<'_>,
    task: &mut Task,
    status: Status,
    outcome: Option<&Json>,
) -> Result<(), Refusal> {
    for (key, _) in open(turn)? {
        turn.delete(&format!("{INPUT}{key}"))?;
    }
    task.status = status;
    let Some(outcome) = outcome else { return Ok(()) };
    let mut text = outcome.to_string();
    if text.len() > MCP_TASK_RESULT_MAX_BYTES {
        let message = format!(
            "the result has {} bytes; a task keeps at most {MCP_TASK_RESULT_MAX_BYTES}: ask for less",
            text.len()
        );
        task.status = Status::Failed;
        text = json!({ "code": -32603, "message": message }).to_string();
    }
    turn.put_binary(OUTCOME, text)
}

/// What the client is asked and has not answered.
fn open(turn: &Turn<'_>) -> Result<Map<String, Json>, Refusal> {
    let page = Page { entries: MCP_TASK_INPUTS_MAX, bytes: usize::MAX };
    let found = turn.list(INPUT, None, page)?;
    let named = found
        .iter()
        .filter_map(|(key, value)| Some((key.as_str().strip_prefix(INPUT)?.to_owned(), value.to_json())));
    Ok(named.collect())
}

/// The task as clients see it, in the fields of the extension.
fn shown(turn: &Turn<'_>, task: &Task) -> Result<Json, Refusal> {
    let mut shown = Map::new();
    shown.insert("taskId".to_owned(), turn.address().name().as_str().into());
    shown.insert("status".to_owned(), json!(task.status));
    if let Some(message) = &task.message {
        shown.insert("statusMessage".to_owned(), message.as_str().into());
    }
    shown.insert("createdAt".to_owned(), task.created_at.to_string().into());
    shown.insert("lastUpdatedAt".to_owned(), task.updated_at.to_string().into());
    shown.insert("ttlMs".to_owned(), task.ttl_ms.into());
    shown.insert("pollIntervalMs".to_owned(), task.poll_ms.into());
    if task.status == Status::InputRequired {
        shown.insert("inputRequests".to_owned(), Json::Object(open(turn)?));
    }
    if let Some(outcome) = turn.get_binary(OUTCOME)? {
        let name = if task.status == Status::Failed { "error" } else { "result" };
        let outcome = serde_json::from_slice(&outcome)
            .map_err(|error| Refusal::invalid(format!("the outcome that is kept is no JSON: {error}")))?;
        shown.insert(name.to_owned(), outcome);
    }
    Ok(Json::Object(shown))
}

fn arm(turn: &mut Turn<'_>, task: &Task) {
    let end = task.created_at.plus_ms(task.ttl_ms);
    turn.set_alarm(if task.status.is_final() { end } else { end.min(task.lease) });
}

/// The question that a key has the answer of.
#[must_use]
pub fn answered_input(key: &str) -> Option<&str> {
    key.strip_prefix(ANSWER)
}

/// Whether a task's key, with this value, says that the task is over.
#[must_use]
pub fn is_over(key: &str, value: &Json) -> bool {
    let status = (key == TASK).then(|| value.get("status").and_then(Json::as_str)).flatten();
    matches!(status, Some("completed" | "failed" | "cancelled"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::class::Rehearsal;

    fn begun() -> Rehearsal {
        let mut task = Rehearsal::new(McpTask);
        task.call("begin", json!({ "ttl_ms": 600_000, "poll_ms": 500, "message": "begun" })).unwrap();
        task
    }

    fn get(task: &mut Rehearsal) -> Json {
        task.ask("task", json!({})).unwrap()
    }

    #[test]
    fn a_task_is_there_for_its_principal_only() {
        let mut task = begun();
        task.set_caller("somebody else", "r1");
        assert!(matches!(task.ask("task", json!({})), Err(Refusal::NotFound { .. })));
        assert!(matches!(task.call("cancel", json!({})), Err(Refusal::NotFound { .. })));
        task.set_caller("local", "r2");
        assert_eq!(get(&mut task)["status"], "working");
    }

    #[test]
    fn works_and_ends_once() {
        let mut task = begun();
        assert_eq!(
            (get(&mut task)["status"].clone(), get(&mut task)["ttlMs"].clone()),
            (json!("working"), json!(600_000))
        );
        task.call("renew", json!({ "message": "half" })).unwrap();
        assert_eq!(get(&mut task)["statusMessage"], "half");
        task.call("finish", json!({ "result": { "content": [] } })).unwrap();
        let over = get(&mut task);
        assert_eq!((&over["status"], &over["result"]), (&json!("completed"), &json!({ "content": [] })));
        assert_eq!(task.call("cancel", json!({})).unwrap(), json!({ "over": true }));
        assert_eq!(get(&mut task), over);
    }

    #[test]
    fn asks_until_everything_is_answered() {
        let mut task = begun();
        task.call("ask", json!({ "inputs": { "a": { "method": "x" }, "b": { "method": "y" } } })).unwrap();
        assert_eq!(get(&mut task)["status"], "input_required");
        task.call("answer", json!({ "answers": { "a": 1, "c": 2 } })).unwrap();
        assert_eq!(get(&mut task)["inputRequests"], json!({ "b": { "method": "y" } }));
        assert_eq!(task.get("answer/c").unwrap(), None);
        task.call("answer", json!({ "answers": { "b": 2 } })).unwrap();
        assert_eq!(get(&mut task)["status"], "working");
        assert_eq!(task.get("answer/a").unwrap(), Some(json!(1)));
    }

    #[test]
    fn a_lost_node_fails_it_and_its_time_ends_it() {
        let mut task = begun();
        task.advance(Duration::from_millis(MCP_LEASE_MS));
        task.ring().unwrap();
        let over = get(&mut task);
        assert_eq!(
            (&over["status"], &over["error"]["data"]["code"]),
            (&json!("failed"), &json!("outcome_unknown"))
        );
        task.advance(Duration::from_mins(10));
        task.ring().unwrap();
        assert!(matches!(task.ask("task", json!({})), Err(Refusal::NotFound { .. })));
    }

    #[test]
    fn it_is_of_whoever_began_it() {
        let mut task = begun();
        task.act_as("somebody.else");
        assert!(matches!(task.ask("task", json!({})), Err(Refusal::NotFound { .. })));
        assert!(matches!(task.call("cancel", json!({})), Err(Refusal::NotFound { .. })));
    }

    #[test]
    fn a_result_that_is_too_large_fails_it() {
        let mut task = begun();
        task.call("finish", json!({ "result": "x".repeat(MCP_TASK_RESULT_MAX_BYTES) })).unwrap();
        assert_eq!(get(&mut task)["status"], "failed");
    }
}
