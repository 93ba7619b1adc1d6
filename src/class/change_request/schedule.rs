//! `schedule`: an approved change is given its time. The calendar's day was asked before: the context has the id under
//! which it reserved, and the others that overlap. Without that nothing but a justified emergency is scheduled. If this
//! is refused, whoever reserved releases.

use serde_json::{Value as Json, json};

use crate::class::Parameters;
use crate::limits::CHANGE_REMARK_MAX_BYTES;
use crate::object::{Refusal, Turn};

use super::arguments::{list, moment, require, text};
use super::change::{Change, Schedule};
use super::desk::{Desk, Given, Note};
use super::moment::Span;
use super::{Event, Kind, Policy, State, calendar, guards, states};

pub(super) fn run(turn: &mut Turn<'_>, parameters: &Parameters) -> Result<Json, Refusal> {
    const REQUIRED: &[&str] = &["scheduledStart", "scheduledEnd"];
    require(parameters, "changeId, scheduledStart, scheduledEnd", REQUIRED)?;
    let given = Given::read(turn)?;
    let justification = text(parameters, "justification", CHANGE_REMARK_MAX_BYTES)?;
    let notification_contacts = list(parameters, "notificationContacts")?;
    let (Some(start), Some(end)) =
        (moment(parameters, "scheduledStart")?, moment(parameters, "scheduledEnd")?)
    else {
        return Err(Refusal::invalid("Missing required parameters: changeId, scheduledStart, scheduledEnd"));
    };
    let span = Span { start, end };
    if start >= end {
        return Err(Refusal::invalid("scheduledStart must come before scheduledEnd"));
    }
    let mut desk = Desk::open(turn, &given)?;
    if states::find(desk.change.kind, desk.change.status, State::Scheduled).is_none() {
        let approved = ["a change in state approved".to_owned()];
        return Err(guards::refuse_move(&desk.change, State::Scheduled, &approved));
    }
    if end <= desk.now() {
        return Err(Refusal::invalid(format!("scheduledEnd {end} is over: it is {}", desk.now())));
    }
    let justified = is_justified(&desk.change, justification.as_deref());
    let window = if justified {
        calendar::fits(&given.policy, span, approvals_for_windows(&desk.change)).ok()
    } else {
        Some(fit(&desk.change, &given.policy, span)?)
    };
    let schedule_id = match decided_by_calendar(desk.turn, "scheduleId").and_then(Json::as_str) {
        Some(id) => id.to_owned(),
        None if justified => desk.new_id("SCHED"),
        // The module saw another change than the turn does, or one that could not be scheduled.
        None => {
            return Err(Refusal::invalid("No place is reserved on the calendar: call schedule_change again"));
        }
    };
    let conflicts = decided_by_calendar(desk.turn, "conflicts").and_then(Json::as_array).cloned();
    let conflicts = conflicts.unwrap_or_default();
    let schedule = Schedule {
        schedule_id,
        scheduled_start: start,
        scheduled_end: end,
        window,
        day: (!justified).then(|| calendar::day(&given.policy, start)),
        conflicts,
        justified,
        justification: justification.clone(),
        notification_contacts,
    };
    let note = Note::of(Event::Scheduled)
        .because(justification)
        .with("scheduleId", schedule.schedule_id.as_str())
        .with("scheduledStart", start.to_string())
        .with("scheduledEnd", end.to_string())
        .with("justified", justified);
    desk.advance(State::Scheduled, note)?;
    let result = json!({
        "success": true,
        "changeId": desk.id(),
        "status": desk.change.status,
        "scheduleId": schedule.schedule_id,
        "window": schedule.window,
        "conflicts": schedule.conflicts,
    });
    desk.change.schedule = Some(schedule);
    desk.close()?;
    Ok(result)
}

/// Whether it is an emergency that says why it cannot wait for a window. Such a schedule reserves nothing.
pub fn is_justified(change: &Change, justification: Option<&str>) -> bool {
    change.kind == Kind::Emergency && justification.is_some()
}

/// Approvals that count for a window which asks for some: those of the last round, or as many as it takes where an
/// override stands for them.
pub fn approvals_for_windows(change: &Change) -> u32 {
    if change.overridden.is_some() { u32::MAX } else { change.approvals_received }
}

fn fit(change: &Change, policy: &Policy, span: Span) -> Result<Span, Refusal> {
    calendar::fits(policy, span, approvals_for_windows(change)).map_err(|misfit| {
        let hint = if change.kind == Kind::Emergency { ", or give a justification" } else { "" };
        Refusal::invalid(format!(
            "The schedule from {} to {} is refused: {misfit}; choose the next window that fits{hint}",
            span.start, span.end
        ))
    })
}

/// What the calendar decided, as the module gives it into the turn.
fn decided_by_calendar<'t>(turn: &Turn<'t>, part: &str) -> Option<&'t Json> {
    turn.context()?.get(part)
}
