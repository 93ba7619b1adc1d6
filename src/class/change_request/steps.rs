//! What to do next about a change, in words.

use super::approval;
use super::change::Change;
use super::policy::Approver;
use super::{Kind, Policy, State};

/// What to do next.
pub(super) fn next(change: &Change, policy: &Policy) -> String {
    match change.status {
        State::Draft => "Hand it in with transition_change to submitted".to_owned(),
        State::Submitted => format!("Assess its risk with assess_risk; {}", approvals(change, policy)),
        State::Assessing if !change.assessed => {
            format!("Assess its risk again with assess_risk; {}", approvals(change, policy))
        }
        State::Assessing => approvals(change, policy),
        State::NeedsInfo => {
            "Give what is asked for with update_change or add_comment, then transition_change to assessing"
                .to_owned()
        }
        State::Approved if change.kind == Kind::Emergency => {
            "Implement it with transition_change, or give it a time with schedule_change".to_owned()
        }
        State::Approved => "Give it a time with schedule_change".to_owned(),
        State::Scheduled => "Implement it with transition_change when its time has come".to_owned(),
        State::Implementing => "Move it to review when it is made, or to failed".to_owned(),
        State::Review => "Close it with transition_change when it was looked at".to_owned(),
        State::Failed => "Implement it again, or cancel it".to_owned(),
        State::Rejected | State::Closed | State::Cancelled => "None: this state is final".to_owned(),
    }
}

/// How long the decision takes at most.
pub(super) fn approval_time(change: &Change, policy: &Policy) -> String {
    let minutes = policy.sla_minutes.of(change.kind, change.priority);
    let time = match (minutes / 60, minutes % 60) {
        (0, minutes) => counted(minutes, "minute"),
        (hours, 0) => counted(hours, "hour"),
        (hours, minutes) => format!("{} and {}", counted(hours, "hour"), counted(minutes, "minute")),
    };
    match change.status {
        State::Draft => format!("{time} from when it is handed in"),
        _ => time,
    }
}

/// What approvals are still to come.
fn approvals(change: &Change, policy: &Policy) -> String {
    let open = change.approvals_required.saturating_sub(change.approvals_received).max(1);
    let may = |approver: &&Approver| {
        approver.may_approve(change.kind) && !approval::is_own(&approver.id, &change.requestor)
    };
    let has_decided = |approver: &&Approver| {
        change.approvals.iter().any(|one| one.round == change.round && one.approver_id == approver.id)
    };
    let able = policy.approvers.iter().filter(may).filter(|approver| !has_decided(approver));
    let able: Vec<&str> = able.map(|approver| approver.id.as_str()).collect();
    if able.len() < usize::try_from(open).unwrap_or(usize::MAX) {
        let needed = counted(open, "approval");
        return format!("{needed} to come and too few who may give them: only emergency_override helps");
    }
    let verb = if open == 1 { "is" } else { "are" };
    let more = if change.approvals_received == 0 { "" } else { "more " };
    format!(
        "{} {more}{verb} needed, with approve_change, from: {}",
        counted(open, "approval"),
        able.join(", ")
    )
}

fn counted(count: u32, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
