//! When a connection was last heard of, told without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub(super) struct Heard {
    begun: Instant,
    last_ms: AtomicU64,
}

impl Heard {
    /// Heard of just now.
    pub(super) fn now() -> Self {
        Self { begun: Instant::now(), last_ms: AtomicU64::new(0) }
    }

    /// Heard of again.
    pub(super) fn set(&self) {
        self.last_ms.store(self.age_ms(), Ordering::Relaxed);
    }

    /// How long ago it was.
    pub(super) fn elapsed(&self) -> Duration {
        Duration::from_millis(self.age_ms().saturating_sub(self.last_ms.load(Ordering::Relaxed)))
    }

    fn age_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
