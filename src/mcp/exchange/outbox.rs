//! What a running request tells its client, on its way to whoever sends it.

use std::collections::VecDeque;

use parking_lot::Mutex;
use serde_json::Value as Json;
use tokio::sync::Notify;

use crate::limits::MCP_OUTBOX_MAX;

/// Messages that wait to be sent, each a JSON text; or, of a task, the last that was said of how far it is.
pub(in crate::mcp) struct Outbox {
    waiting: Mutex<VecDeque<String>>,
    /// What is said last wins.
    status: Option<Mutex<Option<String>>>,
    arrived: Notify,
    left: Notify,
}

impl Outbox {
    /// Of a request whose client waits for it.
    pub(in crate::mcp) fn new() -> Self {
        Self { waiting: Mutex::default(), status: None, arrived: Notify::new(), left: Notify::new() }
    }

    /// Of a task, whose client looks at it now and then.
    pub(in crate::mcp) fn of_task() -> Self {
        Self { status: Some(Mutex::default()), ..Self::new() }
    }

    pub(super) fn is_of_task(&self) -> bool {
        self.status.is_some()
    }

    /// Adds a message; waits while there are too many. What a task tells beside its status reaches nobody.
    pub(in crate::mcp) async fn put(&self, message: &Json) {
        if self.is_of_task() {
            return;
        }
        let text = message.to_string();
        loop {
            let left = self.left.notified();
            if self.waiting.lock().len() < MCP_OUTBOX_MAX {
                break;
            }
            left.await;
        }
        self.waiting.lock().push_back(text);
        self.arrived.notify_one();
    }

    /// Adds a message, unless there are too many.
    pub(super) fn offer(&self, message: &Json) {
        let mut waiting = self.waiting.lock();
        if waiting.len() < MCP_OUTBOX_MAX {
            waiting.push_back(message.to_string());
            self.arrived.notify_one();
        }
    }

    /// Says how far a task is.
    pub(super) fn status(&self, done: f64, total: Option<f64>, message: Option<&str>) {
        let Some(status) = &self.status else { return };
        let text = match (message, total) {
            (Some(message), _) => message.to_owned(),
            (None, Some(total)) => format!("{done} of {total}"),
            (None, None) => format!("{done}"),
        };
        *status.lock() = Some(text);
        self.arrived.notify_one();
    }

    /// Takes the oldest message, if there is one.
    pub(in crate::mcp) fn take(&self) -> Option<String> {
        let taken = self.waiting.lock().pop_front();
        if taken.is_some() {
            self.left.notify_one();
        }
        taken
    }

    /// Takes what was said of a task since it was last taken.
    pub(in crate::mcp) fn take_status(&self) -> Option<String> {
        self.status.as_ref()?.lock().take()
    }

    /// Waits for something to take. Cancel safe.
    pub(in crate::mcp) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// The next message. Cancel safe.
    pub(in crate::mcp) async fn next(&self) -> String {
        loop {
            if let Some(message) = self.take() {
                return message;
            }
            self.arrived().await;
        }
    }
}
