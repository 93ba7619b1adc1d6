//! Packs the commands of many callers into few entries, and tells each caller what became of its own.
//!
//! Whoever proposes, or completes an entry, sends what waits as the next entry, unless as many as the options allow are
//! on their way. Thus entries fill by themselves as the load grows. Behind an entry the next one gathers for a
//! moment: those who were just answered, and those whose requests have arrived meanwhile, come along ([`Proposer::gather`]).
//!
//! Commands build on one another, so one that is refused takes with it all behind it of the same term: those
//! that wait are refused, and the term is *fenced*, nothing of it is taken any more; the node hands its
//! leadership over. Entries behind it that were already on their way are left out by apply (see
//! [`Commands`](crate::raft::Commands)).

use std::collections::VecDeque;
use std::future::IntoFuture;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::FutureExt;
use openraft::errors::ClientWriteError;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::group::apply::StateMachine;
use crate::group::{Done, Verdict, Why};
use crate::layout::{LogIndex, Term};
use crate::metrics::ClusterMetrics;
use crate::raft::{
    COMMAND_HEADER_BYTES, Commands, CommittedLeaderId, Effect, EntryResponder, TypeConfig, WriteResult,
};
use crate::sabotage::{self, Sabotage};

/// How often all tasks that are ready run while an entry gathers. With little to do that is no time at all.
const GATHER_PASSES: usize = 2;

/// The bounds of a proposer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProposerBounds {
    pub(crate) entries_in_flight: usize,
    pub(crate) entry_bytes_max: usize,
    pub(crate) waiting_max: usize,
    pub(crate) waiting_bytes_max: usize,
}

/// The proposer of one group.
pub(crate) struct Proposer {
    raft: OnceLock<openraft::Raft<TypeConfig, StateMachine>>,
    bounds: ProposerBounds,
    metrics: Arc<ClusterMetrics>,
    queue: Mutex<Queue>,
    /// Changes when a term is fenced, and when the last entry on its way has come back.
    settled: watch::Sender<()>,
    /// An entry gathers.
    gathering: Notify,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Proposal>,
    waiting_bytes: usize,
    in_flight: usize,
    /// Somebody is sending; who else finds something to send leaves it to them, so that entries keep their order.
    is_sending: bool,
    /// The newest term of which a command was refused.
    fenced: Term,
    /// The term and number of the last entry sent.
    sent: (Term, u64),
    closed: Option<String>,
    /// Somebody sends what has gathered in the end.
    is_gathered: bool,
    /// The next entry gathers until so many commands wait.
    enough: Option<usize>,
}

struct Proposal {
    term: Term,
    command: Bytes,
    done: Done,
}

/// The callers of one entry.
pub(crate) struct Pack {
    // Behind a trait, for Raft's types hold packs, and the proposer holds a Raft.
    sender: Arc<dyn Finish>,
    term: Term,
    callers: Vec<Done>,
}

impl Proposer {
    pub(crate) fn new(bounds: ProposerBounds, metrics: Arc<ClusterMetrics>) -> Self {
        Self {
            raft: OnceLock::new(),
            bounds,
            metrics,
            queue: Mutex::default(),
            settled: watch::channel(()).0,
            gathering: Notify::new(),
        }
    }

    /// Gives the proposer the group it proposes to; nothing can be proposed before.
    pub(crate) fn attach(&self, raft: openraft::Raft<TypeConfig, StateMachine>) {
        assert!(self.raft.set(raft).is_ok(), "a proposer is attached once");
    }

    /// The newest term that is not to be proposed in any more; once it is closed, all of them.
    pub(crate) fn fenced_term(&self) -> Term {
        let queue = self.queue.lock();
        if queue.closed.is_some() { Term::MAX } else { queue.fenced }
    }

    /// Queues a command, or refuses it at once.
    pub(crate) fn propose(self: &Arc<Self>, term: Term, command: Bytes, done: Done) {
        let refused = {
            let mut queue = self.queue.lock();
            match self.refusal(&queue, term, command.len()) {
                None => {
                    self.metrics.commands_waiting.add(1);
                    queue.waiting_bytes += command.len();
                    queue.waiting.push_back(Proposal { term, command, done });
                    None
                }
                Some(why) => Some((why, done)),
            }
        };
        match refused {
            None => self.send_waiting(),
            Some((why, done)) => {
                self.metrics.commands_refused.add(1);
                done(Verdict::NotProposed(why));
            }
        }
    }

    /// Lets entries gather, and sends them, until it is closed.
    pub(crate) async fn gather(self: Arc<Self>) {
        self.queue.lock().is_gathered = true;
        loop {
            self.gathering.notified().await;
            for _ in 0..GATHER_PASSES {
                tokio::task::yield_now().await;
            }
            {
                let mut queue = self.queue.lock();
                queue.enough = None;
                if queue.closed.is_some() {
                    return;
                }
            }
            self.send_waiting();
        }
    }

    /// Takes nothing of this term any more: its leader is to hand over. What is on its way goes on.
    pub(crate) fn fence(&self, term: Term) {
        let refused = self.queue.lock().fence(term);
        self.refuse(refused, &Why::NotLeading);
        self.settled.send_replace(());
    }

    /// Changes when a term is fenced, and when a fenced proposer's last entry has come back.
    pub(crate) fn watch_settled(&self) -> watch::Receiver<()> {
        self.settled.subscribe()
    }

    /// Commands that wait for their entry, and entries on their way.
    pub(crate) fn queued(&self) -> (usize, usize) {
        let queue = self.queue.lock();
        (queue.waiting.len(), queue.in_flight)
    }

    /// Whether no entry is on its way.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.lock().in_flight == 0
    }

    /// Refuses what waits and all that comes.
    pub(crate) fn close(&self, reason: &str) {
        let waiting = {
            let mut queue = self.queue.lock();
            queue.closed.get_or_insert_with(|| reason.to_owned());
            queue.waiting_bytes = 0;
            std::mem::take(&mut queue.waiting)
        };
        self.gathering.notify_one();
        self.refuse(waiting, &Why::Stopped(reason.to_owned()));
    }

    fn refusal(&self, queue: &Queue, term: Term, bytes: usize) -> Option<Why> {
        if let Some(reason) = &queue.closed {
            return Some(Why::Stopped(reason.clone()));
        }
        if term <= queue.fenced {
            return Some(Why::NotLeading);
        }
        let max = self.bounds.entry_bytes_max;
        if bytes + COMMAND_HEADER_BYTES > max {
            return Some(Why::TooLarge { bytes, max });
        }
        let is_full = queue.waiting.len() >= self.bounds.waiting_max
            || queue.waiting_bytes + bytes > self.bounds.waiting_bytes_max;
        is_full.then_some(Why::Overloaded)
    }

    /// Sends what waits as long as there is room on the way.
    fn send_waiting(self: &Arc<Self>) {
        while let Some((commands, pack)) = self.next_entry() {
            self.send(commands, pack);
            self.queue.lock().is_sending = false;
        }
    }

    /// Takes the next entry out of the queue; whoever gets one is the one that sends.
    fn next_entry(self: &Arc<Self>) -> Option<(Commands, Pack)> {
        let mut queue = self.queue.lock();
        let is_gathering = queue.enough.is_some_and(|enough| queue.waiting.len() < enough);
        if queue.is_sending || is_gathering || queue.in_flight >= self.bounds.entries_in_flight {
            return None;
        }
        let term = queue.waiting.front()?.term;
        let (mut commands, mut callers, mut bytes) = (Vec::new(), Vec::new(), 0);
        while let Some(proposal) = queue.waiting.front() {
            bytes += proposal.command.len() + COMMAND_HEADER_BYTES;
            if proposal.term != term || bytes > self.bounds.entry_bytes_max {
                break;
            }
            let Some(proposal) = queue.waiting.pop_front() else { break };
            queue.waiting_bytes -= proposal.command.len();
            commands.push(proposal.command);
            callers.push(proposal.done);
        }
        queue.enough = None;
        queue.sent = (term, if queue.sent.0 == term { queue.sent.1 + 1 } else { 1 });
        queue.in_flight += 1;
        queue.is_sending = true;
        let sequence = queue.sent.1;
        drop(queue);
        self.metrics.commands_waiting.subtract(callers.len());
        self.metrics.entries_proposed.add(1);
        self.metrics.commands_proposed.add(callers.len() as u64);
        let pack = Pack { sender: self.clone(), term, callers };
        Some((Commands::pack(sequence, commands.iter()), pack))
    }

    fn send(&self, commands: Commands, pack: Pack) {
        let term = pack.term;
        let Some(raft) = self.raft.get() else { return pack.finish(Outcome::Refused) };
        let responder = EntryResponder::new(pack);
        let write = raft.write(commands).with_leader(CommittedLeaderId::new(term)).responder(responder);
        // The channel to Raft holds far more than may be in flight, so the first poll sends. The budget of the
        // task that happens to be here must not decide that; hence unconstrained. Were it pending all the
        // same, the responder is dropped with it and tells the callers.
        let sent = tokio::task::coop::unconstrained(write.into_future()).now_or_never();
        if sent.is_none() {
            tracing::warn!("the channel to raft is full");
        }
    }

    fn refuse(&self, proposals: VecDeque<Proposal>, why: &Why) {
        self.metrics.commands_waiting.subtract(proposals.len());
        self.metrics.commands_refused.add(proposals.len() as u64);
        for proposal in proposals {
            (proposal.done)(Verdict::NotProposed(why.clone()));
        }
    }
}

/// Whoever is to hear of a finished entry.
trait Finish: Send + Sync {
    /// Takes note of a finished entry, and answers its callers.
    fn finish(self: Arc<Self>, term: Term, callers: Vec<Done>, outcome: Outcome);
}

impl Finish for Proposer {
    fn finish(self: Arc<Self>, term: Term, callers: Vec<Done>, outcome: Outcome) {
        let (refused, is_settled) = {
            let mut queue = self.queue.lock();
            queue.in_flight -= 1;
            if queue.is_gathered && queue.in_flight == 0 && !queue.waiting.is_empty() {
                queue.enough = Some(queue.waiting.len() + callers.len());
                self.gathering.notify_one();
            }
            let refused =
                if matches!(outcome, Outcome::Applied(_)) { VecDeque::new() } else { queue.fence(term) };
            (refused, queue.fenced >= term)
        };
        match outcome {
            Outcome::Applied(_) => {
                // First the next entry, unless it gathers, so that the disk does not wait for the callers.
                self.send_waiting();
            }
            Outcome::Refused => self.metrics.commands_refused.add(callers.len() as u64),
            Outcome::Unknown => self.metrics.commands_unknown.add(callers.len() as u64),
        }
        for done in callers {
            done(outcome.verdict());
        }
        self.refuse(refused, &Why::NotLeading);
        if is_settled {
            self.settled.send_replace(());
        }
        self.send_waiting();
    }
}

impl Queue {
    /// Takes nothing of this term any more, and gives back what waits of it.
    fn fence(&mut self, term: Term) -> VecDeque<Proposal> {
        if sabotage::is_on(Sabotage::IgnoreFence) {
            return VecDeque::new();
        }
        self.fenced = self.fenced.max(term);
        let (refused, waiting): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|proposal| proposal.term <= self.fenced);
        self.waiting_bytes = waiting.iter().map(|proposal| proposal.command.len()).sum();
        self.waiting = waiting;
        refused
    }
}

/// What became of an entry.
#[derive(Debug, Clone, Copy)]
enum Outcome {
    Applied(LogIndex),
    Refused,
    Unknown,
}

impl Outcome {
    fn verdict(self) -> Verdict {
        match self {
            Self::Applied(index) => Verdict::Applied { index },
            Self::Refused => Verdict::NotProposed(Why::NotLeading),
            Self::Unknown => Verdict::Unknown(Why::LeaderChanged),
        }
    }
}

impl Pack {
    /// What Raft answered.
    pub(crate) fn answer(self, result: WriteResult) {
        let outcome = match result {
            Ok(response) => match response.data {
                Effect::Applied => Outcome::Applied(response.log_id.index),
                // No replica applied it, and none will.
                Effect::Void => Outcome::Refused,
            },
            // Checked before the entry is appended; one that was appended and lost is a discarded one.
            Err(ClientWriteError::ForwardToLeader(_) | ClientWriteError::PreconditionFailed(_)) => {
                Outcome::Refused
            }
            Err(ClientWriteError::LogEntryDiscarded(_) | ClientWriteError::ChangeMembershipError(_)) => {
                Outcome::Unknown
            }
        };
        self.finish(outcome);
    }

    /// Answers as if it had been applied, which it has not.
    pub(crate) fn answer_early(self, index: LogIndex) {
        self.finish(Outcome::Applied(index));
    }

    /// Raft ended without an answer.
    pub(crate) fn abandon(self) {
        self.finish(Outcome::Unknown);
    }

    fn finish(self, outcome: Outcome) {
        self.sender.finish(self.term, self.callers, outcome);
    }
}
