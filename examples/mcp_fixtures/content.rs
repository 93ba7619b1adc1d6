//! Tools that answer at once, with every kind of content, progress and log messages.

use std::time::Duration;

use rmcp::model::CallToolResult;
use serde_json::{Value, json};
use stead::mcp::{Arguments, Exchange, Failure, Level, Tool, ToolAnswer};

use super::{IMAGE, bare, schemas, taking};

const AUDIO: &str = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=";
/// Between two things that a tool tells.
const STEP: Duration = Duration::from_millis(50);

pub(super) fn tools() -> Vec<Tool> {
    vec![
        bare("test_simple_text", "Answers with a text"),
        bare("test_image_content", "Answers with an image"),
        bare("test_audio_content", "Answers with a sound"),
        bare("test_embedded_resource", "Answers with a resource"),
        bare("test_multiple_content_types", "Answers with a text, an image and a resource"),
        bare("test_tool_with_logging", "Tells what it does"),
        bare("test_tool_with_progress", "Tells how far it is"),
        bare("test_error_handling", "Answers with an error"),
        bare("test_reconnection", "Ends its client's stream, and answers after that"),
        bare("test_logging_tool", "Tells what it does, if that is wanted"),
        taking("json_schema_2020_12_tool", "Has a schema with much of JSON Schema 2020-12", schemas::rich()),
        taking("test_x_mcp_header", "Has arguments that headers repeat", schemas::mirrored()),
        taking(
            "greet",
            "Greets",
            json!({ "type": "object", "properties": { "name": { "type": "string" } }, "required": ["name"] }),
        ),
    ]
}

/// The answer of one of these tools.
pub(super) async fn call(
    exchange: &Exchange,
    tool: &str,
    arguments: &Arguments,
) -> Option<Result<ToolAnswer, Failure>> {
    let answer = match tool {
        "test_simple_text" => ToolAnswer::text("This is a simple text response for testing."),
        "test_image_content" => content(json!([image()])),
        "test_audio_content" => content(json!([{ "type": "audio", "data": AUDIO, "mimeType": "audio/wav" }])),
        "test_embedded_resource" => content(json!([{ "type": "resource", "resource": {
            "uri": "test://embedded-resource", "mimeType": "text/plain", "text": "This is an embedded resource content." } }])),
        "test_multiple_content_types" => content(json!([
            { "type": "text", "text": "Multiple content types test:" },
            image(),
            { "type": "resource", "resource": {
                "uri": "test://mixed-content-resource", "mimeType": "application/json", "text": r#"{"test":"data","value":123}"# } },
        ])),
        "test_tool_with_logging" => {
            for said in ["Tool execution started", "Tool processing data", "Tool execution completed"] {
                exchange.log(Level::Info, None, said.into()).await;
                tokio::time::sleep(STEP).await;
            }
            ToolAnswer::text("Tool with logging executed successfully")
        }
        "test_tool_with_progress" => {
            for done in [0, 50, 100] {
                let message = format!("Completed step {done} of 100");
                exchange.progress(f64::from(done), Some(100.0), Some(&message));
                tokio::time::sleep(STEP).await;
            }
            ToolAnswer::text("done")
        }
        "test_error_handling" => refused("This tool intentionally returns an error for testing"),
        "test_reconnection" => {
            exchange.break_off().await;
            tokio::time::sleep(2 * STEP).await;
            ToolAnswer::text("Reconnection test completed successfully.")
        }
        "test_logging_tool" => {
            exchange.log(Level::Info, Some("fixtures"), "Diagnostic trace logging activated".into()).await;
            ToolAnswer::text("Logging evaluated")
        }
        "json_schema_2020_12_tool" | "test_x_mcp_header" => {
            ToolAnswer::text(format!("called with: {}", Value::Object(arguments.clone())))
        }
        "greet" => match arguments.get("name").and_then(Value::as_str) {
            Some(name) => ToolAnswer::text(format!("Hello, {name}!")),
            None => refused("name is required"),
        },
        _ => return None,
    };
    Some(Ok(answer))
}

pub(super) fn image() -> Value {
    json!({ "type": "image", "data": IMAGE, "mimeType": "image/png" })
}

/// An answer of several blocks.
fn content(blocks: Value) -> ToolAnswer {
    ToolAnswer::Content(CallToolResult::success(serde_json::from_value(blocks).expect("blocks of this file")))
}

/// A refusal in words.
pub(super) fn refused(text: &str) -> ToolAnswer {
    ToolAnswer::Content(CallToolResult::error(vec![rmcp::model::ContentBlock::text(text)]))
}
