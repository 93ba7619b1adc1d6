//! The parts of a stream between nodes. Frozen: a tag, and what it stands before.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::object::json::parse_trusted;
use crate::object::{Update, Value};
use crate::runtime::room::{Announcement, Member, Movement, Signal};
use crate::runtime::streams::StreamEvent;
use crate::runtime::wire::NotReadable;

const STANDS: u8 = 0;
const UPDATE: u8 = 1;
/// An update with what editors apply: the length of the JSON (32 bits, the high byte first), the JSON, the bytes.
const UPDATE_WITH_BINARY: u8 = 2;
const MOVED: u8 = 3;
const SIGNAL: u8 = 4;

/// A member as it travels.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct MemberForm {
    id: Arc<str>,
    data: Box<RawValue>,
    #[serde(default, skip_serializing_if = "is_zero")]
    clock: u64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct MovementForm {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    entered: Vec<MemberForm>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    left: Vec<Arc<str>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct SignalForm {
    from: Arc<str>,
    data: Box<RawValue>,
}

/// What a gateway tells the leader, as it travels.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::runtime) struct AnnouncementForm {
    #[serde(default)]
    all: bool,
    #[serde(default)]
    movement: MovementForm,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    signals: Vec<SignalForm>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(clock: &u64) -> bool {
    *clock == 0
}

fn raw(value: &Value) -> Box<RawValue> {
    RawValue::from_string(value.as_str().to_owned()).expect("a value is JSON")
}

fn value(raw: &RawValue) -> Result<Value, NotReadable> {
    Value::from_stored(raw.get()).map_err(|_| NotReadable)
}

impl MemberForm {
    fn of(member: &Member) -> Self {
        Self { id: member.id.clone(), data: raw(&member.data), clock: member.clock }
    }

    fn parse(self) -> Result<Member, NotReadable> {
        Ok(Member { data: value(&self.data)?, id: self.id, clock: self.clock })
    }
}

impl MovementForm {
    fn of(movement: &Movement) -> Self {
        Self { entered: movement.entered.iter().map(MemberForm::of).collect(), left: movement.left.clone() }
    }

    fn parse(self) -> Result<Movement, NotReadable> {
        let entered = self.entered.into_iter().map(MemberForm::parse).collect::<Result<_, _>>()?;
        Ok(Movement { entered, left: self.left })
    }
}

impl SignalForm {
    fn of(signal: &Signal) -> Self {
        Self { from: signal.from.clone(), data: raw(&signal.data) }
    }

    fn parse(self) -> Result<Signal, NotReadable> {
        Ok(Signal { data: value(&self.data)?, from: self.from })
    }
}

impl AnnouncementForm {
    pub(in crate::runtime) fn of(announcement: &Announcement) -> Self {
        Self {
            all: announcement.all,
            movement: MovementForm::of(&announcement.movement),
            signals: announcement.signals.iter().map(SignalForm::of).collect(),
        }
    }

    pub(in crate::runtime) fn parse(self) -> Result<Announcement, NotReadable> {
        let signals = self.signals.into_iter().map(SignalForm::parse).collect::<Result<_, _>>()?;
        Ok(Announcement { all: self.all, movement: self.movement.parse()?, signals })
    }
}

/// An event as a part; none for what is told by the stream's end.
pub(super) fn encode(event: &StreamEvent) -> Option<Bytes> {
    Some(match event {
        StreamEvent::Stands(present) => {
            tagged(STANDS, &present.iter().map(MemberForm::of).collect::<Vec<_>>())
        }
        StreamEvent::Update(update) => {
            let text = update.to_json_text();
            let binary = update.binary.as_deref();
            let mut part = Vec::with_capacity(1 + 4 + text.len() + binary.map_or(0, <[u8]>::len));
            if binary.is_some() {
                part.push(UPDATE_WITH_BINARY);
                let length = u32::try_from(text.len()).expect("an update is far below 4 GiB");
                part.extend_from_slice(&length.to_be_bytes());
            } else {
                part.push(UPDATE);
            }
            part.extend_from_slice(text.as_bytes());
            part.extend_from_slice(binary.unwrap_or_default());
            part.into()
        }
        StreamEvent::Moved(movement) => tagged(MOVED, &MovementForm::of(movement)),
        StreamEvent::Signal(signal) => tagged(SIGNAL, &SignalForm::of(signal)),
        StreamEvent::Overrun => return None,
    })
}

/// The event that a part stands for.
pub(super) fn decode(part: &Bytes) -> Result<StreamEvent, NotReadable> {
    let (tag, rest) = part.split_first().ok_or(NotReadable)?;
    if *tag == UPDATE_WITH_BINARY {
        let (length, rest) = rest.split_first_chunk().ok_or(NotReadable)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| NotReadable)?;
        let (text, binary) = rest.split_at_checked(length).ok_or(NotReadable)?;
        let binary = Some(part.slice_ref(binary));
        return Ok(StreamEvent::Update(Arc::new(Update { binary, ..parse_update(text)? })));
    }
    let text = std::str::from_utf8(rest).map_err(|_| NotReadable)?;
    Ok(match *tag {
        STANDS => {
            let present: Vec<MemberForm> = parse(text)?;
            let present: Vec<Member> =
                present.into_iter().map(MemberForm::parse).collect::<Result<_, _>>()?;
            StreamEvent::Stands(present.into())
        }
        UPDATE => StreamEvent::Update(Arc::new(parse_update(rest)?)),
        MOVED => StreamEvent::Moved(Arc::new(parse::<MovementForm>(text)?.parse()?)),
        SIGNAL => StreamEvent::Signal(Arc::new(parse::<SignalForm>(text)?.parse()?)),
        _ => return Err(NotReadable),
    })
}

fn parse_update(text: &[u8]) -> Result<Update, NotReadable> {
    let text = std::str::from_utf8(text).map_err(|_| NotReadable)?;
    Update::parse(text).map_err(|_| NotReadable)
}

fn tagged(tag: u8, form: &impl Serialize) -> Bytes {
    let mut part = vec![tag];
    serde_json::to_writer(&mut part, form).expect("parts of streams have a form in JSON");
    part.into()
}

fn parse<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, NotReadable> {
    parse_trusted(text).map_err(|_| NotReadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str, clock: u64) -> Member {
        Member { id: id.into(), data: Value::from(1_i64), clock }
    }

    fn check(event: &StreamEvent, expected: &str) {
        let part = encode(event).expect("it is told by a part");
        assert_eq!(String::from_utf8_lossy(&part), expected);
        assert_eq!(format!("{:?}", decode(&part).expect("it is a part")), format!("{event:?}"));
    }

    #[test]
    fn the_parts_are_frozen() {
        check(&StreamEvent::Stands(Arc::new([])), "\u{0}[]");
        check(
            &StreamEvent::Stands(Arc::new([member("a", 0), member("b", 7)])),
            "\u{0}[{\"id\":\"a\",\"data\":1},{\"id\":\"b\",\"data\":1,\"clock\":7}]",
        );
        let update = Update::parse(r#"{"version":3,"deleted_object":true}"#).expect("it is an update");
        check(&StreamEvent::Update(Arc::new(update.clone())), "\u{1}{\"version\":3,\"deleted_object\":true}");
        for (binary, expected) in [("", ""), ("\u{1}ab", "\u{1}ab")] {
            let update = Update { binary: Some(binary.into()), ..update.clone() };
            check(
                &StreamEvent::Update(Arc::new(update)),
                &format!("\u{2}\0\0\0\u{23}{{\"version\":3,\"deleted_object\":true}}{expected}"),
            );
        }
        let movement = Movement { entered: vec![member("a", 0)], left: vec!["b".into()] };
        check(
            &StreamEvent::Moved(Arc::new(movement)),
            "\u{3}{\"entered\":[{\"id\":\"a\",\"data\":1}],\"left\":[\"b\"]}",
        );
        let signal = Signal { from: "a".into(), data: Value::from("x") };
        check(&StreamEvent::Signal(Arc::new(signal)), "\u{4}{\"from\":\"a\",\"data\":\"x\"}");
        for rubbish in [
            &b""[..],
            b"\x09{}",
            b"\x01{",
            b"\x01\xff",
            b"\x02",
            b"\x02\0\0\0",
            b"\x02\0\0\0\x09{}",
            b"\x03{\"entered\":1}",
        ] {
            assert!(decode(&Bytes::from_static(rubbish)).is_err(), "{rubbish:?}");
        }
    }

    #[test]
    fn announcements_are_frozen() {
        let announcement = Announcement {
            all: true,
            movement: Movement { entered: vec![member("a", 2)], left: vec!["b".into()] },
            signals: vec![Signal { from: "a".into(), data: Value::null() }],
        };
        let text = serde_json::to_string(&AnnouncementForm::of(&announcement)).expect("it has a form");
        assert_eq!(
            text,
            r#"{"all":true,"movement":{"entered":[{"id":"a","data":1,"clock":2}],"left":["b"]},"signals":[{"from":"a","data":null}]}"#
        );
        let form: AnnouncementForm = parse_trusted(&text).expect("it is one");
        assert_eq!(form.parse(), Ok(announcement));
    }
}
