//! `create`: a change is made, and handed in unless it is to stay a draft.

use serde_json::{Value as Json, json};

use crate::class::Parameters;
use crate::object::{Refusal, Turn};

use super::arguments::{flag, name, require, there};
use super::change::Change;
use super::desk::{Desk, Given, Note};
use super::details::Details;
use super::sla::Sla;
use super::{Event, Kind, Level, Policy, State, priority, steps};

pub(super) fn run(turn: &mut Turn<'_>, parameters: &Parameters) -> Result<Json, Refusal> {
    const REQUIRED: &[&str] = &["title", "description", "requestor"];
    require(parameters, "title, description, requestor", REQUIRED)?;
    let given = Given::read(turn)?;
    let stays_draft = flag(parameters, "draft")?;
    let requestor = there(name(parameters, "requestor")?, "requestor")?;
    let details = Details::read(parameters)?;
    if turn.exists() {
        let id = turn.address().name().as_str();
        return Err(Refusal::Conflict { detail: format!("Change {id} already exists") });
    }
    let mut change = blank(turn, &given, requestor);
    let mut desk = {
        details.apply(turn.address().name().as_str(), &mut change)?;
        change.priority = priority(change.impact, change.urgency);
        let forecast = change.score(&given.policy, turn.now());
        (change.risk_score, change.risk_level) = (forecast.overall, forecast.level);
        Desk::with(turn, change)
    };
    let requestor = desk.change.requestor.clone();
    desk.record(Note::of(Event::Created).by(&requestor))?;
    if !stays_draft {
        submit(&mut desk, &given.policy, Note::of(Event::Submitted).by(&requestor))?;
    }
    desk.change.count_approvals(&given.policy);
    let result = json!({
        "success": true,
        "changeId": desk.id(),
        "status": desk.change.status,
        "priority": desk.change.priority,
        "riskScore": desk.change.risk_score,
        "riskLevel": desk.change.risk_level,
        "nextSteps": steps::next(&desk.change, &given.policy),
        "estimatedApprovalTime": steps::approval_time(&desk.change, &given.policy),
    });
    desk.close()?;
    Ok(result)
}

/// Hands a draft in: from here on its deadline runs.
pub(super) fn submit(desk: &mut Desk<'_, '_>, policy: &Policy, note: Note) -> Result<(), Refusal> {
    let now = desk.now();
    let change = &mut desk.change;
    change.submitted_at = Some(now);
    change.sla = Some(Sla::new(policy, change.kind, change.priority, now));
    desk.advance(State::Submitted, note)
}

fn blank(turn: &Turn<'_>, given: &Given, requestor: String) -> Change {
    Change {
        title: String::new(),
        description: String::new(),
        requestor,
        kind: Kind::Normal,
        impact: None,
        urgency: None,
        affected_systems: None,
        environment: None,
        implementation_plan: None,
        rollback_plan: None,
        planned_start: None,
        blocked_by: None,
        status: State::Draft,
        priority: Level::Medium,
        risk_score: 0,
        risk_level: Level::Low,
        created_at: turn.now(),
        submitted_at: None,
        updated_at: turn.now(),
        round: 1,
        assessed: false,
        assessments: Vec::new(),
        approvals: Vec::new(),
        approvals_received: 0,
        approvals_required: 0,
        schedule: None,
        sla: None,
        overridden: None,
        policy_version: given.version,
        audit_count: 0,
        comment_count: 0,
    }
}
