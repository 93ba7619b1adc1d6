//! Where one replica stands: what it has applied, and whether it was stopped. Written by the apply task, read
//! by everyone without a message to anybody.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use crate::layout::{LogIndex, Term};

/// The standing of one replica.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    applied: AtomicU64,
    applied_term: watch::Sender<Term>,
    stopped: OnceLock<String>,
}

impl Standing {
    /// Notes what was applied before the start. It says nothing about this process's right to answer.
    pub(crate) fn recovered(&self, applied: LogIndex) {
        self.applied.store(applied, Ordering::Release);
    }

    /// Notes that everything up to this entry is applied.
    pub(crate) fn applied(&self, index: LogIndex, term: Term) {
        self.applied.store(index, Ordering::Release);
        self.applied_term.send_if_modified(|now| {
            let is_new = *now < term;
            *now = term.max(*now);
            is_new
        });
    }

    /// The last index applied.
    pub(crate) fn applied_index(&self) -> LogIndex {
        self.applied.load(Ordering::Acquire)
    }

    /// The term of the last entry applied since the start.
    pub(crate) fn applied_term(&self) -> Term {
        *self.applied_term.borrow()
    }

    /// Changes with every new term of an applied entry.
    pub(crate) fn watch_applied_term(&self) -> watch::Receiver<Term> {
        self.applied_term.subscribe()
    }

    /// Stops the replica for good. Only the first reason is kept.
    pub(crate) fn stop(&self, reason: String) {
        if self.stopped.set(reason.clone()).is_ok() {
            tracing::error!(reason, "a shard is stopped on this node");
        }
    }

    /// Stops the replica because its node ends, which is nobody's trouble.
    pub(crate) fn end(&self, reason: String) {
        drop(self.stopped.set(reason));
    }

    /// Why it was stopped, if so.
    pub(crate) fn stopped(&self) -> Option<&str> {
        self.stopped.get().map(String::as_str)
    }
}
