//! JSON-RPC as it goes out: texts, written by hand so that what is a text already is not parsed and written again.

use std::fmt::Write as _;

use rmcp::model::{ErrorCode, ErrorData};
use serde_json::{Map, Value as Json};

use super::catalog::ToolAnswer;
use super::revision::Era;

/// The server's name and version, as every result of the newest revision says them.
pub(super) const SERVER_INFO: &str =
    concat!(r#"{"name":"stead","title":"Stead","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#);

/// The result of a request, before it is known to whom it goes.
#[derive(Debug, Clone, Default)]
pub(super) struct Result {
    /// The fields of the JSON object, without its braces.
    pub(super) fields: String,
    /// What the source says in `_meta`.
    pub(super) meta: Map<String, Json>,
    pub(super) kind: Kind,
    /// How long a client may keep it, where that is said at all.
    pub(super) cache: Option<Cache>,
}

/// What kind of result it is, for clients that are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Kind {
    #[default]
    Complete,
    InputRequired,
    Task,
}

/// How long a client may keep a result, and whom it may show it to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cache {
    pub(super) ttl_ms: u64,
    pub(super) scope: &'static str,
}

impl Result {
    /// Of the text of a JSON object's fields.
    pub(super) fn of_fields(fields: impl Into<String>) -> Self {
        Self { fields: fields.into(), ..Self::default() }
    }

    /// Of a JSON object; its `_meta` is taken apart.
    pub(super) fn of_object(mut object: Map<String, Json>) -> Self {
        let meta = match object.remove("_meta") {
            Some(Json::Object(meta)) => meta,
            _ => Map::new(),
        };
        object.remove("resultType");
        Self { meta, ..Self::of_fields(inner(&Json::Object(object).to_string())) }
    }

    /// Of something that serializes to a JSON object.
    pub(super) fn of(value: &impl serde::Serialize) -> Self {
        match serde_json::to_value(value) {
            Ok(Json::Object(object)) => Self::of_object(object),
            other => unreachable!("a result of the protocol is a JSON object, not {other:?}"),
        }
    }

    /// Of what a tool answered.
    pub(super) fn of_tool(answer: ToolAnswer) -> Self {
        match answer {
            ToolAnswer::Structured { json, is_error } => {
                let mut fields = String::with_capacity(2 * json.len() + json.len() / 4 + 96);
                fields.push_str(r#""content":[{"type":"text","text":"#);
                push_text(&mut fields, &json);
                fields.push_str(r#"}],"structuredContent":"#);
                fields.push_str(&json);
                fields.push_str(if is_error { r#","isError":true"# } else { r#","isError":false"# });
                Self::of_fields(fields)
            }
            ToolAnswer::Content(result) => Self::of(&result),
            ToolAnswer::Passed(object) => Self::of_object(object),
        }
    }

    /// As a JSON object, for where it is kept.
    pub(super) fn into_object(self, era: Era) -> String {
        let mut text = String::with_capacity(self.fields.len() + 128);
        self.write(era, &mut text);
        text
    }

    fn write(&self, era: Era, text: &mut String) {
        text.push('{');
        let begun = text.len();
        if era == Era::Modern {
            let kind = match self.kind {
                Kind::Complete => "complete",
                Kind::InputRequired => "input_required",
                Kind::Task => "task",
            };
            text.push_str(r#""resultType":""#);
            text.push_str(kind);
            text.push('"');
            if let Some(Cache { ttl_ms, scope }) = self.cache {
                write!(text, r#","ttlMs":{ttl_ms},"cacheScope":"{scope}""#).expect("a string takes all");
            }
            text.push_str(r#","_meta":{"io.modelcontextprotocol/serverInfo":"#);
            text.push_str(SERVER_INFO);
            if !self.meta.is_empty() {
                text.push(',');
                text.push_str(inner(&Json::Object(self.meta.clone()).to_string()));
            }
            text.push('}');
        } else if !self.meta.is_empty() {
            text.push_str(r#""_meta":"#);
            text.push_str(&Json::Object(self.meta.clone()).to_string());
        }
        if !self.fields.is_empty() {
            if text.len() > begun {
                text.push(',');
            }
            text.push_str(&self.fields);
        }
        text.push('}');
    }
}

/// The answer with a result.
pub(super) fn result(id: &Json, result: &Result, era: Era) -> String {
    let mut text = String::with_capacity(result.fields.len() + 192);
    text.push_str(r#"{"jsonrpc":"2.0","id":"#);
    write!(text, "{id}").expect("a string takes all");
    text.push_str(r#","result":"#);
    result.write(era, &mut text);
    text.push('}');
    text
}

/// The answer with an error. Without an id if the request had none that could be read: the older revisions want `null`
/// there, which the newest leaves out.
pub(super) fn error(id: Option<&Json>, error: &ErrorData, era: Era) -> String {
    let error = serde_json::to_string(error).expect("an error has a form in JSON");
    match (id, era) {
        (Some(id), _) => format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#),
        (None, Era::Modern) => format!(r#"{{"jsonrpc":"2.0","error":{error}}}"#),
        (None, Era::Legacy) => format!(r#"{{"jsonrpc":"2.0","id":null,"error":{error}}}"#),
    }
}

/// The error as a revision has it: resources that are not there had a code of their own.
pub(super) fn fitted(mut error: ErrorData, era: Era) -> ErrorData {
    if era == Era::Modern && error.code == ErrorCode::RESOURCE_NOT_FOUND {
        error.code = ErrorCode::INVALID_PARAMS;
    }
    error
}

/// A text in quotes.
pub(super) fn push_text(out: &mut String, text: &str) {
    out.push_str(&serde_json::to_string(text).expect("a text has a form in JSON"));
}

/// A JSON object's text without its braces.
pub(super) fn inner(object: &str) -> &str {
    object.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(object)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn results_in_both_eras() {
        let mut structured = Result::of_tool(ToolAnswer::structured(&json!({ "a": "\"" })));
        expect![[r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"{\"a\":\"\\\"\"}"}],"structuredContent":{"a":"\""},"isError":false}}"#]]
            .assert_eq(&result(&json!(1), &structured, Era::Legacy));
        structured.cache = Some(Cache { ttl_ms: 5, scope: "private" });
        let modern = result(&json!("x"), &structured, Era::Modern);
        let modern: Json = serde_json::from_str(&modern).unwrap();
        assert_eq!(modern["result"]["resultType"], "complete");
        assert_eq!(modern["result"]["ttlMs"], 5);
        assert_eq!(modern["result"]["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "stead");
        assert_eq!(modern["result"]["structuredContent"], json!({ "a": "\"" }));
    }

    #[test]
    fn empty_results_and_meta() {
        assert_eq!(Result::default().into_object(Era::Legacy), "{}");
        let passed = Result::of_object(json!({ "_meta": { "a": 1 }, "b": 2 }).as_object().unwrap().clone());
        assert_eq!(passed.clone().into_object(Era::Legacy), r#"{"_meta":{"a":1},"b":2}"#);
        let modern: Json = serde_json::from_str(&passed.into_object(Era::Modern)).unwrap();
        assert_eq!((modern["_meta"]["a"].clone(), modern["b"].clone()), (json!(1), json!(2)));
    }

    #[test]
    fn errors_without_an_id() {
        let refused = ErrorData::new(ErrorCode::INVALID_REQUEST, "no", None);
        assert_eq!(
            error(None, &refused, Era::Legacy),
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no"}}"#
        );
        assert_eq!(
            error(None, &refused, Era::Modern),
            r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"no"}}"#
        );
    }
}
