//! What each tool is given, as types: their schemas are what clients read, and what arguments are checked against.
//!
//! [`super::check`] holds arguments to the schema before a type here is made of them, so every refusal is worded
//! once. What a field means stands here and nowhere else; a model reads it as the field's description.

#![expect(dead_code, reason = "some arguments are only described here: they go to the class as they came")]

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::vocabulary::{Decision, Framework, Kind, Level, RiskLevel, Status};

/// `create_change_request`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Create {
    /// What is to be changed, in a line; keywords in it raise the risk score.
    title: String,
    /// What is done, why, and to what; keywords in it raise the risk score.
    description: String,
    /// Who asks for the change: the id of a person, or an address such as `alice@example.com`. Nobody approves
    /// their own request.
    requestor: String,
    /// The kind of change; `normal` when absent. An `emergency` needs two emergency-capable approvers and may be
    /// implemented without a schedule.
    #[serde(rename = "type")]
    kind: Option<Kind>,
    #[serde(flatten)]
    details: Details,
    /// Keep it as a draft: it is not submitted, and no deadline runs. Submit it later with `transition_change`.
    draft: Option<bool>,
}

/// What `create_change_request` and `update_change` have in common.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Details {
    /// How much of the business it touches; `medium` when absent. Priority comes from impact and urgency.
    impact: Option<Level>,
    /// How soon it must be done; `medium` when absent.
    urgency: Option<Level>,
    /// The systems it touches, each by its name; distinct ones raise the risk score.
    #[schemars(length(max = 1000))]
    affected_systems: Option<Vec<String>>,
    /// Where it is done, such as `production` or `staging`.
    environment: Option<String>,
    /// The steps of the change; needed before it is implemented, unless it is an emergency.
    implementation_plan: Option<String>,
    /// The way back; expected of changes of high and critical risk.
    rollback_plan: Option<String>,
    /// When it is to begin, as RFC 3339 (`2026-11-24T02:00:00Z`); it counts in the risk score, and is no schedule.
    #[schemars(extend("format" = "date-time"))]
    planned_start: Option<String>,
    /// Ids of changes that must be finished before this one is implemented.
    #[schemars(length(max = 100))]
    blocked_by: Option<Vec<String>>,
}

/// `update_change`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Update {
    /// The change's id, `CHG-YYYYMMDD-XXXXXX`.
    change_id: String,
    /// A new title; a new assessment and round of approvals are needed then.
    title: Option<String>,
    /// A new description; a new assessment and round of approvals are needed then.
    description: Option<String>,
    /// Another kind of change.
    #[serde(rename = "type")]
    kind: Option<Kind>,
    #[serde(flatten)]
    details: Details,
}

/// `assess_risk`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Assess {
    /// The change's id, `CHG-YYYYMMDD-XXXXXX`.
    change_id: String,
    /// What the assessor has to say; it is recorded and shapes the recommendations, and never changes the score.
    factors: Option<Factors>,
}

/// What an assessor says of a change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Factors {
    /// How complex it is, in words or as a number.
    complexity: Option<Json>,
    /// What there is to say on its timing, in words or as a number.
    timing: Option<Json>,
    /// What it depends on, in words, as a list or as a number.
    dependencies: Option<Json>,
    #[serde(flatten)]
    more: Map<String, Json>,
}

/// `approve_change`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Approve {
    /// The change's id, `CHG-YYYYMMDD-XXXXXX`.
    change_id: String,
    /// Who decides: the id of an approver of the policy, such as `alice.chen`.
    approver_id: String,
    /// `approved`, `rejected` (final; needs `comments`), or `needs_info` (opens a new round).
    decision: Decision,
    /// Why; required of a rejection.
    comments: Option<String>,
}

/// `schedule_change`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Schedule {
    /// The change's id, `CHG-YYYYMMDD-XXXXXX`.
    change_id: String,
    /// When it begins, as RFC 3339 with an offset (`2026-11-24T02:00:00Z`); it must lie with its end in one window.
    #[schemars(extend("format" = "date-time"))]
    scheduled_start: String,
    /// When it ends, as RFC 3339 with an offset.
    #[schemars(extend("format" = "date-time"))]
    scheduled_end: String,
    /// Why an emergency may be done outside windows or in a freeze; for emergencies only.
    justification: Option<String>,
    /// Whom to notify; recorded with the schedule.
    #[schemars(length(max = 100))]
    notification_contacts: Option<Vec<String>>,
}

/// `transition_change`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Transition {
    /// The change's id, `CHG-YYYYMMDD-XXXXXX`.
    change_id: String,
    /// The state to move to; `openMoves` of `get_change_status` lists those that are open.
    to: Status,
    /// Why; required of `failed` and `cancelled`.
    reason: Option<String>,
}

/// `emergency_override`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Override {
    /// The change's id, `CHG-YYYYMMDD-XXXXXX`.
    change_id: String,
    /// Why it cannot wait for approvals; it stays in the audit trail.
    justification: String,
    /// Who takes the responsibility: an emergency-capable approver, not the requestor.
    authorized_by: String,
}

/// `get_change_status`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct GetStatus {
    /// The change's id, `CHG-YYYYMMDD-XXXXXX`.
    change_id: String,
}

/// `list_changes`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct List {
    /// Only changes in this state.
    pub(super) status: Option<Status>,
    /// Only changes of this kind.
    #[serde(rename = "type")]
    pub(super) kind: Option<Kind>,
    /// Only changes of this risk level.
    pub(super) risk: Option<RiskLevel>,
    /// Only changes that this requestor asked for.
    pub(super) requestor: Option<String>,
    /// At most so many, 1 to 1,000; 100 when absent.
    #[schemars(range(min = 1, max = 1000))]
    pub(super) limit: Option<usize>,
    /// Where the last page ended: the `cursor` of its answer.
    pub(super) cursor: Option<String>,
}

/// `add_comment`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Comment {
    /// The change's id, `CHG-YYYYMMDD-XXXXXX`.
    change_id: String,
    /// The comment's text.
    #[serde(rename = "comment")]
    text: String,
    /// Who says it; the caller when absent.
    author: Option<String>,
}

/// `get_audit_trail`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuditTrail {
    /// The change's id, `CHG-YYYYMMDD-XXXXXX`.
    pub(super) change_id: String,
    /// At most so many records, 1 to 1,000; 100 when absent.
    #[schemars(range(min = 1, max = 1000))]
    pub(super) limit: Option<usize>,
    /// Where the last page ended: the `cursor` of its answer.
    pub(super) cursor: Option<String>,
}

/// `compliance_report`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// Whose controls: `sox`, `pci_dss`, `gdpr`, or `all`, which is meant when absent.
    pub(super) framework: Option<Framework>,
    /// Only changes created in this period; all of them when absent.
    pub(super) period: Option<Period>,
}

/// `metrics_dashboard`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Dashboard {
    /// The period that is measured; when absent, now and everything. Samples are kept for 90 days.
    pub(super) period: Option<Period>,
}

/// A period; its end is excluded.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Period {
    /// Its first moment, as RFC 3339 with an offset; open when absent.
    #[schemars(extend("format" = "date-time"))]
    pub(super) start: Option<String>,
    /// The first moment after it, as RFC 3339 with an offset; open when absent.
    #[schemars(extend("format" = "date-time"))]
    pub(super) end: Option<String>,
}
