//! Whether an activation is there, and the places in its mailbox.
//!
//! A call holds its place until it is answered, so an activation without admitted calls has no commit on
//! its way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use stead_cluster::Term;
use tokio::sync::Notify;

use super::failure;
use super::stage::Stage;
use crate::error::Error;
use crate::limits;

/// Whether an activation is there, and how many calls are admitted to it.
pub(crate) struct Presence {
    term: Term,
    admitted: AtomicUsize,
    ended: AtomicBool,
    changed: Notify,
    /// Where its turns are taken.
    pub(crate) stage: Stage,
}

/// A call's place in an activation's mailbox, until it is answered.
pub(crate) struct Admission(Arc<Presence>);

impl Presence {
    pub(crate) fn new(term: Term) -> Arc<Self> {
        Arc::new(Self {
            term,
            admitted: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            changed: Notify::new(),
            stage: Stage::default(),
        })
    }

    /// The activation takes no further turn.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Waits until no call is admitted any more.
    pub(crate) async fn drained(&self) {
        loop {
            let changed = self.changed.notified();
            if self.admitted.load(Ordering::Acquire) == 0 {
                return;
            }
            changed.await;
        }
    }

    /// Whether it takes turns.
    pub(crate) fn lives(&self) -> bool {
        !self.ended.load(Ordering::Acquire)
    }

    /// Whether it takes turns, and did so under this term.
    pub(crate) fn lives_under(&self, term: Term) -> bool {
        self.lives() && self.term == term
    }

    /// Whether no call is admitted.
    pub(crate) fn unused(&self) -> bool {
        self.admitted.load(Ordering::Acquire) == 0
    }
}

impl Admission {
    /// Counts a call in, if there is room.
    pub(crate) fn to(presence: &Arc<Presence>) -> Result<Self, Error> {
        let before = presence.admitted.fetch_add(1, Ordering::AcqRel);
        let admission = Self(presence.clone());
        if before >= limits::CALLS_ADMITTED_MAX { Err(failure::mailbox_full()) } else { Ok(admission) }
    }

    /// The activation that it is admitted to.
    pub(crate) fn presence(&self) -> &Arc<Presence> {
        &self.0
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if self.0.admitted.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.changed.notify_waiters();
        }
    }
}
