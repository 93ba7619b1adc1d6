//! Which request a line of the log belongs to, and how lines look.
//!
//! A request's names are kept beside its task, and looked at when a line is written: most requests write none,
//! and pay for none.

use std::fmt;
use std::sync::Arc;

use serde_json::json;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Format, Json, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::caller::Caller;

tokio::task_local! {
    static REQUEST: RequestNames;
}

/// What names a request in the lines that are written while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestNames {
    id: Arc<str>,
    traceparent: Option<Arc<str>>,
    /// The node it came to, if that is another one.
    gateway: Option<u64>,
}

impl RequestNames {
    /// A request that came to this node.
    #[must_use]
    pub fn new(id: Arc<str>, traceparent: Option<Arc<str>>) -> Self {
        Self { id, traceparent, gateway: None }
    }

    /// A request that another node forwarded: the same id as there, and which node that is.
    #[must_use]
    pub fn forwarded(caller: &Caller, gateway: u64) -> Self {
        let (id, traceparent) = (caller.request_id.clone(), caller.traceparent.clone());
        Self { id, traceparent, gateway: Some(gateway) }
    }

    /// Does the work of the request: each line written in there says whose it is.
    pub async fn during<T>(self, work: impl Future<Output = T>) -> T {
        REQUEST.scope(self, work).await
    }

    /// The names of the request that this task works for.
    fn of_this_task() -> Option<Self> {
        REQUEST.try_with(Clone::clone).ok()
    }

    fn fields(&self) -> impl Iterator<Item = (&'static str, serde_json::Value)> {
        let id = Some(("request_id", json!(*self.id)));
        let traceparent = self.traceparent.as_ref().map(|traceparent| ("traceparent", json!(**traceparent)));
        let gateway = self.gateway.map(|gateway| ("gateway", json!(gateway)));
        [id, traceparent, gateway].into_iter().flatten()
    }
}

impl fmt::Display for RequestNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("request{")?;
        for (number, (name, value)) in self.fields().enumerate() {
            write!(f, "{}{name}={value}", if number == 0 { "" } else { " " })?;
        }
        f.write_str("}")
    }
}

/// Lines for people: time, level, the request, the spans of libraries, where it is from, what is said.
pub(super) struct TextLines;

impl<S, N> FormatEvent<S, N> for TextLines
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        line: &FmtContext<'_, S, N>,
        mut to: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        SystemTime.format_time(&mut to)?;
        write!(to, " {:>5} ", event.metadata().level())?;
        if let Some(request) = RequestNames::of_this_task() {
            write!(to, "{request}: ")?;
        }
        for span in line.event_scope().into_iter().flat_map(tracing_subscriber::registry::Scope::from_root) {
            to.write_str(span.name())?;
            if let Some(fields) =
                span.extensions().get::<FormattedFields<N>>().filter(|fields| !fields.is_empty())
            {
                write!(to, "{{{fields}}}")?;
            }
            to.write_str(": ")?;
        }
        write!(to, "{}: ", event.metadata().target())?;
        line.format_fields(to.by_ref(), event)?;
        writeln!(to)
    }
}

/// Lines for machines: a JSON object each; what names the request are fields of it.
pub(super) struct JsonLines(pub(super) Format<Json>);

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        line: &FmtContext<'_, S, N>,
        mut to: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(request) = RequestNames::of_this_task() else {
            return self.0.format_event(line, to, event);
        };
        let mut text = String::new();
        self.0.format_event(line, Writer::new(&mut text), event)?;
        let fields = text.trim_end().strip_suffix('}').ok_or(fmt::Error)?;
        to.write_str(fields)?;
        for (name, value) in request.fields() {
            write!(to, ",\"{name}\":{value}")?;
        }
        to.write_str("}\n")
    }
}
