//! Prompts with and without arguments, and one that asks.

use rmcp::model::{CompletionInfo, GetPromptResult, Prompt, Reference};
use serde_json::{Value, json};
use stead::mcp::{Arguments, Exchange, Failure, Question};

use super::{content, schemas};

pub(super) fn all() -> Vec<Prompt> {
    let prompts = json!([
        { "name": "test_simple_prompt", "description": "A prompt without arguments" },
        { "name": "test_prompt_with_arguments", "description": "A prompt with two arguments", "arguments": [
            { "name": "arg1", "description": "The first", "required": true },
            { "name": "arg2", "description": "The second", "required": true } ] },
        { "name": "test_prompt_with_embedded_resource", "description": "A prompt with a resource", "arguments": [
            { "name": "resourceUri", "description": "The resource", "required": true } ] },
        { "name": "test_prompt_with_image", "description": "A prompt with an image" },
        { "name": "test_input_required_result_prompt", "description": "A prompt that asks" },
    ]);
    serde_json::from_value(prompts).expect("prompts of this file")
}

pub(super) async fn get(
    exchange: &Exchange,
    name: &str,
    arguments: Arguments,
) -> Result<GetPromptResult, Failure> {
    let argument = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let messages = match name {
        "test_simple_prompt" => vec![text("This is a simple prompt for testing.".to_owned())],
        "test_prompt_with_arguments" => {
            let (first, second) = (argument("arg1"), argument("arg2"));
            vec![text(format!("Prompt with arguments: arg1='{first}', arg2='{second}'"))]
        }
        "test_prompt_with_embedded_resource" => vec![
            json!({ "type": "resource", "resource": { "uri": argument("resourceUri"), "mimeType": "text/plain",
                "text": "Embedded resource content for testing." } }),
            text("Please process the embedded resource above.".to_owned()),
        ],
        "test_prompt_with_image" => {
            vec![content::image(), text("Please analyze the image above.".to_owned())]
        }
        "test_input_required_result_prompt" => {
            let form = json!({ "message": "What context should the prompt use?", "requestedSchema": schemas::form("context", "string") });
            let answer = exchange.ask("user_context", Question::elicitation(form)).await?;
            let context = answer.pointer("/content/context").and_then(Value::as_str).unwrap_or_default();
            vec![text(format!("Prompt with context: {context}"))]
        }
        _ => return Err(Failure::invalid_params(format!("Unknown prompt: {name}"))),
    };
    let messages: Vec<Value> =
        messages.into_iter().map(|content| json!({ "role": "user", "content": content })).collect();
    Ok(serde_json::from_value(json!({ "messages": messages })).expect("messages of this file"))
}

fn text(text: String) -> Value {
    json!({ "type": "text", "text": text })
}

/// Values for an argument of these prompts.
pub(super) fn complete(reference: &Reference, begun: &str) -> Option<CompletionInfo> {
    let Reference::Prompt(prompt) = reference else { return None };
    prompt.name.starts_with("test_").then(|| {
        let values = ["paris", "park", "party"].iter().filter(|value| value.starts_with(begun));
        let values: Vec<_> = values.map(|value| (*value).to_owned()).collect();
        serde_json::from_value(json!({ "values": values, "hasMore": false })).expect("values of this file")
    })
}
