//! Each register behaves as if it existed once, and each operation happened at one moment between question and answer.

use crate::faults::Kind;
use crate::judge::check;
use crate::linearizability::{Verdict, judge};
use crate::world::{Plan, Run};

/// Judges the history of each register by itself: linearizability is local.
pub(crate) fn violations(run: &Run) -> Vec<String> {
    let registers = run.observer.with(|seen| seen.history.by_register());
    let judged = registers.into_iter().filter_map(|(register, operations)| match judge(&operations) {
        Verdict::Linearizable => None,
        Verdict::Not(operation) => Some(format!("register {register} can not explain {operation:?}")),
        Verdict::Undecided => Some(format!("the history of register {register} was too much to judge")),
    });
    judged.collect()
}

#[test]
fn the_history_is_linearizable() {
    let kinds =
        [Kind::Pause, Kind::Partition, Kind::OneWay, Kind::Storm, Kind::Kill, Kind::SlowDisk, Kind::Operator];
    check("linearizable::the_history_is_linearizable", 40, &Plan::of(&kinds));
}
