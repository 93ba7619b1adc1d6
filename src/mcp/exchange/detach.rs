//! The moment in which a call becomes a task: asked for by the call, carried out by whoever runs it.

use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

use super::Asks;
use crate::mcp::Failure;

/// Whether a call may become a task, and the task once it is one.
pub(in crate::mcp) struct Detach {
    may: bool,
    asked: Notify,
    settled: Notify,
    outcome: OnceLock<Result<Arc<dyn Asks>, Failure>>,
}

impl Detach {
    /// Of a call that may or may not.
    pub(in crate::mcp) fn new(may: bool) -> Self {
        Self { may, asked: Notify::new(), settled: Notify::new(), outcome: OnceLock::new() }
    }

    pub(in crate::mcp) fn may(&self) -> bool {
        self.may
    }

    /// The task, if it is one.
    pub(super) fn task(&self) -> Option<&Arc<dyn Asks>> {
        self.outcome.get()?.as_ref().ok()
    }

    /// Asks for it, and waits until it is done.
    pub(super) async fn ask(&self) -> Result<(), Failure> {
        if !self.may {
            return Ok(());
        }
        let settled = self.settled.notified();
        if self.outcome.get().is_none() {
            self.asked.notify_one();
            settled.await;
        }
        match self.outcome.get() {
            Some(Err(failure)) => Err(failure.clone()),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    /// Waits until the call asks for it. Cancel safe.
    pub(in crate::mcp) async fn asked(&self) {
        self.asked.notified().await;
    }

    /// It is done, or cannot be.
    pub(in crate::mcp) fn settle(&self, outcome: Result<Arc<dyn Asks>, Failure>) {
        // It is settled once: whoever runs the call asks no second time.
        let _ = self.outcome.set(outcome);
        self.settled.notify_waiters();
    }
}
