//! How what happens on a channel is put in messages, for both kinds of topics.

use std::sync::Arc;

use bytes::Bytes;

use super::message::Channel;
use super::presence::Metas;
use crate::api::reply;
use crate::api::socket::Voice;
use crate::api::socket::many::LineVoice;
use crate::error::Error;
use crate::live::{FeedOpening, FeedUpdate, LivePresence, LiveSignal, LiveUpdate, Opening};
use crate::object::value::write_string;
use crate::object::{ClassName, ObjectAddress};

/// What a channel is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `durable_object:{id}`: pushes `state_updated`.
    DurableObject,
    /// `object:{class}/{name}`: pushes updates, signals and presence.
    Object,
    /// `feed:{class}`: pushes updates of all its objects.
    Feed,
}

/// A joined channel's voice.
pub(super) struct Joined {
    channel: Channel,
    kind: Kind,
    /// The ref of the join, until it is answered.
    join: Option<Arc<str>>,
    metas: Metas,
    /// The client was told to join again; until it does, nothing is said.
    is_over: bool,
}

impl Joined {
    pub(super) fn new(channel: Channel, kind: Kind, join: Option<Arc<str>>) -> Self {
        Self { channel, kind, join, metas: Metas::default(), is_over: false }
    }

    fn state_updated(&self, update: &LiveUpdate) -> Bytes {
        let mut payload = String::from("{");
        let changed = update.changes.iter().map(|(key, value)| (key, value.as_str()));
        let gone = update.deleted.iter().map(|key| (key, "null"));
        for (key, value) in changed.chain(gone) {
            if payload.len() > 1 {
                payload.push(',');
            }
            write_string(key.as_str(), &mut payload);
            payload.push(':');
            payload.push_str(value);
        }
        payload.push('}');
        self.channel.push("state_updated", &payload)
    }
}

impl Voice for Joined {
    fn opening(&mut self, _address: &ObjectAddress, opening: &Opening, _own_id: &str, say: &mut Vec<Bytes>) {
        if self.join.is_none() {
            // The history did not reach back, and there is no push that begins anew: the client joins again.
            self.is_over = true;
            say.push(self.channel.crash());
            return;
        }
        let (response, present) = match opening {
            Opening::Init { version, state, present } => {
                let state = state.as_deref().map_or_else(|| "null".to_owned(), reply::state);
                (reply::Object::new().raw("state", &state).number("version", version), present)
            }
            Opening::Resumed { version, present } => {
                (reply::Object::new().raw("resumed", "true").number("version", version), present)
            }
        };
        say.push(self.channel.ok(self.join.take().as_ref(), &response.end()));
        if self.kind == Kind::Object {
            say.push(self.channel.push("presence_state", &self.metas.state(present)));
        }
    }

    fn update(&mut self, update: &LiveUpdate, say: &mut Vec<Bytes>) {
        if self.is_over {
            return;
        }
        say.push(match (update.deleted_object, self.kind) {
            (true, _) => self.channel.push("deleted", &payload_of(update.native())),
            (false, Kind::Object | Kind::Feed) => self.channel.push("update", &payload_of(update.native())),
            (false, Kind::DurableObject) => self.state_updated(update),
        });
    }

    fn presence(&mut self, presence: &LivePresence, say: &mut Vec<Bytes>) {
        if self.kind == Kind::Object && !self.is_over {
            let diff = self.metas.diff(presence);
            say.extend(diff.map(|diff| self.channel.push("presence_diff", &diff)));
        }
    }

    fn signal(&mut self, signal: &LiveSignal, say: &mut Vec<Bytes>) {
        if self.kind == Kind::Object && !self.is_over {
            say.push(self.channel.push("signal", &payload_of(signal.native())));
        }
    }
}

impl LineVoice for Joined {
    fn refused(&mut self, error: &Error) -> Bytes {
        self.channel.error(self.join.take().as_ref(), error)
    }

    fn feed_opening(&mut self, _class: &ClassName, opening: &FeedOpening) -> Bytes {
        let Some(join) = self.join.take() else {
            // The logs did not reach back: the client joins again, and is told so.
            self.is_over = true;
            return self.channel.crash();
        };
        let response = reply::Object::new().text("cursor", &opening.cursor);
        self.channel.ok(Some(&join), &response.number("complete", opening.is_complete).end())
    }

    fn feed_update(&mut self, update: &FeedUpdate) -> Option<Bytes> {
        let event = if update.deleted_object { "deleted" } else { "update" };
        (!self.is_over).then(|| self.channel.push(event, &payload_of(update.native())))
    }
}

/// The native frame without its type, which is the event's name.
fn payload_of(native: &[u8]) -> String {
    let text = std::str::from_utf8(native).expect("frames are text");
    let (_, fields) = text.split_once(',').expect("a frame has fields behind its type");
    format!("{{{fields}")
}

#[cfg(test)]
mod tests {
    use super::super::message::Version;
    use super::*;
    use crate::object::{self, Key, Value};

    fn said(kind: Kind, updates: &[&str]) -> Vec<String> {
        let channel = Channel { version: Version::Two, join_ref: Some("1".into()), topic: "t".into() };
        let mut voice = Joined::new(channel, kind, Some("1".into()));
        let address = ObjectAddress::parse("default", "object", "a").expect("a name of this test");
        let key = Key::parse("k").expect("a key of this test");
        let state = Some(vec![(key, Value::from(1_i64))]);
        let mut frames = Vec::new();
        let version = object::Version(4);
        voice.opening(&address, &Opening::Init { version, state, present: Vec::new() }, "me", &mut frames);
        for update in updates {
            let update = Arc::new(object::Update::parse(update).expect("an update of this test"));
            voice.update(&LiveUpdate::new(address.clone(), update), &mut frames);
        }
        voice.opening(&address, &Opening::Resumed { version, present: Vec::new() }, "me", &mut frames);
        voice.update(
            &LiveUpdate::new(address.clone(), Arc::new(object::Update::parse(updates[0]).expect("one"))),
            &mut frames,
        );
        frames.iter().map(|frame| String::from_utf8(frame.to_vec()).expect("frames are text")).collect()
    }

    const UPDATES: [&str; 2] = [
        r#"{"version":5,"changes":{"a":1},"deleted":["b"],"method":"set","by":"local","timestamp":"2026-11-21T02:11:36.224Z"}"#,
        r#"{"version":6,"deleted_object":true}"#,
    ];

    #[test]
    fn a_durable_object_pushes_keys() {
        assert_eq!(
            said(Kind::DurableObject, &UPDATES),
            [
                r#"["1","1","t","phx_reply",{"status":"ok","response":{"state":{"k":1},"version":4}}]"#,
                r#"["1",null,"t","state_updated",{"a":1,"b":null}]"#,
                r#"["1",null,"t","deleted",{"object":"object/a","version":6}]"#,
                r#"["1","1","t","phx_error",{}]"#,
            ]
        );
    }

    #[test]
    fn an_object_pushes_updates() {
        assert_eq!(
            said(Kind::Object, &UPDATES),
            [
                r#"["1","1","t","phx_reply",{"status":"ok","response":{"state":{"k":1},"version":4}}]"#,
                r#"["1",null,"t","presence_state",{}]"#,
                r#"["1",null,"t","update",{"object":"object/a","version":5,"changes":{"a":1},"deleted":["b"],"method":"set","by":"local","timestamp":"2026-11-21T02:11:36.224Z"}]"#,
                r#"["1",null,"t","deleted",{"object":"object/a","version":6}]"#,
                r#"["1","1","t","phx_error",{}]"#,
            ]
        );
    }
}
