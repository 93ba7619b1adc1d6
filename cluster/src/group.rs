//! One Raft group on this node: who leads it, proposing to it, and reading what it applied.
//!
//! [`Shard::lead`] decides who may answer, from watches alone:
//!
//! - This node holds the committed vote of a term, and the first entry of that term is applied here (the read
//!   barrier): everything any earlier leader confirmed is in the state.
//! - Its lease runs: a quorum acknowledged it, counted from when it asked, less than the shortest promise ago;
//!   until then the voters grant no other candidate. openraft keeps no such time for a group whose only voter
//!   is this node (nobody acknowledges anything), and none is needed: no leader can arise without this node's
//!   own vote. That stays true while voters are added, since a joint membership, which is seen here before the
//!   next one is even proposed, still needs this node.
//!
//! Whoever reads asks before *and after* the read: a process may be paused between the two for longer than the
//! lease.

pub(crate) mod apply;
#[cfg(test)]
mod conformance;
pub(crate) mod lease;
pub(crate) mod order;
mod proposer;
mod replay;
pub(crate) mod standing;
mod transfer;
mod view;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::Fatal;
use openraft::metrics::RaftServerMetrics;
use openraft::type_config::alias::WatchReceiverOf;
use openraft::{RaftMetrics, ServerState};
use tokio::sync::watch;

use crate::group::apply::StateMachine;
use crate::group::lease::Lease;
pub(crate) use crate::group::proposer::{Pack, Proposer, ProposerBounds};
pub use crate::group::replay::{AppliedEntry, Page, Replay, ReplayError};
use crate::group::standing::Standing;
use crate::layout::{LogIndex, NodeId, ShardId, Term};
use crate::metrics::ShardMetrics;
use crate::raft::{StoredMembership, TypeConfig, Vote};
use crate::sabotage::{self, Sabotage};
use crate::status::{ReplicaStatus, ShardStatus};
use crate::storage::Reader;
use crate::storage::health::Health;
use crate::storage::keys::GroupId;
use crate::storage::log::GroupLog;
use crate::storage::state::StateStore;
use crate::storage::writer::{Change, Writer};

/// Told once what became of a command. It must be quick: it runs in the shard's apply task.
pub type Done = Box<dyn FnOnce(Verdict) + Send>;

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is durable on a majority, and applied here.
    Applied {
        /// The index of its entry.
        index: LogIndex,
    },
    /// It will surely never be applied: proposing it again is safe.
    NotProposed(Why),
    /// It may have been applied, or may yet be.
    Unknown(Why),
}

/// Why a command was not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// This node does not lead the shard in the term of the proposal, or a command before it was refused.
    #[error("this node does not lead the shard in that term")]
    NotLeading,
    /// Too many commands wait.
    #[error("too many commands wait for their turn in the log")]
    Overloaded,
    /// The command is larger than an entry may be.
    #[error("a command of {bytes} bytes is larger than an entry may be ({max})")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound, `entry_bytes_max`.
        max: usize,
    },
    /// The shard is stopped on this node, for this reason.
    #[error("the shard is stopped on this node: {0}")]
    Stopped(String),
    /// Leadership, or the shard on this node, was lost while the command was on its way.
    #[error("leadership was lost while the command was on its way")]
    LeaderChanged,
}

/// Why this node does not answer for a shard now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this node does not lead the shard now")]
pub struct NotLeading {
    /// Who leads, where known. This node itself while it is not yet, or no longer, allowed to answer.
    pub leader: Option<NodeId>,
    /// Why the shard is stopped here, if it is.
    pub stopped: Option<String>,
}

/// The shard is stopped on this node, for this reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the shard is stopped on this node: {0}")]
pub struct Stopped(pub String);

pub(crate) type Raft = openraft::Raft<TypeConfig, StateMachine>;

/// A replica of a shard on this node: a cheap handle.
#[derive(Clone)]
pub struct Shard(Arc<Group>);

/// What a shard's handle shares.
pub(crate) struct Group {
    pub(crate) id: GroupId,
    pub(crate) node: NodeId,
    /// None when recovery found the replica damaged: then it is stopped from the start.
    pub(crate) raft: Option<Running>,
    pub(crate) standing: Arc<Standing>,
    pub(crate) store: Arc<StateStore>,
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: Arc<ShardMetrics>,
    pub(crate) proposer: Arc<Proposer>,
    pub(crate) lease: Duration,
    pub(crate) leadership: watch::Sender<Option<Term>>,
    pub(crate) leader: watch::Sender<Option<NodeId>>,
    /// Leadership is being handed over, by whom it is for to bring to an end.
    pub(crate) is_handing_over: AtomicBool,
}

/// A group's Raft and what is asked of it without a message.
pub(crate) struct Running {
    pub(crate) raft: Raft,
    pub(crate) metrics: WatchReceiverOf<TypeConfig, RaftMetrics<TypeConfig>>,
    pub(crate) server: WatchReceiverOf<TypeConfig, RaftServerMetrics<TypeConfig>>,
    pub(crate) lease: Arc<Lease>,
    pub(crate) log: GroupLog,
    pub(crate) writer: Writer,
}

impl Shard {
    pub(crate) fn new(group: Group) -> Self {
        Self(Arc::new(group))
    }

    pub(crate) fn group(&self) -> &Arc<Group> {
        &self.0
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> ShardId {
        self.0.id.shard()
    }

    /// The term in which this node leads the shard and may answer for it now. Cheap: it asks nobody.
    ///
    /// # Errors
    ///
    /// When it may not, with who leads, where known.
    pub fn lead(&self) -> Result<Term, NotLeading> {
        self.0.lead()
    }

    /// The term this node leads in behind its read barrier, its lease aside: changes whenever [`Self::lead`]
    /// may have changed its kind of answer for longer than a lapse of the lease.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Option<Term>> {
        self.0.leadership.subscribe()
    }

    /// The leader of the latest term that is known here; none while there is an election.
    #[must_use]
    pub fn leader(&self) -> watch::Receiver<Option<NodeId>> {
        self.0.leader.subscribe()
    }

    /// Queues a command under the term [`Self::lead`] gave. Never blocks.
    ///
    /// `done` is called exactly once: after the command's entry is applied, in log order, in the apply task;
    /// or with why not, which for a command refused here is at once. What is refused takes all behind it of
    /// the same term with it, except for [`Why::Overloaded`] and [`Why::TooLarge`], after which the caller
    /// itself must not propose what builds on it.
    pub fn propose(&self, term: Term, command: Bytes, done: Done) {
        match self.0.stopped() {
            Some(reason) => done(Verdict::NotProposed(Why::Stopped(reason))),
            // Raft would refuse it too; but what it refuses fences the term, which one nobody led must not.
            None if term != self.0.standing.applied_term() => done(Verdict::NotProposed(Why::NotLeading)),
            None => self.0.proposer.propose(term, command, done),
        }
    }

    /// The last index applied here. 0 before the first, which is a membership and never a command.
    #[must_use]
    pub fn applied(&self) -> LogIndex {
        self.0.standing.applied_index()
    }

    /// Waits until more than `index` is applied here.
    ///
    /// # Errors
    ///
    /// When that will never be.
    pub async fn wait_applied_beyond(&self, index: LogIndex) -> Result<(), Stopped> {
        self.0.standing.wait_applied_beyond(index).await.map_err(Stopped)
    }

    /// Reads again what was applied here, in log order, from behind an index on; from behind what is applied now
    /// without one. Only what is durable on a majority is ever applied, so it is true whoever leads.
    #[must_use]
    pub fn replay(&self, after: Option<LogIndex>) -> Replay {
        let log = self.0.raft.as_ref().map(|running| running.log.clone());
        Replay::new(self.0.standing.clone(), log, after)
    }

    /// The last index whose writes are in `RocksDB`.
    #[must_use]
    pub fn written(&self) -> LogIndex {
        self.0.store.written.get()
    }

    /// Waits until the writes of everything up to `index` are in `RocksDB`. The index must have been proposed.
    ///
    /// # Errors
    ///
    /// When that will never be.
    pub async fn wait_written(&self, index: LogIndex) -> Result<(), Stopped> {
        let store = &self.0.store;
        if store.written.get() < index
            && index <= self.applied()
            && let Some(running) = &self.0.raft
        {
            // It would be written some time; now somebody waits.
            let now = Change::Behind(store.clone());
            running.writer.write(now).await.map_err(|failed| Stopped(failed.to_string()))?;
        }
        store.written.wait(index).await.map_err(Stopped)
    }

    /// Reads the shard's applied state.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::live(self.0.store.clone())
    }

    /// What is counted of the shard here.
    #[must_use]
    pub fn metrics(&self) -> &ShardMetrics {
        &self.0.metrics
    }

    /// Commands that wait for their entry here, and entries on their way.
    #[must_use]
    pub fn queued(&self) -> (usize, usize) {
        self.0.proposer.queued()
    }

    /// What is known of the shard here.
    #[must_use]
    pub fn status(&self) -> ShardStatus {
        self.0.status()
    }
}

/// The replicas, and how far each is behind where this node leads.
fn replicas(metrics: &RaftMetrics<TypeConfig>) -> Vec<ReplicaStatus> {
    let membership = metrics.membership_config.membership();
    let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
    let last = metrics.last_log_index.map_or(0, |last| last + 1);
    let lag = |node: &NodeId| {
        let matched = metrics.replication.as_ref()?.get(node)?.as_ref();
        Some(last.saturating_sub(matched.map_or(0, |matched| matched.index + 1)))
    };
    let replica =
        |node: &NodeId| ReplicaStatus { node: *node, is_voter: voters.contains(node), lag: lag(node) };
    membership.nodes().map(|(node, _)| replica(node)).collect()
}

impl Group {
    pub(crate) fn lead(&self) -> Result<Term, NotLeading> {
        if let Some(reason) = self.stopped() {
            return Err(NotLeading { leader: None, stopped: Some(reason) });
        }
        let Some(running) = &self.raft else { return Err(NotLeading { leader: None, stopped: None }) };
        let server = running.server.borrow_watched();
        match self.leading_term(&server.vote) {
            Some(term) if self.lease_runs(running, term, &server.membership_config) => Ok(term),
            _ => Err(NotLeading { leader: server.current_leader, stopped: None }),
        }
    }

    /// The term this node leads in with the barrier passed, whatever its lease.
    pub(crate) fn leading_term(&self, vote: &Vote) -> Option<Term> {
        let term = vote.leader_id.term;
        let leads = vote.committed && vote.leader_id.voted_for == self.node;
        let is_barrier_passed =
            self.standing.applied_term() == term || sabotage::is_on(Sabotage::IgnoreBarrier);
        let is_fenced = self.proposer.fenced_term() >= term;
        (leads && is_barrier_passed && !is_fenced).then_some(term)
    }

    fn lease_runs(&self, running: &Running, term: Term, membership: &StoredMembership) -> bool {
        self.is_only_voter(membership)
            || sabotage::is_on(Sabotage::IgnoreLease)
            || running.lease.runs(self.node, term, membership.membership(), self.lease)
    }

    /// Whether nobody can lead without this node's vote, nor vote but this node.
    pub(crate) fn is_only_voter(&self, membership: &StoredMembership) -> bool {
        let configs = membership.membership().get_joint_config();
        !configs.is_empty() && configs.iter().all(|config| config.len() == 1 && config.contains(&self.node))
    }

    /// Why the replica is stopped, if it is.
    pub(crate) fn stopped(&self) -> Option<String> {
        let reason = self.standing.stopped().or_else(|| self.health.failure());
        reason.map(str::to_owned)
    }

    pub(crate) fn status(&self) -> ShardStatus {
        let mut status = ShardStatus { stopped: self.stopped(), ..ShardStatus::unknown(self.id.shard()) };
        if let Some(running) = &self.raft {
            let metrics = running.metrics.borrow_watched();
            status.term = metrics.current_term;
            // Whoever has lost its majority believes in itself until it hears of another.
            let may_lead = |leader: &NodeId| *leader != self.node || self.lead().is_ok();
            status.leader = metrics.current_leader.filter(|_| status.stopped.is_none()).filter(may_lead);
            status.replicas = replicas(&metrics);
            status.is_changing = metrics.membership_config.membership().get_joint_config().len() > 1;
            status.commit = metrics.local_committed.map(|log_id| log_id.index);
            status.applied = metrics.last_applied.map(|log_id| log_id.index);
            status.last_log = metrics.last_log_index;
            status.purged = metrics.purged.map(|log_id| log_id.index);
        }
        status
    }

    /// Publishes leadership, and stops the replica when its Raft ends. Runs for the life of the group.
    pub(crate) async fn follow(self: Arc<Self>) {
        let Some(running) = &self.raft else { return };
        // The same watch that `lead` reads: openraft fills its watches one after the other, and whoever woke by
        // one and read another could miss the last change.
        let mut server = running.server.clone();
        let mut applied_term = self.standing.watch_applied_term();
        let mut settled = self.proposer.watch_settled();
        // What the vote says at the start is of an earlier life.
        let (mut stood, mut led) = (server.borrow_watched().vote.leader_id.term, 0);
        loop {
            let vote = server.borrow_and_update().vote;
            let term = self.leading_term(&vote).filter(|_| self.stopped().is_none());
            if vote.leader_id.voted_for == self.node && vote.leader_id.term > stood {
                stood = vote.leader_id.term;
                self.metrics.elections.add(1);
            }
            if let Some(term) = term.filter(|term| *term > led) {
                led = term;
                self.metrics.leaderships.add(1);
            }
            let leader = server
                .borrow_watched()
                .current_leader
                .filter(|leader| *leader != self.node || term.is_some());
            self.leadership.send_if_modified(|now| std::mem::replace(now, term) != term);
            self.leader.send_if_modified(|now| std::mem::replace(now, leader) != leader);
            let is_over = tokio::select! {
                biased;
                changed = server.changed() => changed.is_err(),
                changed = applied_term.changed() => changed.is_err(),
                // A fenced term leads no more.
                changed = settled.changed() => changed.is_err(),
            };
            if is_over {
                break;
            }
        }
        let ended = running.metrics.borrow_watched().running_state.clone();
        let reason = match ended {
            Err(Fatal::Stopped) | Ok(()) => {
                let reason = "the node is shutting down".to_owned();
                self.standing.end(reason.clone());
                reason
            }
            Err(fatal) => {
                self.standing.stop(fatal.to_string());
                fatal.to_string()
            }
        };
        self.proposer.close(&reason);
        self.store.written.stop(&reason);
        // Even if it was none before: whoever waits for it is to look again.
        self.leadership.send_replace(None);
    }

    /// Whether this node is a candidate now.
    pub(crate) fn is_candidate(metrics: &RaftMetrics<TypeConfig>) -> bool {
        metrics.state == ServerState::Candidate
    }
}
