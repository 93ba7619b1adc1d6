//! What the server says about itself: log lines and metrics.
//!
//! Every line that belongs to a request carries its id, for the request runs
//! [during](RequestNames::during) its names. [`Metrics`] holds the server's own instruments; what other parts count for
//! themselves (consensus, RocksDB) is read when `/metrics` is asked, through closures that
//! `server` registers.

mod counted;
mod lines;
mod metrics;
mod offer;

use tracing::Subscriber;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{JsonFields, format};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{fmt, registry};

use crate::config::{Log, LogFormat};
use lines::{JsonLines, TextLines};

pub use counted::Counted;
pub use lines::RequestNames;
pub use metrics::{Instruments, LabelledRow, Metrics, RetryReason, Totals, Transport};
pub use offer::Offer;

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter's directives do not parse.
    #[error("log.filter is `{filter}`: {source}; give a level, or directives like info,stead=debug")]
    Filter {
        /// The filter as configured.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The process has a subscriber already.
    #[error("the log is already set up: {0}")]
    Installed(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// Sends the process's log lines to standard error. Called once, in `main`.
///
/// # Errors
///
/// Where the filter does not parse, or a subscriber is already installed.
pub fn install(log: &Log) -> Result<(), Error> {
    tracing::subscriber::set_global_default(subscriber(log, std::io::stderr)?)?;
    Ok(())
}

/// A subscriber that writes to `writer`.
fn subscriber<W>(log: &Log, writer: W) -> Result<Box<dyn Subscriber + Send + Sync>, Error>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    // Targets and levels only: a filter that also looks at spans costs at every step of every request.
    let targets: Targets =
        log.filter.parse().map_err(|source| Error::Filter { filter: log.filter.clone(), source })?;
    let lines = fmt::layer().with_writer(writer).with_ansi(false);
    Ok(match log.format {
        LogFormat::Text => Box::new(registry().with(lines.event_format(TextLines)).with(targets)),
        LogFormat::Json => {
            let line = format().json().flatten_event(true).with_current_span(true).with_span_list(false);
            let lines = lines.event_format(JsonLines(line)).fmt_fields(JsonFields::new());
            Box::new(registry().with(lines).with(targets))
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use futures_util::FutureExt;

    use super::{RequestNames, subscriber};
    use crate::config::{Log, LogFormat};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no test panics while writing").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str, traceparent: Option<&str>) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = Log { format, filter: filter.into() };
        let subscriber = subscriber(&log, move || writer.clone()).expect("the filter parses");
        tracing::subscriber::with_default(subscriber, || {
            let within = async { tracing::warn!(class = "counter", "it is full") };
            let names = RequestNames::new("r-1".into(), traceparent.map(Into::into));
            names.during(within).now_or_never().expect("it waits for nothing");
            tracing::warn!("outside");
        });
        let bytes = lines.0.lock().expect("no test panics while writing").clone();
        String::from_utf8(bytes).expect("lines are text")
    }

    #[test]
    fn each_line_of_a_request_has_its_id() {
        for filter in ["warn", "trace", "stead=warn"] {
            let text = logged(LogFormat::Text, filter, None);
            let (inside, outside) = text.split_once('\n').expect("two lines");
            let expected =
                "Z  WARN request{request_id=\"r-1\"}: stead::telemetry::tests: it is full class=\"counter\"";
            assert!(inside.ends_with(expected), "{inside}");
            assert!(!outside.contains("r-1"), "{outside}");
        }
    }

    #[test]
    fn json_lines_are_json() {
        let text = logged(LogFormat::Json, "info", Some("00-a-b-01"));
        let mut lines =
            text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
        let (line, outside) = (lines.next().expect("a line"), lines.next().expect("another"));
        assert_eq!((&line["request_id"], &line["traceparent"]), (&"r-1".into(), &"00-a-b-01".into()));
        assert_eq!(
            (&line["gateway"], &outside["request_id"]),
            (&serde_json::Value::Null, &serde_json::Value::Null)
        );
        assert_eq!(line["message"], "it is full");
        assert_eq!(line["class"], "counter");
        assert_eq!(line["level"], "WARN");
    }

    #[test]
    fn a_filter_that_does_not_parse_is_an_error() {
        let log = Log { format: LogFormat::Text, filter: "stead=loud".into() };
        let Err(problem) = subscriber(&log, std::io::sink) else { panic!("`loud` is no level") };
        assert!(problem.to_string().starts_with("log.filter is `stead=loud`"), "{problem}");
    }
}
