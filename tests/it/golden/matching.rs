//! Compares what came with what was expected, placeholders included.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The key that says: there may be more.
const MORE: &str = "…";

/// What placeholders were bound to so far.
#[derive(Debug, Default)]
pub(crate) struct Bindings(BTreeMap<String, String>);

impl Bindings {
    /// The text with every bound placeholder filled in.
    pub(crate) fn fill(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (word, value)| text.replace(&format!("{{{word}}}"), value))
    }

    /// Whether `actual` is what `expected` says; binds what it names. Both as text: JSON is compared
    /// as JSON, all else letter by letter.
    pub(crate) fn matches(&mut self, expected: &str, actual: &str) -> bool {
        if let Some(word) = placeholder(expected) {
            return self.stands_for(word, actual, &Value::from(actual));
        }
        match (parse(expected), parse(actual)) {
            (Some(expected), Some(actual)) => self.same(&expected, &actual),
            _ => self.fill(expected) == actual,
        }
    }

    /// `actual` with the placeholders of `expected` kept where they hold.
    pub(crate) fn rewrite(&mut self, expected: &str, actual: &str) -> String {
        match (parse(expected), parse(actual)) {
            (Some(expected), Some(actual)) => self.merge(&expected, &actual).to_string(),
            _ if self.matches(expected, actual) => expected.to_owned(),
            _ => actual.to_owned(),
        }
    }

    fn same(&mut self, expected: &Value, actual: &Value) -> bool {
        match (expected, actual) {
            (Value::String(text), _) if placeholder(text).is_some() => {
                let shown = actual.as_str().map_or_else(|| actual.to_string(), str::to_owned);
                self.stands_for(placeholder(text).unwrap_or_default(), &shown, actual)
            }
            (Value::Object(expected), Value::Object(actual)) => {
                let known = expected.iter().filter(|(key, _)| key.as_str() != MORE);
                let all = known.fold(true, |all, (key, value)| {
                    actual.get(key).is_some_and(|found| self.same(value, found)) && all
                });
                all && (expected.contains_key(MORE) || expected.len() == actual.len())
            }
            (Value::Array(expected), Value::Array(actual)) => {
                expected.len() == actual.len()
                    && expected
                        .iter()
                        .zip(actual)
                        .fold(true, |all, (left, right)| self.same(left, right) && all)
            }
            (Value::String(expected), Value::String(actual)) => self.fill(expected) == *actual,
            _ => expected == actual,
        }
    }

    fn merge(&mut self, expected: &Value, actual: &Value) -> Value {
        match (expected, actual) {
            _ if self.same(expected, actual) => expected.clone(),
            (Value::Object(expected), Value::Object(actual)) => {
                let nothing = Value::Null;
                let merged = actual.iter().map(|(key, value)| {
                    (key.clone(), self.merge(expected.get(key).unwrap_or(&nothing), value))
                });
                Value::Object(merged.collect::<Map<_, _>>())
            }
            (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
                expected.iter().zip(actual).map(|(left, right)| self.merge(left, right)).collect()
            }
            _ => actual.clone(),
        }
    }

    fn stands_for(&mut self, word: &str, shown: &str, actual: &Value) -> bool {
        match word {
            "any" => true,
            "text" => actual.as_str().is_some_and(|text| !text.is_empty()),
            "int" => actual.is_u64() || actual.is_i64() || shown.parse::<i64>().is_ok(),
            "hex64" => shown.len() == 64 && shown.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "timestamp" => is_timestamp(shown),
            _ if actual.is_null() => false,
            _ => self.0.entry(word.to_owned()).or_insert_with(|| shown.to_owned()) == shown,
        }
    }
}

/// The word of a text that is one placeholder and nothing else.
fn placeholder(text: &str) -> Option<&str> {
    let word = text.strip_prefix('{')?.strip_suffix('}')?;
    let is_word =
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    is_word.then_some(word)
}

/// JSON, but not the text of a bare number: `1` and `1.0` in plain text differ as letters do.
fn parse(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

/// `2026-11-21T02:11:36.224Z`, and nothing looser.
fn is_timestamp(text: &str) -> bool {
    let pattern = "dddd-dd-ddTdd:dd:dd.dddZ";
    text.len() == pattern.len()
        && text.bytes().zip(pattern.bytes()).all(|(found, wanted)| match wanted {
            b'd' => found.is_ascii_digit(),
            _ => found == wanted,
        })
}

#[test]
fn placeholders_and_json() {
    let check = |expected: &str, actual: &str, wanted: bool| {
        assert_eq!(Bindings::default().matches(expected, actual), wanted, "{expected} against {actual}");
    };
    check(r#"{"a":1}"#, r#"{ "a" : 1 }"#, true);
    check(r#"{"a":1}"#, r#"{"a":1.0}"#, false);
    check(r#"{"a":1}"#, r#"{"a":1,"b":2}"#, false);
    check(r#"{"a":1,"…":"…"}"#, r#"{"a":1,"b":2}"#, true);
    check(r#"{"a":"{int}"}"#, r#"{"a":"x"}"#, false);
    check(r#"{"a":"{timestamp}"}"#, r#"{"a":"2026-11-21T02:11:36.224Z"}"#, true);
    check(r#"{"a":"{timestamp}"}"#, r#"{"a":"2026-11-21T02:11:36Z"}"#, false);
    check(r#"{"a":"{one}","b":"{one}"}"#, r#"{"a":"x","b":"x"}"#, true);
    check(r#"{"a":"{one}","b":"{one}"}"#, r#"{"a":"x","b":"y"}"#, false);
    check("Not found", "Not found", true);
    check("Not found", "not found", false);
    let mut bindings = Bindings::default();
    let rewritten = bindings.rewrite(r#"{"a":"{int}","b":2}"#, r#"{"a":1,"b":3,"c":4}"#);
    assert_eq!(rewritten, r#"{"a":"{int}","b":3,"c":4}"#);
}
