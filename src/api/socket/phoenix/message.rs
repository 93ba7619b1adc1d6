//! Messages of the channels protocol, in both of its serializations: arrays (2.0.0) and objects (1.0.0).
//!
//! Source: Phoenix's own serializers, `Phoenix.Socket.V2.JSONSerializer` and `V1`.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value as Json;

use crate::api::body::Fields;
use crate::api::reply;
use crate::error::Error;
use crate::object::{Value, parse_json};

/// The versions of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum Version {
    /// Messages are objects.
    One,
    /// Messages are arrays.
    Two,
}

impl Version {
    /// The version that a client asks for: `1.0.0` if it does not say.
    pub(in crate::api) fn parse(asked: Option<&str>) -> Option<Self> {
        match asked {
            None => Some(Self::One),
            Some(asked) if asked.starts_with("1.") => Some(Self::One),
            Some(asked) if asked.starts_with("2.") => Some(Self::Two),
            Some(_) => None,
        }
    }
}

/// A message of a client.
#[derive(Debug, PartialEq)]
pub(super) struct Message {
    pub(super) join_ref: Option<Arc<str>>,
    pub(super) reference: Option<Arc<str>>,
    pub(super) topic: Arc<str>,
    pub(super) event: String,
    pub(super) payload: Fields,
}

impl Message {
    /// Reads a client's frame; none if it is no message.
    pub(super) fn parse(version: Version, frame: &[u8]) -> Option<Self> {
        let (join_ref, reference, topic, event, payload) = match (version, parse_json(frame).ok()?) {
            (Version::Two, Json::Array(parts)) => {
                let [join_ref, reference, topic, event, payload] = <[Json; 5]>::try_from(parts).ok()?;
                (join_ref, reference, topic, event, payload)
            }
            (Version::One, Json::Object(mut fields)) => {
                let mut take = |name: &str| fields.remove(name).unwrap_or(Json::Null);
                (take("join_ref"), take("ref"), take("topic"), take("event"), take("payload"))
            }
            _ => return None,
        };
        let (Json::String(topic), Json::String(event)) = (topic, event) else { return None };
        let payload = match payload {
            Json::Object(payload) => payload,
            Json::Null => Fields::new(),
            _ => return None,
        };
        Some(Self {
            join_ref: text_of(join_ref)?,
            reference: text_of(reference)?,
            topic: topic.into(),
            event,
            payload,
        })
    }
}

/// A reference is a text or absent.
#[expect(clippy::option_option, reason = "what is absent is not what is wrong")]
fn text_of(reference: Json) -> Option<Option<Arc<str>>> {
    match reference {
        Json::Null => Some(None),
        Json::String(text) => Some(Some(text.into())),
        _ => None,
    }
}

/// What a server's messages to one channel begin with.
#[derive(Debug, Clone)]
pub(super) struct Channel {
    pub(super) version: Version,
    pub(super) join_ref: Option<Arc<str>>,
    pub(super) topic: Arc<str>,
}

impl Channel {
    /// A push: an event with its payload, which is JSON text.
    pub(super) fn push(&self, event: &str, payload: &str) -> Bytes {
        self.message(None, event, payload)
    }

    /// The answer to a message that went well; the response is JSON text.
    pub(super) fn ok(&self, reference: Option<&Arc<str>>, response: &str) -> Bytes {
        self.reply(reference, "ok", response)
    }

    /// The answer to a message that did not.
    pub(super) fn error(&self, reference: Option<&Arc<str>>, error: &Error) -> Bytes {
        let response = reply::Object::new().text("reason", &error.detail).text("code", error.code.as_str());
        self.reply(reference, "error", &response.end())
    }

    /// The channel is over as its client wished, or for another of its topic.
    pub(super) fn close(&self) -> Bytes {
        self.message(self.join_ref.as_ref(), "phx_close", "{}")
    }

    /// The channel is over; its client joins again.
    pub(super) fn crash(&self) -> Bytes {
        self.message(self.join_ref.as_ref(), "phx_error", "{}")
    }

    fn reply(&self, reference: Option<&Arc<str>>, status: &str, response: &str) -> Bytes {
        let payload = reply::Object::new().text("status", status).raw("response", response).end();
        self.message(reference, "phx_reply", &payload)
    }

    fn message(&self, reference: Option<&Arc<str>>, event: &str, payload: &str) -> Bytes {
        let json = |text: &str| Value::from(text);
        let or_null = |text: Option<&Arc<str>>| text.map_or_else(Value::null, |text| json(text));
        match self.version {
            Version::Two => reply::array([
                or_null(self.join_ref.as_ref()).as_str(),
                or_null(reference).as_str(),
                json(&self.topic).as_str(),
                json(event).as_str(),
                payload,
            ])
            .into(),
            Version::One => reply::Object::new()
                .text("topic", &self.topic)
                .text("event", event)
                .raw("payload", payload)
                .raw("ref", or_null(reference).as_str())
                .raw("join_ref", or_null(self.join_ref.as_ref()).as_str())
                .end()
                .into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::Code;

    #[test]
    fn messages_come_in_both_serializations() {
        let expected = Message {
            join_ref: Some("1".into()),
            reference: Some("2".into()),
            topic: "durable_object:a".into(),
            event: "call_method".into(),
            payload: Fields::from_iter([("method".to_owned(), json!("get"))]),
        };
        let two = br#"["1","2","durable_object:a","call_method",{"method":"get"}]"#;
        assert_eq!(Message::parse(Version::Two, two), Some(expected));
        let one = br#"{"topic":"phoenix","event":"heartbeat","payload":{},"ref":"9"}"#;
        let heartbeat = Message::parse(Version::One, one).expect("it is a message");
        assert_eq!((heartbeat.join_ref, heartbeat.reference.as_deref()), (None, Some("9")));
        for wrong in
            ["{", "[]", r#"["1","2",3,"e",{}]"#, r#"["1","2","t","e",[]]"#, r#"[1,"2","t","e",{}]"#, "7"]
        {
            assert_eq!(Message::parse(Version::Two, wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(Message::parse(Version::One, two), None);
    }

    #[test]
    fn messages_go_in_both_serializations() {
        let mut channel = Channel {
            version: Version::Two,
            join_ref: Some("1".into()),
            topic: "object:counter/\"a\"".into(),
        };
        let reference = Some(Arc::from("2"));
        assert_eq!(channel.push("signal", "{}"), r#"["1",null,"object:counter/\"a\"","signal",{}]"#);
        assert_eq!(
            channel.ok(reference.as_ref(), r#"{"a":1}"#),
            r#"["1","2","object:counter/\"a\"","phx_reply",{"status":"ok","response":{"a":1}}]"#
        );
        assert_eq!(channel.close(), r#"["1","1","object:counter/\"a\"","phx_close",{}]"#);
        channel.version = Version::One;
        channel.topic = "t".into();
        let error = Error::new(Code::ClassNotFound, "there is none");
        assert_eq!(
            channel.error(reference.as_ref(), &error),
            r#"{"topic":"t","event":"phx_reply","payload":{"status":"error","response":{"reason":"there is none","code":"class_not_found"}},"ref":"2","join_ref":"1"}"#
        );
    }

    #[test]
    fn versions() {
        for (asked, expected) in [
            (None, Some(Version::One)),
            (Some("1.0.0"), Some(Version::One)),
            (Some("2.0.0"), Some(Version::Two)),
            (Some("3.0.0"), None),
            (Some(""), None),
        ] {
            assert_eq!(Version::parse(asked), expected, "{asked:?}");
        }
    }
}
