//! What a change is asked to be: the arguments that creating and updating have in common.

use crate::class::Parameters;
use crate::class::parameters::optional;
use crate::limits::CHANGE_TEXT_MAX_BYTES;
use crate::object::{Refusal, Timestamp};

use super::arguments::{list, moment, name, text, word};
use super::change::Change;
use super::{Degree, Kind};

/// What is to become of a field that may be absent.
enum Edit<T> {
    /// It was not given, and stays.
    Keep,
    /// It was given empty, and goes.
    Clear,
    /// It was given.
    Set(T),
}

impl<T> Edit<T> {
    /// What was read, and whether it was given.
    fn of(found: Option<T>, is_given: bool) -> Self {
        match found {
            Some(found) => Self::Set(found),
            None if is_given => Self::Clear,
            None => Self::Keep,
        }
    }

    fn apply(self, field: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *field = None,
            Self::Set(new) => *field = Some(new),
        }
    }
}

/// Arguments as they were given.
pub(super) struct Details {
    title: Option<String>,
    description: Option<String>,
    kind: Option<Kind>,
    impact: Option<Degree>,
    urgency: Option<Degree>,
    affected_systems: Edit<Vec<String>>,
    environment: Edit<String>,
    implementation_plan: Edit<String>,
    rollback_plan: Edit<String>,
    planned_start: Edit<Timestamp>,
    blocked_by: Edit<Vec<String>>,
}

impl Details {
    /// Reads what is given.
    pub(super) fn read(parameters: &Parameters) -> Result<Self, Refusal> {
        let is_given = |name: &str| optional(parameters, name).is_some();
        let is_blank = |name: &str| {
            optional(parameters, name)
                .and_then(|value| value.as_str())
                .is_some_and(|text| text.trim().is_empty())
        };
        let plan = |name: &str| {
            let plan = text(parameters, name, CHANGE_TEXT_MAX_BYTES)?;
            Ok::<_, Refusal>(Edit::of(plan, is_given(name)))
        };
        for name in ["title", "description"] {
            if is_blank(name) {
                return Err(Refusal::invalid(format!("{name} must not be empty")));
            }
        }
        let planned_start = if is_blank("plannedStart") { None } else { moment(parameters, "plannedStart")? };
        Ok(Self {
            title: name(parameters, "title")?,
            description: text(parameters, "description", CHANGE_TEXT_MAX_BYTES)?,
            kind: word(parameters, "type")?,
            impact: word(parameters, "impact")?,
            urgency: word(parameters, "urgency")?,
            affected_systems: Edit::of(list(parameters, "affectedSystems")?, false),
            environment: Edit::of(name(parameters, "environment")?, is_given("environment")),
            implementation_plan: plan("implementationPlan")?,
            rollback_plan: plan("rollbackPlan")?,
            planned_start: Edit::of(planned_start, is_given("plannedStart")),
            blocked_by: Edit::of(list(parameters, "blockedBy")?, false),
        })
    }

    /// Puts them into a change.
    pub(super) fn apply(self, id: &str, change: &mut Change) -> Result<(), Refusal> {
        if let Edit::Set(blockers) = &self.blocked_by
            && blockers.iter().any(|blocker| blocker == id)
        {
            return Err(Refusal::invalid("blockedBy names the change itself: it would wait for ever"));
        }
        if let Some(title) = self.title {
            change.title = title;
        }
        if let Some(description) = self.description {
            change.description = description;
        }
        change.kind = self.kind.unwrap_or(change.kind);
        change.impact = self.impact.or(change.impact);
        change.urgency = self.urgency.or(change.urgency);
        self.affected_systems.apply(&mut change.affected_systems);
        self.environment.apply(&mut change.environment);
        self.implementation_plan.apply(&mut change.implementation_plan);
        self.rollback_plan.apply(&mut change.rollback_plan);
        self.planned_start.apply(&mut change.planned_start);
        self.blocked_by.apply(&mut change.blocked_by);
        Ok(())
    }
}
