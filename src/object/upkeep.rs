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
    /// Decides. `oldest` are the first [`RECORDS_DROPPED_MAX`] records and one more in the order of age, or all
    /// if they are fewer.
    #[must_use]
    pub fn plan(meta: &Meta, oldest: &[RecordSlot], now: Timestamp) -> Self {
        let dropped_records = expired(oldest, now);
        let next_record = oldest.get(dropped_records.len()).map(|slot| slot.time.plus_ms(RECORD_KEPT_MS));
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
