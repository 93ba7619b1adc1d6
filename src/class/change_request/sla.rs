//! How long a decision may take: a deadline from submission, a warning before it, a breach at it.
//!
//! An object has one alarm; it is set for whichever of the two comes next, until the change is decided.

use serde::{Deserialize, Serialize};

use crate::object::Timestamp;

use super::{Event, Kind, Level, Policy};

/// The warning comes when so much of the time is over, in milliseconds of each minute: 80 %.
const WARNING_MS_A_MINUTE: u64 = 48_000;
const MINUTE_MS: u64 = 60_000;

/// The time that a decision has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sla {
    /// When it ends. A decision in time comes before.
    pub deadline: Timestamp,
    /// When the warning comes.
    pub warning: Timestamp,
    /// Whether the warning is recorded.
    pub warned: bool,
    /// Whether the breach is recorded.
    pub breached: bool,
    /// When it was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<Timestamp>,
}

impl Sla {
    /// What a change of that type and priority gets that was submitted then.
    #[must_use]
    pub fn new(policy: &Policy, kind: Kind, priority: Level, submitted_at: Timestamp) -> Self {
        let minutes = u64::from(policy.sla_minutes.of(kind, priority));
        Self {
            deadline: submitted_at.plus_ms(minutes * MINUTE_MS),
            warning: submitted_at.plus_ms(minutes * WARNING_MS_A_MINUTE),
            warned: false,
            breached: false,
            decided_at: None,
        }
    }

    /// Whether a decision at that time is in time.
    #[must_use]
    pub fn is_met(&self, at: Timestamp) -> bool {
        at < self.deadline
    }

    /// What has to be recorded by that time, in order; it counts as recorded from here on.
    pub fn take_due(&mut self, now: Timestamp) -> Vec<Event> {
        let mut due = Vec::new();
        if !self.warned && now >= self.warning {
            self.warned = true;
            due.push(Event::SlaWarning);
        }
        if !self.breached && now >= self.deadline {
            self.breached = true;
            due.push(Event::SlaBreach);
        }
        due
    }

    /// When something has to be recorded next.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        match (self.warned, self.breached) {
            (false, _) => Some(self.warning),
            (true, false) => Some(self.deadline),
            (true, true) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_priority_has_its_deadline() {
        let policy = Policy::default();
        for (kind, priority, minutes) in [
            (Kind::Normal, Level::Critical, 240),
            (Kind::Normal, Level::High, 480),
            (Kind::Standard, Level::Medium, 1_440),
            (Kind::Major, Level::Low, 2_880),
            (Kind::Emergency, Level::Low, 30),
            (Kind::Emergency, Level::Critical, 30),
        ] {
            let sla = Sla::new(&policy, kind, priority, Timestamp(1_000));
            assert_eq!(sla.deadline, Timestamp(1_000 + minutes * 60_000), "{kind} {priority}");
            assert_eq!(sla.warning, Timestamp(1_000 + minutes * 60_000 / 5 * 4), "{kind} {priority}");
        }
    }

    #[test]
    fn warning_and_breach_come_once_in_order() {
        let mut sla = Sla::new(&Policy::default(), Kind::Emergency, Level::Low, Timestamp(0));
        let (warning, deadline) = (Timestamp(24 * 60_000), Timestamp(30 * 60_000));
        assert_eq!(sla.next(), Some(warning));
        assert_eq!(sla.take_due(Timestamp(warning.0 - 1)), []);
        assert_eq!(sla.take_due(warning), [Event::SlaWarning]);
        assert_eq!(sla.next(), Some(deadline));
        assert_eq!(sla.take_due(Timestamp(deadline.0 - 1)), []);
        assert!(sla.is_met(Timestamp(deadline.0 - 1)) && !sla.is_met(deadline));
        assert_eq!(sla.take_due(deadline), [Event::SlaBreach]);
        assert_eq!((sla.next(), sla.take_due(Timestamp(u64::MAX))), (None, Vec::new()));
    }

    #[test]
    fn what_comes_too_late_comes_together() {
        let mut sla = Sla::new(&Policy::default(), Kind::Emergency, Level::Low, Timestamp(0));
        assert_eq!(sla.take_due(Timestamp(31 * 60_000)), [Event::SlaWarning, Event::SlaBreach]);
        assert_eq!(sla.next(), None);
    }
}
