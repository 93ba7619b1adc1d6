//! `assess`: the risk of a change is scored, and the score recorded. A change that was handed in begins to be assessed.

use serde_json::{Map, Value as Json, json};

use crate::class::Parameters;
use crate::class::parameters::optional;
use crate::limits::{CHANGE_DECISIONS_MAX, CHANGE_FACTOR_MAX_BYTES, CHANGE_FACTORS_MAX};
use crate::object::{Refusal, Turn};

use super::change::Assessment;
use super::desk::{Desk, Given, Note};
use super::states::ASSESSED_IN;
use super::{Event, State, guards, risk};

pub(super) fn run(turn: &mut Turn<'_>, parameters: &Parameters) -> Result<Json, Refusal> {
    let given = Given::read(turn)?;
    let considered = considered(parameters)?;
    let mut desk = Desk::open(turn, &given)?;
    if !ASSESSED_IN.contains(&desk.change.status) {
        return Err(guards::refuse_in_state(&desk.change, "assessed", ASSESSED_IN));
    }
    if desk.change.assessments.len() >= CHANGE_DECISIONS_MAX {
        return Err(Refusal::invalid(format!("a change has at most {CHANGE_DECISIONS_MAX} assessments")));
    }
    if desk.change.status == State::Submitted {
        desk.advance(State::Assessing, Note::of(Event::StateChange))?;
    }
    let score = desk.change.score(&given.policy, desk.now());
    let assessment = Assessment {
        id: desk.new_id("RISK"),
        change_id: desk.id(),
        overall_score: score.overall,
        level: score.level,
        factors: score.factors,
        mitigations: risk::mitigations(&score),
        recommendations: risk::recommendations(&score, &considered),
        reasons: score.reasons,
        considered,
        assessed_by: desk.subject(),
        assessed_at: desk.now(),
    };
    let note = Note::of(Event::RiskAssessed)
        .with("assessmentId", assessment.id.as_str())
        .with("score", assessment.overall_score)
        .with("level", assessment.level.to_string())
        .with("round", desk.change.round);
    desk.record(note)?;
    let result = json!({ "success": true, "assessment": assessment });
    let change = &mut desk.change;
    (change.risk_score, change.risk_level) = (assessment.overall_score, assessment.level);
    change.assessed = true;
    change.assessments.push(assessment);
    change.count_approvals(&given.policy);
    desk.close()?;
    Ok(result)
}

/// What the assessor says of the change.
fn considered(parameters: &Parameters) -> Result<Map<String, Json>, Refusal> {
    let Some(given) = optional(parameters, "factors") else { return Ok(Map::new()) };
    let given = given
        .as_object()
        .ok_or_else(|| Refusal::invalid("factors must be an object: complexity, timing, dependencies"))?;
    if given.len() > CHANGE_FACTORS_MAX {
        return Err(Refusal::invalid(format!("factors has at most {CHANGE_FACTORS_MAX} entries")));
    }
    for (name, value) in given {
        if name.len() + value.to_string().len() > CHANGE_FACTOR_MAX_BYTES {
            let short: String = name.chars().take(64).collect();
            return Err(Refusal::invalid(format!(
                "factors.{short} has at most {CHANGE_FACTOR_MAX_BYTES} bytes"
            )));
        }
    }
    Ok(given.clone())
}
