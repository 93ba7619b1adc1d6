//! The frames of the original worker.

use bytes::Bytes;

use super::super::body::Fields;
use super::super::reply;
use super::super::worker::{mapped_params, message, method_of};
use super::{Dialect, Order, Reaction, Voice};
use crate::error::{Code, Error};
use crate::live::{LiveUpdate, Opening};
use crate::object::{Key, ObjectAddress, Value, parse_json};
use crate::runtime::{Action, Answer, Outcome};

/// The worker's dialect.
pub(super) struct Worker;

impl Voice for Worker {
    fn opening(&mut self, _address: &ObjectAddress, opening: &Opening, _own_id: &str, say: &mut Vec<Bytes>) {
        let frame = reply::Object::new().text("type", "init");
        let frame = match opening {
            Opening::Init { state: Some(entries), .. } => frame.raw("state", &reply::state(entries)),
            Opening::Init { state: None, .. } => frame.raw("state", "null").raw("truncated", "true"),
            Opening::Resumed { .. } => unreachable!("the worker's clients do not say what they have seen"),
        };
        say.push(frame.end().into());
    }

    fn update(&mut self, update: &LiveUpdate, say: &mut Vec<Bytes>) {
        if update.deleted_object {
            say.push(Bytes::from_static(br#"{"type":"init","state":{}}"#));
        } else {
            say.extend_from_slice(update.compatible());
        }
    }
}

impl Dialect for Worker {
    fn receive(&self, frame: &[u8]) -> Option<Reaction> {
        let mut fields = match parse_json(frame) {
            Ok(serde_json::Value::Object(fields)) => fields,
            Ok(serde_json::Value::Null) | Err(_) => return Some(failed()),
            // As in JavaScript, where a number has no `type`.
            Ok(_) => return None,
        };
        let id = fields.remove("id").unwrap_or(serde_json::Value::Null);
        match fields.get("type").and_then(serde_json::Value::as_str)? {
            "method" => Some(method(id, fields)),
            "get" => Some(get(id, fields)),
            "set" => Some(set(id, fields)),
            "echo" => {
                let data = fields.remove("data").unwrap_or(serde_json::Value::Null);
                let frame = beginning("echo_response", id).raw("data", Value::from_json(data).as_str());
                Some(in_turn(frame.end().into()))
            }
            _ => None,
        }
    }
}

fn in_turn(frame: Bytes) -> Reaction {
    Reaction::Order(Order::Say(frame))
}

fn failed() -> Reaction {
    in_turn(Bytes::from_static(br#"{"type":"error","error":"Failed to process message"}"#))
}

fn beginning(kind: &str, id: serde_json::Value) -> reply::Object {
    reply::Object::new().text("type", kind).raw("id", Value::from_json(id).as_str())
}

fn method(id: serde_json::Value, mut fields: Fields) -> Reaction {
    let sent = fields.get("method").and_then(serde_json::Value::as_str);
    let Some(method) = sent.and_then(method_of).map(str::to_owned) else {
        return in_turn(response(id, Err(Error::new(Code::MethodNotFound, "Method not found"))));
    };
    let params = match fields.remove("params") {
        None | Some(serde_json::Value::Null) => Fields::new(),
        Some(serde_json::Value::Object(params)) => params,
        Some(_) => {
            let error = Error::new(Code::InvalidRequest, "Parameters are a JSON object");
            return in_turn(response(id, Err(error)));
        }
    };
    let params = mapped_params(&method, params);
    Reaction::Order(Order::Call(
        Box::new(Action::Call { method, params }.into()),
        Box::new(move |result| vec![response(id, result)]),
    ))
}

fn response(id: serde_json::Value, result: Result<Answer, Error>) -> Bytes {
    let frame = beginning("response", id);
    let frame = match result {
        Ok(Answer { outcome: Outcome::Result(result), .. }) => {
            frame.raw("success", "true").raw("result", result.as_str())
        }
        Ok(_) => unreachable!("a call is answered by a result"),
        Err(error) => frame.raw("success", "false").text("error", &message(&error)),
    };
    frame.end().into()
}

fn key_in(fields: &Fields) -> Option<Key> {
    fields.get("key").and_then(serde_json::Value::as_str).and_then(|key| Key::parse(key).ok())
}

fn get(id: serde_json::Value, fields: Fields) -> Reaction {
    let Some(key) = key_in(&fields) else { return failed() };
    let action = Action::Get { key: key.clone() };
    Reaction::Order(Order::Call(
        Box::new(action.into()),
        Box::new(move |result| match result {
            Ok(Answer { outcome: Outcome::Value(value), .. }) => {
                let value = value.unwrap_or_else(Value::null);
                let frame = beginning("get_response", id).text("key", key.as_str());
                vec![frame.raw("value", value.as_str()).end().into()]
            }
            Ok(_) => unreachable!("a key is answered by its value"),
            Err(error) => vec![response(id, Err(error))],
        }),
    ))
}

fn set(id: serde_json::Value, mut fields: Fields) -> Reaction {
    let Some(key) = key_in(&fields) else { return failed() };
    let Some(value) = fields.remove("value") else {
        return in_turn(response(id, Err(Error::new(Code::InvalidRequest, "Missing value"))));
    };
    let action = Action::Put { key: key.clone(), value };
    Reaction::Order(Order::Call(
        Box::new(action.into()),
        Box::new(move |result| match result {
            Ok(_) => {
                let frame = beginning("set_response", id).text("key", key.as_str());
                vec![frame.text("status", "success").end().into()]
            }
            Err(error) => vec![response(id, Err(error))],
        }),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Version;

    fn said(frame: &str) -> String {
        match Worker.receive(frame.as_bytes()) {
            Some(Reaction::Say(frame) | Reaction::Order(Order::Say(frame))) => {
                String::from_utf8(frame.to_vec()).expect("frames are text")
            }
            Some(Reaction::Order(Order::Call(request, _))) => format!("{:?}", request.action),
            Some(Reaction::Order(_)) => "another order".to_owned(),
            None => "nothing".to_owned(),
        }
    }

    fn check(frame: &str, expected: &str) {
        assert_eq!(said(frame), expected, "{frame}");
    }

    #[test]
    fn what_clients_send() {
        const FAILED: &str = r#"{"type":"error","error":"Failed to process message"}"#;
        check("{", FAILED);
        check("null", FAILED);
        check("5", "nothing");
        check(r#"{"type":"other"}"#, "nothing");
        check(r#"{"no":"type"}"#, "nothing");
        check(
            r#"{"type":"echo","id":1,"data":{"a":1}}"#,
            r#"{"type":"echo_response","id":1,"data":{"a":1}}"#,
        );
        check(r#"{"type":"get","id":1}"#, FAILED);
        check(
            r#"{"type":"set","id":"i","key":"k"}"#,
            r#"{"type":"response","id":"i","success":false,"error":"Missing value"}"#,
        );
        check(
            r#"{"type":"method","id":null}"#,
            r#"{"type":"response","id":null,"success":false,"error":"Method not found"}"#,
        );
        check(
            r#"{"type":"method","method":"method_state"}"#,
            r#"{"type":"response","id":null,"success":false,"error":"Method not found"}"#,
        );
        assert!(
            said(r#"{"type":"method","id":1,"method":"method_increment","params":{"increment":0}}"#)
                .contains("increment\", params: {}")
        );
        assert!(said(r#"{"type":"set","id":1,"key":"k","value":null}"#).starts_with("Put"));
    }

    #[test]
    fn what_calls_are_answered_with() {
        let Some(Reaction::Order(Order::Call(_, reply))) =
            Worker.receive(br#"{"type":"get","id":[1],"key":"k"}"#)
        else {
            panic!("a get is a call")
        };
        let frame = reply(Ok(Answer { version: Version(1), outcome: Outcome::Value(None) }));
        assert_eq!(frame, [r#"{"type":"get_response","id":[1],"key":"k","value":null}"#]);
        let Some(Reaction::Order(Order::Call(_, reply))) =
            Worker.receive(br#"{"type":"set","id":"s","key":"k","value":1}"#)
        else {
            panic!("a set is a call")
        };
        let frame = reply(Ok(Answer { version: Version(1), outcome: Outcome::Put }));
        assert_eq!(frame, [r#"{"type":"set_response","id":"s","key":"k","status":"success"}"#]);
    }
}
