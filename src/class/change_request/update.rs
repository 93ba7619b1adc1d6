//! `update`: what a change is asked to be is changed, while it is not decided.
//!
//! What an assessment looked at and approvers approved, they have to see again: a new title, description, list of
//! systems or start ends the assessment and the round. The state stays what it is.

use serde_json::{Map, Value as Json, json};

use crate::class::Parameters;
use crate::class::parameters::optional;
use crate::object::{Refusal, Timestamp, Turn};

use super::change::{ARGUMENTS, Change};
use super::desk::{Desk, Given, Note};
use super::details::Details;
use super::sla::Sla;
use super::states::UPDATED_IN;
use super::{Event, Policy, State, guards, priority};

/// What a score is made from.
const SCORED: &[&str] = &["title", "description", "affectedSystems", "plannedStart"];

pub(super) fn run(turn: &mut Turn<'_>, parameters: &Parameters) -> Result<Json, Refusal> {
    let given = Given::read(turn)?;
    ensure_updatable(parameters)?;
    let details = Details::read(parameters)?;
    let mut desk = Desk::open(turn, &given)?;
    if !UPDATED_IN.contains(&desk.change.status) {
        return Err(guards::refuse_in_state(&desk.change, "updated", UPDATED_IN));
    }
    let before = desk.change.clone();
    details.apply(&desk.id(), &mut desk.change)?;
    let replaced = replaced(&before, &desk.change);
    if replaced.is_empty() {
        // It is as it was asked to be: there is nothing to record, but what the deadline may have left.
        let result = result(&desk);
        desk.close()?;
        return Ok(result);
    }
    let needs_assessment = replaced.keys().any(|name| SCORED.contains(&name.as_str()));
    let now = desk.now();
    follow(&before, &mut desk.change, &given.policy, needs_assessment, now);
    desk.change.count_approvals(&given.policy);
    let note = Note::of(Event::Updated)
        .with("fields", replaced.keys().map(|name| Json::from(name.as_str())).collect::<Vec<_>>())
        .with("replaced", replaced)
        .with("needsAssessment", needs_assessment && before.status != State::Draft)
        .with("round", desk.change.round);
    desk.record(note)?;
    // A deadline that is nearer now may be over.
    desk.record_due()?;
    let result = result(&desk);
    desk.close()?;
    Ok(result)
}

fn ensure_updatable(parameters: &Parameters) -> Result<(), Refusal> {
    if optional(parameters, "requestor").is_some() {
        return Err(Refusal::invalid("requestor cannot be changed: create another change request"));
    }
    if optional(parameters, "draft").is_some() {
        return Err(Refusal::invalid(
            "draft cannot be changed: hand it in by transition_change to submitted",
        ));
    }
    if !ARGUMENTS.iter().any(|name| optional(parameters, name).is_some()) {
        let fields: Vec<&str> = ARGUMENTS.iter().copied().filter(|name| *name != "requestor").collect();
        return Err(Refusal::invalid(format!("nothing to update: give one of {}", fields.join(", "))));
    }
    Ok(())
}

/// The fields that differ, with what they had.
fn replaced(before: &Change, after: &Change) -> Map<String, Json> {
    let (mut before, after) = (before.fields(), after.fields());
    let differs = |name: &&&str| before.get(**name) != after.get(**name);
    let names: Vec<&str> = ARGUMENTS.iter().filter(differs).copied().collect();
    names.into_iter().map(|name| (name.to_owned(), before.remove(name).unwrap_or(Json::Null))).collect()
}

/// What follows from the new fields: priority, deadline, forecast, round.
fn follow(before: &Change, change: &mut Change, policy: &Policy, needs_assessment: bool, now: Timestamp) {
    change.priority = priority(change.impact, change.urgency);
    if (change.priority, change.kind) != (before.priority, before.kind)
        && let Some(submitted_at) = change.submitted_at
    {
        let sla = Sla::new(policy, change.kind, change.priority, submitted_at);
        if change.sla.is_none_or(|before| before.deadline != sla.deadline) {
            change.sla = Some(sla);
        }
    }
    if needs_assessment {
        let forecast = change.score(policy, now);
        (change.risk_score, change.risk_level) = (forecast.overall, forecast.level);
        if change.status != State::Draft {
            change.assessed = false;
            change.round = change.round.saturating_add(1);
        }
    }
}

fn result(desk: &Desk<'_, '_>) -> Json {
    json!({
        "success": true,
        "changeId": desk.id(),
        "status": desk.change.status,
        "priority": desk.change.priority,
        "riskScore": desk.change.risk_score,
        "riskLevel": desk.change.risk_level,
    })
}
