//! What each tool gives back, as types: for the schemas that clients read. The values themselves are made by the
//! class, the lists and the reports.
//!
//! A refusal is `{"success":false,"error"}`, and a schema fits it too, because clients hold every result to it: so
//! only `success` is required of any of them, whatever the types here say.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::vocabulary::{Decision, Kind, Level, RiskLevel, Status};

/// A moment, RFC 3339 in UTC with milliseconds.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline, extend("format" = "date-time"))]
pub(super) struct Time(String);

/// What every result begins with.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Outcome {
    /// Whether it was done; `false` with `error` for a refusal, which changes nothing.
    pub(super) success: bool,
    /// Why it was refused.
    pub(super) error: Option<String>,
}

macro_rules! result {
    ($(#[doc = $doc:literal])+ $name:ident { $($(#[$meta:meta])* $field:ident: $kind:ty),+ $(,)? }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Serialize, JsonSchema)]
        #[serde(rename_all = "camelCase")]
        pub(super) struct $name {
            $($(#[$meta])* $field: $kind,)+
        }
    };
}

result! {
    /// Of `create_change_request`.
    Created {
        #[serde(flatten)] outcome: Outcome,
        /// The new change's id, for every other tool.
        change_id: String,
        /// `submitted`, or `draft` where that was asked for.
        status: Status,
        /// From impact and urgency.
        priority: RiskLevel,
        /// 0 to 100: a forecast, no assessment.
        #[schemars(range(max = 100))] risk_score: u8,
        risk_level: RiskLevel,
        /// What to do next.
        next_steps: String,
        /// How long approval should take at most.
        estimated_approval_time: String,
    }
}

result! {
    /// Of `update_change`.
    Updated {
        #[serde(flatten)] outcome: Outcome,
        change_id: String,
        status: Status,
        priority: RiskLevel,
        #[schemars(range(max = 100))] risk_score: u8,
        risk_level: RiskLevel,
    }
}

result! {
    /// Of `assess_risk`.
    Assessed {
        #[serde(flatten)] outcome: Outcome,
        assessment: Assessment,
    }
}

result! {
    /// An assessment of a change's risk.
    Assessment {
        /// `RISK-…`
        id: String,
        change_id: String,
        /// 0 to 100.
        #[schemars(range(max = 100))] overall_score: u8,
        level: RiskLevel,
        /// How the score is made up.
        factors: ScoreParts,
        reasons: Vec<String>,
        mitigations: Vec<String>,
        recommendations: Vec<String>,
        assessed_by: String,
        assessed_at: Time,
    }
}

result! {
    /// The parts of a score.
    ScoreParts {
        technical: f64,
        business: f64,
        security: f64,
        compliance: f64,
    }
}

result! {
    /// Of `approve_change`.
    Decided {
        #[serde(flatten)] outcome: Outcome,
        change_id: String,
        status: Status,
        approval: Approval,
        approvals_received: u32,
        approvals_required: u32,
        next_steps: String,
    }
}

result! {
    /// A decision of an approver.
    Approval {
        /// `APP-…`
        id: String,
        change_id: String,
        approver_id: String,
        approver_name: String,
        decision: Decision,
        comments: Option<String>,
        timestamp: Time,
        /// Whether it came before the deadline.
        sla_compliant: bool,
    }
}

result! {
    /// Of `schedule_change`.
    Scheduled {
        #[serde(flatten)] outcome: Outcome,
        change_id: String,
        status: Status,
        /// `SCHED-…`
        schedule_id: String,
        /// The window it lies in; null for an emergency outside of windows.
        window: Option<Map<String, Json>>,
        /// Other changes that are scheduled at the same time.
        conflicts: Vec<Map<String, Json>>,
        /// In a refusal: the next window that fits.
        next_window: Option<Window>,
    }
}

result! {
    /// A stretch of time.
    Window {
        start: Time,
        end: Time,
    }
}

result! {
    /// Of `transition_change`.
    Moved {
        #[serde(flatten)] outcome: Outcome,
        change_id: String,
        from: Status,
        status: Status,
        /// The states it can be moved to now.
        open_moves: Vec<String>,
    }
}

result! {
    /// Of `emergency_override`.
    Overridden {
        #[serde(flatten)] outcome: Outcome,
        change_id: String,
        status: Status,
        #[serde(rename = "type")] kind: Kind,
        /// Until when it is to be reviewed.
        review_due: Time,
    }
}

result! {
    /// Of `get_change_status`.
    Shown {
        #[serde(flatten)] outcome: Outcome,
        change_id: String,
        title: String,
        description: String,
        requestor: String,
        #[serde(rename = "type")] kind: Kind,
        impact: Option<Level>,
        urgency: Option<Level>,
        affected_systems: Option<Vec<String>>,
        environment: Option<String>,
        implementation_plan: Option<String>,
        rollback_plan: Option<String>,
        planned_start: Option<Time>,
        blocked_by: Option<Vec<String>>,
        status: Status,
        priority: RiskLevel,
        #[schemars(range(max = 100))] risk_score: u8,
        risk_level: RiskLevel,
        assessments: Vec<Map<String, Json>>,
        approvals: Vec<Map<String, Json>>,
        approvals_received: u32,
        approvals_required: u32,
        schedule: Option<Map<String, Json>>,
        sla: Option<Map<String, Json>>,
        /// The states it can be moved to now.
        open_moves: Vec<String>,
        #[serde(rename = "override")] overridden: Option<Map<String, Json>>,
        /// The last 20 records; `get_audit_trail` has them all.
        audit: Vec<AuditRecord>,
    }
}

result! {
    /// A record of what happened, never changed.
    AuditRecord {
        /// Counted from 1 without gaps.
        seq: u64,
        time: Time,
        #[serde(rename = "type")] kind: String,
        who: String,
        from: Option<String>,
        to: Option<String>,
        reason: Option<String>,
        request_id: Option<String>,
        #[serde(flatten)] more: Map<String, Json>,
    }
}

result! {
    /// Of `list_changes`.
    Listed {
        #[serde(flatten)] outcome: Outcome,
        changes: Vec<Row>,
        /// Give it back to read on; null after the last.
        cursor: Option<String>,
    }
}

result! {
    /// A change in a list.
    Row {
        change_id: String,
        title: String,
        status: Status,
        #[serde(rename = "type")] kind: Kind,
        priority: RiskLevel,
        #[schemars(range(max = 100))] risk_score: u8,
        risk_level: RiskLevel,
        created_at: Time,
    }
}

result! {
    /// Of `add_comment`.
    Commented {
        #[serde(flatten)] outcome: Outcome,
        change_id: String,
        comment: CommentRecord,
    }
}

result! {
    /// A comment.
    CommentRecord {
        id: String,
        author: String,
        text: String,
        timestamp: Time,
    }
}

result! {
    /// Of `get_audit_trail`.
    Trail {
        #[serde(flatten)] outcome: Outcome,
        change_id: String,
        audit: Vec<AuditRecord>,
        /// Give it back to read on; null after the last.
        cursor: Option<String>,
    }
}

result! {
    /// Of `compliance_report`.
    Reported {
        #[serde(flatten)] outcome: Outcome,
        period: Option<PeriodShown>,
        total_changes: u64,
        by_state: std::collections::BTreeMap<String, u64>,
        by_type: std::collections::BTreeMap<String, u64>,
        by_risk: std::collections::BTreeMap<String, u64>,
        by_environment: std::collections::BTreeMap<String, u64>,
        /// Ids of emergencies; at most 1,000, `emergencyCount` counts all.
        emergency_changes: Vec<String>,
        /// Ids of changes that failed and are not closed; at most 1,000, `failedCount` counts all.
        failed_changes: Vec<String>,
        controls: Vec<ControlShown>,
        metrics: ReportMetrics,
        /// 100 times controls passed by controls.
        audit_score: Option<f64>,
        /// Set where there were more changes than a report reads: the last change it has read.
        stopped_at: Option<String>,
    }
}

result! {
    /// A period as it was asked for.
    PeriodShown {
        start: Option<Time>,
        end: Option<Time>,
    }
}

result! {
    /// A control, and whether every change passed it.
    ControlShown {
        id: String,
        framework: String,
        name: String,
        /// Whether there is no violation.
        passed: bool,
        evidence: Vec<String>,
        violations: Vec<Map<String, Json>>,
    }
}

result! {
    /// The figures of a report; null where nothing was measured.
    ReportMetrics {
        /// Mean hours from created to closed.
        average_lead_time: Option<f64>,
        /// 0 to 1.
        success_rate: Option<f64>,
        /// 0 to 1.
        emergency_rate: Option<f64>,
        /// 0 to 1.
        cab_approval_rate: Option<f64>,
    }
}

result! {
    /// Of `metrics_dashboard`; null where nothing was measured.
    Measured {
        #[serde(flatten)] outcome: Outcome,
        system: SystemMetrics,
        changes: ChangeMetrics,
        compliance: ComplianceMetrics,
    }
}

result! {
    /// The server itself.
    SystemMetrics {
        /// Seconds.
        uptime: Option<f64>,
        /// Milliseconds, the mean.
        response_time: Option<f64>,
        /// 0 to 1.
        error_rate: Option<f64>,
        requests_per_minute: Option<f64>,
    }
}

result! {
    /// The changes.
    ChangeMetrics {
        /// Changes that are not closed, rejected or cancelled.
        active: Option<u64>,
        /// Changes that wait for approvals.
        pending_approvals: Option<u64>,
        /// Minutes from submission to approval, the mean.
        avg_approval_time: Option<f64>,
        /// 0 to 1.
        success_rate: Option<f64>,
    }
}

result! {
    /// How well the rules are kept.
    ComplianceMetrics {
        /// 0 to 100.
        audit_score: Option<f64>,
        /// 0 to 1.
        sla_compliance: Option<f64>,
        /// 0 to 1.
        risk_accuracy: Option<f64>,
    }
}
