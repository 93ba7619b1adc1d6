//! The class `object`: any keys, with the methods that the worker-compatible API has too.

use serde_json::{Number, Value as Json, json};

use crate::object::{Refusal, Turn, Value};

use super::parameters::{integer, key, optional, required};
use super::{Class, Parameters, parse_key};

const VALUE: &str = "value";
const DOCUMENT: &str = "document";
const CONTENT: &str = "content";
const VERSION: &str = "version";

/// Any keys, any values.
#[derive(Debug, Clone, Copy, Default)]
pub struct Object;

impl Class for Object {
    fn call(&self, turn: &mut Turn<'_>, method: &str, parameters: Parameters) -> Result<Json, Refusal> {
        match method {
            "get_value" => get_value(turn, &parameters),
            "set" => set(turn, &parameters),
            "set_multiple" => set_multiple(turn, parameters),
            "increment" => increment(turn, &parameters),
            "delete" => delete(turn, &parameters),
            "update" => update(turn, &parameters),
            "echo" => Ok(Json::Object(parameters)),
            _ => Err(Refusal::MethodNotFound { method: method.to_owned() }),
        }
    }
}

fn get_value(turn: &mut Turn<'_>, parameters: &Parameters) -> Result<Json, Refusal> {
    let key = key(parameters, "key", Some(VALUE))?;
    let value = turn.get(key.as_str())?.map_or(Json::Null, |value| value.to_json());
    Ok(json!({ "key": key, "value": value }))
}

fn set(turn: &mut Turn<'_>, parameters: &Parameters) -> Result<Json, Refusal> {
    let key = key(parameters, "key", None)?;
    let value = required(parameters, VALUE)?;
    turn.put_value(&key, Value::from_json(value.clone()))?;
    Ok(json!({ "key": key, "value": value }))
}

fn set_multiple(turn: &mut Turn<'_>, mut parameters: Parameters) -> Result<Json, Refusal> {
    let Some(Json::Object(keys)) = parameters.remove("keys") else {
        return Err(Refusal::invalid("parameter \"keys\" must be an object: keys and their values"));
    };
    let count = keys.len();
    for (key, value) in keys {
        turn.put_value(&parse_key(&key)?, Value::from_json(value))?;
    }
    Ok(json!({ "status": "success", "count": count }))
}

fn delete(turn: &mut Turn<'_>, parameters: &Parameters) -> Result<Json, Refusal> {
    let key = key(parameters, "key", None)?;
    turn.delete(key.as_str())?;
    Ok(json!({ "key": key }))
}

fn increment(turn: &mut Turn<'_>, parameters: &Parameters) -> Result<Json, Refusal> {
    let key = key(parameters, "key", Some(VALUE))?;
    let by = match parameters.get("increment") {
        None => Number::from(1),
        Some(Json::Number(by)) => by.clone(),
        Some(_) => return Err(Refusal::invalid("parameter \"increment\" must be a number")),
    };
    let current = match turn.get(key.as_str())?.map(|value| value.to_json()) {
        None => Number::from(0),
        Some(Json::Number(current)) => current,
        Some(_) => {
            return Err(Refusal::invalid(format!("the value under {:?} is not a number", key.as_str())));
        }
    };
    let sum = add(&current, &by)
        .ok_or_else(|| Refusal::invalid(format!("{current} + {by} is beyond the numbers there are")))?;
    let sum = Value::from_json(Json::Number(sum));
    let result = json!({ "key": key, "value": sum.to_json() });
    turn.put_value(&key, sum)?;
    Ok(result)
}

/// Whole numbers stay whole and exact, with all 64 bits; a fraction makes a fraction.
fn add(left: &Number, right: &Number) -> Option<Number> {
    match (left.as_i128(), right.as_i128()) {
        (Some(left), Some(right)) => {
            let sum = left + right;
            i64::try_from(sum).map(Number::from).or_else(|_| u64::try_from(sum).map(Number::from)).ok()
        }
        _ => Number::from_f64(left.as_f64()? + right.as_f64()?),
    }
}

/// Replaces a small document: kept under the key `document`, and as the keys `content` and `version` too where
/// the object was initialised with those.
fn update(turn: &mut Turn<'_>, parameters: &Parameters) -> Result<Json, Refusal> {
    let content = optional(parameters, CONTENT).ok_or_else(|| Refusal::invalid("Content is required"))?;
    let keys_version = version_in_keys(turn)?;
    let current = match turn.get(DOCUMENT)? {
        Some(document) => document.to_json().get(VERSION).and_then(Json::as_i64).unwrap_or(0),
        None => keys_version.unwrap_or(0),
    };
    let next = current.checked_add(1).ok_or_else(|| {
        Refusal::invalid(format!("the document's version would leave 64 bits; it is {current}"))
    })?;
    if optional(parameters, VERSION).is_some() && integer(parameters, VERSION, next)? != next {
        return Err(Refusal::Conflict {
            detail: format!("the document is at version {current}; send version {next} to replace it"),
        });
    }
    let document = json!({ CONTENT: content, VERSION: next, "lastModified": turn.now() });
    turn.put(DOCUMENT, &document)?;
    if keys_version.is_some() {
        turn.put(CONTENT, content)?;
        turn.put_value(&parse_key(VERSION)?, Value::from(next))?;
    }
    Ok(document)
}

/// The version of an object that was initialised with `content` and `version`.
fn version_in_keys(turn: &Turn<'_>) -> Result<Option<i64>, Refusal> {
    if turn.get(CONTENT)?.is_none() {
        return Ok(None);
    }
    Ok(turn.get(VERSION)?.and_then(|version| version.to_json().as_i64()))
}
