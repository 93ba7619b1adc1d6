//! The one timer of a node. openraft would run one a group, and even a node alone would burn a few percent of
//! a core on them; here one task looks at every group in turn.
//!
//! - A leader with followers sends its heartbeat.
//! - A voter that does not lead asks for a Pre-Vote at random intervals. openraft answers such a request with
//!   nothing while the promise to the present leader runs, so asking too early is harmless.
//! - The only voter of a group elects itself at once.
//! - A log that has grown beyond what is kept is purged, behind a snapshot that costs nothing to make.

use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use openraft::async_runtime::WatchReceiver;
use openraft::{RaftMetrics, ServerState};
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::group::{Group, Raft, Running};
use crate::options::Options;
use crate::raft::TypeConfig;

/// A log is purged when it has grown by this part of what is kept beyond it, so that purges are few.
const PURGE_SLACK_DIVISOR: u64 = 4;

/// Drives the groups of a node.
pub(super) struct Ticker {
    groups: Vec<Driven>,
    heartbeat: Duration,
    election_min: Duration,
    election_max: Duration,
    log_kept_entries: u64,
    log_kept_bytes: u64,
    random: StdRng,
}

struct Driven {
    group: Arc<Group>,
    election_due: Instant,
}

impl Ticker {
    pub(super) fn new(groups: Vec<Arc<Group>>, options: &Options) -> Self {
        let now = Instant::now();
        Self {
            groups: groups.into_iter().map(|group| Driven { group, election_due: now }).collect(),
            heartbeat: options.heartbeat,
            election_min: options.election_min,
            election_max: options.election_max,
            log_kept_entries: options.log_kept_entries,
            log_kept_bytes: options.log_kept_bytes,
            random: options.random(),
        }
    }

    /// Ticks until it is stopped.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(self.heartbeat);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                now = ticks.tick() => self.tick(now),
            }
        }
    }

    fn tick(&mut self, now: Instant) {
        let mut groups = std::mem::take(&mut self.groups);
        for driven in &mut groups {
            let group = driven.group.clone();
            if let Some(running) = &group.raft
                && group.stopped().is_none()
            {
                self.drive(&group, running, &mut driven.election_due, now);
            }
        }
        self.groups = groups;
    }

    fn drive(&mut self, group: &Group, running: &Running, election_due: &mut Instant, now: Instant) {
        let metrics = running.metrics.borrow_watched().clone();
        let raft = &running.raft;
        let is_only_voter = group.is_only_voter(&metrics.membership_config);
        if metrics.state == ServerState::Leader {
            *election_due = now + self.random_wait();
            if group.proposer.fenced_term() >= metrics.current_term {
                if !group.is_handing_over.load(Ordering::Acquire) {
                    hand_over(group, raft, &metrics);
                }
            } else if !is_only_voter || metrics.membership_config.membership().nodes().count() > 1 {
                send(raft.trigger().heartbeat());
            }
        } else if is_only_voter && !Group::is_candidate(&metrics) {
            elect(raft, Vote::AtOnce);
        } else if group.is_voter() && now >= *election_due {
            *election_due = now + self.random_wait();
            elect(raft, Vote::AfterPreVote);
        }
        self.purge(running, &metrics);
    }

    fn random_wait(&mut self) -> Duration {
        self.random.random_range(self.election_min..=self.election_max)
    }

    /// Purges what the log need not keep. The snapshot this needs is asked for on one tick, and there on a
    /// later one.
    fn purge(&self, running: &Running, metrics: &RaftMetrics<TypeConfig>) {
        let Some(applied) = metrics.last_applied.map(|log_id| log_id.index) else { return };
        let (purged, too_many_bytes_to) = running.log.retention(self.log_kept_bytes);
        let next = purged.map_or(0, |purged| purged + 1);
        let held = (applied + 1).saturating_sub(next);
        let by_entries = (held > self.log_kept_entries + self.log_kept_entries / PURGE_SLACK_DIVISOR)
            .then(|| applied - self.log_kept_entries);
        let Some(up_to) = by_entries.max(too_many_bytes_to.map(|index| index.min(applied))) else { return };
        if purged.is_some_and(|purged| purged >= up_to) {
            return;
        }
        if metrics.snapshot.is_some_and(|snapshot| snapshot.index >= up_to) {
            send(running.raft.trigger().purge_log(up_to));
        } else {
            send(running.raft.trigger().snapshot());
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vote {
    AtOnce,
    AfterPreVote,
}

fn elect(raft: &Raft, vote: Vote) {
    send(raft.trigger().elect(vote == Vote::AfterPreVote));
}

/// A command of this term was refused (the lease had lapsed, say, and came back), so nothing of the term is
/// taken any more: the voter that has most of the log leads on in a new one. An only voter refuses nothing.
fn hand_over(group: &Group, raft: &Raft, metrics: &RaftMetrics<TypeConfig>) {
    let membership = metrics.membership_config.membership();
    let progress = metrics.replication.iter().flatten();
    let others =
        progress.filter(|(node, _)| **node != group.node && membership.voter_ids().any(|id| id == **node));
    if let Some((node, _)) = others.max_by_key(|(_, matched)| **matched) {
        send(raft.trigger().transfer_leader(*node));
    }
}

/// Sends a message to a Raft without waiting: one that is too busy to take it gets the next one.
pub(super) fn send<T>(message: impl IntoFuture<Output = T>) {
    let _ = tokio::task::coop::unconstrained(message.into_future()).now_or_never();
}
