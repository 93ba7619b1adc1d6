//! The class `metrics-day`: what the nodes counted in each minute of a day.
//!
//! An object a day, named `2026-11-28` (UTC), and a key a sample: the time at which it ended, in milliseconds with
//! leading zeros, and its node. So keys are in the order of time, and two nodes never write the same one.

use serde_json::{Value as Json, json};

use crate::limits::METRICS_DAY_SAMPLES_MAX;
use crate::object::{Page, Refusal, Turn};

use super::{Access, Class, Parameters};

/// Samples of a day. Only the server's own modules reach it.
#[derive(Debug, Clone, Copy, Default)]
pub struct MetricsDay;

/// What was counted over a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Sample {
    /// How long was counted, in milliseconds.
    pub ms: u64,
    /// Requests answered.
    pub requests: u64,
    /// Those of them that failed on the server's side.
    pub errors: u64,
    /// Time that answering took, in microseconds.
    pub micros: u64,
}

impl Sample {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            ms: self.ms.saturating_add(other.ms),
            requests: self.requests.saturating_add(other.requests),
            errors: self.errors.saturating_add(other.errors),
            micros: self.micros.saturating_add(other.micros),
        }
    }
}

/// Samples added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Sum {
    /// Everything that was counted; `ms` counts each node's time.
    pub counted: Sample,
    /// Milliseconds in which at least one node counted.
    pub up_ms: u64,
}

impl Class for MetricsDay {
    fn access(&self) -> Access {
        Access::Internal
    }

    fn call(&self, turn: &mut Turn<'_>, method: &str, parameters: Parameters) -> Result<Json, Refusal> {
        if method != "record" {
            return Err(Refusal::MethodNotFound { method: method.to_owned() });
        }
        let at_ms = number(&parameters, "at_ms")?;
        let node = number(&parameters, "node")?;
        let sample: Sample = parameters
            .get("sample")
            .and_then(|sample| serde_json::from_value(sample.clone()).ok())
            .ok_or_else(|| Refusal::invalid("sample has the numbers ms, requests, errors and micros"))?;
        turn.put(&format!("{at_ms:015}/{node}"), &sample)?;
        Ok(json!({}))
    }

    fn ask(&self, turn: &mut Turn<'_>, question: &str, parameters: &Parameters) -> Result<Json, Refusal> {
        if question != "sum" {
            return Err(Refusal::MethodNotFound { method: question.to_owned() });
        }
        let sum = sum(turn, number(parameters, "from_ms")?, number(parameters, "to_ms")?)?;
        Ok(json!(sum))
    }
}

/// What ended after `from_ms` and up to `to_ms`, added up.
fn sum(turn: &mut Turn<'_>, from_ms: u64, to_ms: u64) -> Result<Sum, Refusal> {
    const PAGE: Page = Page { entries: 1_024, bytes: 1024 * 1024 };
    let (mut sum, mut covered_to_ms) = (Sum::default(), from_ms);
    let mut after = format!("{from_ms:015}/\u{10ffff}");
    for _ in 0..METRICS_DAY_SAMPLES_MAX / PAGE.entries {
        let page = turn.list("", Some(&after), PAGE)?;
        let Some((last, _)) = page.last() else { return Ok(sum) };
        last.as_str().clone_into(&mut after);
        for (key, value) in &page {
            let ended = key.as_str().split('/').next().and_then(|digits| digits.parse::<u64>().ok());
            let (Some(ended), Ok(sample)) = (ended, value.parse::<Sample>()) else { continue };
            if ended > to_ms {
                return Ok(sum);
            }
            sum.counted = sum.counted.plus(sample);
            // In the order of their ends, so what is covered grows at its end only.
            let began = ended.saturating_sub(sample.ms).max(covered_to_ms);
            sum.up_ms += ended.saturating_sub(began);
            covered_to_ms = covered_to_ms.max(ended);
        }
    }
    Ok(sum)
}

fn number(parameters: &Parameters, name: &str) -> Result<u64, Refusal> {
    let number = parameters.get(name).and_then(Json::as_u64);
    number.ok_or_else(|| Refusal::invalid(format!("{name} is a whole number")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::Rehearsal;

    /// Samples as `(ended, node, ms)`, each with one request; what a period of them comes to.
    fn check(samples: &[(u64, u64, u64)], period: (u64, u64), expected: (u64, u64)) {
        let mut day = Rehearsal::new(MetricsDay);
        for (at_ms, node, ms) in samples {
            let sample = json!({"ms": ms, "requests": 1, "errors": 0, "micros": 5});
            day.call("record", json!({"at_ms": at_ms, "node": node, "sample": sample})).unwrap();
        }
        let asked = day.ask("sum", json!({"from_ms": period.0, "to_ms": period.1})).unwrap();
        let sum: Sum = serde_json::from_value(asked).unwrap();
        assert_eq!((sum.counted.requests, sum.up_ms), expected, "{samples:?} in {period:?}");
        assert_eq!(sum.counted.micros, 5 * expected.0);
    }

    #[test]
    fn samples_add_up_and_time_counts_once() {
        check(&[], (0, 1_000), (0, 0));
        check(&[(60, 1, 60), (120, 1, 60)], (0, 1_000), (2, 120));
        // Two nodes at the same time, one of them a little later.
        check(&[(60, 1, 60), (60, 2, 60)], (0, 1_000), (2, 60));
        check(&[(60, 1, 60), (90, 2, 60)], (0, 1_000), (2, 90));
        // A gap between them.
        check(&[(60, 1, 60), (180, 1, 60)], (0, 1_000), (2, 120));
        // Out of the period; the beginning of one lies before it.
        check(&[(60, 1, 60), (120, 1, 60), (180, 1, 60)], (60, 120), (1, 60));
        check(&[(120, 1, 60)], (90, 120), (1, 30));
    }

    #[test]
    fn a_day_takes_samples_only() {
        let mut day = Rehearsal::new(MetricsDay);
        assert!(matches!(day.call("record", json!({"at_ms": 1})), Err(Refusal::InvalidParameters { .. })));
        assert!(matches!(
            day.call("record", json!({"at_ms": 1, "node": 1, "sample": {"ms": 1}})),
            Err(Refusal::InvalidParameters { .. })
        ));
        assert!(matches!(day.call("other", json!({})), Err(Refusal::MethodNotFound { .. })));
    }
}
