//! The class `change-request`: a change to something that people depend on, from its draft to its end.
//!
//! One object is one change. Every rule is a pure function in a file of its own below; what a turn needs to know
//! beside its parameters, the module `changeflow` gives as its context: the policy with its version, what state the
//! changes have that this one waits for, the id of the request, and what the calendar decided. The guards are checked
//! here, in the turn: what the module has read ahead only saves way.
//!
//! Every turn that changes a change appends its records to the audit trail in the same commit. An object is never
//! deleted, a record never changed.

pub mod approval;
pub mod audit;
pub mod calendar;
pub mod change;
pub mod moment;
pub mod policy;
pub mod risk;
pub mod schedule;
pub mod sla;
pub mod states;

mod arguments;
mod assess;
mod comment;
mod create;
mod decide;
mod desk;
mod details;
mod guards;
mod override_;
mod priority;
mod questions;
mod steps;
#[cfg(test)]
mod tests;
mod transition;
mod update;
mod words;

use serde_json::Value as Json;

use crate::object::{Key, Refusal, Turn};

use super::{Access, Class, Parameters};
use desk::Desk;

pub use audit::{Event, Record};
pub use change::Change;
pub use policy::Policy;
pub use priority::priority;
pub use states::State;
pub use words::{Day, Decision, Degree, Kind, Level, Word};

/// A change request. Clients read it; it is written through ChangeFlow only.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChangeRequest;

impl Class for ChangeRequest {
    fn access(&self) -> Access {
        Access::ReadOnly
    }

    fn call(&self, turn: &mut Turn<'_>, method: &str, parameters: Parameters) -> Result<Json, Refusal> {
        match method {
            "create" => create::run(turn, &parameters),
            "update" => update::run(turn, &parameters),
            "assess" => assess::run(turn, &parameters),
            "decide" => decide::run(turn, &parameters),
            "schedule" => schedule::run(turn, &parameters),
            "transition" => transition::run(turn, &parameters),
            "override" => override_::run(turn, &parameters),
            "comment" => comment::run(turn, &parameters),
            _ => Err(Refusal::MethodNotFound { method: method.to_owned() }),
        }
    }

    fn ask(&self, turn: &mut Turn<'_>, question: &str, parameters: &Parameters) -> Result<Json, Refusal> {
        match question {
            "status" => questions::status(turn),
            "summary" => questions::summary(turn),
            "audit" => questions::audit(turn, parameters),
            "facts" => questions::facts(turn),
            _ => Err(Refusal::MethodNotFound { method: question.to_owned() }),
        }
    }

    /// A deadline's warning, or the deadline itself.
    fn alarm(&self, turn: &mut Turn<'_>) -> Result<(), Refusal> {
        let mut desk = Desk::open_for_alarm(turn)?;
        desk.record_due()?;
        desk.close()
    }

    fn put(&self, _: &mut Turn<'_>, _: &Key, _: Json) -> Result<(), Refusal> {
        Err(by_tools_only())
    }

    fn delete(&self, _: &mut Turn<'_>, _: &Key) -> Result<(), Refusal> {
        Err(by_tools_only())
    }

    fn initialize(&self, _: &mut Turn<'_>, _: Parameters) -> Result<(), Refusal> {
        Err(by_tools_only())
    }
}

fn by_tools_only() -> Refusal {
    Refusal::Forbidden {
        detail: "a change request is written by its tools and /v1/changes only, which keep its audit trail"
            .to_owned(),
    }
}
