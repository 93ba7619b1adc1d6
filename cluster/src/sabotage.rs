//! The protocol broken on purpose, so that the simulation can show that it would notice.
//!
//! Only builds with the feature `simulation`, which no release has, can be sabotaged; in all others every question
//! here is answered by a constant and compiled away.

#![cfg_attr(
    not(feature = "simulation"),
    allow(unreachable_pub, reason = "it is public where the simulation is built")
)]

/// A way to break the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// Writes are confirmed before they are flushed.
    ConfirmUnflushed,
    /// A leader answers whatever its lease.
    IgnoreLease,
    /// A new leader answers before it has applied what earlier ones confirmed.
    IgnoreBarrier,
    /// Every command is applied twice.
    ApplyTwice,
    /// A term of which a command was refused is taken from all the same.
    IgnoreFence,
    /// Callers are answered when their command is committed, before it is applied.
    AnswerAtCommit,
}

#[cfg(feature = "simulation")]
mod switch {
    use std::cell::Cell;

    use super::Sabotage;

    thread_local! {
        static ON: Cell<Option<Sabotage>> = const { Cell::new(None) };
    }

    /// Breaks the protocol of all nodes that run on this thread.
    pub fn commit(sabotage: Option<Sabotage>) {
        ON.set(sabotage);
    }

    pub(crate) fn is_on(sabotage: Sabotage) -> bool {
        ON.get() == Some(sabotage)
    }
}

#[cfg(not(feature = "simulation"))]
mod switch {
    pub(crate) const fn is_on(_: super::Sabotage) -> bool {
        false
    }
}

#[cfg(feature = "simulation")]
pub use switch::commit;
pub(crate) use switch::is_on;
