//! The output gate of an activation: what a turn gives out waits here until the commits it depends on
//! are durable and applied.
//!
//! Turns are numbered by the commits before them. A turn that commits waits for its own commit; one
//! that only read waits for the last commit that it saw. The gate opens in order, so subscribers see
//! updates in the order of turns, each before its caller's reply. When a commit fails, everything
//! behind it fails too: memory never outlives the log's verdict.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use stead_cluster::{LogIndex, Verdict};
use tokio::sync::Notify;

use super::failure;
use super::parts::Parts;
use super::work::Reply;
use crate::error::Error;
use crate::object::{ObjectAddress, Timestamp, Update};
use crate::runtime::Answer;

/// What a turn gives out once the gate lets it.
pub(crate) struct Output {
    /// For the subscribers, before the reply.
    pub(crate) update: Option<Arc<Update>>,
    /// A time that the object is to be woken at.
    pub(crate) timer: Option<Timestamp>,
    /// For the caller; timers have none.
    pub(crate) reply: Reply,
    /// What the caller is told.
    pub(crate) answer: Result<Answer, Error>,
}

/// The output gate of one activation.
pub(crate) struct Gate {
    address: ObjectAddress,
    parts: Arc<Parts>,
    inner: Mutex<Inner>,
    opened: Notify,
}

#[derive(Default)]
struct Inner {
    proposed: u64,
    settled: u64,
    settled_index: LogIndex,
    failed: bool,
    waiting: VecDeque<(u64, bool, Output)>,
}

/// Up to where the commits of an activation are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settled {
    /// Whether every commit handed over has its verdict.
    pub(crate) all: bool,
    /// The number of the last one that has.
    pub(crate) number: u64,
    /// The log index of the last one applied.
    pub(crate) index: LogIndex,
}

impl Gate {
    pub(crate) fn new(address: ObjectAddress, parts: Arc<Parts>) -> Self {
        Self { address, parts, inner: Mutex::default(), opened: Notify::new() }
    }

    /// Lets out what rests on nothing but commits handed over so far: at once if all have settled.
    pub(crate) fn after_reads(&self, output: Output) {
        let mut inner = self.inner.lock();
        if inner.settled == inner.proposed {
            drop(inner);
            self.release(output);
        } else {
            let last = inner.proposed;
            inner.waiting.push_back((last, false, output));
        }
    }

    /// Holds what rests on a commit about to be handed over; the number is for [`Gate::settle`].
    pub(crate) fn after_commit(&self, output: Output) -> u64 {
        let mut inner = self.inner.lock();
        inner.proposed += 1;
        let number = inner.proposed;
        inner.waiting.push_back((number, true, output));
        number
    }

    /// A commit has its verdict. Called in the order of commits.
    pub(crate) fn settle(&self, number: u64, verdict: &Verdict) {
        let mut inner = self.inner.lock();
        assert_eq!(number, inner.settled + 1, "verdicts come in the order of commits");
        inner.settled = number;
        match verdict {
            Verdict::Applied { index } => {
                inner.settled_index = *index;
                self.parts.metrics.commits.inc();
            }
            Verdict::NotProposed(_) | Verdict::Unknown(_) => {
                inner.failed = true;
                self.parts.metrics.commits_failed.inc();
            }
        }
        let failed = inner.failed;
        while inner.waiting.front().is_some_and(|(after, ..)| *after <= number) {
            let Some((_, commits, mut output)) = inner.waiting.pop_front() else { break };
            if failed {
                output.update = None;
                output.timer = None;
                output.answer = Err(verdict_error(verdict, commits));
            }
            self.release(output);
        }
        drop(inner);
        self.opened.notify_waiters();
    }

    /// Whether nothing is held here, and no commit failed.
    pub(crate) fn is_open(&self) -> bool {
        let inner = self.inner.lock();
        inner.settled == inner.proposed && !inner.failed
    }

    /// Whether fewer than `most` commits are on their way, and none failed.
    pub(crate) fn has_room_for(&self, most: u64) -> bool {
        let inner = self.inner.lock();
        inner.proposed - inner.settled < most && !inner.failed
    }

    /// Whether a commit failed; the activation must end.
    pub(crate) fn failed(&self) -> bool {
        self.inner.lock().failed
    }

    /// Waits until at most `most` commits are on their way.
    pub(crate) async fn at_most(&self, most: u64) {
        loop {
            let opened = self.opened.notified();
            {
                let inner = self.inner.lock();
                if inner.proposed - inner.settled <= most {
                    return;
                }
            }
            opened.await;
        }
    }

    /// Up to where commits are applied.
    pub(crate) fn settled(&self) -> Settled {
        let inner = self.inner.lock();
        Settled { all: inner.proposed == inner.settled, number: inner.settled, index: inner.settled_index }
    }

    fn release(&self, output: Output) {
        let Output { update, timer, reply, answer } = output;
        if let Some(at) = timer {
            self.parts.timers.set(at);
        }
        if let Some(update) = update {
            self.parts.streams.publish(&self.address, &update);
        }
        reply.send(answer);
    }
}

fn verdict_error(verdict: &Verdict, commits: bool) -> Error {
    match verdict {
        _ if !commits => failure::rests_on_failed(),
        Verdict::NotProposed(why) => failure::not_proposed(why),
        Verdict::Unknown(why) => failure::outcome_unknown(&why.to_string()),
        Verdict::Applied { .. } => failure::outcome_unknown("an earlier commit failed"),
    }
}
