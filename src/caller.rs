//! Who asks. Made once, at the gateway; travels with every call and stream.
//!
//! There is no authentication yet, so every caller is `local` of tenant `default`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// Who asks, and until when the answer is of use.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The tenant whose objects are meant.
    pub tenant: Arc<str>,
    /// The subject; it is recorded in every commit as `by`.
    pub subject: Arc<str>,
    /// What the subject may do; empty without authentication.
    pub roles: Arc<[Arc<str>]>,
    /// The peer's address, if it came over a socket.
    pub address: Option<SocketAddr>,
    /// The id in every log line and answer of this request.
    pub request_id: Arc<str>,
    /// The W3C trace that the request is a part of, if it said so; carried along, for the log lines.
    pub traceparent: Option<Arc<str>>,
    /// When the caller stops waiting. Monotonic; a forwarded call carries the time left.
    pub deadline: Instant,
    /// Whether it asks for itself.
    pub standing: Standing,
}

/// For whom a caller asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    /// For itself, as a client.
    #[default]
    Client,
    /// The module that a class belongs to asks on the caller's behalf: it reaches what is written by it only, and what is
    /// internal.
    Module,
}

impl Caller {
    /// The same caller, for whom a module asks the objects of its own classes.
    #[must_use]
    pub fn through_module(&self) -> Self {
        Self { standing: Standing::Module, ..self.clone() }
    }

    /// The same caller with another deadline.
    #[must_use]
    pub fn until(&self, deadline: Instant) -> Self {
        Self { deadline, ..self.clone() }
    }
}
