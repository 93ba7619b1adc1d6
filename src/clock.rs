//! The only wall clock. Everything below the edge of a turn is given its time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The wall clock of a node: milliseconds since the Unix epoch, never going back while it runs.
#[derive(Debug, Default)]
pub struct Clock {
    latest_ms: AtomicU64,
}

impl Clock {
    /// Milliseconds since the Unix epoch. A system clock that is set back holds this one still.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    pub fn now_ms(&self) -> u64 {
        let system = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        self.latest_ms.fetch_max(system, Ordering::Relaxed).max(system)
    }
}
