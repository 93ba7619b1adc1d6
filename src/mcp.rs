//! MCP: every object is a tool and a resource, for clients of all revisions of the protocol, on one address.
//!
//! What is offered comes from [`Source`]s, joined in a [`Catalog`]; what a running request may do with its client is
//! an [`Exchange`]. Read in the order of a request: `http` takes it and finds its era, `modern` and `legacy` check what their
//! revisions ask for, `running` runs it, `dispatch` finds what answers. Below them lie the words they share: `ask` and
//! `response` of HTTP, `message` and `reply` of JSON-RPC, `work` and `done` of what a request wants and comes to. What
//! outlives a request is an object: a `session`, a `task`, the key of `state`.
//!
//! The types of the protocol are `rmcp`'s. Its HTTP and its sessions are not: they live in one process,
//! ours in objects.

mod ask;
mod catalog;
mod changes;
mod detached;
mod dispatch;
mod done;
mod events;
mod exchange;
mod failure;
mod headers;
mod http;
mod introduction;
mod legacy;
mod listen;
mod message;
mod modern;
mod objects;
mod params;
mod pending;
mod prompts;
mod record;
mod reply;
mod response;
mod revision;
mod running;
mod session;
mod state;
mod stream;
mod task;
pub mod upstream;
mod work;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::caller::Caller;
use crate::error::{Code, Error};
use crate::limits::MCP_RUNNING_MAX;
use crate::live::{Hub, Place, Sockets};
use crate::runtime::Runtime;
use crate::telemetry::{Metrics, Offer, Transport};

pub use catalog::{Arguments, Catalog, Followed, Generations, ResourcePage, Source, Tasks, Tool, ToolAnswer};
pub use changes::Changes;
pub use exchange::{Client, Exchange, Level, Question, Reporter};
pub use failure::Failure;
pub use objects::Objects;
pub use prompts::Prompts;
pub use revision::Era;

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
    seal: state::Seal,
    known: session::Known,
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
            seal: state::Seal::default(),
            known: session::Known::default(),
            tasks,
            stopping: CancellationToken::new(),
        });
        let shown = Arc::downgrade(&inner);
        metrics.show_offer(move || shown.upgrade().map(|inner| Self(inner).offer()).unwrap_or_default());
        Self(inner)
    }

    /// Its routes, to be merged with those of other surfaces.
    pub fn router(&self) -> axum::Router {
        http::router(self)
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

    fn runtime(&self) -> &Runtime {
        &self.0.parts.runtime
    }

    fn hub(&self) -> &Hub {
        &self.0.parts.hub
    }

    /// A place for a stream.
    fn place(&self) -> Result<Place, Error> {
        let full = || Error::new(Code::Overloaded, "the node has too many streams; come back after a pause");
        self.0.parts.sockets.take(Transport::mcp).ok_or_else(full)
    }

    fn catalog(&self) -> &Catalog {
        &self.0.parts.catalog
    }

    fn metrics(&self) -> &Metrics {
        &self.0.parts.metrics
    }

    fn body_timeout(&self) -> Duration {
        self.0.parts.body_timeout
    }

    fn seal(&self) -> &state::Seal {
        &self.0.seal
    }

    fn known(&self) -> &session::Known {
        &self.0.known
    }

    fn record(&self, caller: &Caller, class: &str, name: &str) -> Option<record::Record> {
        record::Record::new(self.runtime(), self.hub(), caller, class, name)
    }

    /// Whether another request may go on without a connection.
    fn has_room(&self) -> bool {
        self.0.tasks.len() < MCP_RUNNING_MAX
    }

    /// Runs what goes on without a connection.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.tasks.spawn(task);
    }

    /// Waits until the server stops. Cancel safe.
    async fn stopping(&self) {
        self.0.stopping.cancelled().await;
    }
}
