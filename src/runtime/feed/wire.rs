//! Class feeds on their way between nodes. Frozen like all messages between nodes: a version byte and JSON, to which
//! fields can be added; updates are embedded in the text they have everywhere else.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use stead_cluster::{LogIndex, ShardId};

use super::page::Selection;
use super::{Logged, Part};
use crate::caller::Caller;
use crate::object::{ClassName, ObjectAddress, ObjectName, Update};
use crate::runtime::wire::{CallerForm, ErrorForm, NotReadable};

/// What a stream is asked for that says its kind.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::runtime) enum StreamForm {
    /// The feed of a class in one shard: [`PartForm`]s.
    Feed(FeedForm),
}

/// The feed of a class in one shard.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::runtime) struct FeedForm {
    pub(super) caller: CallerForm,
    pub(super) class: String,
    pub(super) shard: u16,
    /// From behind this index on; from now on without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<LogIndex>,
}

/// What lies between two indices.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::runtime) struct PageForm {
    pub(super) feed: FeedForm,
    pub(super) until: LogIndex,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::runtime) enum PageReply {
    Part(PartForm),
    /// The log of the shard's leader does not reach back so far.
    Lost,
    /// The node does not have it.
    Absent,
    Error(ErrorForm),
}

/// A part of a feed of one shard.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::runtime) struct PartForm {
    reached: LogIndex,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    lost: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    updates: Vec<UpdateForm>,
}

#[derive(Debug, Serialize, Deserialize)]
struct UpdateForm {
    index: LogIndex,
    nth: u32,
    name: String,
    update: Box<RawValue>,
}

impl FeedForm {
    pub(super) fn of(caller: &Caller, class: &ClassName, shard: ShardId, after: Option<LogIndex>) -> Self {
        let (caller, class) = (CallerForm::of(caller), class.as_str().to_owned());
        Self { caller, class, shard: shard.0, after }
    }
}

impl PartForm {
    pub(super) fn of(part: &Part) -> Self {
        let updates = part.updates.iter().map(|logged| UpdateForm {
            index: logged.index,
            nth: logged.nth,
            name: logged.address.name().as_str().to_owned(),
            update: RawValue::from_string(logged.update.to_json_text()).expect("an update's text is JSON"),
        });
        Self { reached: part.reached, lost: part.is_lost, updates: updates.collect() }
    }

    pub(super) fn parse(self, shard: usize, selection: &Selection) -> Result<Part, NotReadable> {
        let (tenant, class) = (selection.tenant(), selection.class());
        let updates = self.updates.into_iter().map(|form| {
            let name = ObjectName::parse(&form.name).map_err(|_| NotReadable)?;
            let address = ObjectAddress::new(tenant.clone(), class.clone(), name);
            let update = Update::parse(form.update.get()).map_err(|_| NotReadable)?;
            Ok(Logged { index: form.index, nth: form.nth, address, update: Arc::new(update) })
        });
        let updates = updates.collect::<Result<Vec<_>, _>>()?;
        Ok(Part { shard, is_lost: self.lost, updates, reached: self.reached })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use expect_test::{Expect, expect};
    use serde::de::DeserializeOwned;

    use super::*;
    use crate::error::{Code, Error};
    use crate::object::{Key, Tenant, Timestamp, Value, Version};
    use crate::runtime::forward::Message;
    use crate::runtime::relay::Watch;
    use crate::runtime::wire::{decode, encode};

    fn form(after: Option<LogIndex>) -> FeedForm {
        let caller = Caller {
            tenant: "default".into(),
            subject: "local".into(),
            roles: Arc::new([]),
            address: None,
            request_id: "r1".into(),
            traceparent: None,
            // Long past, so that the time left is the same at each run.
            deadline: Instant::now(),
            standing: crate::caller::Standing::Client,
        };
        FeedForm::of(&caller, &ClassName::parse("counter").expect("a class"), ShardId(3), after)
    }

    fn part() -> Part {
        let update = Update {
            version: Version(7),
            changes: vec![(Key::parse("value").expect("a key"), Value::from(u64::MAX.to_string().as_str()))],
            deleted: Vec::new(),
            cleared: false,
            deleted_object: false,
            too_large: false,
            method: "increment".into(),
            by: "local".into(),
            timestamp: Timestamp(1_795_227_096_224),
            delta: None,
            binary: None,
        };
        let address = ObjectAddress::parse("default", "counter", "a\"b").expect("an address");
        let logged = Logged { index: 40, nth: 2, address, update: Arc::new(update) };
        Part { shard: 3, is_lost: false, updates: vec![logged], reached: 41 }
    }

    /// Its frozen text, behind the version byte, and that it comes back.
    fn check<T: Serialize + DeserializeOwned>(message: &T, expected: Expect) {
        let bytes = encode(message);
        let (version, text) = bytes.split_first().expect("a version byte");
        assert_eq!(*version, 1);
        expected.assert_eq(std::str::from_utf8(text).expect("text"));
        let again: T = decode(&bytes).expect("it can be read");
        assert_eq!(encode(&again), bytes);
    }

    #[test]
    fn requests_are_frozen() {
        check(
            &StreamForm::Feed(form(None)),
            expect![[
                r#"{"feed":{"caller":{"tenant":"default","subject":"local","roles":[],"address":null,"request_id":"r1","left_ms":0},"class":"counter","shard":3}}"#
            ]],
        );
        check(
            &Message::Feed(PageForm { feed: form(Some(40)), until: 90 }),
            expect![[
                r#"{"feed":{"feed":{"caller":{"tenant":"default","subject":"local","roles":[],"address":null,"request_id":"r1","left_ms":0},"class":"counter","shard":3,"after":40},"until":90}}"#
            ]],
        );
    }

    #[test]
    fn parts_are_frozen_and_come_back() {
        let (part, none) = (part(), Part { updates: Vec::new(), ..part() });
        let lost = Part { is_lost: true, ..none.clone() };
        check(
            &PartForm::of(&part),
            expect![[
                r#"{"reached":41,"updates":[{"index":40,"nth":2,"name":"a\"b","update":{"version":7,"changes":{"value":"18446744073709551615"},"deleted":[],"method":"increment","by":"local","timestamp":"2026-11-21T02:11:36.224Z"}}]}"#
            ]],
        );
        check(&PartForm::of(&none), expect![[r#"{"reached":41}"#]]);
        check(&PageReply::Part(PartForm::of(&lost)), expect![[r#"{"part":{"reached":41,"lost":true}}"#]]);
        check(&PageReply::Lost, expect![[r#""lost""#]]);
        check(&PageReply::Absent, expect![[r#""absent""#]]);
        check(
            &PageReply::Error(ErrorForm::of(&Error::new(Code::ClassNotFound, "no"))),
            expect![[
                r#"{"error":{"code":"class_not_found","detail":"no","retry":"never","retry_after_ms":null}}"#
            ]],
        );
        let selection = Selection::new(
            Tenant::parse("default").expect("a tenant"),
            ClassName::parse("counter").expect("a class"),
        );
        for part in [part, none, lost] {
            assert_eq!(PartForm::of(&part).parse(3, &selection), Ok(part));
        }
    }

    #[test]
    fn a_stream_of_an_object_is_no_feed_and_a_feed_no_stream_of_an_object() {
        let feed = encode(&StreamForm::Feed(form(None)));
        assert!(decode::<Watch>(&feed).is_err());
        let watch = [
            b"\x01".as_slice(),
            br#"{"caller":{"tenant":"default","subject":"local","roles":[],"address":null,"request_id":"r1","left_ms":0},"address":{"tenant":"default","class":"counter","name":"a"},"session":7}"#,
        ]
        .concat();
        assert!(decode::<Watch>(&watch).is_ok());
        assert!(decode::<StreamForm>(&watch).is_err());
    }
}
