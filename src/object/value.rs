//! A JSON value under a key, kept as its canonical text: that is what is stored, sent and compared.
//!
//! Canonical: no spaces, the keys of objects in byte order, whole numbers without a fraction. Equal
//! values have equal texts, so a state and the updates that lead to it can be compared byte by byte.

use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::ser::Error as _;
use serde_json::value::RawValue;

use super::json::{normalize, parse_trusted};
use super::{Key, codec};

/// A JSON value in its canonical text. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Value(Arc<str>);

impl Value {
    /// The value of a parsed JSON text. The caller bounds its depth ([`super::parse_json`] did).
    #[must_use]
    pub fn from_json(mut json: serde_json::Value) -> Self {
        normalize(&mut json);
        let mut text = String::new();
        write_canonical(&json, &mut text);
        Self(text.into())
    }

    /// The value that a type serializes to.
    ///
    /// # Errors
    /// What serde says of a type that has no form in JSON, such as a map whose keys are no strings.
    pub fn from_serialize<T: serde::Serialize + ?Sized>(value: &T) -> serde_json::Result<Self> {
        serde_json::to_value(value).map(Self::from_json)
    }

    /// A text that was written by [`Value::as_str`] before.
    ///
    /// # Errors
    /// [`codec::CodecError`] if it is not JSON.
    pub(crate) fn from_stored(text: &str) -> Result<Self, codec::CodecError> {
        parse_trusted::<IgnoredAny>(text).map_err(|_| codec::CodecError::NotJson)?;
        Ok(Self(text.into()))
    }

    /// JSON's `null`.
    #[must_use]
    pub fn null() -> Self {
        Self("null".into())
    }

    /// The value as a tree.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        parse_trusted(&self.0).expect("a value was written from JSON")
    }

    /// The value as a type of one's own.
    ///
    /// # Errors
    /// What serde says of a value of another shape.
    pub fn parse<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        parse_trusted(&self.0)
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The length of the text, in bytes; never 0.
    #[expect(clippy::len_without_is_empty, reason = "no JSON text is empty")]
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self(number.to_string().into())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self(number.to_string().into())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        let mut quoted = String::with_capacity(text.len() + 2);
        write_string(text, &mut quoted);
        Self(quoted.into())
    }
}

impl serde::Serialize for Value {
    /// Embeds the text as it stands; only `serde_json` can take it.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::from_str::<&RawValue>(&self.0).map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The JSON object that has these entries, in the order given.
#[must_use]
pub fn object_text<'a>(entries: impl IntoIterator<Item = (&'a Key, &'a Value)>) -> String {
    let mut text = String::new();
    write_object(entries, &mut text);
    text
}

/// Appends the JSON object that has these entries, in the order given.
pub(super) fn write_object<'a>(entries: impl IntoIterator<Item = (&'a Key, &'a Value)>, out: &mut String) {
    out.push('{');
    for (index, (key, value)) in entries.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_string(key.as_str(), out);
        out.push(':');
        out.push_str(value.as_str());
    }
    out.push('}');
}

/// Appends a text as a JSON string.
pub fn write_string(text: &str, out: &mut String) {
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::to_string(text).expect("a text has a form in JSON"));
    }
}

fn write_canonical(json: &serde_json::Value, out: &mut String) {
    match json {
        serde_json::Value::Null => out.push_str("null"),
        serde_json::Value::Bool(true) => out.push_str("true"),
        serde_json::Value::Bool(false) => out.push_str("false"),
        serde_json::Value::Number(number) => out.push_str(&number.to_string()),
        serde_json::Value::String(text) => write_string(text, out),
        serde_json::Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        serde_json::Value::Object(map) => {
            // Sorted here, whatever order the map keeps: a feature of another crate may change that.
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            out.push('{');
            for (index, (key, value)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_string(key, out);
                out.push(':');
                write_canonical(value, out);
            }
            out.push('}');
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn embeds_its_text() {
        #[derive(serde::Serialize)]
        struct Answer {
            value: Value,
        }
        let value = Value::from_json(json!({"b": 1.0, "a": ["é\n", null]}));
        let answer = serde_json::to_string(&Answer { value: value.clone() }).unwrap();
        assert_eq!(answer, r#"{"value":{"a":["é\n",null],"b":1}}"#);
        assert_eq!(Value::from_serialize(&Answer { value }).unwrap().as_str(), answer);
    }

    #[test]
    fn short_ways_agree_with_the_long_one() {
        for number in [0, 1, -1, i64::MAX, i64::MIN] {
            assert_eq!(Value::from(number), Value::from_json(json!(number)));
        }
        assert_eq!(Value::from(u64::MAX), Value::from_json(json!(u64::MAX)));
        for text in ["", "a\"b\\c\u{1}", "😀"] {
            assert_eq!(Value::from(text), Value::from_json(json!(text)));
        }
        assert_eq!(Value::null(), Value::from_json(json!(null)));
    }

    #[test]
    fn entries_make_an_object() {
        let entries = [("a", Value::from(1_i64)), ("\"", Value::null())];
        let entries: Vec<_> =
            entries.into_iter().map(|(key, value)| (Key::parse(key).unwrap(), value)).collect();
        let text = object_text(entries.iter().map(|(key, value)| (key, value)));
        assert_eq!(text, r#"{"a":1,"\"":null}"#);
        assert_eq!(object_text([]), "{}");
    }

    #[test]
    fn a_value_may_be_deeper_than_a_body() {
        // A class wraps what it was given: `{"document":{"content":…}}`.
        let mut json = json!(1);
        for _ in 0..200 {
            json = json!([json]);
        }
        let value = Value::from_json(json.clone());
        assert_eq!(value.to_json(), json);
        assert_eq!(Value::from_stored(value.as_str()), Ok(value.clone()));
        assert!(serde_json::to_string(&value).is_ok());
    }
}
