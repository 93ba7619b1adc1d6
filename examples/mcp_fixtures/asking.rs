//! Tools that ask their client something before they answer.

use serde_json::{Value, json};
use stead::mcp::{Arguments, Exchange, Failure, Question, Tool, ToolAnswer};

use super::{bare, schemas, taking};

pub(super) fn tools() -> Vec<Tool> {
    let one = |name: &str| json!({ "type": "object", "properties": { name: { "type": "string" } }, "required": [name] });
    vec![
        taking("test_sampling", "Asks the client's model", one("prompt")),
        taking("test_elicitation", "Asks the client's user", one("message")),
        bare("test_elicitation_sep1034_defaults", "Asks with defaults"),
        bare("test_elicitation_sep1330_enums", "Asks with choices of every kind"),
        bare("test_missing_capability", "Asks the client's model, which is not there"),
        bare("test_streaming_elicitation", "Tells how far it is, then asks"),
        bare("test_input_required_result_elicitation", "Asks for a name"),
        bare("test_input_required_result_sampling", "Asks the client's model"),
        bare("test_input_required_result_list_roots", "Asks for the client's directories"),
        bare("test_input_required_result_request_state", "Asks, and keeps something meanwhile"),
        bare("test_input_required_result_multiple_inputs", "Asks three things at once"),
        bare("test_input_required_result_multi_round", "Asks one thing after the other"),
        bare("test_input_required_result_tampered_state", "Keeps something that nobody may change"),
        bare("test_input_required_result_capabilities", "Asks what the client can answer"),
    ]
}

/// The answer of one of these tools.
pub(super) async fn call(
    exchange: &Exchange,
    tool: &str,
    arguments: &Arguments,
) -> Option<Result<ToolAnswer, Failure>> {
    let answer = match tool {
        "test_sampling" => sampling(exchange, text(arguments, "prompt")).await,
        "test_elicitation" => {
            elicitation(
                exchange,
                text(arguments, "message"),
                schemas::form("response", "string"),
                "User response",
            )
            .await
        }
        "test_elicitation_sep1034_defaults" => {
            let message = "Please review and update the form fields with defaults";
            elicitation(exchange, message, schemas::defaults(), "Elicitation completed").await
        }
        "test_elicitation_sep1330_enums" => {
            let message = "Please select options from the enum fields";
            elicitation(exchange, message, schemas::choices(), "Elicitation completed").await
        }
        "test_missing_capability" => sampling(exchange, "Are you there?").await,
        "test_streaming_elicitation" => {
            exchange.progress(50.0, Some(100.0), None);
            name(exchange, "user_name").await.map(|name| ToolAnswer::text(format!("Hello, {name}!")))
        }
        "test_input_required_result_elicitation" => {
            name(exchange, "user_name").await.map(|name| ToolAnswer::text(format!("Hello, {name}!")))
        }
        "test_input_required_result_sampling" => {
            let asked = exchange
                .ask("capital_question", question_of_model("What is the capital of France?", 100))
                .await;
            asked.map(|said| ToolAnswer::text(format!("Sampling result: {}", said_by_model(&said))))
        }
        "test_input_required_result_list_roots" => {
            let asked = exchange.ask("client_roots", Question::roots()).await;
            asked.map(|roots| ToolAnswer::text(format!("Found {} root(s)", count(&roots))))
        }
        "test_input_required_result_request_state" | "test_input_required_result_tampered_state" => {
            confirmed(exchange).await
        }
        "test_input_required_result_multiple_inputs" => several(exchange).await,
        "test_input_required_result_multi_round" => rounds(exchange).await,
        "test_input_required_result_capabilities" => whatever_fits(exchange).await,
        _ => return None,
    };
    Some(answer)
}

async fn sampling(exchange: &Exchange, prompt: &str) -> Result<ToolAnswer, Failure> {
    let said = exchange.ask("said", question_of_model(prompt, 100)).await?;
    Ok(ToolAnswer::text(format!("LLM response: {}", said_by_model(&said))))
}

async fn elicitation(
    exchange: &Exchange,
    message: &str,
    schema: Value,
    heading: &str,
) -> Result<ToolAnswer, Failure> {
    let question = Question::elicitation(json!({ "message": message, "requestedSchema": schema }));
    let answer = exchange.ask("form", question).await?;
    let (action, content) =
        (text_of(&answer, "action"), answer.get("content").cloned().unwrap_or_else(|| json!({})));
    Ok(ToolAnswer::text(format!("{heading}: action={action}, content={content}")))
}

/// Asks for a name, again and again until the answer is one.
pub(super) async fn name(exchange: &Exchange, key: &str) -> Result<String, Failure> {
    let question = || {
        Question::elicitation(
            json!({ "message": "What is your name?", "requestedSchema": schemas::form("name", "string") }),
        )
    };
    let mut answer = exchange.ask(key, question()).await?;
    if answer.get("action").and_then(Value::as_str).is_none() {
        exchange.forget_answer(key);
        answer = exchange.ask(key, question()).await?;
    }
    Ok(answer.pointer("/content/name").and_then(Value::as_str).unwrap_or("nobody").to_owned())
}

async fn confirmed(exchange: &Exchange) -> Result<ToolAnswer, Failure> {
    exchange.keep(json!({ "kind": "confirmation" }));
    let question = Question::elicitation(
        json!({ "message": "Please confirm", "requestedSchema": schemas::form("ok", "boolean") }),
    );
    exchange.ask("confirm", question).await?;
    Ok(ToolAnswer::text("state-ok: what was kept has come back as it was"))
}

async fn several(exchange: &Exchange) -> Result<ToolAnswer, Failure> {
    exchange.keep(json!({ "kind": "several" }));
    let form = json!({ "message": "What is your name?", "requestedSchema": schemas::form("name", "string") });
    let answers = exchange
        .ask_all(vec![
            ("user_name".to_owned(), Question::elicitation(form)),
            ("greeting".to_owned(), question_of_model("Generate a greeting", 50)),
            ("client_roots".to_owned(), Question::roots()),
        ])
        .await?;
    let [name, greeting, roots] = answers.as_slice() else {
        return Err(Failure::internal("three answers to three questions"));
    };
    let name = name.pointer("/content/name").and_then(Value::as_str).unwrap_or("nobody");
    Ok(ToolAnswer::text(format!("{}, {name}: {} root(s)", said_by_model(greeting), count(roots))))
}

async fn rounds(exchange: &Exchange) -> Result<ToolAnswer, Failure> {
    let step = |message: &str, field: &str| {
        Question::elicitation(
            json!({ "message": message, "requestedSchema": schemas::form(field, "string") }),
        )
    };
    if exchange.kept().is_none() {
        exchange.keep(json!({ "round": 1 }));
    }
    let name = exchange.ask("step1", step("Step 1: What is your name?", "name")).await?;
    exchange.keep(json!({ "round": 2 }));
    let color = exchange.ask("step2", step("Step 2: What is your favorite color?", "color")).await?;
    let of = |answer: &Value, field: &str| {
        answer.get("content").map(|content| text_of(content, field).to_owned()).unwrap_or_default()
    };
    Ok(ToolAnswer::text(format!("{} likes {}", of(&name, "name"), of(&color, "color"))))
}

async fn whatever_fits(exchange: &Exchange) -> Result<ToolAnswer, Failure> {
    let form = json!({ "message": "Elicitation input", "requestedSchema": schemas::form("value", "string") });
    let mut questions = vec![
        ("elicit_input".to_owned(), Question::elicitation(form)),
        ("sample_input".to_owned(), question_of_model("Sample request", 50)),
    ];
    questions.retain(|(_, question)| question.fits(&exchange.client().capabilities));
    let answers = exchange.ask_all(questions).await?;
    Ok(ToolAnswer::text(format!("capabilities-ok: {} answer(s)", answers.len())))
}

pub(super) fn question_of_model(text: &str, tokens: u32) -> Question {
    Question::sampling(json!({
        "messages": [{ "role": "user", "content": { "type": "text", "text": text } }], "maxTokens": tokens,
    }))
}

fn said_by_model(answer: &Value) -> &str {
    answer.pointer("/content/text").and_then(Value::as_str).unwrap_or("nothing")
}

fn count(roots: &Value) -> usize {
    roots.get("roots").and_then(Value::as_array).map_or(0, Vec::len)
}

fn text<'a>(arguments: &'a Arguments, name: &str) -> &'a str {
    arguments.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn text_of<'a>(json: &'a Value, name: &str) -> &'a str {
    json.get(name).and_then(Value::as_str).unwrap_or_default()
}
