//! Judges runs by all invariants.

use std::fmt::Write as _;

use crate::runs::Runs;
use crate::world::{Plan, Run};
use crate::{answers_after_healing, equal_replicas, linearizable, nothing_lost, one_leader};

/// Violations of one invariant shown of a run: the first ones tell.
const SHOWN_MAX: usize = 3;

/// What is wrong with a run.
type Invariant = fn(&Run) -> Vec<String>;

/// What is wrong with a run, by invariant.
pub(crate) fn violations(run: &Run) -> Vec<String> {
    let invariants: [(&str, Invariant); 5] = [
        ("one leader a term", one_leader::violations),
        ("nothing acknowledged is lost", nothing_lost::violations),
        ("replicas are equal", equal_replicas::violations),
        ("the history is linearizable", linearizable::violations),
        ("everything answers after healing", answers_after_healing::violations),
    ];
    let mut judged = Vec::new();
    for (name, violations) in invariants {
        let all = violations(run);
        let more = all.len().saturating_sub(SHOWN_MAX);
        judged.extend(all.into_iter().take(SHOWN_MAX).map(|what| format!("{name}: {what}")));
        if more > 0 {
            judged.push(format!("{name}: and {more} more"));
        }
    }
    judged
}

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is to be a number")))
}

/// Judges `seeds` runs of a plan, or those the environment asks for, for the test of this full name.
pub(crate) fn check(test: &'static str, seeds: u64, plan: &Plan) {
    let runs = Runs::of(test, plan);
    let seeds = match (number("STEAD_SEED"), number("STEAD_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, seeds_asked) => 0..seeds_asked.unwrap_or(seeds),
    };
    let mut failed = String::new();
    let (mut answered, mut unanswered) = (0, 0);
    for seed in seeds.clone() {
        let outcome = runs.run(seed);
        (answered, unanswered) = (answered + outcome.operations.0, unanswered + outcome.operations.1);
        for violation in outcome.violations {
            let _ = writeln!(failed, "seed {seed}: {violation}");
        }
    }
    println!("{test}: seeds {seeds:?}, {answered} operations answered, {unanswered} not");
    assert!(
        failed.is_empty(),
        "{failed}\nto run one of them again: STEAD_SEED=… STEAD_TRACE=1 cargo test --release -p stead-cluster \
         --features simulation --test simulation {test} -- --exact --nocapture"
    );
}
