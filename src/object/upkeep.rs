//! What the runtime does for an object now and then: drops records that are old enough, forgets a tombstone.

use crate::limits::{RECORD_KEPT_MS, RECORDS_DROPPED_MAX, TOMBSTONE_KEPT_MS};

use super::idempotency::{RecordSlot, expired};
use super::{Meta, Timestamp};

/// What is to be done now, and when to look again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Upkeep {
    /// Records that go.
    pub dropped_records: Vec<RecordSlot>,
    /// Whether nothing of the object is kept any more.
    pub forgets_object: bool,
    /// When to look again.
    pub due: Option<Timestamp>,
}

impl Upkeep {
    /// Decides. `oldest` are the first [`RECORDS_DROPPED_MAX`] records in the order of age, or all if they are
    /// fewer.
    #[must_use]
    pub fn plan(meta: &Meta, oldest: &[RecordSlot], now: Timestamp) -> Self {
        let dropped_records = expired(oldest, now);
        let next_record = match oldest.get(dropped_records.len()) {
            Some(slot) => Some(slot.time.plus_ms(RECORD_KEPT_MS)),
            // There are more than were read: look at them at once.
            None => (meta.records.count() > dropped_records.len() as u64).then_some(now),
        };
        let is_tombstone = !meta.exists && meta.alarm.is_none();
        let tombstone_ends = is_tombstone.then(|| meta.updated_at.plus_ms(TOMBSTONE_KEPT_MS));
        let forgets_object = next_record.is_none() && tombstone_ends.is_some_and(|ends| ends <= now);
        let due = match (next_record, tombstone_ends) {
            _ if forgets_object => None,
            // Both are kept; the record goes first, and what is already over is looked at again at once.
            (Some(record), _) => Some(record),
            (None, tombstone) => tombstone,
        };
        Self { dropped_records, forgets_object, due }
    }
}

const _: () = assert!(RECORDS_DROPPED_MAX > 0, "upkeep makes progress");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Version;
    use crate::object::idempotency::IdempotencyKey;

    fn slot(sequence: u64, time: u64) -> RecordSlot {
        RecordSlot { sequence, key: IdempotencyKey::parse("key").unwrap(), time: Timestamp(time), size: 1 }
    }

    fn tombstone(deleted_at: u64) -> Meta {
        Meta { version: Version(3), updated_at: Timestamp(deleted_at), ..Meta::default() }
    }

    #[test]
    fn drops_old_records_and_comes_back_for_the_next() {
        let meta = Meta { exists: true, ..Meta::default() };
        let oldest = [slot(4, 0), slot(5, 10), slot(6, 20)];
        let upkeep = Upkeep::plan(&meta, &oldest, Timestamp(RECORD_KEPT_MS + 15));
        assert_eq!(upkeep.dropped_records, oldest[..2]);
        assert_eq!(upkeep.due, Some(Timestamp(RECORD_KEPT_MS + 20)));
        assert!(!upkeep.forgets_object);
        let upkeep = Upkeep::plan(&meta, &oldest, Timestamp(RECORD_KEPT_MS + 20));
        assert_eq!((upkeep.dropped_records.len(), upkeep.due), (3, None));
    }

    #[test]
    fn looks_again_at_once_while_there_are_more_than_it_drops() {
        let count = RECORDS_DROPPED_MAX as u64;
        let records = crate::object::idempotency::RecordWindow { first: 0, next: count + 1, bytes: 0 };
        let oldest: Vec<_> = (0..count).map(|sequence| slot(sequence, 0)).collect();
        let late = Timestamp(2 * TOMBSTONE_KEPT_MS);
        let upkeep = Upkeep::plan(&Meta { records, ..tombstone(7) }, &oldest, late);
        assert_eq!((upkeep.dropped_records.len(), upkeep.due), (RECORDS_DROPPED_MAX, Some(late)));
        assert!(!upkeep.forgets_object);
    }

    #[test]
    fn forgets_a_tombstone_that_is_old_enough_and_keeps_no_record() {
        let upkeep = Upkeep::plan(&tombstone(7), &[], Timestamp(TOMBSTONE_KEPT_MS + 6));
        assert_eq!(upkeep, Upkeep { due: Some(Timestamp(TOMBSTONE_KEPT_MS + 7)), ..Upkeep::default() });
        let upkeep = Upkeep::plan(&tombstone(7), &[], Timestamp(TOMBSTONE_KEPT_MS + 7));
        assert_eq!(upkeep, Upkeep { forgets_object: true, ..Upkeep::default() });
        let late = Timestamp(TOMBSTONE_KEPT_MS + 7);
        let upkeep = Upkeep::plan(&tombstone(7), &[slot(0, late.0)], late);
        assert_eq!(upkeep.due, Some(late.plus_ms(RECORD_KEPT_MS)));
        assert!(!upkeep.forgets_object);
    }

    #[test]
    fn an_object_with_an_alarm_is_not_forgotten() {
        let alarm = Some(crate::object::meta::Alarm { at: Timestamp(9), attempts: 0 });
        let meta = Meta { alarm, ..Meta::default() };
        assert_eq!(Upkeep::plan(&meta, &[], Timestamp(u64::MAX)), Upkeep::default());
    }
}
