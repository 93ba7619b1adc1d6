//! `override`: somebody who may approve emergencies answers for a change in place of approvals and assessment. It is the
//! one exception to the moves, and it is reviewed.

use serde_json::{Value as Json, json};

use crate::class::Parameters;
use crate::limits::{CHANGE_REMARK_MAX_BYTES, CHANGE_REVIEW_WITHIN_MS};
use crate::object::{Refusal, Turn};

use super::arguments::{name, require, text, there};
use super::change::Override;
use super::desk::{Desk, Given, Note};
use super::states::OVERRIDDEN_FROM;
use super::{Event, Kind, State, approval, guards, transition};

pub(super) fn run(turn: &mut Turn<'_>, parameters: &Parameters) -> Result<Json, Refusal> {
    const REQUIRED: &[&str] = &["justification", "authorizedBy"];
    require(parameters, "changeId, justification, authorizedBy", REQUIRED)?;
    let given = Given::read(turn)?;
    let justification = there(text(parameters, "justification", CHANGE_REMARK_MAX_BYTES)?, "justification")?;
    let authorized_by = there(name(parameters, "authorizedBy")?, "authorizedBy")?;
    let mut desk = Desk::open(turn, &given)?;
    approval::approver(&given.policy, &authorized_by, Kind::Emergency, &desk.change.requestor)?;
    let from = desk.change.status;
    if !OVERRIDDEN_FROM.contains(&from) {
        return Err(guards::refuse_in_state(&desk.change, "overridden", OVERRIDDEN_FROM));
    }
    if let Some(earlier) = &desk.change.overridden {
        let (who, when) = (&earlier.authorized_by, earlier.authorized_at);
        return Err(Refusal::invalid(format!("An override by {who} stands already, since {when}")));
    }
    let now = desk.now();
    let released = transition::release(&mut desk);
    let review_due = now.plus_ms(CHANGE_REVIEW_WITHIN_MS);
    if let Some(sla) = desk.change.sla.as_mut().filter(|_| from.is_undecided()) {
        sla.decided_at = Some(now);
    }
    let note = Note::of(Event::EmergencyOverride)
        .by(&authorized_by)
        .because(Some(justification.clone()))
        .with("reviewDue", review_due.to_string())
        .with("typeBefore", desk.change.kind.to_string());
    desk.change.kind = Kind::Emergency;
    desk.change.overridden =
        Some(Override { justification, authorized_by, authorized_at: now, from, review_due });
    desk.advance(State::Approved, note)?;
    let mut result = json!({
        "success": true,
        "changeId": desk.id(),
        "status": desk.change.status,
        "type": desk.change.kind,
        "reviewDue": review_due,
    });
    if let (Some(released), Json::Object(result)) = (released, &mut result) {
        result.insert("released".to_owned(), released);
    }
    desk.close()?;
    Ok(result)
}
