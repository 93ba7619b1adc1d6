//! The parameters of a request, read by name: what every era and method says in the same words.

use serde_json::{Map, Value as Json};

use super::Failure;
use super::catalog::Arguments;

/// A parameter that is a text.
pub(super) fn text<'a>(params: &'a Map<String, Json>, name: &str) -> Result<&'a str, Failure> {
    let missing = || Failure::invalid_params(format!("the parameter {name} is required, a text"));
    params.get(name).and_then(Json::as_str).ok_or_else(missing)
}

/// The `arguments` of a tool or prompt; none are `{}`.
pub(super) fn arguments(params: &mut Map<String, Json>) -> Result<Arguments, Failure> {
    match params.remove("arguments") {
        None | Some(Json::Null) => Ok(Map::new()),
        Some(Json::Object(arguments)) => Ok(arguments),
        Some(_) => Err(Failure::invalid_params("arguments is a JSON object")),
    }
}

/// What progress is reported under, of `_meta`.
pub(super) fn progress_token(meta: &Map<String, Json>) -> Option<Json> {
    meta.get("progressToken").filter(|token| token.is_string() || token.is_i64() || token.is_u64()).cloned()
}
