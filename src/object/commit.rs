//! The commit: the replicated result of a turn, and all that apply needs to carry it out.
//!
//! Whatever had to be decided was decided before: apply checks the base, writes what the commit says, and
//! needs neither the class nor a clock nor the meta it replaces.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::limits::{RECORD_KEPT_MS, TOMBSTONE_KEPT_MS};

use super::effects::Effects;
use super::history::HistoryWindow;
use super::idempotency::{Fingerprint, IdempotencyKey, Record, RecordSlot};
use super::upkeep::Upkeep;
use super::{Meta, ObjectAddress, Op, Timestamp, Update, Value, Version, codec};

/// The replicated result of a turn. [`super::codec`] has its bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Commit {
    /// The object.
    pub address: ObjectAddress,
    /// What the commit was made on; apply checks it.
    pub base: Base,
    /// What happens to the keys, in this order: a clear first, then each key once. Puts go to the generation of
    /// `meta`.
    pub ops: Vec<Op>,
    /// The object is deleted: its keys (the generation before), its history but for this commit, its alarm.
    pub deletes_object: bool,
    /// Nothing is kept of the object any more, its meta neither: a tombstone that is old enough.
    pub forgets_object: bool,
    /// The meta after the commit.
    pub meta: Meta,
    /// The alarm before the commit: where it lies in the order of time.
    pub alarm_before: Option<Timestamp>,
    /// When the runtime wanted to look after the object, before the commit.
    pub due_before: Option<Timestamp>,
    /// The answer to keep for an idempotency key.
    pub record: Option<Record>,
    /// Records that go.
    pub dropped_records: Vec<RecordSlot>,
    /// Versions that leave the history.
    pub history_trim: Range<u64>,
    /// Who caused it.
    pub subject: Arc<str>,
    /// The method, or `initialize`, `put`, `delete`, `alarm`, `edit`.
    pub method: Arc<str>,
    /// When.
    pub time: Timestamp,
    /// What the class adds to the update.
    pub delta: Option<Value>,
}

/// What a commit was made on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Base {
    /// The object's version.
    pub version: Version,
    /// The object's count of commits of any kind.
    pub sequence: u64,
}

impl Base {
    /// The base that a meta is.
    #[must_use]
    pub fn of(meta: &Meta) -> Self {
        Self { version: meta.version, sequence: meta.sequence }
    }
}

/// What caused a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Who asked.
    pub subject: Arc<str>,
    /// The method, or `initialize`, `put`, `delete`, `alarm`, `edit`.
    pub method: Arc<str>,
    /// When.
    pub time: Timestamp,
}

/// An answer to keep for an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// The key the caller gave.
    pub key: IdempotencyKey,
    /// What the key stands for.
    pub fingerprint: Fingerprint,
    /// The answer, in the runtime's own form.
    pub reply: Bytes,
}

impl Commit {
    /// The commit of a turn. [`Commit::add_record`] and then [`Commit::enter_history`] complete it.
    #[must_use]
    pub fn of_turn(address: ObjectAddress, before: &Meta, effects: Effects, cause: Cause) -> Self {
        let meta = before.after_turn(&effects, cause.time);
        Self { ops: effects.ops, delta: effects.delta, ..Self::bare(address, before, meta, cause) }
    }

    /// The commit that deletes the object.
    #[must_use]
    pub fn of_deletion(address: ObjectAddress, before: &Meta, cause: Cause) -> Self {
        let mut meta = before.after_deletion(cause.time);
        let _ = meta.due.get_or_insert(cause.time.plus_ms(TOMBSTONE_KEPT_MS));
        Self { deletes_object: true, ..Self::bare(address, before, meta, cause) }
    }

    /// The commit that says that a try of the alarm failed.
    #[must_use]
    pub fn of_failed_alarm(address: ObjectAddress, before: &Meta, cause: Cause, random: u64) -> Self {
        let meta = before.after_failed_alarm(cause.time, random);
        Self::bare(address, before, meta, cause)
    }

    /// The commit of the runtime's own upkeep.
    #[must_use]
    pub fn of_upkeep(address: ObjectAddress, before: &Meta, upkeep: Upkeep, cause: Cause) -> Self {
        let mut meta = before.next_sequence();
        meta.due = upkeep.due;
        let mut commit =
            Self { forgets_object: upkeep.forgets_object, ..Self::bare(address, before, meta, cause) };
        if commit.forgets_object {
            commit.history_trim = before.history_first..before.version.0 + 1;
        }
        commit.drop_records(upkeep.dropped_records);
        commit
    }

    fn bare(address: ObjectAddress, before: &Meta, meta: Meta, cause: Cause) -> Self {
        Self {
            address,
            base: Base::of(before),
            ops: Vec::new(),
            deletes_object: false,
            forgets_object: false,
            alarm_before: before.alarm.map(|alarm| alarm.at),
            due_before: before.due,
            meta,
            record: None,
            dropped_records: Vec::new(),
            history_trim: 0..0,
            subject: cause.subject,
            method: cause.method,
            time: cause.time,
            delta: None,
        }
    }

    /// Keeps the answer for the caller's idempotency key; what [`super::idempotency::make_room`] chose goes.
    pub fn add_record(&mut self, new: NewRecord, dropped: Vec<RecordSlot>) {
        self.drop_records(dropped);
        let record = Record {
            key: new.key,
            fingerprint: new.fingerprint,
            reply: new.reply,
            version: self.meta.version,
            time: self.time,
            sequence: self.meta.records.next,
        };
        self.meta.records.next += 1;
        self.meta.records.bytes += record.size();
        let _ = self.meta.due.get_or_insert(self.time.plus_ms(RECORD_KEPT_MS));
        self.record = Some(record);
    }

    fn drop_records(&mut self, dropped: Vec<RecordSlot>) {
        let records = &mut self.meta.records;
        for slot in &dropped {
            records.first = records.first.max(slot.sequence + 1);
            records.bytes = records.bytes.saturating_sub(slot.size);
        }
        self.dropped_records = dropped;
    }

    /// Enters the commit's update into the history, trims what it pushes out, and gives the update. A commit
    /// that takes no version has none. Call it once, last.
    pub fn enter_history(&mut self, window: &mut HistoryWindow) -> Option<Update> {
        let update = Update::from_commit(self)?;
        if self.deletes_object {
            self.history_trim = window.clear(self.base.version);
        }
        let trimmed = window.push(update.version, codec::encode_history(&update).len());
        if !self.deletes_object {
            self.history_trim = trimmed;
        }
        self.meta.history_first = window.first();
        self.meta.history_bytes = window.bytes();
        Some(update)
    }

    /// Whether it takes a version, and so sends an update.
    #[must_use]
    pub fn changes_version(&self) -> bool {
        self.meta.version != self.base.version
    }

    /// The generation of keys that nobody reads after this commit; it may be deleted in the background.
    #[must_use]
    pub fn retired_generation(&self) -> Option<u32> {
        let clears = self.deletes_object || matches!(self.ops.first(), Some(Op::Clear));
        if clears { self.meta.generation.checked_sub(1) } else { None }
    }

    /// How the alarm moves in the order of time.
    #[must_use]
    pub fn alarm_move(&self) -> Move {
        Move::between(
            self.alarm_before,
            self.meta.alarm.map(|alarm| alarm.at).filter(|_| !self.forgets_object),
        )
    }

    /// How the runtime's own timer moves in the order of time.
    #[must_use]
    pub fn due_move(&self) -> Move {
        Move::between(self.due_before, self.meta.due.filter(|_| !self.forgets_object))
    }
}

/// How an entry moves in an order of time: both may be absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Move {
    /// Where an entry goes away.
    pub from: Option<Timestamp>,
    /// Where one comes.
    pub to: Option<Timestamp>,
}

impl Move {
    fn between(from: Option<Timestamp>, to: Option<Timestamp>) -> Self {
        if from == to { Self::default() } else { Self { from, to } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::idempotency::RecordWindow;
    use crate::object::meta::Alarm;

    fn address() -> ObjectAddress {
        ObjectAddress::parse("default", "counter", "visits").unwrap()
    }

    fn cause(time: u64) -> Cause {
        Cause { subject: "local".into(), method: "increment".into(), time: Timestamp(time) }
    }

    fn before() -> Meta {
        Meta {
            version: Version(5),
            sequence: 8,
            exists: true,
            alarm: Some(Alarm { at: Timestamp(70), attempts: 0 }),
            due: Some(Timestamp(80)),
            history_first: 3,
            records: RecordWindow { first: 2, next: 4, bytes: 300 },
            ..Meta::default()
        }
    }

    fn slot(sequence: u64, size: u64) -> RecordSlot {
        RecordSlot { sequence, key: IdempotencyKey::parse("old").unwrap(), time: Timestamp(0), size }
    }

    #[test]
    fn a_record_is_numbered_and_makes_room() {
        let mut commit = Commit::of_failed_alarm(address(), &Meta { due: None, ..before() }, cause(100), 0);
        let new = NewRecord {
            key: IdempotencyKey::parse("new").unwrap(),
            fingerprint: Fingerprint([0; 32]),
            reply: Bytes::from_static(b"reply"),
        };
        commit.add_record(new, vec![slot(2, 100), slot(3, 150)]);
        let record = commit.record.clone().unwrap();
        assert_eq!((record.sequence, record.size(), record.time), (4, 40, Timestamp(100)));
        assert_eq!(commit.meta.records, RecordWindow { first: 4, next: 5, bytes: 90 });
        assert_eq!(commit.meta.due, Some(Timestamp(100 + RECORD_KEPT_MS)));
        assert_eq!(commit.due_move(), Move { from: None, to: commit.meta.due });
    }

    #[test]
    fn timers_move() {
        let commit = Commit::of_failed_alarm(address(), &before(), cause(100), 0);
        assert_eq!(commit.alarm_move(), Move { from: Some(Timestamp(70)), to: Some(Timestamp(2_100)) });
        assert_eq!(commit.due_move(), Move::default(), "what stays does not move");
        assert!(!commit.changes_version());
        let commit = Commit::of_deletion(address(), &Meta { due: None, ..before() }, cause(100));
        assert_eq!(commit.alarm_move(), Move { from: Some(Timestamp(70)), to: None });
        assert_eq!(commit.due_move().to, Some(Timestamp(100 + TOMBSTONE_KEPT_MS)));
    }

    #[test]
    fn a_deletion_retires_keys_and_history() {
        let mut window = HistoryWindow::load(&before(), [10, 10, 10]);
        let mut commit = Commit::of_deletion(address(), &before(), cause(100));
        let update = commit.enter_history(&mut window).unwrap();
        assert!(update.deleted_object && commit.changes_version());
        assert_eq!(commit.retired_generation(), Some(0));
        assert_eq!(commit.history_trim, 3..6);
        assert_eq!(commit.meta.history_first, 6);
        assert_eq!(commit.meta.records, before().records, "records outlive the deletion");
    }

    #[test]
    fn upkeep_forgets_without_a_trace() {
        let before = Meta { exists: false, alarm: None, history_first: 5, ..before() };
        let upkeep = Upkeep { dropped_records: vec![slot(2, 100)], forgets_object: true, due: None };
        let commit = Commit::of_upkeep(address(), &before, upkeep, cause(100));
        assert!(commit.forgets_object && !commit.changes_version());
        assert_eq!(commit.history_trim, 5..6);
        assert_eq!(commit.due_move(), Move { from: Some(Timestamp(80)), to: None });
        assert_eq!(commit.meta.records.first, 3);
    }
}
