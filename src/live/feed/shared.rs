//! The one feed of a class on this gateway: the parts of all shards, merged, and put into its subscribers' queues.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::cursor::ClusterTag;
use super::update::{FeedUpdate, lay_out};
use crate::caller::Caller;
use crate::error::{Code, Error};
use crate::live::hub::{Hub, stopping};
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
pub(super) fn is_behind(one: &[u64], other: &[u64]) -> bool {
    one.iter().zip(other).all(|(one, other)| one <= other)
}

/// One of the subscribers of a class's feed; while there is any, the feed goes on.
pub(super) struct Member {
    hub: Hub,
    key: (Arc<str>, ClassName),
    pub(super) shared: Arc<Shared>,
    pub(super) queue: Arc<Queue<Item>>,
}

impl Member {
    /// Enters the class's feed; the first one begins it.
    pub(super) fn enter(hub: &Hub, caller: &Caller, class: &ClassName, feed: &Feed) -> Result<Self, Error> {
        if hub.is_closing() {
            return Err(stopping());
        }
        let key = (caller.tenant.clone(), class.clone());
        let mut feeds = hub.feeds().lock();
        let (shared, members) = feeds.entry(key.clone()).or_insert_with(|| (begin(hub, feed), 0));
        *members += 1;
        let shared = shared.clone();
        Ok(Self { hub: hub.clone(), key, shared, queue: Arc::default() })
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.shared.state.lock().queues.retain(|queue| !Arc::ptr_eq(queue, &self.queue));
        let mut feeds = self.hub.feeds().lock();
        let is_last = feeds.get_mut(&self.key).is_some_and(|(_, members)| {
            *members -= 1;
            *members == 0
        });
        if is_last {
            feeds.remove(&self.key);
            self.shared.ended.cancel();
        }
    }
}

fn begin(hub: &Hub, feed: &Feed) -> Arc<Shared> {
    let state = State { passed: vec![None; feed.shards()], queues: Vec::new() };
    let shared = Arc::new(Shared {
        cluster: ClusterTag::of(feed.cluster()),
        state: Mutex::new(state),
        moved: Notify::new(),
        ended: CancellationToken::new(),
    });
    hub.spawn(carry(shared.clone(), feed.follow(), hub.metrics().clone()));
    shared
}

/// Carries the parts of all shards to the subscribers, until the last one has left.
async fn carry(shared: Arc<Shared>, mut parts: Following, metrics: Metrics) {
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
