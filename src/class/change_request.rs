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
mod arguments;
pub mod audit;
pub mod calendar;
pub mod moment;
pub mod policy;
mod priority;
pub mod risk;
pub mod sla;
pub mod states;
mod words;

use serde_json::Value as Json;

use crate::object::{Key, Refusal, Turn};

use super::{Access, Class, Parameters};

pub use audit::{Event, Record};
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
        let _ = (turn, parameters);
        Err(Refusal::MethodNotFound { method: method.to_owned() })
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
