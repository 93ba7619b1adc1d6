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

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::class::Rehearsal;

    /// Initialises an object, calls methods and shows each outcome, then the state.
    fn check(keys: Json, calls: &[(&str, Json)], expected: Expect) {
        let mut object = Rehearsal::new(Object);
        if !keys.is_null() {
            object.initialize(keys).unwrap();
        }
        let mut seen = String::new();
        for (method, parameters) in calls {
            let line = match object.call(method, parameters.clone()) {
                Ok(result) => format!("{result}\n"),
                Err(refusal) => format!("refused: {refusal}\n"),
            };
            seen.push_str(&line);
        }
        let (state, version) = (object.state().unwrap(), object.version());
        expected.assert_eq(&format!("{seen}state {state} at {version}\n"));
    }

    #[test]
    fn reads_create_nothing() {
        check(
            Json::Null,
            &[("get_value", json!({})), ("get_value", json!({"key": "a"})), ("echo", json!({"a": [1]}))],
            expect![[r#"
                {"key":"value","value":null}
                {"key":"a","value":null}
                {"a":[1]}
                state {} at 0
            "#]],
        );
    }

    #[test]
    fn a_large_state_is_read_in_pages() {
        const MIB: usize = 1024 * 1024;
        let mut object = Rehearsal::new(Object);
        for key in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            object.state().unwrap();
            object.put(key, Json::from("x".repeat(2 * MIB - 2))).unwrap();
        }
        assert_eq!(object.state(), Err(Refusal::StateTooLarge), "8 values of 2 MiB, and their keys");
        let page = crate::object::Page { entries: 100, bytes: 3 * MIB };
        let first = object.turn("get", |class, turn| class.entries(turn, "", None, page)).unwrap();
        assert_eq!(first.len(), 2, "a page stops once it is full");
    }

    #[test]
    fn sets_and_deletes() {
        check(
            json!({"a": 1}),
            &[
                ("set", json!({"key": "b", "value": null})),
                ("set", json!({"key": "b"})),
                ("set", json!({"value": 1})),
                ("set", json!({"key": "", "value": 1})),
                ("set_multiple", json!({"keys": {"c": 1.0, "d": {"z": 1, "y": 2}}})),
                ("set_multiple", json!({"keys": [1]})),
                ("set_multiple", json!({"keys": {}})),
                ("delete", json!({"key": "a"})),
                ("delete", json!({"key": "a"})),
                ("get_value", json!({"key": 5})),
                ("clear", json!({})),
            ],
            expect![[r#"
                {"key":"b","value":null}
                refused: parameter "value" is required
                refused: parameter "key" is required
                refused: a key is 1 to 2048 bytes long
                {"count":2,"status":"success"}
                refused: parameter "keys" must be an object: keys and their values
                {"count":0,"status":"success"}
                {"key":"a"}
                {"key":"a"}
                refused: parameter "key" must be a text: the key
                refused: the class has no method "clear"
                state {"b":null,"c":1,"d":{"y":2,"z":1}} at 4
            "#]],
        );
    }

    #[test]
    fn increments_exactly() {
        check(
            json!({"text": "x", "large": u64::MAX}),
            &[
                ("increment", json!({})),
                ("increment", json!({"increment": 0})),
                ("increment", json!({"increment": -3})),
                ("increment", json!({"increment": 0.5})),
                ("increment", json!({"increment": 0.5})),
                ("increment", json!({"increment": "1"})),
                ("increment", json!({"increment": null})),
                ("increment", json!({"key": "text"})),
                ("increment", json!({"key": "large", "increment": -1})),
                ("increment", json!({"key": "large", "increment": 2})),
                ("increment", json!({"key": "float", "increment": 1e308})),
                ("increment", json!({"key": "float", "increment": 1.7e308})),
                ("increment", json!({"key": "low", "increment": i64::MIN})),
                ("increment", json!({"key": "low", "increment": -1})),
            ],
            expect![[r#"
                {"key":"value","value":1}
                {"key":"value","value":1}
                {"key":"value","value":-2}
                {"key":"value","value":-1.5}
                {"key":"value","value":-1}
                refused: parameter "increment" must be a number
                refused: parameter "increment" must be a number
                refused: the value under "text" is not a number
                {"key":"large","value":18446744073709551614}
                refused: 18446744073709551614 + 2 is beyond the numbers there are
                {"key":"float","value":1e+308}
                refused: 1e+308 + 1.7e+308 is beyond the numbers there are
                {"key":"low","value":-9223372036854775808}
                refused: -9223372036854775808 + -1 is beyond the numbers there are
                state {"float":1e+308,"large":18446744073709551614,"low":-9223372036854775808,"text":"x","value":-1} at 9
            "#]],
        );
    }

    #[test]
    fn updates_a_document() {
        check(
            Json::Null,
            &[
                ("update", json!({})),
                ("update", json!({"content": null})),
                ("update", json!({"content": "one"})),
                ("update", json!({"content": "two", "version": 2})),
                ("update", json!({"content": "three", "version": 2})),
                ("update", json!({"content": {"any": "value"}, "version": null})),
                ("update", json!({"content": "", "version": "4"})),
            ],
            expect![[r#"
                refused: Content is required
                refused: Content is required
                {"content":"one","lastModified":"2026-11-21T01:56:36.224Z","version":1}
                {"content":"two","lastModified":"2026-11-21T01:56:36.224Z","version":2}
                refused: the document is at version 2; send version 3 to replace it
                {"content":{"any":"value"},"lastModified":"2026-11-21T01:56:36.224Z","version":3}
                refused: "version" must be a whole number of 64 bits
                state {"document":{"content":{"any":"value"},"lastModified":"2026-11-21T01:56:36.224Z","version":3}} at 3
            "#]],
        );
    }

    #[test]
    fn updates_the_keys_it_was_initialised_with() {
        check(
            json!({"content": "Initial document content", "version": 1}),
            &[
                ("update", json!({"content": "Updated document content", "version": 2})),
                ("update", json!({"content": "again", "version": 2})),
            ],
            expect![[r#"
                {"content":"Updated document content","lastModified":"2026-11-21T01:56:36.224Z","version":2}
                refused: the document is at version 2; send version 3 to replace it
                state {"content":"Updated document content","document":{"content":"Updated document content","lastModified":"2026-11-21T01:56:36.224Z","version":2},"version":2} at 2
            "#]],
        );
    }
}
