//! Answers that are kept for idempotency keys: which stay, which go, and when there is no room.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::limits::{
    IDEMPOTENCY_KEY_MAX_BYTES, RECORD_KEPT_MIN_MS, RECORD_KEPT_MS, RECORDS_DROPPED_MAX, RECORDS_MAX,
    RECORDS_MAX_BYTES,
};

use super::{Timestamp, Version};

/// What a caller names one change by: 1 to 255 visible ASCII characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(Arc<str>);

/// The text is no idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key is 1 to {IDEMPOTENCY_KEY_MAX_BYTES} visible ascii characters")]
pub struct KeyError;

impl IdempotencyKey {
    /// Parses it.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        let fits = (1..=IDEMPOTENCY_KEY_MAX_BYTES).contains(&text.len());
        if visible && fits { Ok(Self(text.into())) } else { Err(KeyError) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// What an idempotency key stands for: SHA-256 of verb, method and parameters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// The fingerprint of a call: each part with its length before it. The parameters are the canonical text of
    /// [`super::Value`], so that the same call written in another way is the same.
    #[must_use]
    pub fn of(verb: &str, method: &str, parameters: &str) -> Self {
        let mut digest = Sha256::new();
        for part in [verb, method, parameters] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part.as_bytes());
        }
        Self(digest.finalize().into())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A kept answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The caller's key.
    pub key: IdempotencyKey,
    /// What it stands for.
    pub fingerprint: Fingerprint,
    /// The answer, in the runtime's own form.
    pub reply: Bytes,
    /// The object's version after the commit.
    pub version: Version,
    /// When the commit was made.
    pub time: Timestamp,
    /// Its number among the object's records.
    pub sequence: u64,
}

impl Record {
    /// What it counts for [`RECORDS_MAX_BYTES`].
    #[must_use]
    pub fn size(&self) -> u64 {
        record_size(&self.key, self.reply.len())
    }

    /// Its place in the order of age.
    #[must_use]
    pub fn slot(&self) -> RecordSlot {
        RecordSlot { sequence: self.sequence, key: self.key.clone(), time: self.time, size: self.size() }
    }
}

/// What a record of this key and reply counts for [`RECORDS_MAX_BYTES`].
#[must_use]
pub fn record_size(key: &IdempotencyKey, reply_bytes: usize) -> u64 {
    (key.as_str().len() + size_of::<Fingerprint>() + reply_bytes) as u64
}

/// The place of a record in the order of age; enough to drop it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordSlot {
    /// Its number among the object's records.
    pub sequence: u64,
    /// The caller's key.
    pub key: IdempotencyKey,
    /// When it was made.
    pub time: Timestamp,
    /// What it counts for [`RECORDS_MAX_BYTES`].
    pub size: u64,
}

/// No record more: too many are younger than ten minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the object keeps too many recent idempotency keys; try again in a few minutes")]
pub struct Full;

/// The idempotency records of an object: numbered in the order they were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecordWindow {
    /// The number of the oldest.
    pub first: u64,
    /// The number of the next.
    pub next: u64,
    /// Bytes of all.
    pub bytes: u64,
}

impl RecordWindow {
    /// How many are kept.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.next - self.first
    }

    /// Whether older ones should go before one of this size comes: only then are the oldest to be read.
    #[must_use]
    pub fn is_short_of_room(&self, new_size: u64) -> bool {
        self.count() >= RECORDS_MAX || self.bytes + new_size > RECORDS_MAX_BYTES
    }
}

/// Chooses which of the oldest records go so that one of `new_size` bytes fits. `oldest` are the first
/// [`RECORDS_DROPPED_MAX`] in the order of age, or all if they are fewer. Where so many are not enough for
/// a large answer, the bound in bytes is passed for a while, up to twice.
///
/// # Errors
/// [`Full`] if one that would have to go is younger than ten minutes, or the bound is passed twice.
pub fn make_room(
    window: &RecordWindow,
    new_size: u64,
    oldest: &[RecordSlot],
    now: Timestamp,
) -> Result<Vec<RecordSlot>, Full> {
    let mut left = *window;
    let mut dropped = Vec::new();
    for slot in oldest.iter().take(RECORDS_DROPPED_MAX) {
        if !left.is_short_of_room(new_size) {
            break;
        }
        if now.since_ms(slot.time) < RECORD_KEPT_MIN_MS {
            return Err(Full);
        }
        left.first = slot.sequence + 1;
        left.bytes = left.bytes.saturating_sub(slot.size);
        dropped.push(slot.clone());
    }
    if left.bytes + new_size > 2 * RECORDS_MAX_BYTES { Err(Full) } else { Ok(dropped) }
}

/// Those of the oldest records that are older than they are kept, a bounded number at a time.
#[must_use]
pub fn expired(oldest: &[RecordSlot], now: Timestamp) -> Vec<RecordSlot> {
    let is_over = |slot: &&RecordSlot| now.since_ms(slot.time) >= RECORD_KEPT_MS;
    oldest.iter().take(RECORDS_DROPPED_MAX).take_while(is_over).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(sequence: u64, minutes: u64, size: u64) -> RecordSlot {
        let key = IdempotencyKey::parse(&format!("key-{sequence}")).unwrap();
        RecordSlot { sequence, key, time: Timestamp(minutes * 60_000), size }
    }

    /// How many of the oldest go for one of `new_size`; each is 100 bytes and one minute younger than the last.
    fn check(window: RecordWindow, new_size: u64, now_minutes: u64, expected: Result<usize, Full>) {
        let end = window.next.min(window.first + RECORDS_DROPPED_MAX as u64);
        let oldest: Vec<_> = (window.first..end).map(|n| slot(n, n - window.first, 100)).collect();
        let found = make_room(&window, new_size, &oldest, Timestamp(now_minutes * 60_000));
        assert_eq!(found.as_ref().map(Vec::len), expected.as_ref().copied());
        for (index, dropped) in found.unwrap_or_default().iter().enumerate() {
            assert_eq!(dropped.sequence, window.first + index as u64, "the oldest first");
        }
    }

    #[test]
    fn room_is_made_only_where_it_is_short() {
        let some = RecordWindow { first: 7, next: 17, bytes: 1_000 };
        check(some, 100, 100, Ok(0));
        let many = RecordWindow { first: 7, next: 7 + RECORDS_MAX, bytes: 1_000 };
        check(many, 100, 100, Ok(1));
        check(many, 100, 10, Ok(1));
        check(many, 100, 9, Err(Full));
        let large = RecordWindow { first: 7, next: 1_000, bytes: RECORDS_MAX_BYTES };
        check(large, 100, 100, Ok(1));
        check(large, 250, 100, Ok(3));
        check(large, 250, 11, Err(Full));
        check(large, 250, 12, Ok(3));
    }

    #[test]
    fn one_commit_drops_a_bounded_number() {
        let large = RecordWindow { first: 0, next: 900_000, bytes: RECORDS_MAX_BYTES };
        check(large, 2_000_000, 10_000, Ok(RECORDS_DROPPED_MAX));
        let too_large = RecordWindow { bytes: 2 * RECORDS_MAX_BYTES, ..large };
        check(too_large, 2_000_000, 10_000, Err(Full));
    }

    #[test]
    fn a_day_is_enough() {
        let oldest = [slot(0, 0, 1), slot(1, 1, 1), slot(2, 2, 1)];
        let day = RECORD_KEPT_MS / 60_000;
        let check =
            |minutes, expected| assert_eq!(expired(&oldest, Timestamp(minutes * 60_000)).len(), expected);
        check(day - 1, 0);
        check(day, 1);
        check(day + 1, 2);
        check(2 * day, 3);
    }

    #[test]
    fn keys_are_visible_ascii() {
        for text in ["a", "~!", &"k".repeat(255)] {
            assert!(IdempotencyKey::parse(text).is_ok(), "{text}");
        }
        for text in ["", " ", "a b", "ä", "\n", &"k".repeat(256)] {
            assert_eq!(IdempotencyKey::parse(text), Err(KeyError), "{text}");
        }
    }

    #[test]
    fn fingerprints_tell_parts_apart() {
        let base = Fingerprint::of("method", "increment", "{}");
        assert_eq!(base, Fingerprint::of("method", "increment", "{}"));
        for other in
            [("methodi", "ncrement", "{}"), ("put", "increment", "{}"), ("method", "increment", "{\"by\":1}")]
        {
            assert_ne!(base, Fingerprint::of(other.0, other.1, other.2));
        }
    }
}
