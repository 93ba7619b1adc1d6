//! The native frames, on a socket that watches one object.

use bytes::Bytes;
use serde_json::json;

use super::super::body::Fields;
use super::super::reply;
use super::{Dialect, Reaction};
use crate::error::{Code, Error};
use crate::live::{LiveUpdate, Opening};
use crate::object::idempotency::IdempotencyKey;
use crate::object::{ObjectAddress, Value, parse_json};
use crate::runtime::{Action, Answer, Outcome, Request};

/// The native dialect.
pub(super) struct Native {
    own_id: String,
}

/// A subscriber's name to others.
pub(in crate::api) fn fresh_id() -> String {
    format!("{:016x}", rand::random::<u64>())
}

/// The frame that a subscription begins with.
pub(in crate::api) fn opening(address: &ObjectAddress, opening: &Opening, own_id: &str) -> Bytes {
    let object = format!("{}/{}", address.class(), address.name());
    let kind = match opening {
        Opening::Init { .. } => "init",
        Opening::Resumed { .. } => "resumed",
    };
    let frame = reply::Object::new().text("type", kind).text("object", &object);
    let frame = match opening {
        Opening::Resumed { version } => frame.number("version", version).text("self", own_id),
        Opening::Init { version, state } => {
            let frame = frame.number("version", version);
            let frame = match state {
                Some(entries) => frame.raw("state", &reply::state(entries)),
                None => frame.raw("state", "null").raw("truncated", "true"),
            };
            frame.text("self", own_id).raw("presence", "[]")
        }
    };
    frame.end().into()
}

impl Native {
    pub(super) fn new() -> Self {
        Self { own_id: fresh_id() }
    }
}

impl Dialect for Native {
    fn opening(&self, address: &ObjectAddress, how: &Opening) -> Bytes {
        opening(address, how, &self.own_id)
    }

    fn update(&self, update: &LiveUpdate) -> Vec<Bytes> {
        vec![update.native().clone()]
    }

    fn receive(&self, frame: &[u8]) -> Option<Reaction> {
        let fields = match parse_json(frame) {
            Ok(serde_json::Value::Object(fields)) => fields,
            Ok(_) => return Some(misunderstood(None, "a frame is a JSON object")),
            Err(error) => return Some(misunderstood(None, &error.to_string())),
        };
        let reference = fields.get("ref").cloned();
        Some(match fields.get("type").and_then(serde_json::Value::as_str) {
            Some("ping") => Reaction::Say(Bytes::from_static(br#"{"type":"pong"}"#)),
            Some("call") => call(fields),
            Some("subscribe" | "unsubscribe") => {
                misunderstood(reference, "this socket has its one subscription; it ends with the socket")
            }
            Some("presence" | "signal") => {
                misunderstood(reference, "presence and signals are not served yet")
            }
            Some(other) => misunderstood(reference, &format!("there is no type {other:?}")),
            None => misunderstood(reference, "a frame has a type, which is a text"),
        })
    }
}

fn misunderstood(reference: Option<serde_json::Value>, detail: &str) -> Reaction {
    Reaction::Say(error_frame(reference, detail).end().into())
}

fn error_frame(reference: Option<serde_json::Value>, detail: &str) -> reply::Object {
    beginning("error", reference).text("code", Code::InvalidRequest.as_str()).text("detail", detail)
}

fn beginning(kind: &str, reference: Option<serde_json::Value>) -> reply::Object {
    let frame = reply::Object::new().text("type", kind);
    match reference {
        Some(reference) => frame.raw("ref", Value::from_json(reference).as_str()),
        None => frame,
    }
}

/// A call that cannot be read is a frame that is not understood; the error names its id nevertheless.
fn call(mut fields: Fields) -> Reaction {
    let reference = fields.remove("ref");
    let id = fields.remove("id").unwrap_or(serde_json::Value::Null);
    match call_request(fields) {
        Ok(request) => {
            Reaction::Call(Box::new(request), Box::new(move |result| reply_frame(reference, id, result)))
        }
        Err(error) => {
            let frame = error_frame(reference, &error.detail).raw("id", Value::from_json(id).as_str());
            Reaction::SayInTurn(frame.end().into())
        }
    }
}

fn call_request(mut fields: Fields) -> Result<Request, Error> {
    let invalid = |detail: &'static str| Error::new(Code::InvalidRequest, detail);
    let Some(serde_json::Value::String(method)) = fields.remove("method") else {
        return Err(invalid("a call has a method, which is a text"));
    };
    let params = match fields.remove("params") {
        None => Fields::new(),
        Some(serde_json::Value::Object(params)) => params,
        Some(_) => return Err(invalid("params is a JSON object")),
    };
    let idempotency_key = match fields.remove("idempotency_key") {
        None | Some(serde_json::Value::Null) => None,
        Some(serde_json::Value::String(key)) => Some(
            IdempotencyKey::parse(&key)
                .map_err(|error| Error::new(Code::InvalidRequest, error.to_string()))?,
        ),
        Some(_) => return Err(invalid("idempotency_key is a text")),
    };
    Ok(Request { action: Action::Call { method, params }, idempotency_key, if_match: None })
}

fn reply_frame(
    reference: Option<serde_json::Value>,
    id: serde_json::Value,
    result: Result<Answer, Error>,
) -> Bytes {
    let frame = beginning("reply", reference).raw("id", Value::from_json(id).as_str());
    let frame = match result {
        Ok(Answer { version, outcome: Outcome::Result(result) }) => {
            frame.raw("ok", "true").raw("result", result.as_str()).number("version", version)
        }
        Ok(_) => unreachable!("a call is answered by a result"),
        Err(error) => {
            let error = json!({ "code": error.code.as_str(), "detail": error.detail, "retry": error.retry });
            frame.raw("ok", "false").raw("error", Value::from_json(error).as_str())
        }
    };
    frame.end().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{Key, Version};

    fn said(reaction: Option<Reaction>) -> String {
        match reaction {
            Some(Reaction::Say(frame) | Reaction::SayInTurn(frame)) => {
                String::from_utf8(frame.to_vec()).expect("frames are text")
            }
            Some(Reaction::Call(..)) => "a call".to_owned(),
            None => "nothing".to_owned(),
        }
    }

    fn check(frame: &str, expected: &str) {
        assert_eq!(said(Native::new().receive(frame.as_bytes())), expected, "{frame}");
    }

    #[test]
    fn frames_that_are_not_understood_are_answered() {
        check(r#"{"type":"ping"}"#, r#"{"type":"pong"}"#);
        check("[]", r#"{"type":"error","code":"invalid_request","detail":"a frame is a JSON object"}"#);
        check(
            r#"{"ref":[1]}"#,
            r#"{"type":"error","ref":[1],"code":"invalid_request","detail":"a frame has a type, which is a text"}"#,
        );
        check(
            r#"{"type":"x","ref":null}"#,
            r#"{"type":"error","ref":null,"code":"invalid_request","detail":"there is no type \"x\""}"#,
        );
        assert!(said(Native::new().receive(b"{")).starts_with(r#"{"type":"error","code":"invalid_request""#));
        assert!(said(Native::new().receive(&[0xff])).contains("UTF-8"));
    }

    #[test]
    fn calls() {
        check(r#"{"type":"call","method":"get"}"#, "a call");
        check(r#"{"type":"call","id":1,"method":"get","params":{},"idempotency_key":"k"}"#, "a call");
        check(
            r#"{"type":"call","ref":"r","id":{"a":1}}"#,
            r#"{"type":"error","ref":"r","code":"invalid_request","detail":"a call has a method, which is a text","id":{"a":1}}"#,
        );
        for wrong in
            [r#""params":[]"#, r#""params":null"#, r#""idempotency_key":1"#, r#""idempotency_key":"a b""#]
        {
            let frame = format!(r#"{{"type":"call","method":"get",{wrong}}}"#);
            assert!(
                said(Native::new().receive(frame.as_bytes())).contains(r#""code":"invalid_request""#),
                "{wrong}"
            );
        }
    }

    #[test]
    fn replies() {
        let answer = Answer { version: Version(4), outcome: Outcome::Result(Value::from(7_i64)) };
        let frame = reply_frame(None, json!("x"), Ok(answer));
        assert_eq!(frame, r#"{"type":"reply","id":"x","ok":true,"result":7,"version":4}"#);
    }

    #[test]
    fn openings() {
        let address = ObjectAddress::parse("default", "object", "a/\"b\"").expect("a name of this test");
        let entries = vec![(Key::parse("k").expect("a key of this test"), Value::from(1_i64))];
        let check = |how: Opening, expected: &str| assert_eq!(opening(&address, &how, "me"), expected);
        check(
            Opening::Init { version: Version(2), state: Some(entries) },
            r#"{"type":"init","object":"object/a/\"b\"","version":2,"state":{"k":1},"self":"me","presence":[]}"#,
        );
        check(
            Opening::Init { version: Version(2), state: None },
            r#"{"type":"init","object":"object/a/\"b\"","version":2,"state":null,"truncated":true,"self":"me","presence":[]}"#,
        );
        check(
            Opening::Resumed { version: Version(3) },
            r#"{"type":"resumed","object":"object/a/\"b\"","version":3,"self":"me"}"#,
        );
    }
}
