//! JSON-RPC as it comes in: parsed once, strictly, into what the dispatch takes.

use rmcp::model::{ErrorCode, ErrorData};
use serde_json::{Map, Value as Json};

use crate::limits::MCP_BATCH_MAX;
use crate::object::parse_json;

/// A message of a client.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Incoming {
    /// It wants an answer.
    Request(Request),
    /// It wants none.
    Notification { method: String, params: Map<String, Json> },
    /// It answers a question of ours; the object has `result` or `error`.
    Answer { id: Json, answer: Json },
}

/// A request of a client.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Request {
    /// A text or whole number.
    pub(super) id: Json,
    pub(super) method: String,
    pub(super) params: Map<String, Json>,
}

/// A body that is no message, and the id that it has all the same.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Malformed {
    pub(super) id: Option<Json>,
    pub(super) error: ErrorData,
}

/// What a body holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Body {
    One(Result<Incoming, Malformed>),
    /// Only the revision of 2025-03-26 has them.
    Many(Vec<Result<Incoming, Malformed>>),
}

/// Parses a body.
pub(super) fn parse(bytes: &[u8]) -> Result<Body, Malformed> {
    let no_json = |error: crate::object::JsonError| Malformed {
        id: None,
        error: ErrorData::parse_error(format!("Parse error: {error}"), None),
    };
    match parse_json(bytes).map_err(no_json)? {
        Json::Array(messages) if messages.is_empty() => {
            Err(malformed(None, "a batch has at least one message"))
        }
        Json::Array(messages) if messages.len() > MCP_BATCH_MAX => {
            Err(malformed(None, format!("a batch has at most {MCP_BATCH_MAX} messages")))
        }
        Json::Array(messages) => Ok(Body::Many(messages.into_iter().map(message).collect())),
        one => Ok(Body::One(message(one))),
    }
}

fn malformed(id: Option<Json>, message: impl Into<std::borrow::Cow<'static, str>>) -> Malformed {
    Malformed { id, error: ErrorData::new(ErrorCode::INVALID_REQUEST, message, None) }
}

fn message(json: Json) -> Result<Incoming, Malformed> {
    let Json::Object(mut fields) = json else {
        return Err(malformed(None, "a message is a JSON object"));
    };
    let id = match fields.remove("id") {
        None => None,
        Some(id @ (Json::String(_) | Json::Number(_))) if !id.is_f64() => Some(id),
        Some(_) => return Err(malformed(None, "an id is a text or a whole number")),
    };
    if fields.get("jsonrpc").and_then(Json::as_str) != Some("2.0") {
        return Err(malformed(id, "a message has \"jsonrpc\":\"2.0\""));
    }
    let params = match fields.remove("params") {
        None | Some(Json::Null) => Map::new(),
        Some(Json::Object(params)) => params,
        Some(_) => return Err(malformed(id, "params is a JSON object")),
    };
    match (fields.remove("method"), id) {
        (Some(Json::String(method)), Some(id)) => Ok(Incoming::Request(Request { id, method, params })),
        (Some(Json::String(method)), None) => Ok(Incoming::Notification { method, params }),
        (Some(_), id) => Err(malformed(id, "method is a text")),
        (None, Some(id)) if fields.contains_key("result") != fields.contains_key("error") => {
            fields.retain(|name, _| name == "result" || name == "error");
            Ok(Incoming::Answer { id, answer: Json::Object(fields) })
        }
        (None, id) => Err(malformed(id, "a message has a method, or an id and a result or error")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(text: &str, expected: Result<&str, i32>) {
        let found = match parse(text.as_bytes()) {
            Ok(Body::One(Ok(Incoming::Request(request)))) => {
                Ok(format!("request {} {}", request.id, request.method))
            }
            Ok(Body::One(Ok(Incoming::Notification { method, .. }))) => Ok(format!("notification {method}")),
            Ok(Body::One(Ok(Incoming::Answer { id, .. }))) => Ok(format!("answer {id}")),
            Ok(Body::One(Err(malformed))) | Err(malformed) => Err(malformed.error.code.0),
            Ok(Body::Many(messages)) => Ok(format!("batch of {}", messages.len())),
        };
        assert_eq!(found, expected.map(str::to_owned), "{text}");
    }

    #[test]
    fn messages() {
        check(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, Ok("request 1 ping"));
        check(r#"{"jsonrpc":"2.0","id":"a","method":"ping","params":null}"#, Ok("request \"a\" ping"));
        check(r#"{"jsonrpc":"2.0","id":1.0,"method":"ping"}"#, Ok("request 1 ping"));
        check(
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            Ok("notification notifications/initialized"),
        );
        check(r#"{"jsonrpc":"2.0","id":"s-1","result":{}}"#, Ok("answer \"s-1\""));
        check(r#"{"jsonrpc":"2.0","id":"s-1","error":{"code":1,"message":"no"}}"#, Ok("answer \"s-1\""));
        check(r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},7]"#, Ok("batch of 2"));
    }

    #[test]
    fn rubbish() {
        for text in ["", "{", "nothing", "{\"jsonrpc\":\"2.0\"", "\u{1}"] {
            check(text, Err(-32700));
        }
        for text in [
            "7",
            "null",
            "[]",
            "{}",
            r#"{"id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
        ] {
            check(text, Err(-32600));
        }
        let many = json!(vec![json!({}); MCP_BATCH_MAX + 1]).to_string();
        check(&many, Err(-32600));
    }
}
