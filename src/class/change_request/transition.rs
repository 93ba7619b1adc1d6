//! `transition`: somebody moves a change on.

use serde_json::{Map, Value as Json, json};

use crate::class::Parameters;
use crate::limits::CHANGE_REMARK_MAX_BYTES;
use crate::object::{Refusal, Turn};

use super::arguments::{require, text, word};
use super::change::Change;
use super::desk::{Desk, Given, Note};
use super::states::{Move, Way};
use super::{Event, Policy, State, calendar, create, guards, states};

pub(super) fn run(turn: &mut Turn<'_>, parameters: &Parameters) -> Result<Json, Refusal> {
    require(parameters, "changeId, to", &["to"])?;
    let given = Given::read(turn)?;
    let reason = text(parameters, "reason", CHANGE_REMARK_MAX_BYTES)?;
    let to: Option<State> = word(parameters, "to")?;
    let to = to.ok_or_else(|| Refusal::invalid("Missing required parameters: changeId, to"))?;
    let mut desk = Desk::open(turn, &given)?;
    let from = desk.change.status;
    let blockers = blockers(desk.turn, &desk.change);
    let found = find(&desk.change, to)?;
    let mut missing = Vec::new();
    if to.needs_reason() && reason.is_none() {
        missing.push("a reason".to_owned());
    }
    if to == State::Implementing {
        missing.extend(guards::to_implement(&desk.change, &given.policy, desk.now(), &blockers));
    }
    if !missing.is_empty() {
        return Err(guards::refuse_move(&desk.change, to, &missing));
    }
    let released = act(&mut desk, &given.policy, found, reason, blockers)?;
    let mut result = json!({
        "success": true,
        "changeId": desk.id(),
        "from": from,
        "status": desk.change.status,
        "openMoves": states::open(desk.change.kind, desk.change.status),
    });
    if let (Some(released), Json::Object(result)) = (released, &mut result) {
        result.insert("released".to_owned(), released);
    }
    desk.close()?;
    Ok(result)
}

/// The move, if it is there and made in this way.
fn find(change: &Change, to: State) -> Result<Move, Refusal> {
    let refuse = |missing: &str| Err(guards::refuse_move(change, to, &[missing.to_owned()]));
    match states::find(change.kind, change.status, to) {
        Some(found) => match found.way {
            Way::Transition => Ok(found),
            Way::Decisions if to == State::Approved => {
                refuse("the approvers' decisions (approve_change), or an override (emergency_override)")
            }
            Way::Decisions => refuse("an approver's decision (approve_change)"),
            Way::Schedule => refuse("a schedule (schedule_change)"),
        },
        None if change.status == State::Approved && to == State::Implementing => {
            refuse("a schedule (schedule_change): only an emergency is implemented without one")
        }
        None => Err(guards::refuse_unlisted(change, to)),
    }
}

/// Makes the move; what it gives back is the schedule that is free again, if there was one.
fn act(
    desk: &mut Desk<'_, '_>,
    policy: &Policy,
    found: Move,
    reason: Option<String>,
    blockers: Map<String, Json>,
) -> Result<Option<Json>, Refusal> {
    let mut note = Note::of(found.event).because(reason.clone());
    match found.to {
        State::Submitted => {
            create::submit(desk, policy, note)?;
            desk.change.count_approvals(policy);
            return Ok(None);
        }
        State::Implementing => note = with_evidence(note, desk, policy, blockers),
        State::Closed => {
            desk.record(Note::of(Event::Reviewed).because(reason))?;
        }
        State::Approved | State::Cancelled => {
            let released = release(desk);
            if let Some(id) = released.as_ref().and_then(|released| released.get("scheduleId")) {
                note = note.with("scheduleId", id.clone());
            }
            desk.advance(found.to, note)?;
            return Ok(released);
        }
        _ => {}
    }
    desk.advance(found.to, note)?;
    Ok(None)
}

/// Takes the schedule away; says what is free again, so that the calendar's day can be told.
pub(super) fn release(desk: &mut Desk<'_, '_>) -> Option<Json> {
    let schedule = desk.change.schedule.take()?;
    Some(json!({
        "scheduleId": schedule.schedule_id,
        "scheduledStart": schedule.scheduled_start,
        "scheduledEnd": schedule.scheduled_end,
        "day": schedule.day,
    }))
}

/// What a report has to know of how the change stood when it began, from its trail alone.
fn with_evidence(note: Note, desk: &Desk<'_, '_>, policy: &Policy, blockers: Map<String, Json>) -> Note {
    let change = &desk.change;
    let frost = calendar::freeze_at(policy, desk.now()).map(|frost| frost.to_string());
    note.with("freeze", frost)
        .with("override", change.overridden.is_some())
        .with("justified", change.schedule.as_ref().is_some_and(|schedule| schedule.justified))
        .with("assessed", change.assessed)
        .with("approvalsReceived", change.approvals_received)
        .with("approvalsRequired", change.approvals_required)
        .with("blockers", blockers)
}

/// The state of each change that this one waits for, of those that are known.
fn blockers(turn: &Turn<'_>, change: &Change) -> Map<String, Json> {
    let known = turn.context().and_then(|context| context.get("blockers")?.as_object());
    let state = |id: &String| Some((id.clone(), known?.get(id)?.clone()));
    change.blocked_by.iter().flatten().filter_map(state).collect()
}
