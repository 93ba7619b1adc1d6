//! The output gate of an activation: what a turn gives out waits here until the commits it depends on
//! are durable and applied.
//!
//! Turns are numbered by the commits before them. A turn that commits waits for its own commit; one
//! that only read waits for the last commit that it saw. The gate opens in order, so subscribers see
//! updates in the order of turns, each before its caller's reply. When a commit fails, everything
//! behind it fails too: memory never outlives the log's verdict. One that is refused may hear so before those ahead
//! of it have their verdicts, for a leader that hands over or has too much waiting refuses at once; what is
//! ahead stands.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use stead_cluster::{LogIndex, Verdict, Why};
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
    /// A commit failed in its turn: nothing behind it is let out.
    failed: bool,
    /// A commit failed or was refused: memory is ahead of the log, and the activation must end.
    is_over: bool,
    waiting: VecDeque<(u64, Rests, Output)>,
}

/// Why an output waits, and so what is known when it can not be let out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rests {
    /// It is what its own commit came to.
    Commits,
    /// It only read what earlier commits made: it surely changed nothing.
    Reads,
    /// It repeats what an earlier call under its key was answered, whose commit may yet be made.
    Repeats,
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

impl Output {
    /// Nothing came of the turn.
    fn fail(&mut self, error: Error) {
        self.update = None;
        self.timer = None;
        self.answer = Err(error);
    }
}

impl Gate {
    pub(crate) fn new(address: ObjectAddress, parts: Arc<Parts>) -> Self {
        Self { address, parts, inner: Mutex::default(), opened: Notify::new() }
    }

    /// Lets out what rests on nothing but commits handed over so far: at once if all have settled.
    pub(crate) fn after_reads(&self, output: Output) {
        self.after_what_is_handed_over(Rests::Reads, output);
    }

    /// The same for what repeats an earlier call's answer.
    pub(crate) fn after_repeated(&self, output: Output) {
        self.after_what_is_handed_over(Rests::Repeats, output);
    }

    fn after_what_is_handed_over(&self, rests: Rests, mut output: Output) {
        let mut inner = self.inner.lock();
        if inner.is_over {
            drop(inner);
            // It may have read what was refused since its turn began.
            output.fail(error_of(rests, None));
            self.release(output);
        } else if inner.settled == inner.proposed {
            drop(inner);
            self.release(output);
        } else {
            let last = inner.proposed;
            inner.waiting.push_back((last, rests, output));
        }
    }

    /// Holds what rests on a commit about to be handed over; the number is for [`Gate::settle`]. None if the commit
    /// must not be handed over, for it builds on one that was refused since its turn began.
    pub(crate) fn after_commit(&self, mut output: Output) -> Option<u64> {
        let mut inner = self.inner.lock();
        if inner.is_over {
            drop(inner);
            output.fail(failure::not_proposed(&Why::NotLeading));
            self.release(output);
            return None;
        }
        inner.proposed += 1;
        let number = inner.proposed;
        inner.waiting.push_back((number, Rests::Commits, output));
        Some(number)
    }

    /// A commit has its verdict. Called in the order of commits, but for those refused.
    pub(crate) fn settle(&self, number: u64, verdict: &Verdict) {
        let mut inner = self.inner.lock();
        match verdict {
            Verdict::NotProposed(_) => self.refuse(&mut inner, number, verdict),
            Verdict::Applied { .. } | Verdict::Unknown(_) => self.settle_next(&mut inner, number, verdict),
        }
        drop(inner);
        self.opened.notify_waiters();
    }

    /// The log's verdict on the first commit that had none.
    fn settle_next(&self, inner: &mut Inner, number: u64, verdict: &Verdict) {
        assert_eq!(number, inner.settled + 1, "verdicts come in the order of commits");
        assert!(number <= inner.proposed, "what builds on a refused commit is refused too");
        inner.settled = number;
        if let Verdict::Applied { index } = verdict {
            inner.settled_index = *index;
            self.parts.metrics.commits.inc();
        } else {
            (inner.failed, inner.is_over) = (true, true);
            self.parts.metrics.commits_failed.inc();
        }
        while inner.waiting.front().is_some_and(|(after, ..)| *after <= number) {
            let Some((_, rests, mut output)) = inner.waiting.pop_front() else { break };
            if inner.failed {
                output.fail(error_of(rests, Some(verdict)));
            }
            self.release(output);
        }
    }

    /// A commit is in no log, and so nothing that builds on it ever will be. What is ahead of it keeps its place.
    fn refuse(&self, inner: &mut Inner, number: u64, verdict: &Verdict) {
        if number > inner.proposed {
            // Refused already, with one ahead of it.
            return;
        }
        assert!(number > inner.settled, "a commit has one verdict");
        self.parts.metrics.commits_failed.inc_by(inner.proposed + 1 - number);
        inner.is_over = true;
        inner.proposed = number - 1;
        let kept = inner.waiting.partition_point(|(after, ..)| *after < number);
        for (_, rests, mut output) in inner.waiting.split_off(kept) {
            output.fail(error_of(rests, Some(verdict)));
            self.release(output);
        }
    }

    /// Whether nothing is held here, and no commit failed or was refused.
    pub(crate) fn is_open(&self) -> bool {
        let inner = self.inner.lock();
        inner.settled == inner.proposed && !inner.is_over
    }

    /// Whether fewer than `most` commits are on their way, and none failed or was refused.
    pub(crate) fn has_room_for(&self, most: u64) -> bool {
        let inner = self.inner.lock();
        inner.proposed - inner.settled < most && !inner.is_over
    }

    /// Whether a commit failed or was refused; the activation must end.
    pub(crate) fn is_over(&self) -> bool {
        self.inner.lock().is_over
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

fn error_of(rests: Rests, verdict: Option<&Verdict>) -> Error {
    match (rests, verdict) {
        (Rests::Reads, _) => failure::rests_on_failed(),
        (Rests::Repeats, _) => {
            failure::outcome_unknown("the earlier call with this key has no known outcome")
        }
        (Rests::Commits, Some(Verdict::NotProposed(why))) => failure::not_proposed(why),
        (Rests::Commits, Some(Verdict::Unknown(why))) => failure::outcome_unknown(&why.to_string()),
        (Rests::Commits, Some(Verdict::Applied { .. }) | None) => {
            failure::outcome_unknown("an earlier commit failed")
        }
    }
}

#[cfg(test)]
mod tests;
