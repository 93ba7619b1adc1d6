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
