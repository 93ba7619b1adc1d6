//! The earliest time known that an object of this node is to be woken at.

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::object::Timestamp;

/// The earliest time known that an object is to be woken at.
#[derive(Default)]
pub(crate) struct Timers {
    earliest: Mutex<Option<Timestamp>>,
    /// Rings when it becomes sooner.
    pub(crate) sooner: Notify,
}

impl Timers {
    /// A timer was set, and its commit is applied.
    pub(crate) fn set(&self, at: Timestamp) {
        let mut earliest = self.earliest.lock();
        if earliest.is_none_or(|earliest| at < earliest) {
            *earliest = Some(at);
            drop(earliest);
            self.sooner.notify_one();
        }
    }

    /// Forgets it: whoever looks for timers now finds it in the state.
    pub(crate) fn take(&self) -> Option<Timestamp> {
        self.earliest.lock().take()
    }

    /// What it is, if it is known.
    pub(crate) fn earliest(&self) -> Option<Timestamp> {
        *self.earliest.lock()
    }
}
