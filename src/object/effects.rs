//! What a turn did: what its commit is made of.

use std::any::Any;

use bytes::Bytes;

use super::Value;
use super::alarm::AlarmChange;
use super::storage::Op;

/// A value that a class keeps in memory beside the keys, rebuilt when it is absent.
pub type Decoded = Box<dyn Any + Send>;

/// What a turn did.
#[derive(Debug)]
pub struct Effects {
    /// What happens to the keys: a clear first, then each key once, in order.
    pub ops: Vec<Op>,
    /// Whether the turn makes the object even if it has no keys.
    pub creates: bool,
    /// What happens to the alarm.
    pub alarm: Option<AlarmChange>,
    /// What the class adds to the update.
    pub delta: Option<Value>,
    /// What editors of the class apply.
    pub binary: Option<Bytes>,
    /// Keys of the object after the turn.
    pub keys: u64,
    /// Bytes of keys and values after the turn.
    pub bytes: u64,
    /// What the class keeps in memory for the next turn.
    pub decoded: Option<Decoded>,
}

impl Effects {
    /// Whether the commit takes a version and sends an update.
    #[must_use]
    pub fn changes_object(&self) -> bool {
        self.creates || !self.ops.is_empty()
    }

    /// Whether the committed keys of the object are dropped first.
    #[must_use]
    pub fn clears(&self) -> bool {
        matches!(self.ops.first(), Some(Op::Clear))
    }

    /// Whether there is anything to commit at all.
    #[must_use]
    pub fn is_read(&self) -> bool {
        !self.changes_object() && self.alarm.is_none()
    }
}
