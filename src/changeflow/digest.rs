//! What one change adds to a report and to the figures: its facts, weighed by the controls. Pure.
//!
//! A digest is remembered where the facts are not, so it owns what it has.

use serde_json::Value as Json;

use crate::object::Timestamp;

use super::controls::{self, Finding, IN_ALL};
use super::facts::{Facts, Record};

/// What one change adds; small, whatever the length of its trail.
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
