//! The class `mcp-secret`: a key that all nodes share and no client sees. The first that is offered is kept.

use serde_json::{Value as Json, json};

use crate::object::{Refusal, Turn};

use super::parameters::text;
use super::{Access, Class, Parameters};

const KEY: &str = "key";

/// A key that all nodes share.
#[derive(Debug, Clone, Copy, Default)]
pub struct McpSecret;

impl Class for McpSecret {
    fn access(&self) -> Access {
        Access::Internal
    }

    fn call(&self, turn: &mut Turn<'_>, method: &str, parameters: Parameters) -> Result<Json, Refusal> {
        if method != "offer" {
            return Err(Refusal::MethodNotFound { method: method.to_owned() });
        }
        if let Some(kept) = turn.get_as::<String>(KEY)? {
            return Ok(json!({ "key": kept }));
        }
        let offered = text(&parameters, "key")?;
        turn.put(KEY, offered)?;
        Ok(json!({ "key": offered }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::Rehearsal;

    #[test]
    fn the_first_is_kept() {
        let mut secret = Rehearsal::new(McpSecret);
        assert_eq!(secret.call("offer", json!({ "key": "one" })).unwrap()["key"], "one");
        assert_eq!(secret.call("offer", json!({ "key": "other" })).unwrap()["key"], "one");
    }
}
