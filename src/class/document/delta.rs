//! A change of a text in Quill's form: what editors other than Yjs's understand.

use serde_json::{Map, Number, Value as Json, json};
use yrs::types::{Attrs, Delta};
use yrs::{Any, Out};

/// The delta as JSON: `{"retain":n}`, `{"insert":text}`, `{"delete":n}`, with `attributes` where there are any.
pub(super) fn to_json(delta: &[Delta]) -> Json {
    delta.iter().map(operation).collect()
}

fn operation(delta: &Delta) -> Json {
    match delta {
        Delta::Inserted(value, attributes) => {
            with_attributes(json!({ "insert": insert(value) }), attributes.as_deref())
        }
        Delta::Retain(length, attributes) => {
            with_attributes(json!({ "retain": length }), attributes.as_deref())
        }
        Delta::Deleted(length) => json!({ "delete": length }),
    }
}

fn with_attributes(mut operation: Json, attributes: Option<&Attrs>) -> Json {
    if let (Some(attributes), Some(operation)) = (attributes, operation.as_object_mut()) {
        let attributes: Map<_, _> =
            attributes.iter().map(|(name, value)| (name.to_string(), any(value))).collect();
        operation.insert("attributes".to_owned(), Json::Object(attributes));
    }
    operation
}

fn insert(value: &Out) -> Json {
    match value {
        Out::Any(value) => any(value),
        // A shared type within the text: it counts as one unit and is not shown.
        _ => json!({}),
    }
}

fn any(value: &Any) -> Json {
    match value {
        Any::Null | Any::Undefined => Json::Null,
        Any::Bool(is_true) => Json::Bool(*is_true),
        Any::Number(yrs::Number::Int(number)) => Json::from(*number),
        Any::Number(yrs::Number::Float(number)) => Number::from_f64(*number).map_or(Json::Null, Json::Number),
        Any::String(text) => Json::from(text.as_ref()),
        Any::Buffer(bytes) => Json::from(bytes.as_ref()),
        Any::Array(items) => items.iter().map(any).collect(),
        Any::Map(entries) => {
            Json::Object(entries.iter().map(|(name, value)| (name.clone(), any(value))).collect())
        }
    }
}
