//! When a connection was last heard of, told without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::sleep;

/// Between two pings on a connection.
pub(super) const PING_EVERY: Duration = Duration::from_secs(1);
/// A connection on which nothing was heard for so long, though whoever dialled pings, is given up.
const SILENCE_MAX: Duration = Duration::from_secs(4);

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
    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.age_ms().saturating_sub(self.last_ms.load(Ordering::Relaxed)))
    }

    /// Resolves once the other side has been silent for too long.
    pub(super) async fn silence(&self) {
        while self.elapsed() <= SILENCE_MAX {
            sleep(PING_EVERY / 2).await;
        }
    }

    fn age_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
