//! The surface of MCP of a node: what it stands on, and what every request of it takes from here.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::catalog::Catalog;
use super::record::Record;
use super::session::known::Known;
use super::state::Seal;
use crate::caller::Caller;
use crate::error::{Code, Error};
use crate::limits::MCP_RUNNING_MAX;
use crate::live::{Hub, Place, Sockets};
use crate::runtime::Runtime;
use crate::telemetry::{Metrics, Offer, Transport};

/// What the surface of MCP stands on.
pub struct Parts {
    /// The objects.
    pub runtime: Runtime,
    /// Who watches which of them.
    pub hub: Hub,
    /// The places for streams.
    pub sockets: Sockets,
    /// What is offered.
    pub catalog: Catalog,
    /// What is counted.
    pub metrics: Metrics,
    /// Longest until a request's body has arrived.
    pub body_timeout: Duration,
}

/// The surface of MCP of a node. Cheap to clone.
#[derive(Clone)]
pub struct Mcp(Arc<Inner>);

struct Inner {
    parts: Parts,
    seal: Seal,
    known: Known,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

impl Mcp {
    /// The surface on these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let metrics = parts.metrics.clone();
        let tasks = TaskTracker::new();
        let running = tasks.clone();
        metrics.show_gauge(
            "mcp_running",
            "MCP requests and tasks that run without a connection",
            move || i64::try_from(running.len()).unwrap_or(i64::MAX),
        );
        let inner = Arc::new(Inner {
            parts,
            seal: Seal::default(),
            known: Known::default(),
            tasks,
            stopping: CancellationToken::new(),
        });
        let shown = Arc::downgrade(&inner);
        metrics.show_offer(move || shown.upgrade().map(|inner| Self(inner).offer()).unwrap_or_default());
        Self(inner)
    }

    fn offer(&self) -> Offer {
        let listed = self.catalog().listed();
        Offer {
            active_sessions: self.known().active(),
            tools: listed.tools.len(),
            resources: listed.templates.len(),
            prompts: listed.prompts.len(),
        }
    }

    /// Ends what runs without a connection, after that was told; at most so long is waited for it.
    pub async fn stop(&self, longest: Duration) {
        self.0.stopping.cancel();
        self.0.tasks.close();
        if tokio::time::timeout(longest, self.0.tasks.wait()).await.is_err() {
            tracing::warn!(running = self.0.tasks.len(), "MCP requests did not end in time and are cut");
        }
    }

    pub(super) fn runtime(&self) -> &Runtime {
        &self.0.parts.runtime
    }

    pub(super) fn hub(&self) -> &Hub {
        &self.0.parts.hub
    }

    /// A place for a stream.
    pub(super) fn place(&self) -> Result<Place, Error> {
        let full = || Error::new(Code::Overloaded, "the node has too many streams; come back after a pause");
        self.0.parts.sockets.take(Transport::mcp).ok_or_else(full)
    }

    pub(super) fn catalog(&self) -> &Catalog {
        &self.0.parts.catalog
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.0.parts.metrics
    }

    pub(super) fn body_timeout(&self) -> Duration {
        self.0.parts.body_timeout
    }

    pub(super) fn seal(&self) -> &Seal {
        &self.0.seal
    }

    pub(super) fn known(&self) -> &Known {
        &self.0.known
    }

    pub(super) fn record(&self, caller: &Caller, class: &str, name: &str) -> Option<Record> {
        Record::new(self.runtime(), self.hub(), caller, class, name)
    }

    /// Whether another request may go on without a connection.
    pub(super) fn has_room(&self) -> bool {
        self.0.tasks.len() < MCP_RUNNING_MAX
    }

    /// Runs what goes on without a connection.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.tasks.spawn(task);
    }

    /// Waits until the server stops. Cancel safe.
    pub(super) async fn stopping(&self) {
        self.0.stopping.cancelled().await;
    }
}
