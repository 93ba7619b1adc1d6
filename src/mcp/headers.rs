//! The headers that mean something to MCP: what a client takes, which revision it speaks, and what repeats the body.

use data_encoding::BASE64;
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};
use serde_json::{Map, Value as Json};

use crate::object::idempotency::IdempotencyKey;

pub(super) const PROTOCOL_VERSION: &str = "mcp-protocol-version";
pub(super) const SESSION_ID: &str = "mcp-session-id";
pub(super) const LAST_EVENT_ID: &str = "last-event-id";
const METHOD: &str = "mcp-method";
const NAME: &str = "mcp-name";
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The forms of an answer that a client takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Takes {
    pub(super) json: bool,
    pub(super) events: bool,
}

impl Takes {
    /// What `Accept` says; without it, everything.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut takes = Self { json: false, events: false };
        let mut values = headers.get_all(ACCEPT).iter().peekable();
        if values.peek().is_none() {
            return Self { json: true, events: true };
        }
        for item in values.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(',')) {
            let mut parts = item.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let is_refused = parts.any(|parameter| {
                let value = parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q="));
                value.is_some_and(|value| value.parse() == Ok(0.0_f32))
            });
            if is_refused {
                continue;
            }
            takes.json |= matches!(&*kind, "*/*" | "application/*" | "application/json");
            takes.events |= matches!(&*kind, "*/*" | "text/*" | "text/event-stream");
        }
        takes
    }
}

/// The text of a header, if it is there and is one.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// Whether a body is declared to be something else than JSON.
pub(super) fn is_other_content(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else { return false };
    let Ok(value) = value.to_str() else { return true };
    let kind = value.split(';').next().unwrap_or_default().trim();
    !(kind.is_empty() || kind.eq_ignore_ascii_case("application/json") || kind.ends_with("+json"))
}

/// The idempotency key of the header, else of `_meta`.
pub(super) fn idempotency_key(
    headers: &HeaderMap,
    meta: Option<&Map<String, Json>>,
) -> Result<Option<IdempotencyKey>, String> {
    let in_meta = meta.and_then(|meta| meta.get("stead/idempotency-key"));
    let text = match (headers.get(IDEMPOTENCY_KEY), in_meta) {
        (Some(value), _) => value.to_str().map_err(|_| "Idempotency-Key is visible ascii".to_owned())?,
        (None, Some(Json::String(text))) => text,
        (None, Some(_)) => return Err("stead/idempotency-key is a text".to_owned()),
        (None, None) => return Ok(None),
    };
    IdempotencyKey::parse(text).map(Some).map_err(|error| error.to_string())
}

/// Compares the headers that repeat a request's body with it; says what does not fit.
pub(super) fn compare(headers: &HeaderMap, method: &str, params: &Map<String, Json>) -> Result<(), String> {
    match text(headers, METHOD) {
        Some(given) if given == method => {}
        Some(given) => {
            return Err(format!("Mcp-Method header value {given:?} does not match body value {method:?}"));
        }
        None => return Err("the header Mcp-Method is missing".to_owned()),
    }
    let field = match method {
        "tools/call" | "prompts/get" => "name",
        "resources/read" => "uri",
        "tasks/get" | "tasks/update" | "tasks/cancel" => "taskId",
        _ => return Ok(()),
    };
    let Some(named) = params.get(field).and_then(Json::as_str) else { return Ok(()) };
    let given = headers.get(NAME).ok_or_else(|| "the header Mcp-Name is missing".to_owned())?;
    let given = decoded(given).ok_or_else(|| "the header Mcp-Name has invalid characters".to_owned())?;
    if given == named {
        Ok(())
    } else {
        Err(format!("Mcp-Name header value {given:?} does not match body value {named:?}"))
    }
}

/// Compares the headers that repeat arguments of a tool with them.
pub(super) fn compare_arguments(
    headers: &HeaderMap,
    mirrored: &[Mirrored],
    arguments: &Map<String, Json>,
) -> Result<(), String> {
    for Mirrored { header, path } in mirrored {
        let mut value = None;
        let mut within = Some(arguments);
        for part in path {
            value = within.and_then(|object| object.get(part));
            within = value.and_then(Json::as_object);
        }
        let wanted = match value {
            None | Some(Json::Null) => None,
            Some(value) => Some(value),
        };
        match (wanted, headers.get(header.as_str())) {
            (None, None) => {}
            (Some(_), None) => return Err(format!("the header {header} is missing")),
            (None, Some(_)) => return Err(format!("the header {header} has no value in the body")),
            (Some(wanted), Some(given)) => {
                let given =
                    decoded(given).ok_or_else(|| format!("the header {header} has invalid characters"))?;
                if !is_same(wanted, &given) {
                    return Err(format!(
                        "{header} header value {given:?} does not match body value {wanted}"
                    ));
                }
            }
        }
    }
    Ok(())
}

fn is_same(wanted: &Json, given: &str) -> bool {
    match wanted {
        Json::String(text) => text == given,
        Json::Bool(truth) => given == if *truth { "true" } else { "false" },
        // As numbers, not as texts.
        Json::Number(number) => {
            number.as_i64().map(|whole| whole.to_string()).as_deref() == Some(given)
                || given
                    .parse::<f64>()
                    .ok()
                    .zip(number.as_f64())
                    .is_some_and(|(given, wanted)| given.total_cmp(&wanted).is_eq())
        }
        Json::Null | Json::Array(_) | Json::Object(_) => false,
    }
}

/// A header's value, decoded where it is in Base64.
fn decoded(value: &http::HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?.trim();
    match text.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
        Some(encoded) => String::from_utf8(BASE64.decode(encoded.as_bytes()).ok()?).ok(),
        None => Some(text.to_owned()),
    }
}

/// An argument of a tool that a header repeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mirrored {
    /// The header's name.
    header: String,
    /// Where the argument stands.
    path: Vec<String>,
}

/// The arguments of a tool that headers repeat, of its schema.
pub(super) fn mirrored(schema: &Map<String, Json>) -> Vec<Mirrored> {
    fn gather(schema: &Map<String, Json>, path: &[String], found: &mut Vec<Mirrored>) {
        let Some(properties) = schema.get("properties").and_then(Json::as_object) else { return };
        for (name, property) in properties {
            let Some(property) = property.as_object() else { continue };
            let mut path = path.to_vec();
            path.push(name.clone());
            if let Some(header) = property.get("x-mcp-header").and_then(Json::as_str) {
                let header = format!("mcp-param-{}", header.to_ascii_lowercase());
                found.push(Mirrored { header, path: path.clone() });
            }
            gather(property, &path, found);
        }
    }
    let mut found = Vec::new();
    gather(schema, &[], &mut found);
    found
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::json;

    use super::*;

    fn headers(given: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn forms_of_an_answer() {
        let check = |accept: &str, json: bool, events: bool| {
            assert_eq!(Takes::of(&headers(&[("accept", accept)])), Takes { json, events }, "{accept}");
        };
        assert_eq!(Takes::of(&HeaderMap::new()), Takes { json: true, events: true });
        check("*/*", true, true);
        check("application/json", true, false);
        check("text/event-stream", false, true);
        check("application/json, Text/Event-Stream;q=0.5", true, true);
        check("text/html", false, false);
        check("application/json;q=0, text/*", false, true);
    }

    #[test]
    fn headers_repeat_the_body() {
        let params = json!({ "name": "caf\u{e9}" });
        let params = params.as_object().unwrap();
        let check = |given: &[(&'static str, &str)], fits: bool| {
            assert_eq!(compare(&headers(given), "tools/call", params).is_ok(), fits, "{given:?}");
        };
        check(&[("mcp-method", "tools/call"), ("mcp-name", "=?base64?Y2Fmw6k=?=")], true);
        check(&[("mcp-method", " tools/call "), ("mcp-name", "=?base64?Y2Fmw6k=?=")], true);
        check(&[("mcp-method", "tools/call")], false);
        check(&[("mcp-name", "=?base64?Y2Fmw6k=?=")], false);
        check(&[("mcp-method", "tools/list"), ("mcp-name", "=?base64?Y2Fmw6k=?=")], false);
        check(&[("mcp-method", "tools/call"), ("mcp-name", "cafe")], false);
        check(&[("mcp-method", "tools/call"), ("mcp-name", "=?base64?!?=")], false);
    }

    #[test]
    fn headers_repeat_arguments() {
        let schema = json!({ "properties": {
            "region": { "type": "string", "x-mcp-header": "Region" },
            "deep": { "type": "object", "properties": { "n": { "type": "integer", "x-mcp-header": "N" } } },
        } });
        let mirrored = mirrored(schema.as_object().unwrap());
        assert_eq!(mirrored.len(), 2);
        let check = |arguments: Json, given: &[(&'static str, &str)], fits: bool| {
            let compared = compare_arguments(&headers(given), &mirrored, arguments.as_object().unwrap());
            assert_eq!(compared.is_ok(), fits, "{arguments} {given:?}");
        };
        check(json!({}), &[], true);
        check(json!({ "region": null }), &[], true);
        check(json!({ "region": "a" }), &[("mcp-param-region", "a")], true);
        check(json!({ "region": "a" }), &[("mcp-param-region", "=?base64?YQ==?=")], true);
        check(json!({ "region": "a" }), &[], false);
        check(json!({ "region": "a" }), &[("mcp-param-region", "b")], false);
        check(json!({}), &[("mcp-param-region", "a")], false);
        check(json!({ "deep": { "n": 42 } }), &[("mcp-param-n", "42.0")], true);
        check(json!({ "deep": { "n": 42 } }), &[("mcp-param-n", "43")], false);
    }
}
