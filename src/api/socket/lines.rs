//! The native frames, on a socket that carries many subscriptions: each has a `ref`.

use std::sync::Arc;

use bytes::Bytes;

use super::super::body::Fields;
use super::many::{Beginning, LineVoice, Target, Tongue, Wish, invalid};
use super::native::{
    self, Native, PONG, beginning, error, misunderstood, order, parse_frame, since_in, typeless, unknown,
};
use super::{Order, Voice};
use crate::error::Error;
use crate::live::{FeedOpening, FeedUpdate, LivePresence, LiveSignal, LiveUpdate, Opening};
use crate::object::{ClassName, ObjectAddress, ObjectName, Value, Version};

/// The feed that is of no class: the figures of change management. No class is named so.
const METRICS: &str = "_metrics";

/// The native dialect of many subscriptions.
pub(super) struct NativeLines;

impl NativeLines {
    pub(super) fn new() -> Self {
        Self
    }
}

impl Tongue for NativeLines {
    fn receive(&mut self, frame: &[u8]) -> Vec<Wish> {
        vec![match parse_frame(frame) {
            Ok(fields) => wish(fields),
            Err(said) => Wish::Say(said),
        }]
    }
}

fn wish(fields: Fields) -> Wish {
    let reference = fields.get("ref").cloned();
    let kind = match fields.get("type").and_then(serde_json::Value::as_str) {
        Some("ping") => return Wish::Say(PONG),
        Some(kind) => kind.to_owned(),
        None => return Wish::Say(typeless(reference)),
    };
    let needs_ref = |what: &str| Wish::Say(misunderstood(None, &format!("a frame that {what} has a ref")));
    match (kind.as_str(), reference) {
        ("subscribe", None) => needs_ref("subscribes"),
        ("subscribe", Some(reference)) => match subscription(&reference, fields) {
            Ok(beginning) => Wish::Begin(Box::new(beginning)),
            Err(refused) => Wish::Say(error(Some(reference), &refused)),
        },
        ("unsubscribe" | "call" | "presence" | "signal", None) => needs_ref("is about a subscription"),
        ("unsubscribe", Some(reference)) => {
            let farewell = beginning("unsubscribed", Some(reference.clone())).end().into();
            on_line(reference, Order::Leave(vec![farewell]), None)
        }
        (kind, reference) => {
            let id = fields.get("id").cloned();
            match (order(kind, fields), reference) {
                (Some(order), Some(reference)) => on_line(reference, order, id),
                (_, reference) => Wish::Say(unknown(kind, reference)),
            }
        }
    }
}

/// An order on the subscription of a `ref`.
fn on_line(reference: serde_json::Value, order: Order, id: Option<serde_json::Value>) -> Wish {
    let key = key(&reference);
    let absent = beginning("error", Some(reference))
        .text("code", crate::error::Code::InvalidRequest.as_str())
        .text("detail", "there is no subscription with this ref");
    let absent = match id {
        Some(id) => absent.raw("id", Value::from_json(id).as_str()),
        None => absent,
    };
    Wish::Order { key, order, absent: absent.end().into() }
}

fn key(reference: &serde_json::Value) -> Arc<str> {
    Value::from_json(reference.clone()).as_str().into()
}

/// The subscription that a frame asks for.
fn subscription(reference: &serde_json::Value, mut fields: Fields) -> Result<Beginning, Error> {
    let target = match (fields.remove("object"), fields.remove("feed")) {
        (Some(serde_json::Value::String(object)), None) => object_of(&object, since_in(&fields)?)?,
        (None, Some(serde_json::Value::String(feed))) if feed == METRICS => Target::Metrics,
        (None, Some(serde_json::Value::String(class))) => feed_of(&class, &fields)?,
        _ => return Err(invalid("a subscription is of an \"object\", class/name, or of a \"feed\", class")),
    };
    let presence = fields.remove("presence").filter(|data| !data.is_null()).map(Value::from_json);
    Ok(Beginning {
        key: key(reference),
        target,
        presence,
        voice: Box::new(Referred { reference: key(reference) }),
        taken: misunderstood(Some(reference.clone()), "there is a subscription with this ref; end it first"),
    })
}

/// The feed of a class, from the cursor that a client may have.
pub(super) fn feed_of(class: &str, fields: &Fields) -> Result<Target, Error> {
    let cursor = match fields.get("cursor") {
        None | Some(serde_json::Value::Null) => None,
        Some(serde_json::Value::String(cursor)) => Some(cursor.clone()),
        Some(_) => return Err(invalid("cursor is a text")),
    };
    Ok(Target::Feed(ClassName::parse(class).map_err(invalid)?, cursor))
}

/// The object `class/name`: the name is all behind the first `/`.
pub(super) fn object_of(text: &str, since: Option<Version>) -> Result<Target, Error> {
    let (class, name) = text.split_once('/').ok_or_else(|| invalid("an object is named class/name"))?;
    let class = ClassName::parse(class).map_err(invalid)?;
    let name = ObjectName::parse(name).map_err(invalid)?;
    Ok(Target::Object(class, name, since))
}

/// The native frames with a `ref`.
struct Referred {
    /// As JSON.
    reference: Arc<str>,
}

impl Referred {
    /// The frame with the `ref` behind its type.
    fn with_ref(&self, frame: &[u8]) -> Bytes {
        const TYPE: &[u8] = br#"{"type":""#;
        let named = frame.get(TYPE.len()..).unwrap_or_default();
        let named = named.iter().position(|byte| *byte == b'"').map_or(0, |end| TYPE.len() + end + 1);
        let (head, rest) = frame.split_at(named);
        let mut text = Vec::with_capacity(frame.len() + self.reference.len() + 8);
        text.extend_from_slice(head);
        text.extend_from_slice(br#","ref":"#);
        text.extend_from_slice(self.reference.as_bytes());
        text.extend_from_slice(rest);
        text.into()
    }
}

impl Voice for Referred {
    fn opening(&mut self, address: &ObjectAddress, opening: &Opening, own_id: &str, say: &mut Vec<Bytes>) {
        let before = say.len();
        Native.opening(address, opening, own_id, say);
        for frame in say.iter_mut().skip(before) {
            *frame = self.with_ref(frame);
        }
    }

    fn update(&mut self, update: &LiveUpdate, say: &mut Vec<Bytes>) {
        say.push(self.with_ref(update.native()));
    }

    fn presence(&mut self, presence: &LivePresence, say: &mut Vec<Bytes>) {
        say.push(self.with_ref(presence.native()));
    }

    fn signal(&mut self, signal: &LiveSignal, say: &mut Vec<Bytes>) {
        say.push(self.with_ref(signal.native()));
    }
}

impl LineVoice for Referred {
    fn refused(&mut self, refused: &Error) -> Bytes {
        self.with_ref(&native::error(None, refused))
    }

    fn feed_opening(&mut self, class: &ClassName, opening: &FeedOpening) -> Bytes {
        let frame = beginning("subscribed", None).text("feed", class.as_str());
        let frame = frame.text("cursor", &opening.cursor).number("complete", opening.is_complete);
        self.with_ref(frame.end().as_bytes())
    }

    fn feed_update(&mut self, update: &FeedUpdate) -> Option<Bytes> {
        Some(self.with_ref(update.native()))
    }

    fn metrics(&mut self, figures: &serde_json::Value) -> Option<Bytes> {
        let frame = beginning("metrics", None).raw("data", &figures.to_string());
        Some(self.with_ref(frame.end().as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(frame: &str, expected: &str) {
        let wishes = NativeLines.receive(frame.as_bytes());
        let said: Vec<String> = wishes.into_iter().map(shown).collect();
        assert_eq!(said, [expected], "{frame}");
    }

    fn shown(wish: Wish) -> String {
        match wish {
            Wish::Say(frame) => String::from_utf8(frame.to_vec()).expect("frames are text"),
            Wish::Begin(beginning) => {
                let Beginning { key, target, presence, .. } = *beginning;
                match target {
                    Target::Object(class, name, since) => {
                        format!("{key}: {class} {name} since {since:?} present {presence:?}")
                    }
                    Target::Feed(class, cursor) => format!("{key}: all {class} from {cursor:?}"),
                    Target::Metrics => format!("{key}: the figures"),
                }
            }
            Wish::Order { key, order, absent } => {
                let order = match order {
                    Order::Call(..) => "call",
                    Order::Enter(..) => "enter",
                    Order::Signal(..) => "signal",
                    Order::Leave(_) => "leave",
                    Order::Say(_) => "say",
                };
                format!("{key}: {order}, or {}", String::from_utf8_lossy(&absent))
            }
            Wish::Drop { key } => format!("{key}: drop"),
        }
    }

    #[test]
    fn what_clients_send() {
        check(r#"{"type":"ping"}"#, r#"{"type":"pong"}"#);
        check(
            r#"{"type":"subscribe","ref":{"b":1,"a":2.0},"object":"counter/a/b","since":4,"presence":{"n":1}}"#,
            r#"{"a":2,"b":1}: counter a/b since Some(Version(4)) present Some({"n":1})"#,
        );
        check(
            r#"{"type":"subscribe","ref":"r","object":"counter/a","since":null,"presence":null}"#,
            r#""r": counter a since None present None"#,
        );
        check(
            r#"{"type":"subscribe","ref":"f","feed":"counter","cursor":"AQ"}"#,
            r#""f": all counter from Some("AQ")"#,
        );
        check(r#"{"type":"subscribe","ref":"f","feed":"counter"}"#, r#""f": all counter from None"#);
        check(
            r#"{"type":"unsubscribe","ref":1}"#,
            r#"1: leave, or {"type":"error","ref":1,"code":"invalid_request","detail":"there is no subscription with this ref"}"#,
        );
        check(
            r#"{"type":"call","ref":1,"id":"i","method":"get"}"#,
            r#"1: call, or {"type":"error","ref":1,"code":"invalid_request","detail":"there is no subscription with this ref","id":"i"}"#,
        );
        check(
            r#"{"type":"subscribe","object":"counter/a"}"#,
            r#"{"type":"error","code":"invalid_request","detail":"a frame that subscribes has a ref"}"#,
        );
        check(
            r#"{"type":"signal","data":1}"#,
            r#"{"type":"error","code":"invalid_request","detail":"a frame that is about a subscription has a ref"}"#,
        );
        check(
            r#"{"type":"x","ref":1}"#,
            r#"{"type":"error","ref":1,"code":"invalid_request","detail":"there is no type \"x\""}"#,
        );
        for wrong in
            [r#""object":"counter""#, r#""object":"Counter/a""#, r#""object":"counter/""#, r#""since":1"#]
        {
            let frame = format!(r#"{{"type":"subscribe","ref":1,{wrong}}}"#);
            let said = NativeLines.receive(frame.as_bytes()).into_iter().map(shown).next();
            assert!(said.is_some_and(|said| said.starts_with(r#"{"type":"error","ref":1,"#)), "{wrong}");
        }
        let since = NativeLines.receive(br#"{"type":"subscribe","ref":1,"object":"counter/a","since":-1}"#);
        assert!(since.into_iter().map(shown).next().is_some_and(|said| said.contains("since is a version")));
    }

    #[test]
    fn frames_have_the_ref_behind_the_type() {
        let voice = Referred { reference: r#"[1,"x"]"#.into() };
        assert_eq!(
            voice.with_ref(br#"{"type":"update","version":1}"#),
            r#"{"type":"update","ref":[1,"x"],"version":1}"#
        );
        assert_eq!(voice.with_ref(br#"{"type":"pong"}"#), r#"{"type":"pong","ref":[1,"x"]}"#);
    }
}
