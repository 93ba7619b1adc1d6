//! What the server measures of itself: now, from its counts, and over days, from samples that every node writes.
//!
//! A sample is what a node counted since its last one; where it could not be written, the next one has it too. An
//! object of class `metrics-day` holds a day of them; those of days long past are deleted by whoever comes first.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{ToSpan as _, Zoned};
use parking_lot::Mutex;
use serde_json::{Value as Json, json};

use super::Inner;
use super::objects::{Class, With, fields, own_caller, step};
use super::report::Between;
use crate::caller::Caller;
use crate::class::metrics_day::{Sample, Sum};
use crate::error::{Code, Error};
use crate::limits;
use crate::object::Timestamp;
use crate::telemetry::Totals;

/// Over how long requests are counted for their number a minute.
const RATE_OVER: Duration = Duration::from_mins(1);
/// How often the counts are looked at for it.
pub(super) const RATE_LOOK_EVERY: Duration = Duration::from_secs(5);
/// Days of samples asked for at once.
const DAYS_AT_ONCE: usize = 8;

/// How many requests there were a little while ago.
pub(super) struct Rate {
    started: Instant,
    seen: Mutex<VecDeque<(Instant, u64)>>,
}

impl Rate {
    pub(super) fn new(now: Instant) -> Self {
        Self { started: now, seen: Mutex::new(VecDeque::from([(now, 0)])) }
    }

    /// Takes note of the count, and forgets what is too old to be of use.
    pub(super) fn look(&self, now: Instant, requests: u64) {
        let mut seen = self.seen.lock();
        while seen.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= RATE_OVER) {
            seen.pop_front();
        }
        seen.push_back((now, requests));
    }

    /// Requests a minute, over the last one or as long as there is.
    fn a_minute(&self, now: Instant, requests: u64) -> Option<f64> {
        let (at, before) = self.seen.lock().front().copied()?;
        let minutes = now.duration_since(at).as_secs_f64() / 60.0;
        (minutes > 0.0).then(|| requests.saturating_sub(before) as f64 / minutes)
    }
}

impl Inner {
    /// The server's own figures of now.
    pub(super) fn system_now(&self) -> Json {
        let (now, totals) = (Instant::now(), self.metrics.totals());
        json!({
            "uptime": now.duration_since(self.rate.started).as_secs_f64(),
            "responseTime": mean_ms(totals.requests, totals.micros),
            "errorRate": part(totals.errors, totals.requests),
            "requestsPerMinute": self.rate.a_minute(now, totals.requests),
        })
    }

    /// The server's own figures of a period, from the samples of all nodes.
    pub(super) async fn system_of(&self, caller: &Caller, between: Between) -> Result<Json, Error> {
        let now = Timestamp(self.clock.now_ms());
        let kept_from = day_of(now).saturating_sub(i64::from(limits::METRICS_KEPT_DAYS).days());
        let end = between.end.unwrap_or(now).min(now);
        let start = between.start.unwrap_or_default();
        let (mut day, last) = (day_of(start).max(kept_from), day_of(end));
        let mut days = Vec::new();
        while day <= last {
            days.push(day);
            let Ok(tomorrow) = day.tomorrow() else { break };
            day = tomorrow;
        }
        let params = fields(json!({ "from_ms": start.0, "to_ms": end.0 }));
        let sums: Vec<Sum> = stream::iter(days)
            .map(|day| {
                let params = params.clone();
                async move {
                    let asked = (Class::Metrics, day.to_string());
                    match self.objects.ask(&step(caller), (asked.0, &asked.1), "sum", params).await {
                        Ok((sum, _)) => serde_json::from_value(sum).map_err(|error| {
                            Error::new(
                                Code::Internal,
                                format!("the samples of {day} cannot be read: {error}"),
                            )
                        }),
                        Err(error) if error.code == Code::ObjectNotFound => Ok(Sum::default()),
                        Err(error) => Err(error),
                    }
                }
            })
            .buffered(DAYS_AT_ONCE)
            .try_collect()
            .await?;
        let sum = sums.into_iter().fold(Sum::default(), |all, sum| Sum {
            counted: all.counted.plus(sum.counted),
            up_ms: all.up_ms + sum.up_ms,
        });
        let counted = sum.counted;
        let minutes = sum.up_ms as f64 / 60_000.0;
        let is_measured = sum.up_ms > 0;
        Ok(json!({
            "uptime": is_measured.then(|| sum.up_ms as f64 / 1_000.0),
            "responseTime": mean_ms(counted.requests, counted.micros),
            "errorRate": part(counted.errors, counted.requests),
            "requestsPerMinute": is_measured.then(|| counted.requests as f64 / minutes),
        }))
    }

    /// Writes a sample an interval, and removes old days, until the server stops.
    pub(super) async fn sample(&self) {
        let mut last = (Instant::now(), Totals::default());
        let mut cleared_on = None;
        let mut ticks = tokio::time::interval(self.sample_every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let (now, totals, at) = (Instant::now(), self.metrics.totals(), Timestamp(self.clock.now_ms()));
            let sample = Sample {
                ms: u64::try_from(now.duration_since(last.0).as_millis()).unwrap_or(u64::MAX),
                requests: totals.requests.saturating_sub(last.1.requests),
                errors: totals.errors.saturating_sub(last.1.errors),
                micros: totals.micros.saturating_sub(last.1.micros),
            };
            let day = day_of(at);
            let call = ("record", fields(json!({ "at_ms": at.0, "node": self.node, "sample": sample })));
            let caller = own_caller("metrics");
            let name = day.to_string();
            match self.objects.call(&caller, (Class::Metrics, &name), call, With::default()).await {
                Ok(_) => last = (now, totals),
                // What may have been written is counted twice rather than not at all, which a period hides.
                Err(error) => tracing::debug!(%error, "a metrics sample waits for the next one"),
            }
            if cleared_on != Some(day) && self.clear_samples(day).await.is_ok() {
                cleared_on = Some(day);
            }
        }
    }

    /// Deletes days that are kept no longer.
    async fn clear_samples(&self, today: Date) -> Result<(), Error> {
        let oldest = today.saturating_sub(i64::from(limits::METRICS_KEPT_DAYS).days());
        let caller = own_caller("metrics");
        let page = self.objects.list(&caller, Class::Metrics, (limits::PAGE_MAX, None)).await?;
        for row in page.objects {
            if row.name.parse::<Date>().is_ok_and(|day| day < oldest) {
                self.objects.delete(&caller, Class::Metrics, &row.name).await?;
            }
        }
        Ok(())
    }
}

fn mean_ms(requests: u64, micros: u64) -> Option<f64> {
    (requests > 0).then(|| micros as f64 / 1_000.0 / requests as f64)
}

fn part(errors: u64, requests: u64) -> Option<f64> {
    (requests > 0).then(|| errors as f64 / requests as f64)
}

fn day_of(at: Timestamp) -> Date {
    let ms = i64::try_from(at.0).unwrap_or(i64::MAX);
    let moment = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
    Zoned::new(moment, TimeZone::UTC).date()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_a_minute_are_those_of_the_last_one() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let rate = Rate::new(start);
        let check = |seconds: u64, requests: u64, expected: f64| {
            let found = rate.a_minute(at(seconds), requests).expect("time has passed");
            assert!((found - expected).abs() < 1e-9, "after {seconds} s and {requests}: {found}");
        };
        assert_eq!(rate.a_minute(start, 0), None);
        check(30, 10, 20.0);
        for step in 1..=40_u64 {
            rate.look(at(step * 5), step * 5);
        }
        // A request a second, and then silence.
        check(200, 200, 60.0);
        check(230, 200, 60.0 * 60.0 / 90.0);
        rate.look(at(260), 200);
        check(260, 200, 0.0);
    }

    #[test]
    fn a_day_is_one_of_utc() {
        let at = |text| day_of(Timestamp::parse(text).unwrap()).to_string();
        assert_eq!(at("2026-11-28T23:59:59.999Z"), "2026-11-28");
        assert_eq!(at("2026-11-29T00:59:00+01:00"), "2026-11-28");
        assert_eq!(day_of(Timestamp(0)).to_string(), "1970-01-01");
    }
}
