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

/// The integer that a float without a fraction stands for, if 64 bits with a sign hold it.
#[expect(clippy::cast_possible_truncation, reason = "the float is whole and fits")]
fn whole_of(number: &Number) -> Option<i64> {
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    if !number.is_f64() {
        return None;
    }
    let float = number.as_f64()?;
    (float.fract() == 0.0 && (-BOUND..BOUND).contains(&float)).then_some(float as i64)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy as _, any, prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::object::{Value, samples};

    fn check(text: &str, expected: &str) {
        assert_eq!(Value::from_json(parse_json(text.as_bytes()).unwrap()).as_str(), expected, "{text}");
    }

    #[test]
    fn numbers_have_one_form() {
        for (text, expected) in [
            ("1.0", "1"),
            ("-0.0", "0"),
            ("-0", "0"),
            ("1e3", "1000"),
            ("1.5", "1.5"),
            ("9223372036854775807", "9223372036854775807"),
            ("18446744073709551615", "18446744073709551615"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("9223372036854774784.0", "9223372036854774784"),
            ("9223372036854775808.0", "9.223372036854776e+18"),
            ("-9223372036854775808.0", "-9223372036854775808"),
            ("18446744073709551616", "1.8446744073709552e+19"),
            ("123456789012345678901234567890", "1.2345678901234568e+29"),
            ("1e22", "1e+22"),
            ("0.1", "0.1"),
            ("[1.0,{\"a\":2.0}]", "[1,{\"a\":2}]"),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn keys_are_in_order_and_the_last_wins() {
        check(r#" { "b" : 1 , "a" : [ ] , "b" : 2 , "Z" : null } "#, r#"{"Z":null,"a":[],"b":2}"#);
    }

    #[test]
    fn refuses_what_is_not_json() {
        for text in [
            "",
            "{",
            "{]",
            "[1,]",
            "nul",
            "'a'",
            "\"\\ud800\"",
            "\"\n\"",
            "1e999",
            "01",
            "NaN",
            "1 2",
            "\u{feff}1",
        ] {
            assert!(matches!(parse_json(text.as_bytes()), Err(JsonError::Syntax { .. })), "{text}");
        }
        assert_eq!(parse_json(b"\"a\xff\""), Err(JsonError::NotUtf8 { at: 2 }));
        assert_eq!(parse_json(b"\"\xed\xa0\x80\""), Err(JsonError::NotUtf8 { at: 1 }));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse_json(nested(JSON_MAX_DEPTH).as_bytes()).is_ok());
        assert_eq!(parse_json(nested(JSON_MAX_DEPTH + 1).as_bytes()), Err(JsonError::TooDeep));
        assert_eq!(parse_json("[".repeat(4_000_000).as_bytes()), Err(JsonError::TooDeep));
        assert_eq!(parse_json(r#"{"a":"#.repeat(JSON_MAX_DEPTH + 1).as_bytes()), Err(JsonError::TooDeep));
        // Brackets within texts are no levels; those that are closed do not count on.
        assert!(parse_json(format!("\"\\\"{}\"", "[".repeat(500)).as_bytes()).is_ok());
        assert!(parse_json(format!("[{}1]", "[],".repeat(500)).as_bytes()).is_ok());
    }

    proptest! {
        #[test]
        fn the_canonical_text_is_a_fixed_point(json in samples::json()) {
            let value = Value::from_json(json);
            let again = Value::from_json(parse_json(value.as_str().as_bytes()).unwrap());
            prop_assert_eq!(&again, &value);
            prop_assert_eq!(Value::from_json(value.to_json()), value);
        }

        #[test]
        fn any_bytes_are_taken_or_refused(bytes: Vec<u8>, text in "[\\[\\]{}\",:0-9eE.a-z\\\\ -]{0,40}") {
            let _ = parse_json(&bytes);
            let _ = parse_json(text.as_bytes());
        }

        #[test]
        fn floats_keep_their_value(float in any::<f64>().prop_filter("finite", |float| float.is_finite())) {
            let json = serde_json::Number::from_f64(float).map(serde_json::Value::Number).unwrap();
            let back = Value::from_json(json).to_json().as_f64().unwrap();
            prop_assert!(back.total_cmp(&(float + 0.0)).is_eq(), "{} is {}", float, back);
        }
    }
}
