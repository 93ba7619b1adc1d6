//! What a change needs before it moves, beside there being such a move; and how a refusal is said.

use serde_json::{Map, Value as Json};

use crate::limits::CHANGE_EARLY_START_MS;
use crate::object::{Refusal, Timestamp};

use super::change::Change;
use super::moment::Span;
use super::{Kind, Policy, State, Word, calendar, states};

/// What is missing before the change is implemented now; nothing if it may be. `blockers` has the state of each change
/// that it waits for, `null` for one that does not exist.
pub(super) fn to_implement(
    change: &Change,
    policy: &Policy,
    now: Timestamp,
    blockers: &Map<String, Json>,
) -> Vec<String> {
    let is_emergency = change.kind == Kind::Emergency;
    let mut missing = Vec::new();
    if !is_emergency && change.implementation_plan.is_none() {
        missing.push("an implementation plan".to_owned());
    }
    if let Some(frost) = calendar::freeze_at(policy, now).filter(|_| !may_in_freeze(change)) {
        missing.push(format!(
            "the end of the freeze ({frost}), or an emergency override, or the justified schedule of an emergency"
        ));
    }
    if let Some(schedule) = change.schedule.as_ref().filter(|_| !is_emergency) {
        let Span { start, end } = schedule.span();
        if now.plus_ms(CHANGE_EARLY_START_MS) < start || now > end {
            missing.push(format!(
                "its time: it may begin from 15 minutes before {start} until {end}, and it is {now}"
            ));
        }
    }
    for id in change.blocked_by.iter().flatten() {
        match blockers.get(id) {
            None => missing.push(format!("the state of {id}, which is not known now: try again")),
            // A change that does not exist is not an unfinished one.
            Some(Json::Null) => {}
            Some(status) => {
                let status = status.as_str().unwrap_or_default();
                if !State::find(status).is_some_and(State::is_final) {
                    missing.push(format!("the end of {id}, which is {status}"));
                }
            }
        }
    }
    missing
}

/// Whether an override or a justified schedule stands.
pub(super) fn may_in_freeze(change: &Change) -> bool {
    change.overridden.is_some() || change.schedule.as_ref().is_some_and(|schedule| schedule.justified)
}

/// A move that is refused: what is missing, and which moves are open.
pub(super) fn refuse_move(change: &Change, to: State, missing: &[String]) -> Refusal {
    refuse(change, to, &format!("missing is {}", missing.join("; ")))
}

/// A move that there is not.
pub(super) fn refuse_unlisted(change: &Change, to: State) -> Refusal {
    refuse(change, to, "there is no such move")
}

fn refuse(change: &Change, to: State, why: &str) -> Refusal {
    let from = change.status;
    let open = states::described(change.kind, from);
    Refusal::invalid(format!("Cannot move from {from} to {to}: {why}. Open moves: {open}"))
}

/// Something that is not done in the state that the change is in.
pub(super) fn refuse_in_state(change: &Change, what: &str, allowed: &[State]) -> Refusal {
    let from = change.status;
    let (allowed, open) = (State::names(allowed), states::described(change.kind, from));
    Refusal::invalid(format!(
        "A change in state {from} cannot be {what}: that is done in {allowed}. Open moves: {open}"
    ))
}
