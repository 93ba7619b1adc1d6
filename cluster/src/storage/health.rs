//! Whether the disk is still trusted. Once it failed, it never is again within this process: after a failed
//! flush nobody knows what reached the disk, so nothing is tried again and nothing more is confirmed.

use std::sync::OnceLock;

/// The state of the node's disk.
#[derive(Debug, Default)]
pub(crate) struct Health {
    failure: OnceLock<String>,
}

impl Health {
    /// Why the disk is not trusted any more, if so.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Ends the trust. Only the first reason is kept, what follows is its consequence.
    pub(crate) fn fail(&self, reason: String) {
        if self.failure.set(reason.clone()).is_ok() {
            tracing::error!(reason, "the disk failed: this node confirms nothing any more");
        }
    }
}
