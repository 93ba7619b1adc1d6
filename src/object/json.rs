//! JSON as it comes from outside: strict UTF-8, bounded depth, numbers in one form.
//!
//! The depth is counted before anything is built, because a parser's stack is not a place to find out.

use serde::Deserialize;
use serde_json::{Map, Number};

use crate::limits::JSON_MAX_DEPTH;

/// Parses a JSON text from outside. Of a key given twice the last wins; whole numbers lose a written
/// fraction (`1.0` is `1`, `-0.0` is `0`), integers keep all 64 bits.
///
/// # Errors
/// What is wrong with the text, and where.
pub fn parse_json(bytes: &[u8]) -> Result<serde_json::Value, JsonError> {
    let text = std::str::from_utf8(bytes).map_err(|error| JsonError::NotUtf8 { at: error.valid_up_to() })?;
    check_depth(text)?;
    let mut value = parse_trusted(text).map_err(|error| JsonError::Syntax { detail: error.to_string() })?;
    normalize(&mut value);
    Ok(value)
}

/// Why a text is not JSON that we take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not UTF-8 from this byte on.
    #[error("the text is not UTF-8 from byte {at} on")]
    NotUtf8 {
        /// The first byte that is wrong.
        at: usize,
    },
    /// More than [`JSON_MAX_DEPTH`] levels.
    #[error("arrays and objects are nested more than {JSON_MAX_DEPTH} deep")]
    TooDeep,
    /// Not JSON.
    #[error("the text is not JSON: {detail}")]
    Syntax {
        /// What was expected, with line and column.
        detail: String,
    },
}

/// Parses a text whose depth is known to be bounded.
pub(crate) fn parse_trusted<'de, T: Deserialize<'de>>(text: &'de str) -> serde_json::Result<T> {
    let mut parser = serde_json::Deserializer::from_str(text);
    parser.disable_recursion_limit();
    let value = T::deserialize(&mut parser)?;
    parser.end()?;
    Ok(value)
}

/// Brings every number to the form it is kept in.
pub(crate) fn normalize(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Number(number) => {
            if let Some(whole) = whole_of(number) {
                *number = Number::from(whole);
            }
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(normalize),
        serde_json::Value::Object(map) => normalize_map(map),
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::String(_) => {}
    }
}

fn normalize_map(map: &mut Map<String, serde_json::Value>) {
    map.values_mut().for_each(normalize);
}

/// The integer that a float without a fraction stands for, below 2^63 in size.
#[expect(clippy::cast_possible_truncation, reason = "the float is whole and below 2^63 in size")]
fn whole_of(number: &Number) -> Option<i64> {
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    if !number.is_f64() {
        return None;
    }
    let float = number.as_f64()?;
    (float.fract() == 0.0 && float.abs() < BOUND).then_some(float as i64)
}

fn check_depth(text: &str) -> Result<(), JsonError> {
    let mut depth = 0_usize;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                if depth > JSON_MAX_DEPTH {
                    return Err(JsonError::TooDeep);
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    Ok(())
}

fn skip_string(bytes: &mut std::str::Bytes<'_>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
}
