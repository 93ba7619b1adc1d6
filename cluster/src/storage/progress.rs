//! How far something has come, for those who wait for it: an index that is published by the writer thread and
//! awaited by tasks.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// An index that grows until it is stopped.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    reached: AtomicU64,
    stopped: OnceLock<String>,
    changed: Notify,
}

impl Progress {
    pub(crate) fn at(index: u64) -> Self {
        Self { reached: AtomicU64::new(index), ..Self::default() }
    }

    pub(crate) fn get(&self) -> u64 {
        self.reached.load(Ordering::Acquire)
    }

    /// Publishes that `index` is reached; it never goes back.
    pub(crate) fn reach(&self, index: u64) {
        self.reached.fetch_max(index, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// Takes back what is no longer there.
    pub(crate) fn fall_back(&self, index: u64) {
        self.reached.fetch_min(index, Ordering::AcqRel);
    }

    /// It will never go on; those who wait hear why.
    pub(crate) fn stop(&self, reason: &str) {
        // Only the first reason counts.
        let _ = self.stopped.set(reason.to_owned());
        self.changed.notify_waiters();
    }

    /// Waits until `index` is reached.
    pub(crate) async fn wait(&self, index: u64) -> Result<(), String> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before the check, so that no change between the two is missed.
            changed.as_mut().enable();
            if self.get() >= index {
                return Ok(());
            }
            if let Some(reason) = self.stopped.get() {
                return Err(reason.clone());
            }
            changed.await;
        }
    }
}
