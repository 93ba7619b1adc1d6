//! The one feed of a class on this gateway: the parts of all shards, merged, and put into its subscribers' queues.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::cursor::ClusterTag;
use super::update::{FeedUpdate, lay_out};
use crate::error::{Code, Error};
use crate::live::queue::{Queue, Weighs};
use crate::object::ClassName;
use crate::runtime::{Feed, Following, Part};
use crate::telemetry::Metrics;

/// One thing for a subscriber of a feed.
#[derive(Debug, Clone)]
pub(super) enum Item {
    /// The next update.
    Update(Arc<FeedUpdate>),
    /// Updates are lost for good; what follows is behind this.
    Lost(Arc<[u64]>),
}

impl Weighs for Item {
    fn weight(&self) -> usize {
        match self {
            Self::Update(update) => update.native().len() + update.cursor().len(),
            Self::Lost(reached) => size_of_val::<[u64]>(reached),
        }
    }
}

/// The feeds of a gateway, by tenant and class, each with how many subscribers it has.
pub(in crate::live) type Feeds = HashMap<(Arc<str>, ClassName), (Arc<Shared>, usize)>;

/// One class's feed.
pub(in crate::live) struct Shared {
    pub(super) cluster: ClusterTag,
    state: Mutex<State>,
    /// The state has changed.
    moved: Notify,
    /// The last subscriber has left.
    ended: CancellationToken,
}

struct State {
    /// Up to which index everything of each shard was put into the queues; none before it is known where it begins.
    passed: Vec<Option<u64>>,
    queues: Vec<Arc<Queue<Item>>>,
}

impl State {
    /// Where all shards are; none before all are known.
    fn known(&self) -> Option<Vec<u64>> {
        self.passed.iter().copied().collect()
    }
}

impl Shared {
    /// A feed that nobody carries yet.
    pub(super) fn new(feed: &Feed) -> Self {
        Self {
            cluster: ClusterTag::of(feed.cluster()),
            state: Mutex::new(State { passed: vec![None; feed.shards()], queues: Vec::new() }),
            moved: Notify::new(),
            ended: CancellationToken::new(),
        }
    }

    /// Waits until the feed is known to have passed so much in each shard, or its beginning where nothing is asked.
    pub(super) async fn wait(&self, asked: &[u64], deadline: Instant) -> Result<Vec<u64>, Error> {
        let waiting = async {
            loop {
                let moved = self.moved.notified();
                tokio::pin!(moved);
                // Registered before the look, so that no change between the two is missed.
                moved.as_mut().enable();
                let passed = self.state.lock().known();
                if let Some(passed) = passed.filter(|passed| is_behind(asked, passed)) {
                    return passed;
                }
                moved.await;
            }
        };
        tokio::time::timeout_at(deadline.into(), waiting).await.map_err(|_| {
            let detail = "not all shards have told in time where they are; try again";
            Error::new(Code::Unavailable, detail)
        })
    }

    /// How far it is now, if that is known.
    pub(super) fn passed(&self) -> Option<Vec<u64>> {
        self.state.lock().known()
    }

    /// Fills a queue from now on. How far the feed is at this moment: what the queue gets is all that is behind it.
    pub(super) fn join(&self, queue: &Arc<Queue<Item>>) -> Option<Vec<u64>> {
        let mut state = self.state.lock();
        let passed = state.known()?;
        state.queues.push(queue.clone());
        Some(passed)
    }

    /// Fills a queue no more.
    pub(super) fn leave(&self, queue: &Arc<Queue<Item>>) {
        self.state.lock().queues.retain(|other| !Arc::ptr_eq(other, queue));
    }

    /// The last subscriber has left.
    pub(super) fn end(&self) {
        self.ended.cancel();
    }

    /// Puts a part into the queues. Only one task does this.
    fn pass_on(&self, part: Part, metrics: &Metrics) {
        let mut passed: Vec<u64> =
            self.state.lock().passed.iter().map(|passed| passed.unwrap_or_default()).collect();
        let (shard, is_lost, up_to) = (part.shard, part.is_lost, part.reached);
        let updates = lay_out(self.cluster, part, &mut passed);
        for update in &updates {
            // Before it is locked: whoever waits for the lock is not to wait for this.
            update.native();
        }
        let mut items: Vec<Item> = updates.into_iter().map(Item::Update).collect();
        let mut state = self.state.lock();
        if let Some(now) = state.passed.get_mut(shard) {
            *now = (*now).max(Some(up_to));
        }
        if is_lost {
            items.push(Item::Lost(passed.into()));
        }
        for queue in &state.queues {
            for item in &items {
                queue.put(item.clone());
            }
        }
        metrics.updates_delivered.inc_by((items.len() * state.queues.len()) as u64);
        drop(state);
        self.moved.notify_waiters();
    }
}

/// Whether one is nowhere ahead of the other.
fn is_behind(one: &[u64], other: &[u64]) -> bool {
    one.iter().zip(other).all(|(one, other)| one <= other)
}

/// Carries the parts of all shards to the subscribers, until the last one has left.
pub(super) async fn carry(shared: Arc<Shared>, mut parts: Following, metrics: Metrics) {
    metrics.feeds.inc();
    loop {
        let part = tokio::select! {
            biased;
            () = shared.ended.cancelled() => None,
            part = parts.next() => part,
        };
        let Some(part) = part else { break };
        shared.pass_on(part, &metrics);
        // A subscriber that keeps up has to have a turn between two parts, however many there are.
        tokio::task::yield_now().await;
    }
    metrics.feeds.dec();
}
