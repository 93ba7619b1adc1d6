//! What a measurement says: a rate, latencies, and every error.

use serde_json::{Map, Value, json};

use super::super::output::pairs;
use super::client::Measured;
use super::{Bench, Operation};

/// The quantiles shown, with their names.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// What was measured, and how.
#[derive(Debug)]
pub(super) struct Report {
    operation: Operation,
    clients: u32,
    objects: u32,
    seconds: f64,
    measured: Measured,
}

impl Report {
    pub(super) fn new(bench: &Bench, measured: Measured) -> Self {
        Self {
            operation: bench.operation,
            clients: bench.clients,
            objects: bench.objects,
            seconds: bench.seconds.as_secs_f64(),
            measured,
        }
    }

    /// Requests answered with success inside the measured time.
    pub(super) fn counted(&self) -> u64 {
        self.measured.latency_us.len()
    }

    fn per_second(&self) -> f64 {
        self.counted() as f64 / self.seconds
    }

    fn operation(&self) -> &'static str {
        match self.operation {
            Operation::Increment => "increment",
            Operation::Read => "read",
            Operation::Put => "put",
        }
    }

    pub(super) fn to_json(&self) -> Value {
        let latency = &self.measured.latency_us;
        let mut latency_us = Map::new();
        for (name, quantile) in QUANTILES {
            latency_us.insert(name.to_owned(), latency.value_at_quantile(quantile).into());
        }
        latency_us.insert("max".to_owned(), latency.max().into());
        latency_us.insert("mean".to_owned(), ((latency.mean() * 10.0).round() / 10.0).into());
        json!({
            "operation": self.operation(),
            "clients": self.clients,
            "objects": self.objects,
            "seconds": self.seconds,
            "requests": self.counted(),
            "per_second": (self.per_second() * 10.0).round() / 10.0,
            "latency_us": latency_us,
            "errors": self.measured.errors,
        })
    }

    pub(super) fn to_text(&self) -> String {
        let latency = &self.measured.latency_us;
        let shown = |us: u64| format!("{:.3} ms", us as f64 / 1_000.0);
        let mut lines = vec![
            ("requests", format!("{} in {} s", self.counted(), self.seconds)),
            ("per second", format!("{:.0}", self.per_second())),
        ];
        lines.extend(QUANTILES.map(|(name, quantile)| (name, shown(latency.value_at_quantile(quantile)))));
        lines.push(("max", shown(latency.max())));
        let errors: Vec<_> =
            self.measured.errors.iter().map(|(what, count)| format!("{count} × {what}")).collect();
        lines.push(("errors", if errors.is_empty() { "none".to_owned() } else { errors.join(", ") }));
        let head = format!("{}: {} clients, {} objects", self.operation(), self.clients, self.objects);
        format!("{head}\n\n{}", pairs(lines))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Operation;
    use super::super::client::Measured;
    use super::Report;

    #[test]
    fn a_report_has_rate_latencies_and_errors() {
        let mut measured = Measured::new();
        for us in 1..=1_000 {
            measured.latency_us.saturating_record(us);
        }
        measured.errors.insert("503".to_owned(), 7);
        measured.errors.insert("broken".to_owned(), 1);
        let report =
            Report { operation: Operation::Increment, clients: 64, objects: 10, seconds: 2.0, measured };
        expect_test::expect![[r"
            increment: 64 clients, 10 objects

            requests    1000 in 2 s
            per second  500
            p50         0.500 ms
            p90         0.900 ms
            p99         0.990 ms
            p99.9       0.999 ms
            max         1.000 ms
            errors      7 × 503, 1 × broken"]]
        .assert_eq(&report.to_text());
        let json = report.to_json();
        assert_eq!(json["latency_us"]["p99.9"], 999);
        assert_eq!(json["errors"]["503"], 7);
        assert_eq!(json["per_second"], 500.0);
    }
}
