//! What the tests stand on: a node as a process, a raw HTTP connection, a socket, seeds.
//!
//! Nothing here waits without a deadline, and nothing sleeps to let something else happen: it polls
//! a condition.

pub(crate) mod editor;
pub(crate) mod http;
pub(crate) mod mcp;
pub(crate) mod members;
pub(crate) mod network;
pub(crate) mod node;
pub(crate) mod socket;

pub(crate) use editor::Editor;
pub(crate) use http::{Answer, Connection};
pub(crate) use members::Members;
pub(crate) use network::Network;
pub(crate) use node::Node;
pub(crate) use socket::{Frame, Socket};

use std::time::{Duration, Instant};

/// How long anything may take that should take milliseconds: generous, for a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The seed of a random test: `SEED` in the environment, or a new one. Printed, so that a failing
/// run can be repeated.
pub(crate) fn seed(test: &str) -> u64 {
    let seed = std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(rand::random);
    println!("{test}: SEED={seed}");
    seed
}

/// Polls until `condition` gives something, or fails with what was awaited.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A promise with a deadline, named for the message when it is missed.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(value) = tokio::time::timeout(PATIENCE, future).await else {
        panic!("waited {PATIENCE:?} in vain for {what}")
    };
    value
}
