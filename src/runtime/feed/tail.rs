//! A feed of one shard on the node that leads it, as commits are applied.

use std::sync::Arc;
use std::time::{Duration, Instant};

use stead_cluster::{LogIndex, NodeId, Replay, ReplayError, Shard, Term};
use tokio::sync::watch;

use super::Part;
use super::page::Selection;
use crate::limits;

/// One shard's part of a feed. What it gives is true whoever leads; that this node leads makes it new.
pub(super) struct Tail {
    shard: Shard,
    selection: Arc<Selection>,
    replay: Replay,
    leader: watch::Receiver<Option<NodeId>>,
    term: Term,
    /// Up to where the reader was told, and when.
    told: Option<(LogIndex, Instant)>,
}

impl Tail {
    /// From behind an index on, or from now. None where this node does not lead the shard.
    pub(super) fn open(shard: Shard, selection: Arc<Selection>, after: Option<LogIndex>) -> Option<Self> {
        let leader = shard.leader();
        let term = shard.lead().ok()?;
        let replay = shard.replay(after);
        Some(Self { shard, selection, replay, leader, term, told: None })
    }

    /// The next part; none once this node leads no more, or the log can not be read. The first comes at once, and
    /// where nothing happens a part without updates now and then.
    pub(super) async fn next(&mut self) -> Option<Part> {
        loop {
            let part = self.read()?;
            if part.is_lost || !part.updates.is_empty() || self.untold(part.reached).is_zero() {
                self.told = Some((part.reached, Instant::now()));
                return Some(part);
            }
            if part.reached < self.shard.applied() {
                // A log with much of other classes in it is not to keep others waiting.
                tokio::task::yield_now().await;
                continue;
            }
            let look_again = self.untold(part.reached).min(limits::SERVED_LOOK_EVERY);
            let is_asked_again = tokio::select! {
                biased;
                changed = self.leader.changed() => {
                    changed.ok()?;
                    true
                }
                applied = self.shard.wait_applied_beyond(part.reached) => {
                    applied.ok()?;
                    false
                }
                // A leader that is cut off from the others hears of no successor.
                () = tokio::time::sleep(look_again) => true,
            };
            if is_asked_again && self.shard.lead() != Ok(self.term) {
                return None;
            }
        }
    }

    /// In how long the reader is to be told that so much is reached.
    fn untold(&self, reached: LogIndex) -> Duration {
        match self.told {
            None => Duration::ZERO,
            Some((told, _)) if told == reached => Duration::MAX,
            Some((_, at)) => limits::FEED_POSITION_EVERY.saturating_sub(at.elapsed()),
        }
    }

    fn read(&mut self) -> Option<Part> {
        let shard = usize::from(self.shard.id().0);
        let failed = match self.replay.next_page(limits::FEED_PAGE_BYTES) {
            Ok(page) => match self.selection.part(shard, &page) {
                Ok(part) => return Some(part),
                Err(error) => error.to_string(),
            },
            Err(ReplayError::Purged) => {
                self.replay = self.shard.replay(None);
                return Some(Part {
                    shard,
                    is_lost: true,
                    updates: Vec::new(),
                    reached: self.replay.reached(),
                });
            }
            Err(error) => error.to_string(),
        };
        tracing::warn!(shard, error = failed, "a class feed can not be read from the log");
        None
    }
}
