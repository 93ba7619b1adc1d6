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
}
