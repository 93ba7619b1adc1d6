//! Who is present at an object, as this gateway knows it; and the frames that tell of it, each encoded once.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;

use crate::limits::PRESENCE_GRACE;
use crate::object::value::write_string;
use crate::runtime::{Member, Movement, Signal};

/// Who came, changed and went, as subscribers are told.
#[derive(Debug, Default)]
pub struct LivePresence {
    /// Who was not here before.
    pub joined: Vec<Member>,
    /// Who is not here any more.
    pub left: Vec<Arc<str>>,
    /// Who shows something else than before.
    pub changed: Vec<Member>,
    native: OnceLock<Bytes>,
}

/// A signal, as subscribers are told.
#[derive(Debug)]
pub struct LiveSignal {
    signal: Arc<Signal>,
    native: OnceLock<Bytes>,
}

impl LivePresence {
    /// Who came, changed and went.
    #[must_use]
    pub fn new(joined: Vec<Member>, left: Vec<Arc<str>>, changed: Vec<Member>) -> Self {
        Self { joined, left, changed, native: OnceLock::new() }
    }

    /// The native frame without `ref`, as UTF-8 text.
    pub fn native(&self) -> &Bytes {
        self.native.get_or_init(|| {
            let mut text = String::from(r#"{"type":"presence","joined":"#);
            write_members(&self.joined, &mut text);
            text.push_str(r#","left":["#);
            for (index, id) in self.left.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_string(id, &mut text);
            }
            text.push_str(r#"],"changed":"#);
            write_members(&self.changed, &mut text);
            text.push('}');
            text.into()
        })
    }

    fn is_empty(&self) -> bool {
        self.joined.is_empty() && self.left.is_empty() && self.changed.is_empty()
    }
}

impl LiveSignal {
    pub(super) fn new(signal: Arc<Signal>) -> Self {
        Self { signal, native: OnceLock::new() }
    }

    /// What is told, and by whom.
    #[must_use]
    pub fn signal(&self) -> &Signal {
        &self.signal
    }

    /// The native frame without `ref`, as UTF-8 text.
    pub fn native(&self) -> &Bytes {
        self.native.get_or_init(|| {
            let mut text = String::from(r#"{"type":"signal","from":"#);
            write_string(&self.signal.from, &mut text);
            text.push_str(r#","data":"#);
            text.push_str(self.signal.data.as_str());
            text.push('}');
            text.into()
        })
    }
}

/// Appends members as they stand in native frames.
pub fn write_members(members: &[Member], text: &mut String) {
    text.push('[');
    for (index, member) in members.iter().enumerate() {
        text.push_str(if index > 0 { r#",{"id":"# } else { r#"{"id":"# });
        write_string(&member.id, text);
        text.push_str(r#","data":"#);
        text.push_str(member.data.as_str());
        text.push('}');
    }
    text.push(']');
}

/// Who is present, as this gateway knows it.
#[derive(Debug, Default)]
pub(super) struct Present {
    members: BTreeMap<Arc<str>, Member>,
    /// Whom the new leader has not been told of yet: they have a little time, for their gateway may be doing so.
    awaited: BTreeMap<Arc<str>, Instant>,
}

impl Present {
    /// Everybody, in the order of ids.
    pub(super) fn everyone(&self) -> Vec<Member> {
        self.members.values().cloned().collect()
    }

    /// A stream stands, perhaps at a new leader, who knows of these.
    pub(super) fn stands(&mut self, present: &[Member], now: Instant) -> Option<LivePresence> {
        let until = now + PRESENCE_GRACE;
        let missing = self.members.keys().filter(|id| !present.iter().any(|member| member.id == **id));
        // Who is awaited already is not given more time by every leader.
        let awaited: BTreeMap<Arc<str>, Instant> =
            missing.map(|id| (id.clone(), self.awaited.get(id).copied().unwrap_or(until))).collect();
        self.awaited = awaited;
        self.moved(&Movement { entered: present.to_vec(), left: Vec::new() })
    }

    /// Somebody moved.
    pub(super) fn moved(&mut self, movement: &Movement) -> Option<LivePresence> {
        let mut told = LivePresence::default();
        for id in &movement.left {
            self.awaited.remove(id);
            if self.members.remove(id).is_some() {
                told.left.push(id.clone());
            }
        }
        for member in &movement.entered {
            self.awaited.remove(&member.id);
            match self.members.insert(member.id.clone(), member.clone()) {
                None => told.joined.push(member.clone()),
                Some(known) if known != *member => told.changed.push(member.clone()),
                Some(_) => {}
            }
        }
        (!told.is_empty()).then_some(told)
    }

    /// When somebody who is awaited counts as gone, at the earliest.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.awaited.values().min().copied()
    }

    /// Whoever was awaited for too long is gone.
    pub(super) fn expire(&mut self, now: Instant) -> Option<LivePresence> {
        let gone = self.awaited.iter().filter(|(_, until)| **until <= now);
        let left: Vec<Arc<str>> = gone.map(|(id, _)| id.clone()).collect();
        self.moved(&Movement { entered: Vec::new(), left })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Value;

    fn members(members: &[(&str, i64)]) -> Vec<Member> {
        let member =
            |(id, data): &(&str, i64)| Member { id: Arc::from(*id), data: Value::from(*data), clock: 0 };
        members.iter().map(member).collect()
    }

    fn check(told: Option<LivePresence>, expected: &str) {
        let told = told.map_or_else(
            || "nothing".to_owned(),
            |told| String::from_utf8(told.native().to_vec()).expect("frames are text"),
        );
        assert_eq!(told, expected);
    }

    #[test]
    fn who_moves_is_told_once() {
        let (mut present, now) = (Present::default(), Instant::now());
        check(present.stands(&[], now), "nothing");
        let movement = Movement { entered: members(&[("a", 1), ("b\"", 2)]), left: vec!["c".into()] };
        check(
            present.moved(&movement),
            r#"{"type":"presence","joined":[{"id":"a","data":1},{"id":"b\"","data":2}],"left":[],"changed":[]}"#,
        );
        let movement = Movement { entered: members(&[("a", 3)]), left: vec!["b\"".into()] };
        check(
            present.moved(&movement),
            r#"{"type":"presence","joined":[],"left":["b\""],"changed":[{"id":"a","data":3}]}"#,
        );
        check(present.moved(&Movement { entered: members(&[("a", 3)]), left: Vec::new() }), "nothing");
    }

    #[test]
    fn a_new_leader_is_given_time_to_hear_of_all() {
        let (mut present, now) = (Present::default(), Instant::now());
        present.stands(&members(&[("a", 1), ("b", 1), ("c", 1)]), now);
        check(
            present.stands(&members(&[("a", 1), ("d", 1)]), now),
            r#"{"type":"presence","joined":[{"id":"d","data":1}],"left":[],"changed":[]}"#,
        );
        check(present.moved(&Movement { entered: members(&[("b", 1)]), left: Vec::new() }), "nothing");
        check(present.expire(now), "nothing");
        let until = present.next_expiry().expect("one is awaited");
        // Yet another leader does not give it more time.
        present.stands(&members(&[("a", 1), ("b", 1), ("d", 1)]), until);
        check(present.expire(until), r#"{"type":"presence","joined":[],"left":["c"],"changed":[]}"#);
        assert_eq!(present.next_expiry(), None);
        assert_eq!(present.everyone().len(), 3);
    }

    #[test]
    fn signals() {
        let signal = Arc::new(Signal { from: "a".into(), data: Value::from(1_i64) });
        assert_eq!(LiveSignal::new(signal).native(), r#"{"type":"signal","from":"a","data":1}"#);
    }
}
