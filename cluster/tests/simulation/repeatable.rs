//! The same seed is the same run.

use crate::faults::Kind;
use crate::runs::Runs;
use crate::world::Plan;

#[test]
fn the_same_seed_is_the_same_run() {
    let runs = Runs::of("repeatable::the_same_seed_is_the_same_run", &Plan::of(&Kind::ALL));
    for seed in 0..6 {
        assert_eq!(runs.run(seed), runs.run(seed), "seed {seed}");
    }
    assert_ne!(runs.run(0).fingerprint, runs.run(1).fingerprint);
}
