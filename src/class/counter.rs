//! The class `counter`: one whole number of 64 bits under the key `value`, and no other key.

use serde_json::{Value as Json, json};

use crate::object::{Key, Refusal, Turn, Value};

use super::parameters::{integer, whole};
use super::{Class, Parameters};

const VALUE: &str = "value";

/// One 64-bit integer. Overflow, fractions and text are refused and change nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counter;

impl Class for Counter {
    fn call(&self, turn: &mut Turn<'_>, method: &str, parameters: Parameters) -> Result<Json, Refusal> {
        let current = turn.get_as::<i64>(VALUE)?.unwrap_or(0);
        let next = match method {
            "increment" => current.checked_add(integer(&parameters, "by", 1)?),
            "decrement" => current.checked_sub(integer(&parameters, "by", 1)?),
            "reset" => Some(integer(&parameters, "to", 0)?),
            "get" => return Ok(json!({ "value": current })),
            _ => return Err(Refusal::MethodNotFound { method: method.to_owned() }),
        };
        let next = next
            .ok_or_else(|| Refusal::invalid(format!("the counter would leave 64 bits; it is {current}")))?;
        turn.put_value(&value_key(), Value::from(next))?;
        Ok(json!({ "value": next }))
    }

    fn put(&self, turn: &mut Turn<'_>, key: &Key, value: Json) -> Result<(), Refusal> {
        if key.as_str() != VALUE {
            return Err(Refusal::invalid(format!("a counter has the key {VALUE:?} and no other")));
        }
        turn.put_value(key, Value::from(whole(&value, VALUE)?))
    }
}

fn value_key() -> Key {
    Key::parse(VALUE).expect("a short word is a key")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::class::Rehearsal;

    /// Calls in order, each with its result or the kind of its refusal.
    fn check(calls: &[(&str, Json, Result<Json, &str>)]) {
        let mut counter = Rehearsal::new(Counter);
        for (method, parameters, expected) in calls {
            let before = (counter.version(), counter.storage().clone());
            let found = counter.call(method, parameters.clone());
            match (&found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{method} {parameters}"),
                (Err(refusal), Err(expected)) => {
                    assert!(
                        format!("{refusal:?}").starts_with(expected),
                        "{method} {parameters}: {refusal:?}"
                    );
                    assert_eq!(
                        before,
                        (counter.version(), counter.storage().clone()),
                        "a refusal changes nothing"
                    );
                }
                _ => panic!("{method} {parameters}: {found:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn counts() {
        check(&[
            ("get", json!({}), Ok(json!({ "value": 0 }))),
            ("increment", json!({}), Ok(json!({ "value": 1 }))),
            ("increment", json!({ "by": 41 }), Ok(json!({ "value": 42 }))),
            ("decrement", json!({ "by": 50 }), Ok(json!({ "value": -8 }))),
            ("decrement", json!({}), Ok(json!({ "value": -9 }))),
            ("increment", json!({ "by": 0 }), Ok(json!({ "value": -9 }))),
            ("reset", json!({ "to": 7 }), Ok(json!({ "value": 7 }))),
            ("get", json!({}), Ok(json!({ "value": 7 }))),
            ("reset", json!({}), Ok(json!({ "value": 0 }))),
        ]);
    }

    #[test]
    fn refuses_what_is_no_whole_number_of_64_bits() {
        check(&[
            ("reset", json!({ "to": i64::MAX }), Ok(json!({ "value": i64::MAX }))),
            ("increment", json!({}), Err("InvalidParameters")),
            ("decrement", json!({ "by": i64::MIN }), Err("InvalidParameters")),
            ("reset", json!({ "to": i64::MIN }), Ok(json!({ "value": i64::MIN }))),
            ("decrement", json!({}), Err("InvalidParameters")),
            ("increment", json!({ "by": 0.5 }), Err("InvalidParameters")),
            ("increment", json!({ "by": "1" }), Err("InvalidParameters")),
            ("increment", json!({ "by": null }), Err("InvalidParameters")),
            ("increment", json!({ "by": u64::MAX }), Err("InvalidParameters")),
            ("jump", json!({}), Err("MethodNotFound")),
        ]);
    }

    #[test]
    fn has_one_key() {
        let mut counter = Rehearsal::new(Counter);
        assert!(matches!(counter.put("other", json!(1)), Err(Refusal::InvalidParameters { .. })));
        assert!(matches!(counter.put("value", json!("1")), Err(Refusal::InvalidParameters { .. })));
        assert!(matches!(counter.delete("value"), Err(Refusal::KeyNotFound { .. })));
        counter.initialize(json!({ "value": 5 })).unwrap();
        assert_eq!(counter.state().unwrap(), json!({ "value": 5 }));
        counter.delete("value").unwrap();
        assert_eq!(counter.call("get", json!({})).unwrap(), json!({ "value": 0 }));
        assert_eq!(counter.version(), crate::object::Version(2));
    }
}
