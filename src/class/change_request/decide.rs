//! `decide`: an approver approves, rejects, or asks for more.

use serde_json::{Value as Json, json};

use crate::class::Parameters;
use crate::limits::{CHANGE_DECISIONS_MAX, CHANGE_REMARK_MAX_BYTES};
use crate::object::{Refusal, Turn};

use super::approval::{self, Approval};
use super::arguments::{name, require, text, there, word};
use super::change::Change;
use super::desk::{Desk, Given, Note};
use super::{Decision, Event, State, guards, steps};

pub(super) fn run(turn: &mut Turn<'_>, parameters: &Parameters) -> Result<Json, Refusal> {
    require(parameters, "changeId, approverId, decision", &["approverId", "decision"])?;
    let given = Given::read(turn)?;
    let approver_id = there(name(parameters, "approverId")?, "approverId")?;
    let comments = text(parameters, "comments", CHANGE_REMARK_MAX_BYTES)?;
    let decision: Option<Decision> = word(parameters, "decision")?;
    let decision = decision.ok_or_else(|| Refusal::invalid("Missing required parameters: decision"))?;
    let mut desk = Desk::open(turn, &given)?;
    let approver = approval::approver(&given.policy, &approver_id, desk.change.kind, &desk.change.requestor)?;
    ensure_decidable(&desk.change, &approver_id, decision, comments.as_ref())?;

    let now = desk.now();
    let approval = Approval {
        id: desk.new_id("APP"),
        change_id: desk.id(),
        approver_id: approver.id.clone(),
        approver_name: approver.name.clone(),
        decision,
        comments,
        timestamp: now,
        sla_compliant: desk.change.sla.is_none_or(|sla| sla.is_met(now)),
        round: desk.change.round,
    };
    desk.change.approvals.push(approval.clone());
    desk.change.count_approvals(&given.policy);
    act(&mut desk, &approval)?;
    let result = json!({
        "success": true,
        "changeId": desk.id(),
        "status": desk.change.status,
        "approval": approval,
        "approvalsReceived": desk.change.approvals_received,
        "approvalsRequired": desk.change.approvals_required,
        "nextSteps": steps::next(&desk.change, &given.policy),
    });
    desk.close()?;
    Ok(result)
}

/// Whether this decision can be taken now.
fn ensure_decidable(
    change: &Change,
    approver_id: &str,
    decision: Decision,
    comments: Option<&String>,
) -> Result<(), Refusal> {
    if change.status != State::Assessing {
        return Err(guards::refuse_in_state(change, "decided on", &[State::Assessing]));
    }
    if !change.assessed {
        return Err(Refusal::invalid(
            "An assessment is missing: nothing is decided before assess_risk, and an update of title, description, \
             systems or start needs a new one",
        ));
    }
    let has_decided = |other: &Approval| other.round == change.round && other.approver_id == approver_id;
    if change.approvals.iter().any(has_decided) {
        let round = change.round;
        return Err(Refusal::invalid(format!("Approver {approver_id} has already decided in round {round}")));
    }
    if decision == Decision::Rejected && comments.is_none() {
        return Err(Refusal::invalid("A rejection needs comments: they are its reason"));
    }
    if change.approvals.len() >= CHANGE_DECISIONS_MAX {
        return Err(Refusal::invalid(format!("a change has at most {CHANGE_DECISIONS_MAX} decisions")));
    }
    Ok(())
}

/// What the decision does to the change.
fn act(desk: &mut Desk<'_, '_>, approval: &Approval) -> Result<(), Refusal> {
    let (event, to) = match approval.decision {
        Decision::Approved => (Event::Approved, State::Approved),
        Decision::Rejected => (Event::Rejected, State::Rejected),
        Decision::NeedsInfo => (Event::NeedsInfo, State::NeedsInfo),
    };
    let change = &mut desk.change;
    let note = Note::of(event)
        .by(&approval.approver_id)
        .because(approval.comments.clone())
        .with("approvalId", approval.id.as_str())
        .with("round", change.round)
        .with("slaCompliant", approval.sla_compliant)
        .with("approvalsReceived", change.approvals_received)
        .with("approvalsRequired", change.approvals_required);
    if approval.decision == Decision::Approved && change.approvals_received < change.approvals_required {
        return desk.record(note);
    }
    if approval.decision == Decision::NeedsInfo {
        change.round = change.round.saturating_add(1);
        change.approvals_received = 0;
    } else if let Some(sla) = change.sla.as_mut() {
        sla.decided_at = Some(approval.timestamp);
    }
    desk.advance(to, note)
}
