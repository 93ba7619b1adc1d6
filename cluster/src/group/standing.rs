//! Where one replica stands: what it has applied, and whether it was stopped. Written by the apply task, read
//! by everyone without a message to anybody.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::group::order::Order;
use crate::layout::{LogIndex, Term};

/// The standing of one replica.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    applied: AtomicU64,
    place: Mutex<Place>,
    /// Whoever waits for more to be applied is to look again.
    changed: Notify,
    applied_term: watch::Sender<Term>,
    stopped: OnceLock<String>,
}

/// What is applied, for who reads it again from the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The last index applied.
    pub(crate) index: LogIndex,
    /// Which entry took effect last.
    pub(crate) order: Order,
    /// The first index of which the log has what was applied. What is before it came in a snapshot; until it is
    /// purged, the log may hold something else there, which was never committed.
    pub(crate) readable_from: LogIndex,
}

impl Standing {
    /// Notes what was applied before the start. It says nothing about this process's right to answer.
    pub(crate) fn recovered(&self, index: LogIndex, order: Order, log_ends: LogIndex) {
        // A log that ends before was to be purged when a snapshot had come.
        let readable_from = if log_ends < index { index + 1 } else { 0 };
        *self.place.lock() = Place { index, order, readable_from };
        self.applied.store(index, Ordering::Release);
    }

    /// Notes that everything up to this entry is applied.
    pub(crate) fn applied(&self, index: LogIndex, term: Term, order: Order) {
        {
            let mut place = self.place.lock();
            (place.index, place.order) = (index, order);
        }
        self.reached(index, term);
    }

    /// Notes that a snapshot was installed that ends with this entry.
    pub(crate) fn installed(&self, index: LogIndex, term: Term, order: Order) {
        *self.place.lock() = Place { index, order, readable_from: index + 1 };
        self.reached(index, term);
    }

    fn reached(&self, index: LogIndex, term: Term) {
        self.applied.store(index, Ordering::Release);
        self.applied_term.send_if_modified(|now| {
            let is_new = *now < term;
            *now = term.max(*now);
            is_new
        });
        self.changed.notify_waiters();
    }

    /// The last index applied.
    pub(crate) fn applied_index(&self) -> LogIndex {
        self.applied.load(Ordering::Acquire)
    }

    /// What is applied.
    pub(crate) fn place(&self) -> Place {
        *self.place.lock()
    }

    /// The term of the last entry applied since the start.
    pub(crate) fn applied_term(&self) -> Term {
        *self.applied_term.borrow()
    }

    /// Changes with every new term of an applied entry.
    pub(crate) fn watch_applied_term(&self) -> watch::Receiver<Term> {
        self.applied_term.subscribe()
    }

    /// Waits until more than `index` is applied; the error says why that will never be.
    pub(crate) async fn wait_applied_beyond(&self, index: LogIndex) -> Result<(), String> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before the check, so that no change between the two is missed.
            changed.as_mut().enable();
            if self.applied_index() > index {
                return Ok(());
            }
            if let Some(reason) = self.stopped.get() {
                return Err(reason.clone());
            }
            changed.await;
        }
    }

    /// Stops the replica for good. Only the first reason is kept.
    pub(crate) fn stop(&self, reason: String) {
        if self.stopped.set(reason.clone()).is_ok() {
            tracing::error!(reason, "a shard is stopped on this node");
        }
        self.changed.notify_waiters();
    }

    /// Stops the replica because its node ends, which is nobody's trouble.
    pub(crate) fn end(&self, reason: String) {
        drop(self.stopped.set(reason));
        self.changed.notify_waiters();
    }

    /// Why it was stopped, if so.
    pub(crate) fn stopped(&self) -> Option<&str> {
        self.stopped.get().map(String::as_str)
    }
}
