//! At most one node leads a shard in a term.

use crate::faults::Kind;
use crate::judge::check;
use crate::world::{Plan, Run};

/// Whoever led was noted while it did; two of one term were noted at once.
pub(crate) fn violations(run: &Run) -> Vec<String> {
    run.observer
        .with(|seen| seen.violations.iter().filter(|what| what.contains("lead shard")).cloned().collect())
}

#[test]
fn one_leader_a_term() {
    let kinds =
        [Kind::Partition, Kind::OneWay, Kind::Pause, Kind::Storm, Kind::Kill, Kind::PowerCut, Kind::Operator];
    check("one_leader::one_leader_a_term", 40, &Plan::of(&kinds));
}
