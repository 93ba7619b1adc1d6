//! The class `change-key`: which id a tool's call with an idempotency key has made.
//!
//! The object is named by the hash of tool and key. Its first call fixes the id, in a turn of its own and before
//! anything is made under it, so that every retry, after midnight too, finds what the first try made.

use serde_json::{Value as Json, json};

use crate::limits::NAME_MAX_BYTES;
use crate::object::{Key, Refusal, Turn};

use super::parameters::text;
use super::{Access, Class, Parameters};

const ID: &str = "id";

/// An id that is fixed once. `fix{id}` → `{"id"}`: the one of the first call.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChangeKey;

impl Class for ChangeKey {
    fn access(&self) -> Access {
        Access::Internal
    }

    fn call(&self, turn: &mut Turn<'_>, method: &str, parameters: Parameters) -> Result<Json, Refusal> {
        if method != "fix" {
            return Err(Refusal::MethodNotFound { method: method.to_owned() });
        }
        if let Some(id) = turn.get_as::<String>(ID)? {
            return Ok(json!({ "id": id }));
        }
        let id = text(&parameters, ID)?;
        if id.is_empty() || id.len() > NAME_MAX_BYTES {
            return Err(Refusal::invalid(format!("\"id\" must have 1 to {NAME_MAX_BYTES} bytes")));
        }
        turn.put(ID, id)?;
        Ok(json!({ "id": id }))
    }

    fn put(&self, _: &mut Turn<'_>, _: &Key, _: Json) -> Result<(), Refusal> {
        Err(Refusal::Forbidden { detail: "an id is fixed by the method fix only".to_owned() })
    }

    fn delete(&self, _: &mut Turn<'_>, _: &Key) -> Result<(), Refusal> {
        Err(Refusal::Forbidden { detail: "an id that is fixed stays".to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::Rehearsal;

    #[test]
    fn the_first_id_stays() {
        let mut key = Rehearsal::new(ChangeKey);
        assert!(key.call("fix", json!({})).is_err());
        assert!(key.call("fix", json!({ "id": "" })).is_err());
        assert!(key.call("fix", json!({ "id": 7 })).is_err());
        assert!(!key.meta().exists, "a refusal makes nothing");
        assert_eq!(key.call("fix", json!({ "id": "CHG-1" })), Ok(json!({ "id": "CHG-1" })));
        let version = key.version();
        assert_eq!(key.call("fix", json!({ "id": "CHG-2" })), Ok(json!({ "id": "CHG-1" })));
        assert_eq!(key.version(), version, "a later call changes nothing");
        assert!(key.put("id", json!("CHG-3")).is_err() && key.delete("id").is_err());
        assert!(matches!(key.call("free", json!({})), Err(Refusal::MethodNotFound { .. })));
    }
}
