//! What all activations of a node share.

use std::sync::Arc;

use ractor::ActorRef;

use super::streams::Streams;
use super::timers::Timers;
use crate::clock::Clock;
use crate::telemetry::Metrics;

/// What all activations of a node share.
pub(crate) struct Parts {
    pub(crate) supervisor: ActorRef<()>,
    pub(crate) streams: Streams,
    pub(crate) timers: Timers,
    pub(crate) clock: Arc<Clock>,
    pub(crate) metrics: Metrics,
    /// The subject of what the runtime does on its own.
    pub(crate) own_subject: Arc<str>,
}
