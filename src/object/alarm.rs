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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_end() {
        let least: Vec<_> = (1..=6).map(|failed| backoff(failed, 0).map(|pause| pause.as_millis())).collect();
        assert_eq!(least, [Some(2_000), Some(4_000), Some(8_000), Some(16_000), Some(32_000), None]);
        assert_eq!(backoff(7, 0), None);
    }

    #[test]
    fn jitter_adds_less_than_a_half() {
        for random in [1, 999, 1_000, u64::MAX, 0x9e37_79b9_7f4a_7c15] {
            for failed in 1..6 {
                let least = backoff(failed, 0).unwrap();
                let found = backoff(failed, random).unwrap();
                assert!(least <= found && found < least * 3 / 2, "{failed} {random} {found:?}");
            }
        }
    }
}
