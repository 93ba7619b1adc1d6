//! Questions of a running request that wait for the client's answers, which come through the record that is followed.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value as Json;
use tokio::sync::oneshot;

use super::Failure;
use crate::limits::MCP_ANSWER_WITHIN;

/// The questions that are open.
#[derive(Default)]
pub(super) struct Pending(Mutex<HashMap<String, oneshot::Sender<Json>>>);

/// An answer that is to come.
pub(super) struct Expected {
    pending: Arc<Pending>,
    id: String,
    answer: oneshot::Receiver<Json>,
}

impl Pending {
    /// A question is about to be asked.
    pub(super) fn expect(self: &Arc<Self>, id: &str) -> Expected {
        let (sender, answer) = oneshot::channel();
        self.0.lock().insert(id.to_owned(), sender);
        Expected { pending: self.clone(), id: id.to_owned(), answer }
    }

    /// An answer has come.
    pub(super) fn resolve(&self, id: &str, answer: Json) {
        if let Some(sender) = self.0.lock().remove(id) {
            // Nobody waits any more if the request was dropped.
            let _ = sender.send(answer);
        }
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}

impl Expected {
    /// Waits for it.
    pub(super) async fn wait(mut self) -> Result<Json, Failure> {
        match tokio::time::timeout(MCP_ANSWER_WITHIN, &mut self.answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(Failure::Cancelled),
            Err(_) => Err(Failure::internal("the client did not answer the question in time")),
        }
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.pending.0.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn answers_reach_who_waits() {
        let pending = Arc::new(Pending::default());
        let (one, other) = (pending.expect("1"), pending.expect("2"));
        pending.resolve("2", json!("b"));
        pending.resolve("3", json!("c"));
        pending.resolve("1", json!("a"));
        assert_eq!((one.wait().await, other.wait().await), (Ok(json!("a")), Ok(json!("b"))));
        drop(pending.expect("4"));
        assert!(pending.is_empty());
    }
}
