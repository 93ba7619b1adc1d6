//! What is asked of a change: its status, its row in a list, its trail, and what a report needs of it.

use serde_json::{Map, Value as Json, json};

use crate::class::Parameters;
use crate::class::parameters::integer;
use crate::limits::{
    CHANGE_REPORT_RECORDS, CHANGE_STATUS_RECORDS, CHANGE_TRAIL_MAX_BYTES, PAGE_DEFAULT, PAGE_MAX,
    STATE_ANSWER_MAX_BYTES,
};
use crate::object::{Refusal, Turn, Value};

use super::change::{ARGUMENTS, Change, not_found};
use super::{audit, states};

/// `get_change_status`'s result. `schedule` and `override` are `null` where there is none; of a draft, so is the
/// deadline.
pub(super) fn status(turn: &Turn<'_>) -> Result<Json, Refusal> {
    let (change, _) = Change::load(turn)?;
    let after = change.audit_count.saturating_sub(CHANGE_STATUS_RECORDS);
    let (records, _) = audit::read(turn, after, PAGE_MAX, CHANGE_TRAIL_MAX_BYTES)?;
    // A decided change keeps what was true when it was decided.
    let now = turn.now();
    let is_late = |sla: super::sla::Sla| sla.breached || change.status.is_undecided() && !sla.is_met(now);
    let sla = json!({
        "deadline": change.sla.map(|sla| sla.deadline),
        "breached": change.sla.is_some_and(is_late),
        "decidedAt": change.sla.and_then(|sla| sla.decided_at),
    });
    let open_moves = states::open(change.kind, change.status);
    let mut fields = change.fields();
    let mut result = Map::new();
    result.insert("success".to_owned(), Json::Bool(true));
    result.insert("changeId".to_owned(), turn.address().name().as_str().into());
    for name in ARGUMENTS.iter().chain(SHOWN) {
        if let Some(value) = fields.remove(*name) {
            result.insert((*name).to_owned(), value);
        }
    }
    for name in ["schedule", "override"] {
        result.insert(name.to_owned(), fields.remove(name).unwrap_or(Json::Null));
    }
    result.insert("sla".to_owned(), sla);
    result.insert("openMoves".to_owned(), json!(open_moves));
    result.insert("audit".to_owned(), trail(&records));
    Ok(Json::Object(result))
}

/// What a status shows beside the arguments, as it is stored.
const SHOWN: &[&str] = &[
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
    "policyVersion",
];

/// A row of `list_changes`, with what it is chosen by.
pub(super) fn summary(turn: &Turn<'_>) -> Result<Json, Refusal> {
    const ROW: &[&str] =
        &["title", "status", "type", "priority", "riskScore", "riskLevel", "createdAt", "requestor"];
    let id = turn.address().name().as_str();
    let mut row = Map::new();
    row.insert("changeId".to_owned(), id.into());
    for name in ROW {
        let value = turn.get(name)?.ok_or_else(|| not_found(id))?;
        row.insert((*name).to_owned(), value.to_json());
    }
    Ok(Json::Object(row))
}

/// A page of the trail: `{limit=100, after_seq=0}` → `{"audit":[…],"more":bool}`.
pub(super) fn audit(turn: &Turn<'_>, parameters: &Parameters) -> Result<Json, Refusal> {
    if turn.get("status")?.is_none() {
        return Err(not_found(turn.address().name().as_str()));
    }
    let limit = integer(parameters, "limit", i64::try_from(PAGE_DEFAULT).unwrap_or(i64::MAX))?;
    let limit = usize::try_from(limit).ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
    let limit = limit.ok_or_else(|| Refusal::invalid(format!("limit must be from 1 to {PAGE_MAX}")))?;
    let after = u64::try_from(integer(parameters, "after_seq", 0)?)
        .map_err(|_| Refusal::invalid("after_seq must not be negative"))?;
    let (records, more) = audit::read(turn, after, limit, CHANGE_TRAIL_MAX_BYTES)?;
    Ok(json!({ "audit": trail(&records), "more": more }))
}

/// All fields and the trail, `more` where it is too long for one answer: `audit` reads on.
pub(super) fn facts(turn: &Turn<'_>) -> Result<Json, Refusal> {
    let (change, _) = Change::load(turn)?;
    let (records, more) = audit::read(turn, 0, CHANGE_REPORT_RECORDS, STATE_ANSWER_MAX_BYTES / 2)?;
    let mut facts = change.fields();
    facts.insert("changeId".to_owned(), turn.address().name().as_str().into());
    facts.insert("audit".to_owned(), trail(&records));
    facts.insert("more".to_owned(), more.into());
    Ok(Json::Object(facts))
}

fn trail(records: &[Value]) -> Json {
    records.iter().map(Value::to_json).collect()
}
