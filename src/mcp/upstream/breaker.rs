//! When a server is not asked any more: after failures in a row, until it has had time to recover.
//!
//! Pure but for the time it is given. Closed, it lets everything through; after [`FAILURES_MAX`] failures in a row it is
//! open for [`OPEN_FOR`]; then one call goes through, and its outcome decides. (Nygard, Release It!, 2007.)

use std::time::{Duration, Instant};

use crate::limits::{UPSTREAM_FAILURES_MAX as FAILURES_MAX, UPSTREAM_OPEN_FOR as OPEN_FOR};

/// Whether a server is asked.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// Failures since the last success.
    failures: u32,
    /// Until when nothing goes through, once there were too many.
    open_until: Option<Instant>,
}

/// Nothing goes through now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Open {
    /// Failures in a row.
    pub(super) failures: u32,
    /// When a call goes through again.
    pub(super) again_in: Duration,
}

impl Breaker {
    /// Whether a call may go through; while it is open, the first one after its time does, and no other until that one's
    /// outcome is known or the time has passed once more.
    pub(super) fn admit(&mut self, now: Instant) -> Result<(), Open> {
        match self.open_until {
            Some(until) if now < until => {
                Err(Open { failures: self.failures, again_in: until.duration_since(now) })
            }
            Some(_) => {
                self.open_until = Some(now + OPEN_FOR);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// What became of a call that went through.
    pub(super) fn record(&mut self, is_well: bool, now: Instant) {
        if is_well {
            *self = Self::default();
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES_MAX {
            self.open_until = Some(now + OPEN_FOR);
        }
    }

    /// The server has begun anew: what the old one did does not count.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays events, each at its second: `+` a success, `-` a failure, `?` asks; gives what the questions came to.
    fn check(events: &[(u64, char)], expected: &str) {
        let (begun, mut breaker) = (Instant::now(), Breaker::default());
        let mut seen = String::new();
        for (second, event) in events {
            let now = begun + Duration::from_secs(*second);
            match event {
                '?' => seen.push(if breaker.admit(now).is_ok() { 'y' } else { 'n' }),
                outcome => breaker.record(*outcome == '+', now),
            }
        }
        assert_eq!(seen, expected, "{events:?}");
    }

    #[test]
    fn five_failures_in_a_row_open_it() {
        check(&[(0, '-'), (0, '-'), (0, '-'), (0, '-'), (0, '?'), (0, '-'), (0, '?'), (29, '?')], "ynn");
        // A success in between begins the count again.
        check(&[(0, '-'), (0, '-'), (0, '-'), (0, '-'), (0, '+'), (0, '-'), (0, '?')], "y");
    }

    #[test]
    fn one_call_tries_it_again() {
        let opened = [(0, '-'); 5];
        let after = |more: &[(u64, char)], expected: &str| {
            check(&[opened.as_slice(), more].concat(), expected);
        };
        after(&[(30, '?'), (30, '?')], "yn");
        after(&[(30, '?'), (31, '+'), (31, '?'), (31, '?')], "yyy");
        after(&[(30, '?'), (31, '-'), (32, '?'), (60, '?'), (61, '?')], "ynny");
        // The one that tried it never came back.
        after(&[(30, '?'), (59, '?'), (60, '?')], "yny");
    }

    #[test]
    fn a_new_server_begins_with_nothing() {
        let mut breaker = Breaker::default();
        let now = Instant::now();
        for _ in 0..FAILURES_MAX {
            breaker.record(false, now);
        }
        assert_eq!(breaker.admit(now), Err(Open { failures: FAILURES_MAX, again_in: OPEN_FOR }));
        breaker.reset();
        assert_eq!(breaker.admit(now), Ok(()));
    }
}
