//! A change as it lies under the keys of its object: one key a field, absent where there is nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::object::{Refusal, Timestamp, Turn, Value};

use super::approval::{self, Approval};
use super::moment::Span;
use super::risk::{self, Factors, Score, Scored};
use super::sla::Sla;
use super::{Degree, Kind, Level, Policy, State};

/// The fields that `create_change_request` is given.
pub const ARGUMENTS: &[&str] = &[
    "title",
    "description",
    "requestor",
    "type",
    "impact",
    "urgency",
    "affectedSystems",
    "environment",
    "implementationPlan",
    "rollbackPlan",
    "plannedStart",
    "blockedBy",
];

/// The fields beside those.
const FIELDS: &[&str] = &[
    "status",
    "priority",
    "riskScore",
    "riskLevel",
    "createdAt",
    "submittedAt",
    "updatedAt",
    "round",
    "assessed",
    "assessments",
    "approvals",
    "approvalsReceived",
    "approvalsRequired",
    "schedule",
    "sla",
    "override",
    "policyVersion",
    "auditCount",
    "commentCount",
];

/// A change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// What it is, in a line.
    pub title: String,
    /// What it is, at length.
    pub description: String,
    /// Who asks for it.
    pub requestor: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// How much it touches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impact: Option<Degree>,
    /// How soon it is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub urgency: Option<Degree>,
    /// What it touches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affected_systems: Option<Vec<String>>,
    /// Where it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// How it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub implementation_plan: Option<String>,
    /// How it is taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback_plan: Option<String>,
    /// When it is meant to begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned_start: Option<Timestamp>,
    /// The changes that it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<Vec<String>>,
    /// Its state.
    pub status: State,
    /// Its priority.
    pub priority: Level,
    /// Its risk from 0 to 100: the last assessment's, or a forecast where none holds.
    pub risk_score: u32,
    /// The level of that.
    pub risk_level: Level,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was handed in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub submitted_at: Option<Timestamp>,
    /// When its last audit record is from.
    pub updated_at: Timestamp,
    /// The round of decisions, from 1.
    pub round: u32,
    /// Whether the last assessment holds: nothing that it looked at has changed.
    pub assessed: bool,
    /// Its assessments, the last one last.
    pub assessments: Vec<Assessment>,
    /// The decisions on it, of all rounds.
    pub approvals: Vec<Approval>,
    /// Approvals of this round that count, as the last turn saw it; at the end of the decision they stand still.
    pub approvals_received: u32,
    /// Approvals that it needs, likewise.
    pub approvals_required: u32,
    /// When it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// How long the decision may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sla: Option<Sla>,
    /// The override that stands for approvals and assessment.
    #[serde(rename = "override", skip_serializing_if = "Option::is_none")]
    pub overridden: Option<Override>,
    /// The version of the policy that the last turn used.
    pub policy_version: u64,
    /// How many audit records there are.
    pub audit_count: u64,
    /// How many comments there are.
    pub comment_count: u64,
}

/// An assessment of a change's risk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Assessment {
    /// `RISK-` and six characters.
    pub id: String,
    /// The change.
    pub change_id: String,
    /// From 0 to 100.
    pub overall_score: u32,
    /// The level of that.
    pub level: Level,
    /// Where the score comes from.
    pub factors: Factors,
    /// Each point of it in a sentence.
    pub reasons: Vec<String>,
    /// What makes the change safer.
    pub mitigations: Vec<String>,
    /// What to do next.
    pub recommendations: Vec<String>,
    /// What the assessor said of it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub considered: Map<String, Json>,
    /// The caller's subject.
    pub assessed_by: String,
    /// When.
    pub assessed_at: Timestamp,
}

/// When a change is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// `SCHED-` and six characters.
    pub schedule_id: String,
    /// When it begins.
    pub scheduled_start: Timestamp,
    /// When it is over.
    pub scheduled_end: Timestamp,
    /// The window it lies in; `null` where it lies in none and is justified.
    pub window: Option<Span>,
    /// The day of the calendar on which it is reserved; `null` where nothing is.
    pub day: Option<String>,
    /// The others that overlapped when it was reserved.
    pub conflicts: Vec<Json>,
    /// Whether it is an emergency's that gave a reason to pass windows and freezes.
    pub justified: bool,
    /// The reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub justification: Option<String>,
    /// Whom to tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notification_contacts: Option<Vec<String>>,
}

impl Schedule {
    /// When it takes place.
    #[must_use]
    pub fn span(&self) -> Span {
        Span { start: self.scheduled_start, end: self.scheduled_end }
    }
}

/// Somebody answers for a change in place of approvals and assessment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Override {
    /// Why.
    pub justification: String,
    /// Who.
    pub authorized_by: String,
    /// When.
    pub authorized_at: Timestamp,
    /// The state before it.
    pub from: State,
    /// Until when it is to be reviewed.
    pub review_due: Timestamp,
}

/// The fields as they were read, to write only what has changed.
pub(super) type Fields = BTreeMap<&'static str, Value>;

impl Change {
    /// Reads the change of this object, with its fields as they are stored.
    pub(super) fn load(turn: &Turn<'_>) -> Result<(Self, Fields), Refusal> {
        let mut fields = Fields::new();
        for name in ARGUMENTS.iter().chain(FIELDS) {
            if let Some(value) = turn.get(name)? {
                fields.insert(*name, value);
            }
        }
        if fields.is_empty() {
            return Err(not_found(turn.address().name().as_str()));
        }
        let mut text = String::from("{");
        for (name, value) in &fields {
            if text.len() > 1 {
                text.push(',');
            }
            text.extend(["\"", name, "\":", value.as_str()]);
        }
        text.push('}');
        let change = serde_json::from_str(&text)
            .map_err(|error| Refusal::invalid(format!("the change's state does not fit: {error}")))?;
        Ok((change, fields))
    }

    /// Writes what differs from the fields as they were.
    pub(super) fn store(&self, turn: &mut Turn<'_>, before: &Fields) -> Result<(), Refusal> {
        let fields = self.fields();
        for name in ARGUMENTS.iter().chain(FIELDS) {
            match (fields.get(*name), before.get(name)) {
                (Some(json), before) => {
                    let value = Value::from_json(json.clone());
                    if before != Some(&value) {
                        turn.put(name, &value)?;
                    }
                }
                (None, Some(_)) => {
                    turn.delete(name)?;
                }
                (None, None) => {}
            }
        }
        Ok(())
    }

    /// Its fields as JSON.
    pub(super) fn fields(&self) -> Map<String, Json> {
        match serde_json::to_value(self) {
            Ok(Json::Object(fields)) => fields,
            other => unreachable!("a change has the form of an object in JSON: {other:?}"),
        }
    }

    /// Scores it as it is.
    pub(super) fn score(&self, policy: &Policy, now: Timestamp) -> Score {
        risk::score(
            policy,
            Scored {
                title: &self.title,
                description: &self.description,
                systems: self.affected_systems.as_deref().unwrap_or_default(),
                at: self.planned_start.unwrap_or(now),
            },
        )
    }

    /// Counts approvals anew, for this policy. Once it is decided, the count stands still.
    pub(super) fn count_approvals(&mut self, policy: &Policy) {
        if self.status == State::Draft || self.status.is_undecided() {
            self.approvals_received = approval::received(policy, self.kind, &self.approvals, self.round);
            self.approvals_required = approval::required(policy, self.kind, self.risk_level, &self.requestor);
        }
    }
}

/// What is said of a change that is not there.
pub(super) fn not_found(id: &str) -> Refusal {
    Refusal::NotFound { detail: format!("Change {id} not found") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::change_request::Decision;

    /// Every field has its key: what serializes is what is loaded and stored.
    #[test]
    fn all_fields_are_named() {
        let (time, text) = (Timestamp(0), String::new);
        let change = Change {
            title: text(),
            description: text(),
            requestor: text(),
            kind: Kind::Normal,
            impact: Some(Degree::Low),
            urgency: Some(Degree::Low),
            affected_systems: Some(Vec::new()),
            environment: Some(text()),
            implementation_plan: Some(text()),
            rollback_plan: Some(text()),
            planned_start: Some(time),
            blocked_by: Some(Vec::new()),
            status: State::Draft,
            priority: Level::Low,
            risk_score: 0,
            risk_level: Level::Low,
            created_at: time,
            submitted_at: Some(time),
            updated_at: time,
            round: 1,
            assessed: false,
            assessments: Vec::new(),
            approvals: vec![Approval {
                id: text(),
                change_id: text(),
                approver_id: text(),
                approver_name: text(),
                decision: Decision::Approved,
                comments: None,
                timestamp: time,
                sla_compliant: true,
                round: 1,
            }],
            approvals_received: 0,
            approvals_required: 0,
            schedule: Some(Schedule {
                schedule_id: text(),
                scheduled_start: time,
                scheduled_end: time,
                window: None,
                day: None,
                conflicts: Vec::new(),
                justified: false,
                justification: None,
                notification_contacts: None,
            }),
            sla: Some(Sla::new(&Policy::default(), Kind::Normal, Level::Low, time)),
            overridden: Some(Override {
                justification: text(),
                authorized_by: text(),
                authorized_at: time,
                from: State::Submitted,
                review_due: time,
            }),
            policy_version: 1,
            audit_count: 0,
            comment_count: 0,
        };
        let fields = change.fields();
        let mut found: Vec<&str> = fields.keys().map(String::as_str).collect();
        let mut named: Vec<&str> = ARGUMENTS.iter().chain(FIELDS).copied().collect();
        found.sort_unstable();
        named.sort_unstable();
        assert_eq!(found, named);
        assert_eq!(serde_json::from_value::<Change>(Json::Object(fields)).unwrap(), change);
    }
}
