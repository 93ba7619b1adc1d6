//! Scheduling: a place on the calendar first, then the change, and the place given back if the change says no.
//!
//! A day is an object that counts what overlaps on it. Nothing is atomic across the two, and whatever stops in
//! between leaves a reservation too many, never one too few. A day that looks full is therefore looked at again: the
//! changes that hold it are read, and those not scheduled there let go.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::objects::{Class, Fields, With, fields, nothing, refused, text};
use super::policy::Current;
use super::{CallOptions, Inner, Refused};
use crate::caller::Caller;
use crate::class::change_request::calendar::{self, Next, Wanted};
use crate::class::change_request::Policy;
use crate::class::change_request::moment::Span;
use crate::error::{Code, Error};
use crate::limits;
use crate::object::Timestamp;

/// What stands on a calendar day.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reservation {
    change_id: String,
    start: Timestamp,
    end: Timestamp,
}

impl Reservation {
    fn span(&self) -> Span {
        Span { start: self.start, end: self.end }
    }
}

/// What scheduling needs to know of a change.
struct Seen {
    is_emergency: bool,
    status: String,
    approvals: u32,
    schedule: Option<Span>,
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
        let wanted = span_of(&arguments)?;
        let current = self.policy(caller).await?;
        let seen = self.seen(caller, id).await?;
        let is_justified = seen.is_emergency && arguments.get("justification").is_some();
        let mut context = self.context(caller).await?;
        if is_justified || seen.status != "approved" {
            // It takes no place, or will be refused, or was done before under the same key: its turn says which.
            return self.schedule_in(caller, id, arguments, context, options).await;
        }
        let day = calendar::day(&current.policy, wanted.start);
        let window = match calendar::fits(&current.policy, wanted, seen.approvals) {
            Ok(window) => window,
            Err(misfit) => {
                let error = format!("Change {id} cannot be scheduled then: {misfit}");
                return Err(self.with_next(caller, error, &current, (wanted, seen.approvals)).await);
            }
        };
        let others = match self.reserve(caller, id, (&day, wanted), &current).await? {
            Asked::Held(others) => others,
            Asked::Full => {
                let error = format!(
                    "Change {id} cannot be scheduled then: {} changes overlap already, which is the most",
                    current.policy.max_overlapping
                );
                return Err(self.with_next(caller, error, &current, (wanted, seen.approvals)).await);
            }
        };
        context.insert("window".to_owned(), json!(window));
        context.insert("conflicts".to_owned(), Json::Array(others));
        let answer = self.schedule_in(caller, id, arguments, context, options).await;
        if matches!(answer, Err(Refused::Refusal { .. })) {
            // Whoever was quicker with the same time holds the place rightly.
            self.release_unless_scheduled(caller, id, &day).await?;
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

    /// Gives back the place that a change had, if it is not scheduled there any more.
    pub(super) async fn release(self: &Arc<Self>, caller: &Caller, id: &str, schedule: Span) -> Result<(), Error> {
        let current = self.policy(caller).await?;
        self.release_unless_scheduled(caller, id, &calendar::day(&current.policy, schedule.start)).await
    }

    /// Where a change is scheduled, if it is.
    pub(super) async fn scheduled_at(&self, caller: &Caller, id: &str) -> Result<Option<Span>, Refused> {
        Ok(self.seen(caller, id).await?.schedule)
    }

    async fn seen(&self, caller: &Caller, id: &str) -> Result<Seen, Refused> {
        let status = self.status(caller, id).await?;
        let schedule = status.get("schedule").and_then(|schedule| {
            let at = |name| Timestamp::parse(text(schedule, name)?).ok();
            Some(Span { start: at("scheduledStart")?, end: at("scheduledEnd")? })
        });
        let approvals = status.get("approvalsReceived").and_then(Json::as_u64).unwrap_or_default();
        Ok(Seen {
            is_emergency: text(&status, "type") == Some("emergency"),
            status: text(&status, "status").unwrap_or_default().to_owned(),
            approvals: u32::try_from(approvals).unwrap_or(u32::MAX),
            schedule,
        })
    }

    /// Holds a place on a day. One that looks full is cleared of what does not belong there, and asked once more.
    async fn reserve(
        self: &Arc<Self>,
        caller: &Caller,
        id: &str,
        (day, wanted): (&str, Span),
        current: &Current,
    ) -> Result<Asked, Error> {
        for attempt in 0..2 {
            let params = json!({
                "changeId": id,
                "start": wanted.start,
                "end": wanted.end,
                "max": current.policy.max_overlapping,
            });
            let call = ("reserve", fields(params));
            match self.objects.call(caller, (Class::Calendar, day), call, With::default()).await {
                Ok((held, _)) => {
                    let others = held.get("conflicts").and_then(Json::as_array).cloned();
                    return Ok(Asked::Held(others.unwrap_or_default()));
                }
                Err(error) if error.code == Code::Conflict => {
                    if attempt > 0 || !self.clear(caller, day, current).await? {
                        break;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Asked::Full)
    }

    /// Lets go of reservations whose changes are not scheduled there. Whether there were any.
    async fn clear(&self, caller: &Caller, day: &str, current: &Current) -> Result<bool, Error> {
        let reservations = self.reservations(caller, day).await?;
        let let_go: Vec<bool> = stream::iter(reservations)
            .map(|held| async move {
                if self.stands(caller, &held, &current.policy, day).await? {
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

    /// Whether the change of a reservation is scheduled where it says.
    async fn stands(
        &self,
        caller: &Caller,
        held: &Reservation,
        policy: &Policy,
        day: &str,
    ) -> Result<bool, Error> {
        match self.seen(caller, &held.change_id).await {
            Ok(seen) => Ok(matches!(seen.status.as_str(), "scheduled" | "implementing")
                && seen.schedule.is_some_and(|at| calendar::day(policy, at.start) == day && at == held.span())),
            Err(Refused::Refusal { .. }) => Ok(false),
            Err(Refused::Failed(error)) => Err(error),
        }
    }

    async fn release_unless_scheduled(self: &Arc<Self>, caller: &Caller, id: &str, day: &str) -> Result<(), Error> {
        let current = self.policy(caller).await?;
        for held in self.reservations(caller, day).await?.into_iter().filter(|held| held.change_id == id) {
            if !self.stands(caller, &held, &current.policy, day).await? {
                self.let_go(caller, id, day).await?;
            }
        }
        Ok(())
    }

    async fn let_go(&self, caller: &Caller, id: &str, day: &str) -> Result<(), Error> {
        let call = ("release", fields(json!({ "changeId": id })));
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
                    booked.insert(day, held.iter().map(Reservation::span).collect());
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
