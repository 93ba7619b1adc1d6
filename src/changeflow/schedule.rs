//! Scheduling: a place on the calendar first, then the change, and the place given back if the change says no.
//!
//! A day is an object that counts what overlaps on it. Nothing is atomic across the two, and whatever stops in
//! between leaves a reservation too many, never one too few. A day that looks full is therefore looked at again: the
//! changes that hold it are read, and those not scheduled there let go, once nobody can be about to schedule them.
//!
//! A reservation is named by its change, its schedule and when it was made: two who schedule one change at once hold two
//! places, and each gives back their own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use rand::RngExt as _;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::create::suffix;
use super::objects::{Class, Fields, With, fields, nothing, refused, text};
use super::policy::Current;
use super::{CallOptions, Inner, Refused};
use crate::caller::Caller;
use crate::class::change_request::Policy;
use crate::class::change_request::calendar::{self, Next, Wanted};
use crate::class::change_request::moment::Span;
use crate::error::{Code, Error};
use crate::limits;
use crate::object::Timestamp;

/// What stands on a calendar day.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reservation {
    /// What it goes by: a [`Holder`] as text.
    change_id: String,
    #[serde(flatten)]
    span: Span,
}

/// Whose a reservation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Holder<'text> {
    change: &'text str,
    schedule: &'text str,
    at: Timestamp,
}

impl<'text> Holder<'text> {
    fn parse(text: &'text str) -> Option<Self> {
        let (rest, at) = text.rsplit_once('/')?;
        let (change, schedule) = rest.rsplit_once('/')?;
        Some(Self { change, schedule, at: Timestamp(at.parse().ok()?) })
    }
}

impl std::fmt::Display for Holder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.change, self.schedule, self.at.0)
    }
}

/// What scheduling needs to know of a change.
struct Seen {
    is_emergency: bool,
    status: String,
    /// Approvals that count for a window.
    approvals: u32,
    schedule_id: Option<String>,
}

/// What came of asking a day for a place.
enum Asked {
    /// It is held; these overlap with it.
    Held(Vec<Json>),
    /// As many overlap as may.
    Full,
}

impl Inner {
    /// `schedule_change`.
    pub(super) async fn schedule(
        self: &Arc<Self>,
        caller: &Caller,
        id: &str,
        arguments: Fields,
        options: &CallOptions,
    ) -> Result<Json, Refused> {
        // Whoever clears a full day counts on nobody being longer about it.
        let caller = &caller.until(caller.deadline.min(Instant::now() + self.reservation_settles));
        let wanted = span_of(&arguments)?;
        let current = self.policy(caller).await?;
        let seen = self.seen(caller, id).await?;
        let justification = arguments.get("justification").and_then(Json::as_str).unwrap_or_default();
        let is_justified = seen.is_emergency && !justification.trim().is_empty();
        let mut context = self.context(caller).await?;
        if is_justified || seen.status != "approved" || wanted.end <= Timestamp(self.clock.now_ms()) {
            // It takes no place, or will be refused, or was done before under the same key: its turn says which.
            return self.schedule_in(caller, id, arguments, context, options).await;
        }
        if calendar::fits(&current.policy, wanted, seen.approvals).is_err() {
            let answer = self.schedule_in(caller, id, arguments, context, options).await;
            return match answer {
                Err(Refused::Refusal { body, .. }) => {
                    let error = text(&body, "error").unwrap_or_default().to_owned();
                    Err(self.with_next(caller, error, &current, (wanted, seen.approvals)).await)
                }
                other => other,
            };
        }
        let schedule_id = format!("SCHED-{}", suffix(|| rand::rng().random_range(0..usize::MAX)));
        let at = Timestamp(self.clock.now_ms());
        let holder = Holder { change: id, schedule: &schedule_id, at }.to_string();
        let day = calendar::day(&current.policy, wanted.start);
        let others = match self.reserve(caller, &holder, (&day, wanted), &current.policy).await? {
            Asked::Held(others) => others,
            Asked::Full => {
                let error = format!(
                    "The schedule from {} to {} is refused: {} changes overlap there already, and no more may",
                    wanted.start, wanted.end, current.policy.max_overlapping
                );
                return Err(self.with_next(caller, error, &current, (wanted, seen.approvals)).await);
            }
        };
        context.insert("conflicts".to_owned(), Json::Array(others));
        context.insert("scheduleId".to_owned(), json!(schedule_id));
        let answer = self.schedule_in(caller, id, arguments, context, options).await;
        let is_held_in_vain = match &answer {
            Ok(result) => text(result, "scheduleId") != Some(&*schedule_id),
            Err(Refused::Refusal { .. }) => true,
            // Whether it was moved is not known, and one too many does no harm.
            Err(Refused::Failed(_)) => false,
        };
        if is_held_in_vain && let Err(error) = self.let_go(caller, &holder, &day).await {
            tracing::warn!(change = id, %error, "a reservation is left on the calendar");
        }
        answer
    }

    /// The change's own turn.
    async fn schedule_in(
        self: &Arc<Self>,
        caller: &Caller,
        id: &str,
        arguments: Fields,
        context: Fields,
        options: &CallOptions,
    ) -> Result<Json, Refused> {
        let with = With { context, key: options.idempotency_key.clone(), ..With::default() };
        let moved = self.objects.call(caller, (Class::Request, id), ("schedule", arguments), with).await;
        moved.map(|(result, _)| result).map_err(|error| refused(id, error))
    }

    /// Gives back the place that a change had: what its turn says is free again.
    pub(super) async fn release(&self, caller: &Caller, id: &str, released: &Json) -> Result<(), Error> {
        // A justified emergency held none.
        let (Some(day), Some(schedule)) = (text(released, "day"), text(released, "scheduleId")) else {
            return Ok(());
        };
        for held in self.reservations(caller, day).await? {
            let holder = Holder::parse(&held.change_id);
            if holder.is_some_and(|holder| holder.change == id && holder.schedule == schedule) {
                self.let_go(caller, &held.change_id, day).await?;
            }
        }
        Ok(())
    }

    async fn seen(&self, caller: &Caller, id: &str) -> Result<Seen, Refused> {
        let status = self.status(caller, id).await?;
        let received = status.get("approvalsReceived").and_then(Json::as_u64).unwrap_or_default();
        // An override stands for as many as it takes.
        let is_overridden = status.get("override").is_some_and(|stands| !stands.is_null());
        let approvals = if is_overridden { u32::MAX } else { u32::try_from(received).unwrap_or(u32::MAX) };
        Ok(Seen {
            is_emergency: text(&status, "type") == Some("emergency"),
            status: text(&status, "status").unwrap_or_default().to_owned(),
            approvals,
            schedule_id: status
                .get("schedule")
                .and_then(|schedule| text(schedule, "scheduleId"))
                .map(str::to_owned),
        })
    }

    /// Holds a place on a day. One that looks full is cleared of what does not belong there, and asked once more.
    async fn reserve(
        &self,
        caller: &Caller,
        holder: &str,
        (day, wanted): (&str, Span),
        policy: &Policy,
    ) -> Result<Asked, Error> {
        let params = fields(json!({
            "changeId": holder,
            "start": wanted.start,
            "end": wanted.end,
            "max": policy.max_overlapping,
        }));
        let mut is_cleared = false;
        loop {
            let call = ("reserve", params.clone());
            match self.objects.call(caller, (Class::Calendar, day), call, With::default()).await {
                Ok((held, _)) => {
                    let others: Vec<Reservation> = held
                        .get("conflicts")
                        .and_then(|others| Deserialize::deserialize(others).ok())
                        .unwrap_or_default();
                    return Ok(Asked::Held(others.iter().filter_map(conflict).collect()));
                }
                Err(error) if error.code == Code::Conflict => {
                    if is_cleared || !self.clear(caller, day).await? {
                        return Ok(Asked::Full);
                    }
                    is_cleared = true;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Lets go of reservations whose changes are not scheduled there. Whether there were any.
    async fn clear(&self, caller: &Caller, day: &str) -> Result<bool, Error> {
        let let_go: Vec<bool> = stream::iter(self.reservations(caller, day).await?)
            .map(|held| async move {
                if self.stands(caller, &held).await? {
                    return Ok::<_, Error>(false);
                }
                self.let_go(caller, &held.change_id, day).await?;
                Ok(true)
            })
            .buffered(limits::CHANGES_ASKED_AT_ONCE)
            .try_collect()
            .await?;
        Ok(let_go.contains(&true))
    }

    /// Whether the change of a reservation is scheduled by it, or may be about to be.
    async fn stands(&self, caller: &Caller, held: &Reservation) -> Result<bool, Error> {
        let Some(holder) = Holder::parse(&held.change_id) else { return Ok(false) };
        let age_ms = u128::from(Timestamp(self.clock.now_ms()).since_ms(holder.at));
        // Twice, for the clocks of two nodes are never quite the same.
        if age_ms < 2 * self.reservation_settles.as_millis() {
            return Ok(true);
        }
        match self.seen(caller, holder.change).await {
            Ok(seen) => Ok(matches!(seen.status.as_str(), "scheduled" | "implementing")
                && seen.schedule_id.as_deref() == Some(holder.schedule)),
            Err(Refused::Refusal { .. }) => Ok(false),
            Err(Refused::Failed(error)) => Err(error),
        }
    }

    async fn let_go(&self, caller: &Caller, holder: &str, day: &str) -> Result<(), Error> {
        let call = ("release", fields(json!({ "changeId": holder })));
        self.objects.call(caller, (Class::Calendar, day), call, With::default()).await.map(|_| ())
    }

    async fn reservations(&self, caller: &Caller, day: &str) -> Result<Vec<Reservation>, Error> {
        match self.objects.ask(caller, (Class::Calendar, day), "reservations", nothing()).await {
            Ok((answer, _)) => {
                let held = answer.get("reservations").cloned().unwrap_or_else(|| json!([]));
                serde_json::from_value(held).map_err(|error| {
                    Error::new(Code::Internal, format!("the calendar of {day} cannot be read: {error}"))
                })
            }
            // Nothing was ever put there.
            Err(error) if error.code == Code::ObjectNotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// A refusal that says what would fit.
    async fn with_next(
        self: &Arc<Self>,
        caller: &Caller,
        error: String,
        current: &Current,
        (wanted, approvals): (Span, u32),
    ) -> Refused {
        let next = match self.next_window(caller, &current.policy, (wanted, approvals)).await {
            Ok(next) => next,
            Err(error) => return Refused::Failed(error),
        };
        let next = next.map_or(Json::Null, |span| json!({ "start": span.start, "end": span.end }));
        let body = json!({ "success": false, "error": error, "nextWindow": next });
        Refused::Refusal { body, code: Code::InvalidParameters }
    }

    async fn next_window(
        self: &Arc<Self>,
        caller: &Caller,
        policy: &Policy,
        (wanted, approvals): (Span, u32),
    ) -> Result<Option<Span>, Error> {
        let after = wanted.start.max(Timestamp(self.clock.now_ms()));
        let wanted = Wanted { after, length_ms: wanted.length_ms(), approvals };
        let mut booked = BTreeMap::new();
        loop {
            match calendar::next_window(policy, wanted, &booked) {
                Next::Window(span) => return Ok(Some(span)),
                Next::Nothing => return Ok(None),
                Next::Unknown { day } => {
                    let held = self.reservations(caller, &day).await?;
                    booked.insert(day, held.iter().map(|held| held.span).collect());
                }
            }
        }
    }
}

/// The time that is asked for.
fn span_of(arguments: &Fields) -> Result<Span, Refused> {
    let at = |name: &str| {
        let text = arguments.get(name).and_then(Json::as_str).unwrap_or_default();
        Timestamp::parse(text).map_err(|error| Refused::refusal(format!("{name}: {error}")))
    };
    let span = Span { start: at("scheduledStart")?, end: at("scheduledEnd")? };
    if span.start < span.end {
        Ok(span)
    } else {
        Err(Refused::refusal("scheduledEnd must come after scheduledStart"))
    }
}

/// A schedule that overlaps, as a change shows it.
fn conflict(held: &Reservation) -> Option<Json> {
    let holder = Holder::parse(&held.change_id)?;
    Some(json!({
        "changeId": holder.change,
        "scheduleId": holder.schedule,
        "scheduledStart": held.span.start,
        "scheduledEnd": held.span.end,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_written_and_read() {
        let holder = Holder { change: "CHG-20261128-A/B", schedule: "SCHED-000001", at: Timestamp(7) };
        assert_eq!(holder.to_string(), "CHG-20261128-A/B/SCHED-000001/7");
        assert_eq!(Holder::parse(&holder.to_string()), Some(holder));
        for other in ["", "CHG-1", "CHG-1/SCHED-1", "CHG-1/SCHED-1/x"] {
            assert_eq!(Holder::parse(other), None, "{other}");
        }
    }
}
