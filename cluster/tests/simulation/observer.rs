//! What everybody in a run reports, for the invariants to judge.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use stead_cluster::{LogIndex, NodeId, ShardId, Term, Verdict};

use crate::application::OperationId;
use crate::history::History;
use crate::wire::HostId;

/// Sees everything of a run, and takes part in nothing.
#[derive(Default)]
pub(crate) struct Observer {
    seen: Mutex<Seen>,
}

/// What was seen.
#[derive(Default)]
pub(crate) struct Seen {
    /// What the clients asked for, and what they were told.
    pub(crate) history: History,
    /// By operation, where it was applied: shard, index, and the digest of the state behind it.
    pub(crate) applied: BTreeMap<OperationId, (ShardId, LogIndex, (u64, u64))>,
    /// What a node promised will never be applied.
    pub(crate) refused: BTreeMap<OperationId, HostId>,
    /// What a node confirmed.
    pub(crate) confirmed: BTreeMap<OperationId, HostId>,
    /// Who led, by shard and term.
    pub(crate) leaders: BTreeMap<(ShardId, Term), NodeId>,
    /// What was seen to be wrong at once.
    pub(crate) violations: Vec<String>,
}

impl Observer {
    pub(crate) fn violation(&self, what: String) {
        self.seen.lock().violations.push(what);
    }

    /// A replica has applied a command: for the first time, or again after a crash, or as the others did.
    pub(crate) fn applied(
        &self,
        host: HostId,
        shard: ShardId,
        index: LogIndex,
        operation: OperationId,
        digest: (u64, u64),
    ) {
        let mut seen = self.seen.lock();
        let now = (shard, index, digest);
        let before = *seen.applied.entry(operation).or_insert(now);
        if before != now {
            seen.violations.push(format!(
                "operation {operation} was applied as {before:?}, and by host {host} as {now:?}"
            ));
        }
    }

    /// Compares what a caller was told with how its shard is at that moment.
    pub(crate) fn judge_verdict(
        &self,
        operation: OperationId,
        verdict: &Verdict,
        applied: LogIndex,
        is_leading: bool,
    ) {
        match verdict {
            Verdict::Applied { index } if applied < *index => {
                self.violation(format!(
                    "operation {operation} was confirmed at {index} before it was applied"
                ));
            }
            // Whatever comes behind it in its term builds on it.
            Verdict::NotProposed(_) | Verdict::Unknown(_) if is_leading => {
                self.violation(format!(
                    "operation {operation} failed ({verdict:?}), and its term is still led"
                ));
            }
            Verdict::Applied { .. } | Verdict::NotProposed(_) | Verdict::Unknown(_) => {}
        }
    }

    pub(crate) fn refused(&self, operation: OperationId, host: HostId) {
        self.seen.lock().refused.insert(operation, host);
    }

    pub(crate) fn confirmed(&self, operation: OperationId, host: HostId) {
        self.seen.lock().confirmed.insert(operation, host);
    }

    pub(crate) fn leads(&self, shard: ShardId, term: Term, node: NodeId) {
        let mut seen = self.seen.lock();
        let before = *seen.leaders.entry((shard, term)).or_insert(node);
        if before != node {
            seen.violations.push(format!("in term {term} both {before} and {node} lead shard {shard}"));
        }
    }

    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.seen.lock())
    }
}
