//! Request bodies that are JSON.

use serde_json::Map;

use crate::error::{Code, Error};
pub(super) use crate::incoming::body as read;
use crate::object::parse_json;

/// The keys of a JSON object.
pub(super) type Fields = Map<String, serde_json::Value>;

/// What a body is that has no bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    /// `{}`.
    Empty,
    /// An error.
    Refused,
}

/// Parses a body that is a JSON object.
pub(super) fn object(bytes: &[u8], absent: Absent) -> Result<Fields, Error> {
    if bytes.is_empty() && absent == Absent::Empty {
        return Ok(Map::new());
    }
    match parse_json(bytes)
        .map_err(|error| Error::new(Code::InvalidRequest, format!("in the body: {error}")))?
    {
        serde_json::Value::Object(fields) => Ok(fields),
        _ => Err(Error::new(Code::InvalidRequest, "the body is a JSON object")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_objects() {
        let check = |text: &str, absent| object(text.as_bytes(), absent).map(|fields| fields.len()).ok();
        assert_eq!(check("", Absent::Empty), Some(0));
        assert_eq!(check("", Absent::Refused), None);
        assert_eq!(check("{\"a\":1,\"a\":2}", Absent::Refused), Some(1));
        for wrong in [" ", "[]", "null", "{", "{}x", "\"a\""] {
            assert_eq!(check(wrong, Absent::Empty), None, "{wrong}");
        }
    }
}
