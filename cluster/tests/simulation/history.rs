//! What clients asked for and were told, with the order of it.

use std::collections::BTreeMap;

use crate::application::{OperationId, Register};

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Write(u64),
    /// Adds, and answers with the sum.
    Add(u64),
    Read,
}

/// An operation as its client saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) id: OperationId,
    pub(crate) register: Register,
    pub(crate) action: Action,
    /// When it was asked for, in the order of events.
    pub(crate) asked: u64,
    /// When it was answered and with what value; none if nobody knows whether it took effect.
    pub(crate) answered: Option<(u64, u64)>,
}

/// The operations of a run.
#[derive(Debug, Default)]
pub(crate) struct History {
    events: u64,
    operations: BTreeMap<OperationId, Operation>,
}

impl History {
    pub(crate) fn ask(&mut self, id: OperationId, register: Register, action: Action) {
        self.events += 1;
        let operation = Operation { id, register, action, asked: self.events, answered: None };
        self.operations.insert(id, operation);
    }

    pub(crate) fn answer(&mut self, id: OperationId, value: u64) {
        self.events += 1;
        let answered = Some((self.events, value));
        self.operations.get_mut(&id).expect("what is answered was asked for").answered = answered;
    }

    /// It surely did not happen.
    pub(crate) fn forget(&mut self, id: OperationId) {
        self.operations.remove(&id);
    }

    /// A read that was not answered says nothing.
    pub(crate) fn by_register(&self) -> BTreeMap<Register, Vec<Operation>> {
        let mut registers: BTreeMap<Register, Vec<Operation>> = BTreeMap::new();
        for operation in self.operations.values() {
            if operation.answered.is_some() || operation.action != Action::Read {
                registers.entry(operation.register).or_default().push(*operation);
            }
        }
        registers
    }

    /// How many operations were answered, and how many were not.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let answered = self.operations.values().filter(|operation| operation.answered.is_some()).count();
        (answered, self.operations.len() - answered)
    }
}
