//! The tools: names, words for those who read them, schemas, what each does to a change.

use std::sync::{Arc, LazyLock};

use serde_json::{Map, Value as Json};

use super::{arguments, results, schema};

/// A tool as a client sees it.
#[derive(Debug)]
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// Other names it answers to; they are not listed.
    pub aliases: &'static [&'static str],
    /// A short title for people.
    pub title: &'static str,
    /// What it does and when to use it, for a model that reads it.
    pub description: &'static str,
    /// It changes nothing.
    pub read_only: bool,
    /// What it does cannot be taken back.
    pub destructive: bool,
    /// Once more with the same arguments changes nothing further.
    pub idempotent: bool,
    /// The schema of its arguments.
    pub input: Arc<Map<String, Json>>,
    /// The schema of its result, refusals included.
    pub output: Arc<Map<String, Json>>,
    pub(super) does: Does,
}

/// What a tool does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Does {
    /// Makes a change.
    Create,
    /// Calls this method of the change.
    Call(&'static str),
    /// Reserves time and schedules the change.
    Schedule,
    /// Shows a change.
    Status,
    /// Lists changes.
    List,
    /// Pages through a change's records.
    Audit,
    /// Reports over all changes.
    Report,
    /// Measures.
    Dashboard,
}

/// The tools, in the order in which they are listed.
#[must_use]
pub fn tools() -> &'static [Tool] {
    static TOOLS: LazyLock<Vec<Tool>> = LazyLock::new(make);
    &TOOLS
}

/// The tool of this name or alias.
#[must_use]
pub fn find(name: &str) -> Option<&'static Tool> {
    tools().iter().find(|tool| tool.name == name || tool.aliases.contains(&name))
}

/// How a tool may be used without harm.
#[derive(Clone, Copy)]
enum Effect {
    Reads,
    Adds,
    Ends,
}

macro_rules! tool {
    ($name:literal, $title:literal, $effect:expr, $does:expr, $input:ty => $output:ty, $($description:literal)+) => {
        Tool {
            name: $name,
            aliases: &[],
            title: $title,
            description: concat!($($description),+),
            read_only: matches!($effect, Effect::Reads),
            destructive: matches!($effect, Effect::Ends),
            idempotent: matches!($effect, Effect::Reads),
            input: schema::of_arguments::<$input>(),
            output: schema::of_result::<$output>(),
            does: $does,
        }
    };
}

fn make() -> Vec<Tool> {
    use Effect::{Adds, Ends, Reads};
    use arguments as given;
    use results as found;
    vec![
        tool!("create_change_request", "Create a change request", Adds, Does::Create, given::Create => found::Created,
            "Creates a change request and submits it (or keeps a draft). Answers with its id, its priority from impact and \
             urgency, and a forecast of its risk score (0 to 100). Next: assess_risk, then approve_change by enough approvers, \
             then schedule_change, then transition_change to implementing, review and closed."),
        tool!("update_change", "Update a change request", Adds, Does::Call("update"), given::Update => found::Updated,
            "Changes fields of a change that is in draft, submitted, assessing or needs_info. Give only what is to change. \
             A new title, description, list of systems or planned start needs a new assessment and a new round of approvals."),
        Tool {
            aliases: &["assess_change_risk"],
            ..tool!("assess_risk", "Assess the risk of a change", Adds, Does::Call("assess"), given::Assess => found::Assessed,
                "Scores the risk of a change from 0 to 100 by the policy's rules, records the assessment, and moves a submitted \
                 change to assessing, where decisions are taken. Needed before approvals. Your factors are recorded and shape \
                 the recommendations; they never change the score.")
        },
        tool!("approve_change", "Decide on a change", Ends, Does::Call("decide"), given::Approve => found::Decided,
            "Records one approver's decision on a change in assessing: approved, rejected (final, needs comments) or needs_info \
             (a new round begins). Low, medium, high and critical risk need 1, 2, 3 and 5 approvals by default; one decision for \
             each approver and round. Nobody approves their own request."),
        tool!("schedule_change", "Schedule a change", Adds, Does::Schedule, given::Schedule => found::Scheduled,
            "Puts an approved change into a maintenance window. Start and end must lie in one window, outside freezes, and at \
             most as many changes overlap as the policy allows; otherwise it is refused with nextWindow, the next that fits. An \
             emergency may pass with a justification."),
        tool!("transition_change", "Move a change to another state", Ends, Does::Call("transition"), given::Transition => found::Moved,
            "Moves a change to another state: submitted, implementing, review, closed, failed (needs a reason), cancelled (needs \
             a reason, final), assessing, or approved (takes a scheduled change off the calendar). Decisions and schedules have \
             tools of their own. A refusal says which moves are open and what is missing."),
        tool!("emergency_override", "Override approvals in an emergency", Ends, Does::Call("override"), given::Override => found::Overridden,
            "Approves a change at once without assessment and approvals, makes it an emergency, and calls for a review within 72 \
             hours. Only for what cannot wait; an emergency-capable approver who is not the requestor takes the responsibility, \
             and the audit trail keeps it."),
        tool!("get_change_status", "Show a change", Reads, Does::Status, given::GetStatus => found::Shown,
            "Shows one change: its fields, state, risk, assessments, approvals received and required, schedule, deadline, the \
             moves that are open, and the last 20 audit records."),
        tool!("list_changes", "List changes", Reads, Does::List, given::List => found::Listed,
            "Lists changes by state, type, risk level or requestor, page by page. A page may be short or empty although more \
             follow: read on while cursor is not null."),
        tool!("add_comment", "Comment on a change", Adds, Does::Call("comment"), given::Comment => found::Commented,
            "Adds a comment to a change, in any state. Comments are never changed or removed."),
        tool!("get_audit_trail", "Read the audit trail of a change", Reads, Does::Audit, given::AuditTrail => found::Trail,
            "Reads every record of what happened to a change, oldest first, page by page: who did what when, from which state \
             to which, and why. Records are numbered from 1 without gaps and never change."),
        tool!("compliance_report", "Report on compliance", Reads, Does::Report, given::Report => found::Reported,
            "Computes a report from the audit records of all changes created in a period: counts, controls of SOX, PCI DSS and \
             GDPR with evidence and violations, averageLeadTime in hours, rates from 0 to 1, auditScore from 0 to 100. It reads \
             every change, so it may take long; use metrics_dashboard for a quick look."),
        tool!("metrics_dashboard", "Show the dashboard", Reads, Does::Dashboard, given::Dashboard => found::Measured,
            "Shows figures of now, or of a period within the last 90 days: the server's uptime (seconds), responseTime \
             (milliseconds), errorRate (0 to 1) and requestsPerMinute; active changes, pending approvals, avgApprovalTime \
             (minutes), successRate (0 to 1); auditScore (0 to 100), slaCompliance and riskAccuracy (0 to 1). null means that \
             nothing was measured."),
    ]
}
