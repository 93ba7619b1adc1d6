//! When an alarm whose turn failed rings again.

use std::time::Duration;

use crate::limits::{ALARM_BACKOFF_MS, ALARM_MAX_ATTEMPTS};

use super::Timestamp;

/// What a turn did to the alarm of its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmChange {
    /// It rings then.
    Set(Timestamp),
    /// There is none.
    Cleared,
}

/// The pause after the nth failed try (1 is the first): 2 s that double with each, with up to a half more
/// so that objects that failed together do not ring together. `None` once it has been tried six times.
#[must_use]
pub fn backoff(failed_attempts: u8, random: u64) -> Option<Duration> {
    if failed_attempts == 0 || failed_attempts >= ALARM_MAX_ATTEMPTS {
        return None;
    }
    let pause_ms = ALARM_BACKOFF_MS << (failed_attempts - 1);
    Some(Duration::from_millis(pause_ms + random % (pause_ms / 2)))
}
