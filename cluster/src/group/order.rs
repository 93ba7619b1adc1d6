//! Which entries take effect: in each term those whose numbers follow on one another, from 1, without a gap.
//!
//! Whoever applies the log, and whoever reads again what was applied, decide it by this one rule (see
//! [`Commands`](crate::raft::Commands) for why it is needed).

use crate::layout::Term;
use crate::storage::codec::Applied;

/// Up to where entries with commands took effect: the number of the last one, within its term.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Order {
    term: Term,
    sequence: u64,
}

impl Order {
    /// None of a term yet.
    pub(crate) fn begin(term: Term) -> Self {
        Self { term, sequence: 0 }
    }

    /// Behind this entry.
    pub(crate) fn behind(term: Term, sequence: u64) -> Self {
        Self { term, sequence }
    }

    /// Behind what is recorded as applied.
    pub(crate) fn of(applied: &Applied) -> Self {
        Self::behind(applied.sequence_term, applied.sequence)
    }

    /// Whether this is the next entry that takes effect; if so, it is the last one from now on.
    pub(crate) fn takes(&mut self, term: Term, sequence: u64) -> bool {
        let before = if self.term == term { self.sequence } else { 0 };
        let is_next = sequence == before + 1;
        if is_next {
            *self = Self::behind(term, sequence);
        }
        is_next
    }
}

#[cfg(test)]
mod tests {
    use super::Order;

    #[test]
    fn behind_a_gap_nothing_of_the_term_takes_effect() {
        let mut order = Order::default();
        let taken: Vec<bool> = [(1, 1), (1, 2), (1, 4), (1, 5), (2, 2), (2, 1), (2, 2), (2, 2)]
            .map(|(term, sequence)| order.takes(term, sequence))
            .to_vec();
        assert_eq!(taken, [true, true, false, false, false, true, true, false]);
        assert_eq!(order, Order::behind(2, 2));
    }
}
