//! The server's instruments, and their text for Prometheus.
//!
//! A handle costs an atomic addition, so instruments sit in hot paths. Labels have few values: a
//! route is its template, never a path, for every label value costs memory for ever.

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::offer::{Offer, Offering};

/// Upper edges of the buckets of durations, in seconds: from a read in memory to the deadline.
const SECONDS: [f64; 15] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Routes whose requests are counted apart; later ones count as `other`.
const ROUTES_MAX: usize = 256;

/// The server's instruments. A cheap handle: clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    instruments: Instruments,
    registry: Mutex<Registry>,
    routes: RwLock<HashMap<Box<str>, Route>>,
    requests: AtomicU64,
    request_errors: AtomicU64,
    request_micros: AtomicU64,
    offering: Offering,
}

/// How a socket or stream speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "the names are the label's values")]
pub enum Transport {
    /// The native frames.
    native,
    /// The worker-compatible frames.
    compatible,
    /// The native frames, with many subscriptions on a socket.
    many,
    /// The channels protocol of Phoenix.
    phoenix,
    /// Server-Sent Events.
    events,
    /// Yjs editors.
    editors,
    /// MCP.
    mcp,
}

/// The label of what is counted by transport.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByTransport {
    transport: Transport,
}

/// The label of what is counted by error code.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByCode {
    code: &'static str,
}

/// Why a call is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "the names are the label's values")]
pub enum RetryReason {
    /// Nobody leads, another node does, or the leader was not reached: it did not begin.
    not_begun,
    /// The answer did not come: it may have had its effect, and may be tried again.
    lost,
    /// The leader could not say what became of it.
    outcome_unknown,
    /// The leader could not take it then.
    unavailable,
}

/// The label of what is counted by the reason for a retry.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByRetryReason {
    reason: RetryReason,
}

/// The label of what is counted by MCP tool and what came of a call. Tools are few: only those that are listed count.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByToolAndOutcome {
    tool: String,
    outcome: &'static str,
}

/// The label of what is counted by MCP tool.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByTool {
    tool: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: Arc<str>,
    method: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: Arc<str>,
}

/// What was counted of one route, found without making labels.
#[derive(Debug)]
struct Route {
    label: Arc<str>,
    duration: Histogram,
    counts: HashMap<(&'static str, u16), Counter>,
}

macro_rules! instruments {
    ($($(#[doc = $doc:literal])+ $field:ident: $kind:ty = $make:expr, $name:literal, $unit:expr;)*) => {
        /// Every instrument that has no label to look up, or a small one.
        #[derive(Debug)]
        pub struct Instruments {
            $($(#[doc = $doc])+ pub $field: $kind,)*
            http_requests: Family<RequestLabels, Counter>,
            http_duration: Family<RouteLabels, Histogram, fn() -> Histogram>,
        }

        impl Instruments {
            fn register(registry: &mut Registry) -> Self {
                let http_requests = Family::default();
                registry.register("http_requests", "HTTP requests answered", http_requests.clone());
                let http_duration: Family<RouteLabels, Histogram, fn() -> Histogram> =
                    Family::new_with_constructor(durations);
                registry.register_with_unit("http_request_duration", "Time from the request's head to the answer's head", Unit::Seconds, http_duration.clone());
                $(
                    let $field: $kind = $make;
                    let help = concat!($($doc),+).trim().trim_end_matches('.');
                    match $unit {
                        Some(unit) => registry.register_with_unit($name, help, unit, $field.clone()),
                        None => registry.register($name, help, $field.clone()),
                    }
                )*
                Self { $($field,)* http_requests, http_duration }
            }
        }
    };
}

fn durations() -> Histogram {
    Histogram::new(SECONDS)
}

const NO_UNIT: Option<Unit> = None;

instruments! {
    /// HTTP requests being served now.
    requests_waiting: Gauge = Gauge::default(), "http_requests_waiting", NO_UNIT;
    /// Connections open now.
    connections: Gauge = Gauge::default(), "connections", NO_UNIT;
    /// Turns run: calls, reads, alarms.
    turns: Counter = Counter::default(), "turns", NO_UNIT;
    /// Commits that are durable.
    commits: Counter = Counter::default(), "commits", NO_UNIT;
    /// Commits that failed on their way.
    commits_failed: Counter = Counter::default(), "commits_failed", NO_UNIT;
    /// Calls answered with an error, by its code.
    refused: Family<ByCode, Counter> = Family::default(), "calls_refused", NO_UNIT;
    /// Calls turned away because an object's mailbox was full.
    mailbox_overloads: Counter = Counter::default(), "mailbox_overloads", NO_UNIT;
    /// Panics of classes; each dropped one activation.
    class_panics: Counter = Counter::default(), "class_panics", NO_UNIT;
    /// Calls answered from a record of their idempotency key.
    calls_repeated: Counter = Counter::default(), "calls_repeated", NO_UNIT;
    /// Calls sent to the node that leads their shard.
    calls_forwarded: Counter = Counter::default(), "calls_forwarded", NO_UNIT;
    /// Time from sending a call to the node that leads its shard to that node's answer.
    forwarded_duration: Histogram = durations(), "forwarded_call_duration", Some(Unit::Seconds);
    /// Calls tried again by the node that took them, by the reason.
    calls_retried: Family<ByRetryReason, Counter> = Family::default(), "calls_retried", NO_UNIT;
    /// Streams of updates fetched from other nodes now.
    streams_relayed: Gauge = Gauge::default(), "streams_relayed", NO_UNIT;
    /// Streams of class feeds fetched from other nodes now, one for each class and shard.
    feeds_relayed: Gauge = Gauge::default(), "feeds_relayed", NO_UNIT;
    /// Times a class feed lost updates because a shard's log did not reach back far enough.
    feed_gaps: Counter = Counter::default(), "feed_gaps", NO_UNIT;
    /// Objects in memory now.
    active_objects: Gauge = Gauge::default(), "active_objects", NO_UNIT;
    /// Objects loaded into memory.
    activations: Counter = Counter::default(), "activations", NO_UNIT;
    /// Objects that left memory because they were idle or room was needed.
    passivations: Counter = Counter::default(), "passivations", NO_UNIT;
    /// Alarms that ran and committed.
    alarms_fired: Counter = Counter::default(), "alarms_fired", NO_UNIT;
    /// Tries of alarms that failed.
    alarms_failed: Counter = Counter::default(), "alarms_failed", NO_UNIT;
    /// Alarms given up after the last try, kept for inspection.
    alarms_abandoned: Counter = Counter::default(), "alarms_abandoned", NO_UNIT;
    /// Sockets and event streams open now, by transport.
    sockets: Family<ByTransport, Gauge> = Family::default(), "sockets", NO_UNIT;
    /// Class feeds with a subscriber on this node now.
    feeds: Gauge = Gauge::default(), "feeds", NO_UNIT;
    /// Subscriptions standing now.
    subscribers: Gauge = Gauge::default(), "subscribers", NO_UNIT;
    /// Updates put into the queues of subscribers.
    updates_delivered: Counter = Counter::default(), "updates_delivered", NO_UNIT;
    /// Snapshots of the whole cluster saved by this node.
    snapshots_saved: Counter = Counter::default(), "snapshots_saved", NO_UNIT;
    /// Snapshots of the whole cluster that this node could not save.
    snapshots_failed: Counter = Counter::default(), "snapshots_failed", NO_UNIT;
    /// Calls of MCP tools, by what came of them.
    mcp_calls: Family<ByToolAndOutcome, Counter> = Family::default(), "mcp_tool_calls", NO_UNIT;
    /// Time that MCP tools took.
    mcp_call_duration: Family<ByTool, Histogram, fn() -> Histogram> = Family::new_with_constructor(durations), "mcp_tool_call_duration", Some(Unit::Seconds);
    /// MCP sessions begun on this node.
    mcp_sessions: Counter = Counter::default(), "mcp_sessions_begun", NO_UNIT;
    /// Subscribers closed because their queue was full (4508).
    slow_closes: Counter = Counter::default(), "slow_subscribers_closed", NO_UNIT;
}

impl Instruments {
    /// The gauge of open sockets that speak `transport`.
    #[must_use]
    pub fn sockets_of(&self, transport: Transport) -> Gauge {
        self.sockets.get_or_create_owned(&ByTransport { transport })
    }

    /// Counts a call that is tried again.
    pub fn retried_for(&self, reason: RetryReason) {
        self.calls_retried.get_or_create(&ByRetryReason { reason }).inc();
    }

    /// Counts a call of an MCP tool.
    pub fn tool_called(&self, tool: &str, outcome: &'static str, took: Duration) {
        let duration = self.mcp_call_duration.get_or_create_owned(&ByTool { tool: tool.to_owned() });
        duration.observe(took.as_secs_f64());
        self.mcp_calls.get_or_create(&ByToolAndOutcome { tool: tool.to_owned(), outcome }).inc();
    }

    /// Counts a call answered with an error.
    pub fn refused_with(&self, code: crate::error::Code) {
        self.refused.get_or_create(&ByCode { code: code.as_str() }).inc();
    }
}

/// Sums over all requests since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Requests answered.
    pub requests: u64,
    /// Those answered with a status of 500 or above.
    pub errors: u64,
    /// Time from the heads of all requests to those of their answers, in microseconds.
    pub micros: u64,
    /// Mean time from a request's head to its answer's head.
    pub mean_response: Duration,
}

impl Metrics {
    /// All instruments at zero, with names that begin with `stead_`.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("stead");
        let instruments = Instruments::register(&mut registry);
        // At zero from the start: a count that appears with its first event hides that event from a rate.
        for transport in [Transport::native, Transport::compatible, Transport::events] {
            drop(instruments.sockets_of(transport));
        }
        let reasons = [
            RetryReason::not_begun,
            RetryReason::lost,
            RetryReason::outcome_unknown,
            RetryReason::unavailable,
        ];
        for reason in reasons {
            drop(instruments.calls_retried.get_or_create_owned(&ByRetryReason { reason }));
        }
        Self {
            shared: Arc::new(Shared {
                instruments,
                registry: Mutex::new(registry),
                routes: RwLock::default(),
                requests: AtomicU64::new(0),
                request_errors: AtomicU64::new(0),
                request_micros: AtomicU64::new(0),
                offering: Offering::default(),
            }),
        }
    }

    /// Counts an answered request. `route` is the template that matched (`/v1/objects/{class}`), never
    /// the path; where none did, say `other`.
    pub fn request_answered(&self, route: &str, method: &str, status: u16, took: Duration) {
        let shared = &self.shared;
        shared.requests.fetch_add(1, Ordering::Relaxed);
        shared
            .request_micros
            .fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        if status >= 500 {
            shared.request_errors.fetch_add(1, Ordering::Relaxed);
        }
        let method = known_method(method);
        {
            let routes = shared.routes.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = routes.get(route)
                && let Some(count) = known.counts.get(&(method, status))
            {
                count.inc();
                known.duration.observe(took.as_secs_f64());
                return;
            }
        }
        self.first_of_its_kind(route, method, status, took);
    }

    fn first_of_its_kind(&self, route: &str, method: &'static str, status: u16, took: Duration) {
        let instruments = &self.shared.instruments;
        let mut routes = self.shared.routes.write().unwrap_or_else(PoisonError::into_inner);
        let route = if routes.contains_key(route) || routes.len() < ROUTES_MAX { route } else { "other" };
        let known = routes.entry(route.into()).or_insert_with(|| {
            let label: Arc<str> = route.into();
            let labels = RouteLabels { route: Arc::clone(&label) };
            let duration = instruments.http_duration.get_or_create_owned(&labels);
            Route { label, duration, counts: HashMap::new() }
        });
        let label = &known.label;
        let count = known.counts.entry((method, status)).or_insert_with(|| {
            let labels = RequestLabels { route: Arc::clone(label), method, status };
            instruments.http_requests.get_or_create_owned(&labels)
        });
        count.inc();
        known.duration.observe(took.as_secs_f64());
    }

    /// Says where to read what is offered to MCP clients; `read` must not block.
    pub fn show_offer(&self, read: impl Fn() -> Offer + Send + Sync + 'static) {
        self.shared.offering.set(read);
    }

    /// What is offered to MCP clients.
    #[must_use]
    pub fn offer(&self) -> Offer {
        self.shared.offering.read()
    }

    /// Sums over all requests.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let requests = self.shared.requests.load(Ordering::Relaxed);
        let micros = self.shared.request_micros.load(Ordering::Relaxed);
        Totals {
            requests,
            errors: self.shared.request_errors.load(Ordering::Relaxed),
            micros,
            mean_response: Duration::from_micros(micros.checked_div(requests).unwrap_or(0)),
        }
    }

    /// Shows as `stead_NAME` a value that someone else keeps and that may rise and fall; `read` is
    /// called when metrics are asked for, and must not block.
    pub fn show_gauge(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> i64 + Send + Sync + 'static,
    ) {
        self.show(name, help, Reading::Gauge(Box::new(read)));
    }

    /// Shows as `stead_NAME_total` a count that someone else keeps and that only rises.
    pub fn show_counter(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) {
        self.show(name, help, Reading::Counter(Box::new(read)));
    }

    /// Shows as `stead_NAME`, with labels, values that someone else keeps and that may rise and fall.
    pub fn show_rows(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> Vec<LabelledRow> + Send + Sync + 'static,
    ) {
        self.show(name, help, Reading::Rows(Box::new(read)));
    }

    /// Shows as `stead_NAME_total`, with labels, counts that someone else keeps and that only rise.
    pub fn show_counter_rows(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> Vec<LabelledRow> + Send + Sync + 'static,
    ) {
        self.show(name, help, Reading::CounterRows(Box::new(read)));
    }

    fn show(&self, name: &'static str, help: &'static str, reading: Reading) {
        let mut registry = self.shared.registry.lock().unwrap_or_else(PoisonError::into_inner);
        registry.register_collector(Box::new(Shown { name, help, reading }));
    }

    /// The text of `/metrics`, of the type [`Metrics::CONTENT_TYPE`].
    #[must_use]
    pub fn encode(&self) -> String {
        let registry = self.shared.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)
            .expect("writing to a string does not fail");
        text
    }

    /// The media type of [`Metrics::encode`].
    pub const CONTENT_TYPE: &'static str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for Metrics {
    type Target = Instruments;

    fn deref(&self) -> &Instruments {
        &self.shared.instruments
    }
}

/// The method as a label; clients may send any word.
fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("other")
}

/// A value that is read when it is shown.
struct Shown {
    name: &'static str,
    help: &'static str,
    reading: Reading,
}

/// A value, and the labels it stands under.
pub type LabelledRow = (Vec<(&'static str, String)>, i64);

enum Reading {
    Rows(Box<dyn Fn() -> Vec<LabelledRow> + Send + Sync>),
    CounterRows(Box<dyn Fn() -> Vec<LabelledRow> + Send + Sync>),
    Gauge(Box<dyn Fn() -> i64 + Send + Sync>),
    Counter(Box<dyn Fn() -> u64 + Send + Sync>),
}

impl fmt::Debug for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Shown").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Collector for Shown {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        match &self.reading {
            Reading::Rows(read) => {
                let mut family = encoder.encode_descriptor(self.name, self.help, None, MetricType::Gauge)?;
                for (labels, value) in read() {
                    let metric = family.encode_family(&labels)?;
                    ConstGauge::new(value).encode(metric)?;
                }
                Ok(())
            }
            Reading::CounterRows(read) => {
                let mut family =
                    encoder.encode_descriptor(self.name, self.help, None, MetricType::Counter)?;
                for (labels, value) in read() {
                    let metric = family.encode_family(&labels)?;
                    ConstCounter::new(u64::try_from(value).unwrap_or_default()).encode(metric)?;
                }
                Ok(())
            }
            Reading::Gauge(read) => {
                let value = ConstGauge::new(read());
                let metric = encoder.encode_descriptor(self.name, self.help, None, value.metric_type())?;
                value.encode(metric)
            }
            Reading::Counter(read) => {
                let value = ConstCounter::new(read());
                let metric = encoder.encode_descriptor(self.name, self.help, None, value.metric_type())?;
                value.encode(metric)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Metrics, ROUTES_MAX, RetryReason, Totals, Transport};

    #[test]
    fn what_is_counted_is_shown() {
        let metrics = Metrics::new();
        metrics.request_answered("/v1/objects/{class}", "GET", 200, Duration::from_micros(300));
        metrics.request_answered("/v1/objects/{class}", "GET", 200, Duration::from_micros(500));
        metrics.request_answered("/v1/objects/{class}", "BREW", 503, Duration::from_micros(400));
        metrics.clone().commits.inc();
        metrics.sockets_of(Transport::native).inc();
        metrics.refused_with(crate::error::Code::Overloaded);
        metrics.retried_for(RetryReason::not_begun);
        metrics.forwarded_duration.observe(0.003);
        metrics.show_gauge("shards_led", "Shards led here", || 12);
        metrics.show_counter("log_syncs", "Flushes of the log", || 7);
        metrics.show_rows("shard_term", "Terms", || vec![(vec![("shard", "3".to_owned())], 9)]);
        metrics
            .show_counter_rows("shard_elections", "Elections", || vec![(vec![("shard", "3".to_owned())], 4)]);
        let text = metrics.encode();
        for line in [
            "stead_http_requests_total{route=\"/v1/objects/{class}\",method=\"GET\",status=\"200\"} 2",
            "stead_http_requests_total{route=\"/v1/objects/{class}\",method=\"other\",status=\"503\"} 1",
            "stead_http_request_duration_seconds_count{route=\"/v1/objects/{class}\"} 3",
            "# HELP stead_commits Commits that are durable.",
            "stead_commits_total 1",
            "stead_sockets{transport=\"native\"} 1",
            "stead_calls_refused_total{code=\"overloaded\"} 1",
            "stead_calls_retried_total{reason=\"not_begun\"} 1",
            "stead_forwarded_call_duration_seconds_count 1",
            "stead_shards_led 12",
            "stead_shard_term{shard=\"3\"} 9",
            "stead_shard_elections_total{shard=\"3\"} 4",
            "stead_log_syncs_total 7",
            "# EOF",
        ] {
            assert!(text.lines().any(|have| have == line), "no `{line}` in\n{text}");
        }
        assert_eq!(
            metrics.totals(),
            Totals { requests: 3, errors: 1, micros: 1_200, mean_response: Duration::from_micros(400) }
        );
    }

    #[test]
    fn routes_are_bounded() {
        let metrics = Metrics::new();
        for number in 0..2 * ROUTES_MAX {
            metrics.request_answered(&format!("/{number}"), "GET", 200, Duration::ZERO);
        }
        let text = metrics.encode();
        let routes = text.lines().filter(|line| line.starts_with("stead_http_requests_total")).count();
        assert!(routes <= ROUTES_MAX + 1, "{routes}");
        assert!(text.contains("route=\"other\""));
    }
}
