//! The audit trail: one record for everything that happened to a change, in the commit that made it happen.
//!
//! Records lie under `audit/0000000001` and so on: they are numbered from 1 without gaps, their times do not go back,
//! and none is ever changed or deleted. They are what reports are computed from.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::object::{Page, Refusal, Timestamp, Turn, Value};

use super::State;
use super::words::words;

/// The keys of the trail begin with this.
pub const PREFIX: &str = "audit/";

words! {
    /// What happened.
    Event {
        /// The change was made.
        Created = "created",
        /// Something of it was changed.
        Updated = "updated",
        /// It was handed in.
        Submitted = "submitted",
        /// It moved on in a way that has no word of its own.
        StateChange = "state_change",
        /// An approver approved it.
        Approved = "approved",
        /// An approver rejected it.
        Rejected = "rejected",
        /// An approver asked for more.
        NeedsInfo = "needs_info",
        /// Somebody wrote a comment.
        CommentAdded = "comment_added",
        /// Its risk was assessed.
        RiskAssessed = "risk_assessed",
        /// It was given a time.
        Scheduled = "scheduled",
        /// Its time was taken back.
        Unscheduled = "unscheduled",
        /// It was made.
        Implemented = "implemented",
        /// It failed and was taken back.
        RollbackInitiated = "rollback_initiated",
        /// It was looked at afterwards.
        Reviewed = "reviewed",
        /// It is done.
        Closed = "closed",
        /// It was given up.
        Cancelled = "cancelled",
        /// Somebody answered for it in place of approvals.
        EmergencyOverride = "EMERGENCY_OVERRIDE",
        /// Four fifths of the time for a decision are over.
        SlaWarning = "sla_warning",
        /// The time for a decision is over.
        SlaBreach = "sla_breach",
    }
}

/// One record of the trail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Its number, from 1.
    pub seq: u64,
    /// When it happened; not before the record before it, even if the clock of this node is behind.
    pub time: Timestamp,
    /// What happened.
    #[serde(rename = "type")]
    pub event: Event,
    /// Who did it: whom the call names (requestor, approver, who authorized, author), or else the caller's subject.
    pub who: String,
    /// The caller's subject.
    pub subject: String,
    /// From which state, if it was a move.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<State>,
    /// To which state, if it was a move.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<State>,
    /// Why, if somebody said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The request in which it happened.
    pub request_id: String,
    /// The version of the policy by which it was decided.
    pub policy_version: u64,
    /// What else belongs to it: `approvalId`, `round`, `blockers`, and so on.
    #[serde(flatten)]
    pub more: Map<String, Json>,
}

/// The key of a record.
#[must_use]
pub fn key(seq: u64) -> String {
    format!("{PREFIX}{seq:010}")
}

/// A part of the trail: records after one, and whether there are more after these.
///
/// # Errors
/// [`Refusal::Storage`].
pub fn read(
    turn: &Turn<'_>,
    after_seq: u64,
    records: usize,
    max_bytes: usize,
) -> Result<(Vec<Value>, bool), Refusal> {
    let (mut found, mut bytes, mut after) = (Vec::new(), 0, key(after_seq));
    loop {
        let room = Page { entries: records + 1 - found.len(), bytes: max_bytes };
        let page = turn.list(PREFIX, Some(&after), room)?;
        let Some((last, _)) = page.last() else { return Ok((found, false)) };
        last.as_str().clone_into(&mut after);
        for (_, value) in page {
            // One is always given, or whoever reads on would not get past it.
            if found.len() == records || bytes + value.len() > max_bytes && !found.is_empty() {
                return Ok((found, true));
            }
            bytes += value.len();
            found.push(value);
        }
    }
}
