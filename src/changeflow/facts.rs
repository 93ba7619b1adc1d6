//! What reports and controls need of one change, read from its audit records. Pure.
//!
//! Everything is derived from the records where they say it, so that whoever has the audit trail can come to the
//! same figures; the fields of the change give only what no record repeats.

use serde_json::Value as Json;

use crate::object::Timestamp;

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
