//! The native frames, on a socket that watches one object.

use bytes::Bytes;
use serde_json::json;

use super::super::body::Fields;
use super::super::reply;
use super::{Dialect, Order, Reaction, Settled, Voice};
use crate::error::{Code, Error};
use crate::live::{LivePresence, LiveSignal, LiveUpdate, Opening, write_members};
use crate::object::idempotency::IdempotencyKey;
use crate::object::{ObjectAddress, Value, Version, parse_json};
use crate::runtime::{Action, Answer, Outcome, Request};

/// The native dialect.
pub(super) struct Native;

/// The frame that a subscription begins with.
pub(in crate::api) fn opening(address: &ObjectAddress, opening: &Opening, own_id: &str) -> Bytes {
    let object = format!("{}/{}", address.class(), address.name());
    let kind = match opening {
        Opening::Init { .. } => "init",
        Opening::Resumed { .. } => "resumed",
    };
    let frame = reply::Object::new().text("type", kind).text("object", &object);
    let frame = match opening {
        Opening::Resumed { version, .. } => frame.number("version", version).text("self", own_id),
        Opening::Init { version, state, present } => {
            let frame = frame.number("version", version);
            let frame = match state {
                Some(entries) => frame.raw("state", &reply::state(entries)),
                None => frame.raw("state", "null").raw("truncated", "true"),
            };
            let mut presence = String::new();
            write_members(present, &mut presence);
            frame.text("self", own_id).raw("presence", &presence)
        }
    };
    frame.end().into()
}

/// The frame behind an opening that does not say who is present, if anybody is.
pub(in crate::api) fn presence_behind(opening: &Opening) -> Option<Bytes> {
    match opening {
        Opening::Resumed { present, .. } if !present.is_empty() => {
            Some(LivePresence::new(present.clone(), Vec::new(), Vec::new()).native().clone())
        }
        _ => None,
    }
}

impl Voice for Native {
    fn opening(&mut self, address: &ObjectAddress, how: &Opening, own_id: &str, say: &mut Vec<Bytes>) {
        say.push(opening(address, how, own_id));
        say.extend(presence_behind(how));
    }

    fn update(&mut self, update: &LiveUpdate, say: &mut Vec<Bytes>) {
        say.push(update.native().clone());
    }

    fn presence(&mut self, presence: &LivePresence, say: &mut Vec<Bytes>) {
        say.push(presence.native().clone());
    }

    fn signal(&mut self, signal: &LiveSignal, say: &mut Vec<Bytes>) {
        say.push(signal.native().clone());
    }
}

impl Dialect for Native {
    fn receive(&self, frame: &[u8]) -> Option<Reaction> {
        let fields = match parse_frame(frame) {
            Ok(fields) => fields,
            Err(said) => return Some(Reaction::Say(said)),
        };
        let reference = fields.get("ref").cloned();
        let kind = fields.get("type").and_then(serde_json::Value::as_str).map(str::to_owned);
        Some(match kind.as_deref() {
            Some("ping") => Reaction::Say(PONG),
            Some("subscribe" | "unsubscribe") => Reaction::Say(misunderstood(
                reference,
                "this socket has its one subscription; it ends with the socket",
            )),
            Some(kind) => match order(kind, fields) {
                Some(order) => Reaction::Order(order),
                None => Reaction::Say(unknown(kind, reference)),
            },
            None => Reaction::Say(typeless(reference)),
        })
    }
}

/// The answer to a ping.
pub(super) const PONG: Bytes = Bytes::from_static(br#"{"type":"pong"}"#);

/// The fields of a client's frame, or what is said to one that has none.
pub(super) fn parse_frame(frame: &[u8]) -> Result<Fields, Bytes> {
    match parse_json(frame) {
        Ok(serde_json::Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(misunderstood(None, "a frame is a JSON object")),
        Err(error) => Err(misunderstood(None, &error.to_string())),
    }
}

/// What a frame orders on a subscription; nothing if it is of no such type.
pub(super) fn order(kind: &str, fields: Fields) -> Option<Order> {
    match kind {
        "call" => Some(call(fields)),
        "presence" => Some(tell(fields, Order::Enter)),
        "signal" => Some(tell(fields, Order::Signal)),
        _ => None,
    }
}

fn tell(mut fields: Fields, order: fn(Value, Settled) -> Order) -> Order {
    let reference = fields.remove("ref");
    let data = Value::from_json(fields.remove("data").unwrap_or(serde_json::Value::Null));
    let settled = move |result: Result<(), Error>| Some(error(reference, &result.err()?));
    order(data, Box::new(settled))
}

/// What is said to a frame of no known type.
pub(super) fn unknown(kind: &str, reference: Option<serde_json::Value>) -> Bytes {
    misunderstood(reference, &format!("there is no type {kind:?}"))
}

/// What is said to a frame without a type.
pub(super) fn typeless(reference: Option<serde_json::Value>) -> Bytes {
    misunderstood(reference, "a frame has a type, which is a text")
}

/// What is said to a frame that is not understood.
pub(super) fn misunderstood(reference: Option<serde_json::Value>, detail: &str) -> Bytes {
    error(reference, &Error::new(Code::InvalidRequest, detail.to_owned()))
}

/// The frame of an error.
pub(super) fn error(reference: Option<serde_json::Value>, error: &Error) -> Bytes {
    error_frame(reference, error).end().into()
}

fn error_frame(reference: Option<serde_json::Value>, error: &Error) -> reply::Object {
    beginning("error", reference).text("code", error.code.as_str()).text("detail", &error.detail)
}

/// The first fields of a frame.
pub(super) fn beginning(kind: &str, reference: Option<serde_json::Value>) -> reply::Object {
    let frame = reply::Object::new().text("type", kind);
    match reference {
        Some(reference) => frame.raw("ref", Value::from_json(reference).as_str()),
        None => frame,
    }
}

/// A call that cannot be read is a frame that is not understood; the error names its id nevertheless.
fn call(mut fields: Fields) -> Order {
    let reference = fields.remove("ref");
    let id = fields.remove("id").unwrap_or(serde_json::Value::Null);
    match call_request(fields) {
        Ok(request) => {
            Order::Call(Box::new(request), Box::new(move |result| vec![reply_frame(reference, id, result)]))
        }
        Err(error) => {
            let frame = error_frame(reference, &error).raw("id", Value::from_json(id).as_str());
            Order::Say(frame.end().into())
        }
    }
}

/// The version that a client has seen, if it says so.
pub(super) fn since_in(fields: &Fields) -> Result<Option<Version>, Error> {
    match fields.get("since") {
        None | Some(serde_json::Value::Null) => Ok(None),
        Some(since) => match since.as_u64() {
            Some(since) => Ok(Some(Version(since))),
            None => Err(Error::new(Code::InvalidRequest, "since is a version")),
        },
    }
}

/// The call that a frame makes.
pub(super) fn call_request(mut fields: Fields) -> Result<Request, Error> {
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
    Ok(Request { action: Action::Call { method, params }, idempotency_key, if_match: None, context: None })
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
    use crate::object::Key;
    use crate::runtime::Member;

    fn said(reaction: Option<Reaction>) -> String {
        match reaction {
            Some(Reaction::Say(frame) | Reaction::Order(Order::Say(frame))) => {
                String::from_utf8(frame.to_vec()).expect("frames are text")
            }
            Some(Reaction::Order(Order::Call(..))) => "a call".to_owned(),
            Some(Reaction::Order(Order::Enter(data, _))) => format!("present with {data}"),
            Some(Reaction::Order(Order::Signal(data, _))) => format!("a signal of {data}"),
            Some(Reaction::Order(Order::Leave(_))) => "the end".to_owned(),
            None => "nothing".to_owned(),
        }
    }

    fn check(frame: &str, expected: &str) {
        assert_eq!(said(Native.receive(frame.as_bytes())), expected, "{frame}");
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
        assert!(said(Native.receive(b"{")).starts_with(r#"{"type":"error","code":"invalid_request""#));
        assert!(said(Native.receive(&[0xff])).contains("UTF-8"));
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
                said(Native.receive(frame.as_bytes())).contains(r#""code":"invalid_request""#),
                "{wrong}"
            );
        }
    }

    #[test]
    fn presence_and_signals() {
        check(r#"{"type":"presence","data":{"b":1.0,"a":2}}"#, r#"present with {"a":2,"b":1}"#);
        check(r#"{"type":"presence"}"#, "present with null");
        check(r#"{"type":"signal","ref":1,"data":[]}"#, "a signal of []");
        let Some(Order::Signal(_, settled)) = order("signal", Fields::from_iter([("ref".into(), json!(7))]))
        else {
            panic!("it is a signal")
        };
        let said = settled(Err(Error::new(Code::Overloaded, "too many"))).expect("a refusal is said");
        assert_eq!(said, r#"{"type":"error","ref":7,"code":"overloaded","detail":"too many"}"#);
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
        let somebody = Member { id: "she".into(), data: Value::from(1_i64), clock: 0 };
        let check = |how: Opening, expected: &str| assert_eq!(opening(&address, &how, "me"), expected);
        check(
            Opening::Init { version: Version(2), state: Some(entries), present: vec![somebody.clone()] },
            r#"{"type":"init","object":"object/a/\"b\"","version":2,"state":{"k":1},"self":"me","presence":[{"id":"she","data":1}]}"#,
        );
        check(
            Opening::Init { version: Version(2), state: None, present: Vec::new() },
            r#"{"type":"init","object":"object/a/\"b\"","version":2,"state":null,"truncated":true,"self":"me","presence":[]}"#,
        );
        check(
            Opening::Resumed { version: Version(3), present: Vec::new() },
            r#"{"type":"resumed","object":"object/a/\"b\"","version":3,"self":"me"}"#,
        );
        let resumed = Opening::Resumed { version: Version(3), present: vec![somebody] };
        assert_eq!(
            presence_behind(&resumed).expect("somebody is present"),
            r#"{"type":"presence","joined":[{"id":"she","data":1}],"left":[],"changed":[]}"#
        );
    }
}
