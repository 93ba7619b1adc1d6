//! What reports need of one change, read from its audit records. Pure.
//!
//! Everything is derived from the records where they say it, so that whoever has the audit trail can come to the
//! same figures; the fields of the change give only what no record repeats.

use serde_json::Value as Json;

use crate::object::Timestamp;

use super::controls::{self, Finding, IN_ALL};
use super::objects::text;

/// A record of the audit trail.
#[derive(Debug, Clone)]
pub(super) struct Record<'facts> {
    pub(super) seq: u64,
    pub(super) time: Timestamp,
    pub(super) kind: &'facts str,
    pub(super) to: Option<&'facts str>,
    /// All of it.
    pub(super) whole: &'facts Json,
}

impl<'facts> Record<'facts> {
    fn read(whole: &'facts Json) -> Option<Self> {
        Some(Self {
            seq: whole.get("seq")?.as_u64()?,
            time: Timestamp::parse(text(whole, "time")?).ok()?,
            kind: text(whole, "type")?,
            to: text(whole, "to"),
            whole,
        })
    }

    /// A field that is a text.
    pub(super) fn says(&self, name: &str) -> Option<&'facts str> {
        text(self.whole, name)
    }

    /// The version of the policy that it was made under.
    pub(super) fn policy_version(&self) -> u64 {
        self.whole.get("policyVersion").and_then(Json::as_u64).unwrap_or_default()
    }

    /// Whether it is a decision of an approver.
    pub(super) fn is_decision(&self) -> bool {
        matches!(self.kind, "approved" | "rejected" | "needs_info")
    }
}

/// A change as reports see it.
#[derive(Debug, Clone)]
pub(super) struct Facts<'facts> {
    pub(super) id: &'facts str,
    pub(super) requestor: &'facts str,
    pub(super) kind: &'facts str,
    pub(super) risk: &'facts str,
    pub(super) environment: Option<&'facts str>,
    pub(super) has_rollback_plan: bool,
    pub(super) records: Vec<Record<'facts>>,
    /// Entries of the trail that are no records.
    pub(super) unreadable: usize,
}

impl<'facts> Facts<'facts> {
    /// Reads what the class answers to `facts`; nothing if it is no change.
    pub(super) fn read(json: &'facts Json) -> Option<Self> {
        let trail = json.get("audit")?.as_array()?;
        let records: Vec<Record<'_>> = trail.iter().filter_map(Record::read).collect();
        Some(Self {
            id: text(json, "changeId")?,
            requestor: text(json, "requestor").unwrap_or_default(),
            kind: text(json, "type").unwrap_or_default(),
            risk: text(json, "riskLevel").unwrap_or_default(),
            environment: text(json, "environment"),
            has_rollback_plan: text(json, "rollbackPlan").is_some_and(|plan| !plan.trim().is_empty()),
            unreadable: trail.len() - records.len(),
            records,
        })
    }

    /// The state that the records lead to.
    pub(super) fn status(&self) -> &'facts str {
        self.records.iter().rev().find_map(|record| record.to).unwrap_or("draft")
    }

    /// The records that move the change into a state.
    pub(super) fn moves_to(&self, state: &str) -> impl Iterator<Item = &Record<'facts>> {
        self.records.iter().filter(move |record| record.to == Some(state))
    }

    /// Whether it is an emergency, from the beginning or by an override.
    pub(super) fn is_emergency(&self) -> bool {
        self.kind == "emergency" || self.records.iter().any(|record| record.kind == "EMERGENCY_OVERRIDE")
    }
}

/// The versions of the policy under which the change was implemented.
pub(super) fn policy_versions(facts: &Facts<'_>) -> Vec<u64> {
    facts.moves_to("implementing").map(Record::policy_version).collect()
}

/// What one change adds to a report; small, whatever the length of its trail.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Digest {
    pub(super) id: String,
    pub(super) created: Timestamp,
    pub(super) status: String,
    pub(super) kind: String,
    pub(super) risk: String,
    pub(super) environment: Option<String>,
    pub(super) is_emergency: bool,
    /// It has ever failed.
    pub(super) has_failed: bool,
    pub(super) closed: Option<Timestamp>,
    /// Decisions that approved.
    pub(super) approvals: u32,
    /// Decisions that rejected.
    pub(super) rejections: u32,
    /// Whether it was decided within its deadline; none if no decisions have approved or rejected it.
    pub(super) decided_in_time: Option<bool>,
    /// From its submission to the decision that approved it, in milliseconds.
    pub(super) approval_ms: Option<u64>,
    /// What each control finds, in the order of [`IN_ALL`].
    pub(super) findings: [Finding; IN_ALL.len()],
}

impl Digest {
    /// What a change adds. `frozen` says whether the moment of a record lies in a freeze.
    pub(super) fn of(facts: &Facts<'_>, frozen: &dyn Fn(&Record<'_>) -> bool) -> Self {
        let decisions = || facts.records.iter().filter(|record| record.is_decision());
        let count = |kind: &str| {
            u32::try_from(decisions().filter(|record| record.kind == kind).count()).unwrap_or(u32::MAX)
        };
        let decisive = decisions().find(|record| matches!(record.to, Some("approved" | "rejected")));
        let approved = decisions().find(|record| record.to == Some("approved"));
        let submitted = facts.moves_to("submitted").next();
        Self {
            id: facts.id.to_owned(),
            created: facts.records.first().map(|record| record.time).unwrap_or_default(),
            status: facts.status().to_owned(),
            kind: facts.kind.to_owned(),
            risk: facts.risk.to_owned(),
            environment: facts.environment.map(str::to_owned),
            is_emergency: facts.is_emergency(),
            has_failed: facts.moves_to("failed").next().is_some(),
            closed: facts.moves_to("closed").last().map(|record| record.time),
            approvals: count("approved"),
            rejections: count("rejected"),
            decided_in_time: decisive.map(|record| {
                record.whole.get("slaCompliant").and_then(Json::as_bool).unwrap_or_else(|| {
                    !facts.records.iter().any(|other| other.kind == "sla_breach" && other.seq < record.seq)
                })
            }),
            approval_ms: approved
                .zip(submitted)
                .map(|(approved, submitted)| approved.time.since_ms(submitted.time)),
            findings: controls::find(facts, frozen),
        }
    }

    /// Whether its implementation has come to an end, well or not.
    pub(super) fn is_finished(&self) -> bool {
        self.closed.is_some() || self.has_failed
    }
}
