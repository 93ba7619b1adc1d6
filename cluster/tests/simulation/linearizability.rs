//! Whether a history of one register is linearizable: Wing and Gong's search, with Lowe's memory of what was tried
//! ("Testing for linearizability", 2017).
//!
//! It looks for an order of the operations that a register could have answered one after the other, in which none
//! comes before one that was answered before it was asked. An operation that nobody answered may come anywhere
//! behind its question, or not at all.

use std::collections::HashSet;

use crate::history::{Action, Operation};

/// Steps of the search, so that it ends: a history that needs more than this is not one the simulation makes.
const STEPS_MAX: usize = 5_000_000;

/// Why a history is not linearizable.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Linearizable,
    /// No order explains it; the longest that was found ends before this one.
    Not(Option<Operation>),
    /// The search was given up.
    Undecided,
}

/// Judges the history of one register that is 0 at first.
pub(crate) fn judge(operations: &[Operation]) -> Verdict {
    let mut search = Search::new(operations);
    search.run()
}

struct Search {
    /// By the time they were asked for.
    operations: Vec<Operation>,
    done: Vec<u64>,
    value: u64,
    /// Answered operations that are not done yet.
    open: usize,
    tried: HashSet<(Vec<u64>, u64)>,
    /// What was done, with the value before it.
    path: Vec<(usize, u64)>,
    furthest: (usize, Option<Operation>),
}

impl Search {
    fn new(operations: &[Operation]) -> Self {
        let mut operations = operations.to_vec();
        operations.sort_by_key(|operation| operation.asked);
        let open = operations.iter().filter(|operation| operation.answered.is_some()).count();
        let done = vec![0; operations.len().div_ceil(64)];
        let (tried, path) = (HashSet::new(), Vec::new());
        Self { operations, done, value: 0, open, tried, path, furthest: (usize::MAX, None) }
    }

    fn run(&mut self) -> Verdict {
        let mut from = 0;
        for _ in 0..STEPS_MAX {
            if self.open == 0 {
                return Verdict::Linearizable;
            }
            if let Some((at, value)) = self.next_from(from) {
                self.path.push((at, self.value));
                self.mark(at, true);
                self.value = value;
                from = 0;
            } else {
                self.note_furthest();
                let Some((at, before)) = self.path.pop() else { return Verdict::Not(self.furthest.1) };
                self.mark(at, false);
                self.value = before;
                from = at + 1;
            }
        }
        Verdict::Undecided
    }

    /// The first operation from `from` on that may come next, with the value behind it, and leads where the search
    /// has not yet been.
    fn next_from(&mut self, from: usize) -> Option<(usize, u64)> {
        // Whoever comes next was asked for before the first answer that is still to come.
        let deadline = self.first_answer();
        for at in from..self.operations.len() {
            let operation = self.operations[at];
            if operation.asked > deadline {
                break;
            }
            if self.is_done(at) {
                continue;
            }
            let Some(value) = step(self.value, &operation) else { continue };
            self.mark(at, true);
            let is_new = self.tried.insert((self.done.clone(), value));
            self.mark(at, false);
            if is_new {
                return Some((at, value));
            }
        }
        None
    }

    fn first_answer(&self) -> u64 {
        let mut first = u64::MAX;
        for (at, operation) in self.operations.iter().enumerate() {
            if operation.asked > first {
                break;
            }
            if let Some((answered, _)) = operation.answered.filter(|_| !self.is_done(at)) {
                first = first.min(answered);
            }
        }
        first
    }

    fn note_furthest(&mut self) {
        if self.open < self.furthest.0 {
            let waiting = self.operations.iter().enumerate().filter(|(at, _)| !self.is_done(*at));
            let next = waiting.filter_map(|(_, operation)| Some((operation.answered?.0, *operation)));
            self.furthest = (self.open, next.min_by_key(|(answered, _)| *answered).map(|(_, next)| next));
        }
    }

    fn is_done(&self, at: usize) -> bool {
        self.done[at / 64] >> (at % 64) & 1 == 1
    }

    fn mark(&mut self, at: usize, is_done: bool) {
        let bit = 1 << (at % 64);
        if is_done {
            self.done[at / 64] |= bit;
        } else {
            self.done[at / 64] &= !bit;
        }
        if self.operations[at].answered.is_some() {
            self.open = if is_done { self.open - 1 } else { self.open + 1 };
        }
    }
}

/// The value behind an operation, if a register of `value` could have answered it so.
fn step(value: u64, operation: &Operation) -> Option<u64> {
    let answer = operation.answered.map(|(_, answer)| answer);
    let (next, told) = match operation.action {
        Action::Write(written) => (written, written),
        Action::Add(added) => (value.wrapping_add(added), value.wrapping_add(added)),
        Action::Read => (value, value),
    };
    answer.is_none_or(|answer| answer == told).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::Action::{Add, Read, Write};
    use super::{Action, Operation, Verdict, judge};

    /// Action, when asked, when answered, the answer.
    type Given = (Action, u64, Option<(u64, u64)>);

    fn operations(given: &[Given]) -> Vec<Operation> {
        let numbered = given.iter().zip(1..);
        numbered
            .map(|((action, asked, answered), id)| Operation {
                id,
                register: 0,
                action: *action,
                asked: *asked,
                answered: *answered,
            })
            .collect()
    }

    fn check(given: &[Given], is_linearizable: bool) {
        let verdict = judge(&operations(given));
        assert_eq!(verdict == Verdict::Linearizable, is_linearizable, "{given:?}: {verdict:?}");
    }

    #[test]
    fn what_a_register_could_have_answered_is_linearizable() {
        check(&[], true);
        check(&[(Write(1), 1, Some((2, 1))), (Read, 3, Some((4, 1)))], true);
        // Both at once: either order will do.
        check(&[(Write(1), 1, Some((4, 1))), (Read, 2, Some((3, 0)))], true);
        check(&[(Write(1), 1, Some((4, 1))), (Read, 2, Some((3, 1)))], true);
        // Nobody knows of the write: it may be seen late, or never.
        check(&[(Write(1), 1, None), (Read, 2, Some((3, 0))), (Read, 4, Some((5, 1)))], true);
        check(&[(Write(1), 1, None), (Read, 2, Some((3, 0)))], true);
        check(&[(Add(2), 1, Some((4, 5))), (Add(3), 2, Some((3, 3)))], true);
    }

    #[test]
    fn what_no_register_answers_is_not() {
        // A stale read.
        check(&[(Write(1), 1, Some((2, 1))), (Read, 3, Some((4, 0)))], false);
        // A value nobody wrote.
        check(&[(Write(1), 1, Some((2, 1))), (Read, 3, Some((4, 9)))], false);
        // Seen, and then no more.
        check(&[(Write(1), 1, None), (Read, 2, Some((3, 1))), (Read, 4, Some((5, 0)))], false);
        // Two additions that did not see each other.
        check(&[(Add(1), 1, Some((4, 1))), (Add(1), 2, Some((3, 1)))], false);
        // One that counted twice.
        check(&[(Add(1), 1, Some((2, 1))), (Read, 3, Some((4, 2)))], false);
        // Two readers that saw two writes in two orders.
        check(
            &[
                (Write(1), 1, Some((20, 1))),
                (Write(2), 2, Some((21, 2))),
                (Read, 3, Some((4, 1))),
                (Read, 5, Some((6, 2))),
                (Read, 7, Some((8, 1))),
            ],
            false,
        );
    }

    #[test]
    fn the_operation_that_does_not_fit_is_named() {
        let given = operations(&[
            (Write(1), 1, Some((2, 1))),
            (Write(2), 3, Some((4, 2))),
            (Read, 5, Some((6, 1))),
            (Read, 7, Some((8, 2))),
        ]);
        assert_eq!(judge(&given), Verdict::Not(Some(given[2])));
    }

    #[test]
    fn many_that_overlap_are_decided() {
        let adds = (0..200_u64).map(|at| (Add(1), 1 + at, Some((1_000 + at, 200 - at))));
        check(&adds.collect::<Vec<_>>(), true);
    }
}
