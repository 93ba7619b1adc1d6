//! Tools whose calls become tasks, for clients that know tasks.

use std::time::Duration;

use serde_json::{Value, json};
use stead::mcp::{Arguments, Exchange, Failure, Question, Tasks, Tool, ToolAnswer};

use super::{asking, bare, content, long, schemas, taking};

pub(super) fn tools() -> Vec<Tool> {
    let seconds = json!({ "type": "object", "properties": { "seconds": { "type": "number" }, "label": { "type": "string" } } });
    let file = json!({ "type": "object", "properties": { "filename": { "type": "string" } } });
    vec![
        long(taking("slow_compute", "Takes so many seconds", seconds), Tasks::WhenLong),
        long(bare("failing_job", "Answers with an error, later"), Tasks::Required),
        long(bare("protocol_error_job", "Fails, later"), Tasks::WhenLong),
        long(taking("confirm_delete", "Asks first", file), Tasks::WhenLong),
        long(bare("multi_input", "Asks two things at once"), Tasks::WhenLong),
        long(bare("test_tool_with_task", "Asks, and takes long after that"), Tasks::Required),
    ]
}

/// The answer of one of these tools.
pub(super) async fn call(
    exchange: &Exchange,
    tool: &str,
    arguments: &Arguments,
) -> Result<ToolAnswer, Failure> {
    match tool {
        "slow_compute" => {
            let seconds = arguments.get("seconds").and_then(Value::as_f64).unwrap_or_default();
            if seconds > 0.0 {
                exchange.detach().await?;
            }
            tokio::time::sleep(Duration::from_secs_f64(seconds.clamp(0.0, 600.0))).await;
            Ok(ToolAnswer::text(format!("computed for {seconds} s")))
        }
        "failing_job" => {
            exchange.detach().await?;
            tokio::time::sleep(Duration::from_millis(300)).await;
            Ok(content::refused("the job failed"))
        }
        "protocol_error_job" => {
            exchange.detach().await?;
            tokio::time::sleep(Duration::from_millis(100)).await;
            Err(Failure::internal("the job broke"))
        }
        "confirm_delete" => {
            exchange.detach().await?;
            let form =
                json!({ "message": "Delete it?", "requestedSchema": schemas::form("confirm", "boolean") });
            let answer = exchange.ask("confirm", Question::elicitation(form)).await?;
            let confirmed = answer.pointer("/content/confirm") == Some(&json!(true));
            Ok(ToolAnswer::text(if confirmed { "deleted" } else { "left" }))
        }
        "multi_input" => {
            exchange.detach().await?;
            let form = |field: &str| {
                Question::elicitation(
                    json!({ "message": field, "requestedSchema": schemas::form(field, "string") }),
                )
            };
            let answers = exchange
                .ask_all(vec![("first".to_owned(), form("name")), ("second".to_owned(), form("name"))])
                .await?;
            Ok(ToolAnswer::text(format!("{} answers", answers.len())))
        }
        "test_tool_with_task" => {
            let name = asking::name(exchange, "user_name").await?;
            exchange.detach().await?;
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(ToolAnswer::text(format!("Hello, {name}!")))
        }
        _ => Err(Failure::invalid_params(format!("Unknown tool: {tool}"))),
    }
}
