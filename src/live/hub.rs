//! The hub: one stream an object, fanned out to the subscribers of this gateway.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, SetOnce};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::LiveUpdate;
use super::feed::Feeds;
use super::presence::{LivePresence, LiveSignal, Present};
use super::queue::{Item, Queue};
use crate::caller::Caller;
use crate::error::{Code, Error};
use crate::object::ObjectAddress;
use crate::runtime::{Member, Outbox, Runtime, StreamEvent, Upstream};
use crate::telemetry::Metrics;

/// The subscribers of this gateway. Cheap to clone.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    runtime: Runtime,
    topics: Mutex<HashMap<ObjectAddress, Arc<Topic>>>,
    feeds: Mutex<Feeds>,
    subscribers: AtomicUsize,
    max_subscribers: usize,
    metrics: Metrics,
    tasks: TaskTracker,
    closing: CancellationToken,
    reopen_within: Duration,
}

/// An object's subscribers on this gateway.
pub(super) struct Topic {
    audience: Mutex<Audience>,
    /// Who is present is known: a leader has told it.
    known: SetOnce<()>,
    /// Somebody is awaited who was present.
    awaits: Notify,
    outbox: Arc<Outbox>,
    /// The last subscriber has left.
    ended: CancellationToken,
}

#[derive(Default)]
struct Audience {
    queues: Vec<Arc<Queue>>,
    present: Present,
}

impl Hub {
    /// The hub of a node.
    #[must_use]
    pub fn new(runtime: Runtime, max_subscribers: usize, reopen_within: Duration, metrics: Metrics) -> Self {
        Self(Arc::new(Inner {
            runtime,
            topics: Mutex::default(),
            feeds: Mutex::default(),
            subscribers: AtomicUsize::new(0),
            max_subscribers,
            metrics,
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            reopen_within,
        }))
    }

    /// Tells every subscriber that the server stops, and takes no more. Each ends its subscription.
    pub fn close(&self) {
        self.0.closing.cancel();
        for topic in self.0.topics.lock().values() {
            topic.audience.lock().queues.iter().for_each(|queue| queue.close());
        }
    }

    /// How many subscriptions there are.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        self.0.subscribers.load(Ordering::Relaxed)
    }

    /// Whether the node takes no more subscriptions.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.subscribers() >= self.0.max_subscribers
    }

    /// Waits until the server stops. Cancel safe.
    pub async fn closed(&self) {
        self.0.closing.cancelled().await;
    }

    pub(super) fn runtime(&self) -> &Runtime {
        &self.0.runtime
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(super) fn feeds(&self) -> &Mutex<Feeds> {
        &self.0.feeds
    }

    /// Runs what fans out, until its subscribers have left.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.tasks.spawn(task);
    }

    /// Whether the server stops.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.0.closing.is_cancelled()
    }

    /// How long one try of a subscription to go on may take.
    pub(super) fn reopen_within(&self) -> Duration {
        self.0.reopen_within
    }

    /// Puts a queue among an object's subscribers; the first one opens the object's stream.
    pub(super) fn join(
        &self,
        caller: &Caller,
        address: &ObjectAddress,
        queue: &Arc<Queue>,
    ) -> Result<Arc<Topic>, Error> {
        if self.is_closing() {
            return Err(stopping());
        }
        let mut topics = self.0.topics.lock();
        if let Some(topic) = topics.get(address) {
            topic.audience.lock().queues.push(queue.clone());
            return Ok(topic.clone());
        }
        let upstream = self.0.runtime.stream(caller, address)?;
        let topic = Arc::new(Topic {
            audience: Mutex::new(Audience { queues: vec![queue.clone()], present: Present::default() }),
            known: SetOnce::new(),
            awaits: Notify::new(),
            outbox: upstream.outbox(),
            ended: CancellationToken::new(),
        });
        topics.insert(address.clone(), topic.clone());
        self.0.tasks.spawn(fan_out(topic.clone(), upstream, self.0.metrics.clone(), address.clone()));
        Ok(topic)
    }

    pub(super) fn leave(&self, address: &ObjectAddress, topic: &Topic, queue: &Arc<Queue>) {
        let mut topics = self.0.topics.lock();
        let mut audience = topic.audience.lock();
        audience.queues.retain(|other| !Arc::ptr_eq(other, queue));
        if audience.queues.is_empty() {
            drop(audience);
            topics.remove(address);
            topic.ended.cancel();
        }
    }
}

/// Carries an object's updates from its stream to its subscribers, until the last one has left.
async fn fan_out(topic: Arc<Topic>, upstream: Upstream, metrics: Metrics, address: ObjectAddress) {
    tokio::select! {
        biased;
        () = topic.ended.cancelled() => {}
        () = upstream.run(|event| topic.pass(event, &metrics, &address)) => {}
        () = topic.expire() => {}
    }
}

impl Topic {
    /// Waits until it is known who is present.
    pub(super) async fn known(&self) {
        self.known.wait().await;
    }

    /// Who is present, as far as is known.
    pub(super) fn everyone(&self) -> Vec<Member> {
        self.audience.lock().present.everyone()
    }

    /// What the object's leader is told from here.
    pub(super) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    fn pass(&self, event: StreamEvent, metrics: &Metrics, address: &ObjectAddress) {
        let mut audience = self.audience.lock();
        match event {
            StreamEvent::Update(update) => {
                audience.put(&Item::Update(LiveUpdate::new(address.clone(), update)));
                metrics.updates_delivered.inc_by(audience.queues.len() as u64);
            }
            StreamEvent::Overrun => audience.put(&Item::Lost),
            StreamEvent::Stands(present) => {
                let moved = audience.present.stands(&present, Instant::now());
                audience.moved(moved);
                drop(audience);
                // It stands again and again; known it is once.
                let _ = self.known.set(());
                self.awaits.notify_one();
            }
            StreamEvent::Moved(movement) => {
                let moved = audience.present.moved(&movement);
                audience.moved(moved);
            }
            StreamEvent::Signal(signal) => audience.put(&Item::Signal(Arc::new(LiveSignal::new(signal)))),
        }
    }

    /// Lets go, in time, of those whom no new leader was told of.
    async fn expire(&self) {
        loop {
            let next = self.audience.lock().present.next_expiry();
            let Some(at) = next else {
                self.awaits.notified().await;
                continue;
            };
            tokio::time::sleep_until(at.into()).await;
            let mut audience = self.audience.lock();
            let moved = audience.present.expire(Instant::now());
            audience.moved(moved);
        }
    }
}

impl Audience {
    fn put(&self, item: &Item) {
        for queue in &self.queues {
            queue.put(item.clone());
        }
    }

    fn moved(&self, moved: Option<LivePresence>) {
        if let Some(moved) = moved {
            self.put(&Item::Presence(Arc::new(moved)));
        }
    }
}

/// Why the hub takes nobody any more.
pub(super) fn stopping() -> Error {
    Error::new(Code::Unavailable, "the server is stopping; use another node or come back")
}

/// A subscriber's place among those that the node takes.
pub(super) struct Seat(Hub);

impl Seat {
    /// The hub that it is in.
    pub(super) fn hub(&self) -> &Hub {
        &self.0
    }

    pub(super) fn take(hub: &Hub) -> Result<Self, Error> {
        let taken = hub.0.subscribers.fetch_add(1, Ordering::Relaxed);
        hub.0.metrics.subscribers.inc();
        let seat = Self(hub.clone());
        let max = hub.0.max_subscribers;
        if taken >= max {
            let detail = format!("the node has {max} subscriptions; use another node or come back");
            return Err(Error::new(Code::Overloaded, detail));
        }
        Ok(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.0.subscribers.fetch_sub(1, Ordering::Relaxed);
        self.0.0.metrics.subscribers.dec();
    }
}
