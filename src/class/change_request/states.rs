//! The states of a change and the moves between them: one table, from which everything that is said of moves comes.
//!
//! The table says which moves there are and how each is made; whether a change may make one now is `guards`' to say.
//! An override is the one exception to it, and has a list of its own.

use super::words::words;
use super::{Event, Kind, Word};

words! {
    /// The state of a change.
    State {
        /// It is being written.
        Draft = "draft",
        /// It asks to be assessed.
        Submitted = "submitted",
        /// It is assessed and decided on.
        Assessing = "assessing",
        /// Who decides asks for more.
        NeedsInfo = "needs_info",
        /// It may be made.
        Approved = "approved",
        /// It has a time.
        Scheduled = "scheduled",
        /// It is being made.
        Implementing = "implementing",
        /// It was made and is looked at.
        Review = "review",
        /// It did not work.
        Failed = "failed",
        /// It is done.
        Closed = "closed",
        /// It may not be made.
        Rejected = "rejected",
        /// It was given up.
        Cancelled = "cancelled",
    }
}

/// How a move is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By `transition_change`.
    Transition,
    /// By the approvers' decisions.
    Decisions,
    /// By `schedule_change`.
    Schedule,
}

/// A move that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// From this state.
    pub from: State,
    /// To this one.
    pub to: State,
    /// How it is made.
    pub way: Way,
    /// What its audit record says.
    pub event: Event,
}

/// Every move that there is.
pub const MOVES: &[Move] = {
    use State::{
        Approved, Assessing, Cancelled, Closed, Draft, Failed, Implementing, NeedsInfo, Rejected, Review,
        Scheduled, Submitted,
    };
    use Way::{Decisions, Schedule, Transition};
    &[
        Move { from: Draft, to: Submitted, way: Transition, event: Event::Submitted },
        Move { from: Draft, to: Cancelled, way: Transition, event: Event::Cancelled },
        Move { from: Submitted, to: Assessing, way: Transition, event: Event::StateChange },
        Move { from: Submitted, to: Cancelled, way: Transition, event: Event::Cancelled },
        Move { from: Assessing, to: Approved, way: Decisions, event: Event::Approved },
        Move { from: Assessing, to: Rejected, way: Decisions, event: Event::Rejected },
        Move { from: Assessing, to: NeedsInfo, way: Decisions, event: Event::NeedsInfo },
        Move { from: Assessing, to: Cancelled, way: Transition, event: Event::Cancelled },
        Move { from: NeedsInfo, to: Assessing, way: Transition, event: Event::StateChange },
        Move { from: NeedsInfo, to: Cancelled, way: Transition, event: Event::Cancelled },
        Move { from: Approved, to: Scheduled, way: Schedule, event: Event::Scheduled },
        Move { from: Approved, to: Implementing, way: Transition, event: Event::StateChange },
        Move { from: Approved, to: Cancelled, way: Transition, event: Event::Cancelled },
        Move { from: Scheduled, to: Implementing, way: Transition, event: Event::StateChange },
        Move { from: Scheduled, to: Approved, way: Transition, event: Event::Unscheduled },
        Move { from: Scheduled, to: Cancelled, way: Transition, event: Event::Cancelled },
        Move { from: Implementing, to: Review, way: Transition, event: Event::Implemented },
        Move { from: Implementing, to: Failed, way: Transition, event: Event::RollbackInitiated },
        Move { from: Implementing, to: Cancelled, way: Transition, event: Event::Cancelled },
        Move { from: Failed, to: Implementing, way: Transition, event: Event::StateChange },
        Move { from: Failed, to: Cancelled, way: Transition, event: Event::Cancelled },
        Move { from: Review, to: Closed, way: Transition, event: Event::Closed },
    ]
};

/// The states from which an override leads to `approved`.
pub const OVERRIDDEN_FROM: &[State] =
    &[State::Submitted, State::Assessing, State::NeedsInfo, State::Approved, State::Scheduled];

/// The states in which a change may be updated.
pub const UPDATED_IN: &[State] = &[State::Draft, State::Submitted, State::Assessing, State::NeedsInfo];

/// The states in which risk is assessed.
pub const ASSESSED_IN: &[State] = &[State::Submitted, State::Assessing, State::NeedsInfo];

impl State {
    /// Whether no move leads out of it.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Rejected | Self::Closed | Self::Cancelled)
    }

    /// Whether a decision is waited for, and its deadline runs.
    #[must_use]
    pub fn is_undecided(self) -> bool {
        matches!(self, Self::Submitted | Self::Assessing | Self::NeedsInfo)
    }

    /// Whether whoever moves a change here has to say why.
    #[must_use]
    pub fn needs_reason(self) -> bool {
        matches!(self, Self::Rejected | Self::Failed | Self::Cancelled)
    }
}

/// The move from one state to another, if there is one for changes of that type.
#[must_use]
pub fn find(kind: Kind, from: State, to: State) -> Option<Move> {
    moves(kind, from).find(|one| one.to == to)
}

/// The states that are open to a change of that type, however it gets there.
#[must_use]
pub fn open(kind: Kind, from: State) -> Vec<State> {
    moves(kind, from).map(|one| one.to).collect()
}

/// The open moves in words, each that is not made by `transition_change` with how it is made.
#[must_use]
pub fn described(kind: Kind, from: State) -> String {
    let described: Vec<String> = moves(kind, from)
        .map(|one| match one.way {
            Way::Transition => one.to.to_string(),
            Way::Decisions => format!("{} (by approve_change)", one.to),
            Way::Schedule => format!("{} (by schedule_change)", one.to),
        })
        .collect();
    if described.is_empty() { State::names(&[]) } else { described.join(", ") }
}

fn moves(kind: Kind, from: State) -> impl Iterator<Item = Move> {
    let is_open = move |one: &&Move| one.from == from && (kind == Kind::Emergency || !for_emergencies(**one));
    MOVES.iter().filter(is_open).copied()
}

/// Only an emergency goes without a schedule.
fn for_emergencies(one: Move) -> bool {
    one.from == State::Approved && one.to == State::Implementing
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The table of the documents, word for word.
    const DOCUMENTED: &[(&str, &str)] = &[
        ("draft", "submitted, cancelled"),
        ("submitted", "assessing, cancelled"),
        ("assessing", "approved, rejected, needs_info, cancelled"),
        ("needs_info", "assessing, cancelled"),
        ("approved", "scheduled, implementing, cancelled"),
        ("scheduled", "implementing, approved, cancelled"),
        ("implementing", "review, failed, cancelled"),
        ("failed", "implementing, cancelled"),
        ("review", "closed"),
        ("rejected", "none"),
        ("closed", "none"),
        ("cancelled", "none"),
    ];

    #[test]
    fn the_moves_are_the_documents() {
        assert_eq!(DOCUMENTED.len(), State::ALL.len());
        for (from, to) in DOCUMENTED {
            let from = State::find(from).unwrap();
            assert_eq!(State::names(&open(Kind::Emergency, from)), *to, "{from}");
            assert_eq!(from.is_final(), *to == "none", "{from}");
        }
    }

    #[test]
    fn each_move_is_there_once() {
        let pairs: BTreeSet<_> = MOVES.iter().map(|one| (one.from, one.to)).collect();
        assert_eq!(pairs.len(), MOVES.len());
    }

    #[test]
    fn only_an_emergency_goes_without_a_schedule() {
        for kind in Kind::ALL {
            let found = find(*kind, State::Approved, State::Implementing);
            assert_eq!(found.is_some(), *kind == Kind::Emergency, "{kind}");
        }
        assert_eq!(
            described(Kind::Normal, State::Assessing),
            "approved (by approve_change), rejected (by approve_change), needs_info (by approve_change), cancelled"
        );
        assert_eq!(described(Kind::Normal, State::Approved), "scheduled (by schedule_change), cancelled");
        assert_eq!(described(Kind::Normal, State::Closed), "none");
    }
}
