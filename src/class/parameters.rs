//! What methods read from their parameters, with one wording for what is wrong.

use serde_json::Value as Json;

use crate::object::{Key, Refusal};

use super::Parameters;

/// The parameter, or nothing if it is absent or `null`.
pub(super) fn optional<'a>(parameters: &'a Parameters, name: &str) -> Option<&'a Json> {
    parameters.get(name).filter(|value| !value.is_null())
}

/// The parameter; refused if it is absent. `null` is a value.
pub(super) fn required<'a>(parameters: &'a Parameters, name: &str) -> Result<&'a Json, Refusal> {
    parameters.get(name).ok_or_else(|| Refusal::invalid(format!("parameter {name:?} is required")))
}

/// A key of the object: a text of 1 to 2,048 bytes.
pub(super) fn key(parameters: &Parameters, name: &str, default: Option<&str>) -> Result<Key, Refusal> {
    let text = match (parameters.get(name), default) {
        (Some(value), _) => value
            .as_str()
            .ok_or_else(|| Refusal::invalid(format!("parameter {name:?} must be a text: the key")))?,
        (None, Some(default)) => default,
        (None, None) => return Err(Refusal::invalid(format!("parameter {name:?} is required"))),
    };
    super::parse_key(text)
}

/// A whole number that fits 64 bits with a sign.
pub(super) fn integer(parameters: &Parameters, name: &str, default: i64) -> Result<i64, Refusal> {
    parameters.get(name).map_or(Ok(default), |value| whole(value, name))
}

/// The value as a whole number that fits 64 bits with a sign.
pub(super) fn whole(value: &Json, name: &str) -> Result<i64, Refusal> {
    value.as_i64().ok_or_else(|| Refusal::invalid(format!("{name:?} must be a whole number of 64 bits")))
}

/// A text.
pub(super) fn text<'a>(parameters: &'a Parameters, name: &str) -> Result<&'a str, Refusal> {
    let value = required(parameters, name)?;
    value.as_str().ok_or_else(|| Refusal::invalid(format!("parameter {name:?} must be a text")))
}
