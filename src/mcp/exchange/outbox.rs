//! What a running request tells its client, on its way to whoever sends it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use serde_json::Value as Json;
use tokio::sync::Notify;

use crate::limits::MCP_OUTBOX_MAX;

/// Something for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::mcp) enum Outgoing {
    /// A notification, as JSON text.
    Notice(String),
    /// A question, as JSON text, with its id.
    Question { id: String, text: String },
    /// The stream is to end; the client comes back.
    BreakOff,
}

impl Outgoing {
    pub(super) fn notice(message: &Json) -> Self {
        Self::Notice(message.to_string())
    }
}

/// Messages that wait to be sent; or, of a task, the last that was said of how far it is.
#[derive(Default)]
pub(in crate::mcp) struct Outbox {
    waiting: Mutex<VecDeque<Outgoing>>,
    is_of_task: AtomicBool,
    /// What is said last wins.
    status: Mutex<Option<String>>,
    arrived: Notify,
    left: Notify,
}

impl Outbox {
    pub(super) fn is_of_task(&self) -> bool {
        self.is_of_task.load(Ordering::Relaxed)
    }

    /// From here on it is that of a task, whose client looks at it now and then.
    pub(in crate::mcp) fn become_task(&self) {
        self.is_of_task.store(true, Ordering::Relaxed);
        self.waiting.lock().clear();
        self.left.notify_waiters();
    }

    /// Adds a message; waits while there are too many. What a task tells beside its status reaches nobody.
    pub(in crate::mcp) async fn put(&self, message: Outgoing) {
        loop {
            let left = self.left.notified();
            if self.is_of_task() {
                return;
            }
            if self.waiting.lock().len() < MCP_OUTBOX_MAX {
                break;
            }
            left.await;
        }
        self.waiting.lock().push_back(message);
        self.arrived.notify_one();
    }

    /// Adds a message, unless there are too many.
    pub(super) fn offer(&self, message: Outgoing) {
        let mut waiting = self.waiting.lock();
        if waiting.len() < MCP_OUTBOX_MAX {
            waiting.push_back(message);
            self.arrived.notify_one();
        }
    }

    /// Says how far a task is.
    pub(super) fn status(&self, done: f64, total: Option<f64>, message: Option<&str>) {
        let text = match (message, total) {
            (Some(message), _) => message.to_owned(),
            (None, Some(total)) => format!("{done} of {total}"),
            (None, None) => format!("{done}"),
        };
        *self.status.lock() = Some(text);
    }

    /// Takes the oldest message, if there is one.
    pub(in crate::mcp) fn take(&self) -> Option<Outgoing> {
        let taken = self.waiting.lock().pop_front();
        if taken.is_some() {
            self.left.notify_one();
        }
        taken
    }

    /// Takes what was said of a task since it was last taken.
    pub(in crate::mcp) fn take_status(&self) -> Option<String> {
        self.status.lock().take()
    }

    /// Whether something waits.
    pub(in crate::mcp) fn is_empty(&self) -> bool {
        self.waiting.lock().is_empty()
    }

    /// Waits until something is there to take. Cancel safe.
    pub(in crate::mcp) async fn filled(&self) {
        while self.is_empty() {
            self.arrived.notified().await;
        }
    }
}
