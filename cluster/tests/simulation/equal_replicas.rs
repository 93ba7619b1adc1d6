//! Replicas that have applied the same are the same.

use crate::faults::Kind;
use crate::judge::check;
use crate::world::{Plan, Run};

/// While it went on, each command left the same digest wherever it was applied; in the end all rows are compared.
pub(crate) fn violations(run: &Run) -> Vec<String> {
    let mut wrong: Vec<String> = run
        .observer
        .with(|seen| seen.violations.iter().filter(|what| !what.contains("lead shard")).cloned().collect());
    if run.silent.is_empty() {
        for pair in run.replicas.windows(2) {
            let [(shard, host, rows), (next_shard, next_host, next_rows)] = pair else { continue };
            if shard == next_shard && rows != next_rows {
                wrong.push(format!("shard {shard} differs between hosts {host} and {next_host}"));
            }
        }
    }
    wrong
}

#[test]
fn replicas_are_equal() {
    let kinds = [
        Kind::Kill,
        Kind::PowerCut,
        Kind::Partition,
        Kind::Pause,
        Kind::Restart,
        Kind::SlowDisk,
        Kind::Operator,
    ];
    check("equal_replicas::replicas_are_equal", 40, &Plan::of(&kinds));
}
