//! The channels protocol of Phoenix, as npm's `phoenix` client speaks it: a channel is a subscription.
//!
//! Topics are `durable_object:{id}`, `object:{class}/{name}` and `feed:{class}`. A channel goes by its topic and the ref of its join, so
//! that what was meant for an earlier one of the same topic does not reach the next.

mod message;
mod presence;
mod voice;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::super::body::Fields;
use super::super::reply;
use super::super::worker::{CLASS, mapped_params, message as refusal, method_of, result_text};
use super::lines::{feed_of, object_of};
use super::many::{Beginning, Target, Tongue, Wish, invalid};
use super::native::{call_request, since_in};
use super::{Order, Settled};
use crate::error::{Code, Error};
use crate::limits::SOCKET_MAX_SUBSCRIPTIONS;
use crate::object::{ClassName, Key, ObjectName, Value};
use crate::runtime::{Action, Answer, Outcome};

pub(in crate::api) use message::Version;
use message::{Channel, Message};
use voice::{Joined, Kind};

/// The channels of one socket.
pub(super) struct Channels {
    version: Version,
    /// Of each topic, the ref of its last join, and what it is about.
    joined: HashMap<Arc<str>, (Option<Arc<str>>, Kind)>,
}

impl Channels {
    pub(super) fn new(version: Version) -> Self {
        Self { version, joined: HashMap::new() }
    }

    fn channel(&self, join_ref: Option<&Arc<str>>, topic: &Arc<str>) -> Channel {
        Channel { version: self.version, join_ref: join_ref.cloned(), topic: topic.clone() }
    }

    fn join(&mut self, message: Message) -> Vec<Wish> {
        let Message { join_ref, reference, topic, payload, .. } = message;
        // Clients of version 1 join by the ref alone.
        let join_ref = join_ref.or_else(|| reference.clone());
        let channel = self.channel(join_ref.as_ref(), &topic);
        let refused = |error: &Error| Wish::Say(channel.error(reference.as_ref(), error));
        let mut wishes = Vec::new();
        if let Some((old, _)) = self.joined.remove(&topic) {
            wishes.push(Wish::Drop { key: key(old.as_ref(), &topic) });
            wishes.push(Wish::Say(self.channel(old.as_ref(), &topic).close()));
        }
        let (kind, target) = match target_of(&topic, &payload) {
            Ok(parsed) => parsed,
            Err(error) => {
                wishes.push(refused(&error));
                return wishes;
            }
        };
        if self.joined.len() >= SOCKET_MAX_SUBSCRIPTIONS {
            let detail = format!("a socket has at most {SOCKET_MAX_SUBSCRIPTIONS} channels; leave some");
            wishes.push(refused(&Error::new(Code::Overloaded, detail)));
            return wishes;
        }
        self.joined.insert(topic.clone(), (join_ref.clone(), kind));
        let presence = payload.get("presence").filter(|data| !data.is_null() && kind == Kind::Object);
        let beginning = Beginning {
            key: key(join_ref.as_ref(), &topic),
            target,
            presence: presence.cloned().map(Value::from_json),
            taken: channel.error(reference.as_ref(), &invalid("the channel is joined already")),
            voice: Box::new(Joined::new(channel, kind, reference)),
        };
        wishes.push(Wish::Begin(Box::new(beginning)));
        wishes
    }

    /// A message to a channel that is joined.
    fn tell(&mut self, message: Message) -> Wish {
        let Message { join_ref, reference, topic, event, payload } = message;
        let known = self.joined.get(&topic).cloned();
        let known = known.filter(|(known, _)| join_ref.is_none() || join_ref == *known);
        let channel = self.channel(join_ref.as_ref(), &topic);
        let absent = channel.error(reference.as_ref(), &Error::new(Code::NotFound, "unmatched topic"));
        let Some((join_ref, kind)) = known else { return Wish::Say(absent) };
        let key = key(join_ref.as_ref(), &topic);
        let asked = Asked { channel: Channel { join_ref, ..channel }, reference };
        let order = match (event.as_str(), kind) {
            ("phx_leave", _) => {
                self.joined.remove(&topic);
                Ok(Order::Leave(vec![asked.ok("{}"), asked.channel.close()]))
            }
            ("call_method", Kind::DurableObject) => asked.worker_call(payload),
            ("update_state", Kind::DurableObject) => asked.put(payload),
            ("refresh_state", Kind::DurableObject) => Ok(asked.refresh()),
            ("call_method", Kind::Object) => asked.call(payload),
            ("signal", Kind::Object) => Ok(Order::Signal(data_of(payload), asked.settled())),
            ("presence", Kind::Object) => Ok(Order::Enter(data_of(payload), asked.settled())),
            _ => Err(invalid(format!("the channel takes no event {event:?}"))),
        };
        let order = order.unwrap_or_else(|error| Order::Say(asked.error(&error)));
        Wish::Order { key, order, absent }
    }
}

impl Tongue for Channels {
    fn receive(&mut self, frame: &[u8]) -> Vec<Wish> {
        let Some(message) = Message::parse(self.version, frame) else {
            let channel = self.channel(None, &Arc::from("phoenix"));
            let error = reply::Object::new().text("reason", "the frame is no message of this protocol").end();
            return vec![Wish::Say(channel.push("phx_error", &error))];
        };
        match (&*message.topic, message.event.as_str()) {
            ("phoenix", "heartbeat") => {
                let channel = self.channel(None, &message.topic);
                vec![Wish::Say(channel.ok(message.reference.as_ref(), "{}"))]
            }
            (_, "phx_join") => self.join(message),
            _ => vec![self.tell(message)],
        }
    }
}

/// What a channel goes by on its socket.
fn key(join_ref: Option<&Arc<str>>, topic: &str) -> Arc<str> {
    // A topic of two lines names no object, so no two pairs are the same.
    format!("{}\n{topic}", join_ref.map_or("", |join_ref| join_ref)).into()
}

fn target_of(topic: &str, payload: &Fields) -> Result<(Kind, Target), Error> {
    match topic.split_once(':') {
        Some(("durable_object", id)) => {
            let class = ClassName::parse(CLASS).expect("the worker's class is a class");
            let name = ObjectName::parse(id).map_err(invalid)?;
            Ok((Kind::DurableObject, Target::Object(class, name, None)))
        }
        Some(("object", object)) => Ok((Kind::Object, object_of(object, since_in(payload)?)?)),
        Some(("feed", class)) => Ok((Kind::Feed, feed_of(class, payload)?)),
        _ => {
            let there_are = "durable_object:{id}, object:{class}/{name} and feed:{class}";
            Err(Error::new(Code::NotFound, format!("unmatched topic: there are {there_are}")))
        }
    }
}

/// A message that is to be answered.
#[derive(Clone)]
struct Asked {
    channel: Channel,
    reference: Option<Arc<str>>,
}

impl Asked {
    fn ok(&self, response: &str) -> Bytes {
        self.channel.ok(self.reference.as_ref(), response)
    }

    fn error(&self, error: &Error) -> Bytes {
        self.channel.error(self.reference.as_ref(), error)
    }

    /// A call as the worker answers it.
    fn worker_call(&self, payload: Fields) -> Result<Order, Error> {
        let mut request = call_request(payload)?;
        let Action::Call { method, params } = request.action else { unreachable!("a call is a call") };
        let method =
            method_of(&method).ok_or_else(|| Error::new(Code::MethodNotFound, "Method not found"))?;
        request.action = Action::Call { method: method.to_owned(), params: mapped_params(method, params) };
        let asked = self.clone();
        let reply = move |result: Result<Answer, Error>| {
            vec![match result {
                Ok(Answer { outcome: Outcome::Result(result), .. }) => asked.ok(&result_text(&result)),
                Ok(_) => unreachable!("a call is answered by a result"),
                Err(error) => asked.error(&Error::new(error.code, refusal(&error))),
            }]
        };
        Ok(Order::Call(Box::new(request), Box::new(reply)))
    }

    fn call(&self, payload: Fields) -> Result<Order, Error> {
        let request = call_request(payload)?;
        let asked = self.clone();
        let reply = move |result: Result<Answer, Error>| {
            vec![match result {
                Ok(Answer { version, outcome: Outcome::Result(result) }) => {
                    let response = reply::Object::new().raw("result", result.as_str());
                    asked.ok(&response.number("version", version).end())
                }
                Ok(_) => unreachable!("a call is answered by a result"),
                Err(error) => asked.error(&error),
            }]
        };
        Ok(Order::Call(Box::new(request), Box::new(reply)))
    }

    fn put(&self, mut payload: Fields) -> Result<Order, Error> {
        let Some(serde_json::Value::String(key)) = payload.remove("key") else {
            return Err(invalid("update_state has a key, which is a text"));
        };
        let key = Key::parse(&key).map_err(invalid)?;
        let value = payload.remove("value").ok_or_else(|| invalid("update_state has a value"))?;
        let asked = self.clone();
        let reply = move |result: Result<Answer, Error>| {
            vec![match result {
                Ok(_) => asked.ok("{}"),
                Err(error) => asked.error(&error),
            }]
        };
        Ok(Order::Call(Box::new(Action::Put { key, value }.into()), Box::new(reply)))
    }

    fn refresh(&self) -> Order {
        let asked = self.clone();
        let reply = move |result: Result<Answer, Error>| match result {
            Ok(Answer { outcome: Outcome::State { entries, .. }, .. }) => {
                let state = asked.channel.push("state_updated", &reply::state(&entries));
                vec![asked.ok("{}"), state]
            }
            Ok(_) => unreachable!("a state is answered by a state"),
            Err(error) => vec![asked.error(&error)],
        };
        Order::Call(Box::new(Action::State.into()), Box::new(reply))
    }

    fn settled(&self) -> Settled {
        let asked = self.clone();
        Box::new(move |result| {
            Some(match result {
                Ok(()) => asked.ok("{}"),
                Err(error) => asked.error(&error),
            })
        })
    }
}

/// The `data` of a payload.
fn data_of(mut payload: Fields) -> Value {
    Value::from_json(payload.remove("data").unwrap_or(serde_json::Value::Null))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(wish: Wish) -> String {
        match wish {
            Wish::Say(frame) => String::from_utf8(frame.to_vec()).expect("messages are text"),
            Wish::Begin(beginning) => {
                let Beginning { key, target, presence, .. } = *beginning;
                match target {
                    Target::Object(class, name, since) => {
                        format!("{key:?}: {class} {name} since {since:?} present {presence:?}")
                    }
                    Target::Feed(class, cursor) => format!("{key:?}: all {class} from {cursor:?}"),
                    Target::Metrics => unreachable!("no topic is of figures"),
                }
            }
            Wish::Order { key, order, .. } => match order {
                Order::Call(request, _) => format!("{key:?}: {:?}", request.action),
                Order::Enter(data, _) => format!("{key:?}: enter {data}"),
                Order::Signal(data, _) => format!("{key:?}: signal {data}"),
                Order::Leave(_) => format!("{key:?}: leave"),
                Order::Say(frame) => format!("{key:?}: say {}", String::from_utf8_lossy(&frame)),
            },
            Wish::Drop { key } => format!("{key:?}: drop"),
        }
    }

    #[test]
    fn a_conversation() {
        let mut channels = Channels::new(Version::Two);
        let mut check = |message: &str, expected: &[&str]| {
            let said: Vec<String> = channels.receive(message.as_bytes()).into_iter().map(shown).collect();
            assert_eq!(said, expected, "{message}");
        };
        check(
            r#"[null,"1","phoenix","heartbeat",{}]"#,
            &[r#"[null,"1","phoenix","phx_reply",{"status":"ok","response":{}}]"#],
        );
        check(
            r#"["2","2","durable_object:a/b","phx_join",{"since":1,"presence":{}}]"#,
            &[r#""2\ndurable_object:a/b": object a/b since None present None"#],
        );
        check(
            r#"["3","3","object:counter/c","phx_join",{"since":1,"presence":{"n":1}}]"#,
            &[r#""3\nobject:counter/c": counter c since Some(Version(1)) present Some({"n":1})"#],
        );
        check(
            r#"["2","4","durable_object:a/b","call_method",{"method":"method_increment","params":{"increment":0}}]"#,
            &[r#""2\ndurable_object:a/b": Call { method: "increment", params: {} }"#],
        );
        check(
            r#"["2","5","durable_object:a/b","update_state",{"key":"k","value":1}]"#,
            &[r#""2\ndurable_object:a/b": Put { key: "k", value: Number(1) }"#],
        );
        check(r#"["2","6","durable_object:a/b","refresh_state",{}]"#, &[r#""2\ndurable_object:a/b": State"#]);
        check(
            r#"["2","7","durable_object:a/b","signal",{}]"#,
            &[
                r#""2\ndurable_object:a/b": say ["2","7","durable_object:a/b","phx_reply",{"status":"error","response":{"reason":"the channel takes no event \"signal\"","code":"invalid_request"}}]"#,
            ],
        );
        check(
            r#"["3","8","object:counter/c","signal",{"data":[1]}]"#,
            &[r#""3\nobject:counter/c": signal [1]"#],
        );
        check(
            r#"["3","9","object:counter/c","presence",{"data":1}]"#,
            &[r#""3\nobject:counter/c": enter 1"#],
        );
        check(
            r#"["1","10","object:counter/c","call_method",{"method":"get"}]"#,
            &[
                r#"["1","10","object:counter/c","phx_reply",{"status":"error","response":{"reason":"unmatched topic","code":"not_found"}}]"#,
            ],
        );
        // Joined again: the earlier channel is over.
        check(
            r#"["11","11","object:counter/c","phx_join",{}]"#,
            &[
                r#""3\nobject:counter/c": drop"#,
                r#"["3","3","object:counter/c","phx_close",{}]"#,
                r#""11\nobject:counter/c": counter c since None present None"#,
            ],
        );
        check(r#"["11","12","object:counter/c","phx_leave",{}]"#, &[r#""11\nobject:counter/c": leave"#]);
        check(
            r#"["13","13","room:lobby","phx_join",{}]"#,
            &[
                r#"["13","13","room:lobby","phx_reply",{"status":"error","response":{"reason":"unmatched topic: there are durable_object:{id}, object:{class}/{name} and feed:{class}","code":"not_found"}}]"#,
            ],
        );
        check(
            "rubbish",
            &[r#"[null,null,"phoenix","phx_error",{"reason":"the frame is no message of this protocol"}]"#],
        );
    }
}
