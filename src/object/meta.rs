//! What is kept of an object beside its keys, and how it changes with each commit.
//!
//! Pure functions give the meta after a commit from the meta before it; the activation only assembles.

use std::time::Duration;

use super::alarm::{self, AlarmChange};
use super::effects::Effects;
use super::idempotency::RecordWindow;
use super::{Timestamp, Version};

/// What is kept of an object beside its keys. The default is that of one never written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meta {
    /// Commits that changed it.
    pub version: Version,
    /// Commits of any kind; each commit names the one it was made on.
    pub sequence: u64,
    /// Which generation of keys is the current one; a deletion and a clear raise it.
    pub generation: u32,
    /// Whether it exists: it was written and not deleted since.
    pub exists: bool,
    /// When it began to exist.
    pub created_at: Timestamp,
    /// When its version changed last.
    pub updated_at: Timestamp,
    /// Keys of both spaces.
    pub keys: u64,
    /// Bytes of keys and values of both spaces.
    pub bytes: u64,
    /// The alarm that is set.
    pub alarm: Option<Alarm>,
    /// The alarm that was given up; kept until the next one is set.
    pub alarm_failed: Option<AlarmFailure>,
    /// The oldest version in the history; the newest is `version`. Above `version` when there is none.
    pub history_first: u64,
    /// Bytes of the history.
    pub history_bytes: u64,
    /// The idempotency records that are kept.
    pub records: RecordWindow,
    /// When the runtime wants to look after the object: old records, an old tombstone.
    pub due: Option<Timestamp>,
}

/// An alarm that is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alarm {
    /// When it rings.
    pub at: Timestamp,
    /// Tries that failed so far.
    pub attempts: u8,
}

/// An alarm that failed as often as it was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlarmFailure {
    /// When the last try failed.
    pub at: Timestamp,
    /// How often it was tried.
    pub attempts: u8,
}

impl Meta {
    /// The meta after a turn whose effects these are. History and records are entered by the commit.
    #[must_use]
    pub fn after_turn(&self, effects: &Effects, now: Timestamp) -> Self {
        let mut next = self.next_sequence();
        if effects.changes_object() {
            next.version = self.version.next();
            next.updated_at = now;
            next.keys = effects.keys;
            next.bytes = effects.bytes;
            if !self.exists {
                next.exists = true;
                next.created_at = now;
            }
            if effects.clears() {
                next.generation += 1;
            }
        }
        match effects.alarm {
            Some(AlarmChange::Set(at)) => {
                next.alarm = Some(Alarm { at, attempts: 0 });
                next.alarm_failed = None;
            }
            Some(AlarmChange::Cleared) => next.alarm = None,
            None => {}
        }
        next
    }

    /// The meta after the object's deletion: a tombstone with a version of its own.
    #[must_use]
    pub fn after_deletion(&self, now: Timestamp) -> Self {
        Self {
            version: self.version.next(),
            generation: self.generation + 1,
            exists: false,
            updated_at: now,
            keys: 0,
            bytes: 0,
            alarm: None,
            alarm_failed: None,
            ..self.next_sequence()
        }
    }

    /// The meta after a try of the alarm that failed: tried again later, or given up and kept as failed.
    #[must_use]
    pub fn after_failed_alarm(&self, now: Timestamp, random: u64) -> Self {
        let mut next = self.next_sequence();
        let Some(set) = self.alarm else { return next };
        let attempts = set.attempts + 1;
        if let Some(pause) = alarm::backoff(attempts, random) {
            next.alarm = Some(Alarm { at: now.plus(pause), attempts });
        } else {
            next.alarm = None;
            next.alarm_failed = Some(AlarmFailure { at: now, attempts });
        }
        next
    }

    /// The meta after a commit of the runtime's own that changes nothing the caller has not set here.
    #[must_use]
    pub fn next_sequence(&self) -> Self {
        Self { sequence: self.sequence + 1, ..self.clone() }
    }

    /// Whether the alarm should ring now.
    #[must_use]
    pub fn alarm_is_due(&self, now: Timestamp) -> bool {
        self.alarm.is_some_and(|alarm| alarm.at <= now)
    }

    /// Whether nothing is left to keep of a deleted object: its tombstone is older than it must be.
    #[must_use]
    pub fn tombstone_is_over(&self, now: Timestamp, kept: Duration) -> bool {
        !self.exists && self.updated_at.plus(kept) <= now
    }
}
