//! What was acknowledged is in the state for good, once; what was refused never is.

use std::collections::BTreeMap;

use crate::application::{OperationId, digest_of};
use crate::faults::Kind;
use crate::judge::check;
use crate::world::{Plan, Run};

/// Every replica applied the same commands in the same order, or it was noted; so each has a place in the order of
/// its shard, alone, and what was confirmed has one that the replicas still hold in the end.
pub(crate) fn violations(run: &Run) -> Vec<String> {
    let mut wrong = Vec::new();
    run.observer.with(|seen| {
        let mut places: BTreeMap<_, OperationId> = BTreeMap::new();
        for (operation, (shard, index, (count, _))) in &seen.applied {
            if let Some(other) = places.insert((*shard, *count), *operation) {
                wrong.push(format!(
                    "operations {other} and {operation} have the same place, {index} of shard {shard}"
                ));
            }
        }
        for (operation, host) in &seen.confirmed {
            match seen.applied.get(operation) {
                None => wrong.push(format!(
                    "operation {operation} was confirmed by host {host}, and applied by nobody"
                )),
                Some((shard, index, (count, _))) => {
                    for (_, host, rows) in run.replicas.iter().filter(|(of, _, _)| of == shard) {
                        if digest_of(rows).0 < *count {
                            wrong.push(format!(
                                "operation {operation}, {index} of shard {shard}, is lost on host {host}"
                            ));
                        }
                    }
                }
            }
        }
        for (operation, host) in &seen.refused {
            if seen.applied.contains_key(operation) {
                wrong.push(format!("operation {operation} was refused by host {host}, and applied"));
            }
        }
    });
    wrong
}

#[test]
fn nothing_acknowledged_is_lost() {
    let kinds = [
        Kind::Kill,
        Kind::PowerCut,
        Kind::Blackout,
        Kind::SlowDisk,
        Kind::FailedDisk,
        Kind::Restart,
        Kind::Storm,
    ];
    check("nothing_lost::nothing_acknowledged_is_lost", 40, &Plan::of(&kinds));
}
