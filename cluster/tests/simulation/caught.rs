//! The simulation notices when the protocol is broken: each way to break it is caught within a few seeds.

use stead_cluster::sabotage::Sabotage;

use crate::faults::Kind;
use crate::runs::Runs;
use crate::world::Plan;

/// Seeds tried before it counts as not caught.
const SEEDS_MAX: u64 = 400;

fn check(test: &'static str, sabotage: Sabotage, kinds: &[Kind], expected: &str) {
    let plan = Plan { sabotage: Some(sabotage), ..Plan::of(kinds) };
    let runs = Runs::of(test, &plan);
    for seed in 0..SEEDS_MAX {
        let violations = runs.run(seed).violations;
        if let Some(violation) = violations.iter().find(|violation| violation.contains(expected)) {
            println!("{sabotage:?} is caught with seed {seed}: {violation}");
            return;
        }
    }
    panic!("{sabotage:?} is not caught within {SEEDS_MAX} seeds");
}

#[test]
fn confirming_before_the_flush() {
    let kinds = [Kind::PowerCut, Kind::Blackout, Kind::SlowDisk];
    let test = "caught::confirming_before_the_flush";
    check(test, Sabotage::ConfirmUnflushed, &kinds, "nothing acknowledged is lost");
}

#[test]
fn answering_without_a_lease() {
    let kinds = [Kind::Partition, Kind::Pause, Kind::OneWay];
    let test = "caught::answering_without_a_lease";
    check(test, Sabotage::IgnoreLease, &kinds, "the history is linearizable");
}

#[test]
fn answering_before_the_barrier() {
    // What was applied and not flushed is gone, and the next leader has to apply it again.
    let kinds = [Kind::Blackout, Kind::PowerCut, Kind::SlowDisk];
    let test = "caught::answering_before_the_barrier";
    check(test, Sabotage::IgnoreBarrier, &kinds, "the history is linearizable");
}

#[test]
fn applying_twice() {
    check("caught::applying_twice", Sabotage::ApplyTwice, &[Kind::Kill], "replicas are equal");
}

#[test]
fn proposing_behind_a_refusal() {
    let kinds = [Kind::Restart, Kind::Kill, Kind::Storm];
    check("caught::proposing_behind_a_refusal", Sabotage::IgnoreFence, &kinds, "its term is still led");
}

#[test]
fn answering_at_commit() {
    let test = "caught::answering_at_commit";
    check(test, Sabotage::AnswerAtCommit, &[Kind::Kill], "before it was applied");
}
