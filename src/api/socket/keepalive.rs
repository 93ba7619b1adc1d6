//! Pings, so that a connection that is gone without a word is noticed.

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::wire::{End, Wire};

/// Pings without a sign of life after which a socket is closed.
const MISSED_MAX: u32 = 2;

/// When to ping, and how often in vain.
pub(super) struct Keepalive {
    pings: Interval,
    missed: u32,
}

impl Keepalive {
    pub(super) fn every(period: Duration) -> Self {
        let mut pings = interval_at(Instant::now() + period, period);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { pings, missed: 0 }
    }

    /// Waits until it is time to ping. Cancel safe.
    pub(super) async fn due(&mut self) {
        self.pings.tick().await;
    }

    /// The client gave a sign of life.
    pub(super) fn heard(&mut self) {
        self.missed = 0;
    }

    /// Pings, unless it was in vain before: that is the socket's end.
    pub(super) fn ping(&mut self, wire: &mut Wire) -> Option<End> {
        if self.missed >= MISSED_MAX {
            return Some(End::Silent);
        }
        // A client that still takes in a large frame is there, and a ping would come behind it anyway.
        let moved = wire.take_moved();
        if wire.is_clear() {
            wire.ping();
            self.missed += 1;
        } else if moved {
            self.missed = 0;
        } else {
            self.missed += 1;
        }
        None
    }
}
