//! Once nothing goes wrong any more, everything answers again by itself.

use crate::faults::Kind;
use crate::judge::check;
use crate::world::{Plan, Run};

/// Registers that did not answer in time, replicas that did not catch up, clusters that did not form.
pub(crate) fn violations(run: &Run) -> Vec<String> {
    run.silent.clone()
}

#[test]
fn everything_answers_after_healing() {
    check("answers_after_healing::everything_answers_after_healing", 60, &Plan::of(&Kind::ALL));
}
