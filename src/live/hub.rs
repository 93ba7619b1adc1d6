//! The hub: one stream an object, fanned out to the subscribers of this gateway.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::LiveUpdate;
use super::feed::Feeds;
use super::queue::{Item, Queue, Taken};
use crate::caller::Caller;
use crate::error::{Code, Error, Retry};
use crate::object::{Key, ObjectAddress, Value, Version};
use crate::runtime::{Action, Answer, Outcome, Runtime, Stream, StreamEvent};
use crate::telemetry::Metrics;

/// Between two tries of a subscription to go on where it was, while its object cannot be reached.
const REOPEN_PAUSE: Duration = Duration::from_millis(200);

/// The subscribers of this gateway. Cheap to clone.
#[derive(Clone)]
pub struct Hub(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) runtime: Runtime,
    topics: Mutex<HashMap<ObjectAddress, Arc<Topic>>>,
    pub(super) feeds: Mutex<Feeds>,
    subscribers: AtomicUsize,
    max_subscribers: usize,
    pub(super) metrics: Metrics,
    pub(super) tasks: TaskTracker,
    pub(super) closing: CancellationToken,
    reopen_within: Duration,
}

/// An object's subscribers on this gateway.
struct Topic {
    queues: Mutex<Vec<Arc<Queue>>>,
    /// The last subscriber has left.
    ended: CancellationToken,
}

/// How a subscription begins, or begins again.
#[derive(Debug, Clone)]
pub enum Opening {
    /// With the whole state.
    Init {
        /// The version it is of; 0 for an object never written.
        version: Version,
        /// Every key and value; `None` if it is too large for one frame.
        state: Option<Vec<(Key, Value)>>,
    },
    /// Where it left off: every update after `since` follows.
    Resumed {
        /// The object's version now.
        version: Version,
    },
}

/// What a subscriber is told.
#[derive(Debug, Clone)]
pub enum Event {
    /// The next update; also that the object was deleted, see [`crate::object::Update::deleted_object`].
    Update(Arc<LiveUpdate>),
    /// The history did not reach back far enough: begin again with the full state.
    Reset(Opening),
    /// The subscriber did not keep up. Nothing follows; it may come back with its version.
    TooSlow {
        /// The last version it was given.
        version: Version,
    },
    /// The server stops. Nothing follows; any node goes on from its version.
    GoingAway {
        /// The last version it was given.
        version: Version,
    },
}

/// One subscriber's view of one object. Dropping it ends it.
pub struct Subscription {
    seat: Seat,
    caller: Caller,
    address: ObjectAddress,
    topic: Arc<Topic>,
    queue: Arc<Queue>,
    opening: Opening,
    missed: VecDeque<Arc<LiveUpdate>>,
    passed: Version,
    /// What was lost on the way here is being read from the object's history. Kept here, for whoever waits for the
    /// next event may turn to something else meanwhile.
    reopening: Option<BoxFuture<'static, Result<Answer, Error>>>,
    over: Option<Event>,
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

    /// Subscribes to an object, from the version last seen if one is given.
    ///
    /// # Errors
    ///
    /// Those of reading the object; `overloaded` beyond the subscribers that a node takes.
    pub async fn subscribe(
        &self,
        caller: &Caller,
        address: &ObjectAddress,
        since: Option<Version>,
    ) -> Result<Subscription, Error> {
        let seat = Seat::take(self)?;
        let queue = Arc::new(Queue::default());
        let topic = self.join(caller, address, &queue)?;
        // The queue is filled from here on, so nothing between the state read now and the first update
        // is lost.
        let mut subscription = Subscription {
            seat,
            caller: caller.clone(),
            address: address.clone(),
            topic,
            queue,
            opening: Opening::Resumed { version: Version::ZERO },
            missed: VecDeque::new(),
            passed: Version::ZERO,
            reopening: None,
            over: None,
        };
        let answer = self.0.runtime.call(caller, address, Action::Open { since }.into()).await?;
        subscription.opening = subscription.begin(answer, since);
        Ok(subscription)
    }

    /// Tells every subscriber that the server stops, and takes no more. Each ends its subscription.
    pub fn close(&self) {
        self.0.closing.cancel();
        for topic in self.0.topics.lock().values() {
            topic.queues.lock().iter().for_each(|queue| queue.close());
        }
    }

    /// How many subscriptions there are.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        self.0.subscribers.load(Ordering::Relaxed)
    }

    fn join(
        &self,
        caller: &Caller,
        address: &ObjectAddress,
        queue: &Arc<Queue>,
    ) -> Result<Arc<Topic>, Error> {
        if self.0.closing.is_cancelled() {
            return Err(stopping());
        }
        let mut topics = self.0.topics.lock();
        if let Some(topic) = topics.get(address) {
            topic.queues.lock().push(queue.clone());
            return Ok(topic.clone());
        }
        let stream = self.0.runtime.stream(caller, address)?;
        let topic =
            Arc::new(Topic { queues: Mutex::new(vec![queue.clone()]), ended: CancellationToken::new() });
        topics.insert(address.clone(), topic.clone());
        self.0.tasks.spawn(fan_out(topic.clone(), stream, self.0.metrics.clone(), address.clone()));
        Ok(topic)
    }

    fn leave(&self, address: &ObjectAddress, topic: &Topic, queue: &Arc<Queue>) {
        let mut topics = self.0.topics.lock();
        let mut queues = topic.queues.lock();
        queues.retain(|other| !Arc::ptr_eq(other, queue));
        if queues.is_empty() {
            drop(queues);
            topics.remove(address);
            topic.ended.cancel();
        }
    }
}

/// Carries an object's updates from its stream to its subscribers, until the last one has left.
async fn fan_out(topic: Arc<Topic>, mut stream: Stream, metrics: Metrics, address: ObjectAddress) {
    loop {
        let event = tokio::select! {
            biased;
            () = topic.ended.cancelled() => return,
            event = stream.next() => event,
        };
        let item = match event {
            Some(StreamEvent::Update(update)) => Item::Update(LiveUpdate::new(address.clone(), update)),
            Some(StreamEvent::Overrun) => Item::Lost,
            None => return,
        };
        let queues = topic.queues.lock();
        for queue in &*queues {
            queue.put(item.clone());
        }
        metrics.updates_delivered.inc_by(queues.len() as u64);
    }
}

impl Subscription {
    /// How it begins. Given away, so that no subscriber keeps a whole state for as long as it lives.
    pub fn take_opening(&mut self) -> Opening {
        std::mem::replace(&mut self.opening, Opening::Resumed { version: self.passed })
    }

    /// The last version passed on.
    #[must_use]
    pub fn version(&self) -> Version {
        self.passed
    }

    /// The next event. Cancel safe. After [`Event::TooSlow`] and [`Event::GoingAway`] it repeats itself.
    pub async fn next(&mut self) -> Event {
        loop {
            if let Some(over) = &self.over {
                return over.clone();
            }
            if let Some(update) = self.missed.pop_front() {
                self.passed = update.version;
                return Event::Update(update);
            }
            if self.reopening.is_some() {
                if let Some(event) = self.reopen().await {
                    return event;
                }
                continue;
            }
            match self.queue.take().await {
                Taken::Item(Item::Update(update)) if update.version <= self.passed => {}
                Taken::Item(Item::Update(update)) if update.version == self.passed.next() => {
                    self.passed = update.version;
                    return Event::Update(update);
                }
                Taken::Item(Item::Update(_) | Item::Lost) => {
                    let (hub, caller) = (self.seat.0.clone(), self.caller.clone());
                    self.reopening = Some(ask_again(hub, caller, self.address.clone(), self.passed).boxed());
                }
                Taken::TooSlow => {
                    self.seat.0.0.metrics.slow_closes.inc();
                    self.over = Some(Event::TooSlow { version: self.passed });
                }
                Taken::Closed => self.over = Some(Event::GoingAway { version: self.passed }),
            }
        }
    }

    /// Waits for what is being read from the object's history, and goes on there.
    async fn reopen(&mut self) -> Option<Event> {
        let answered = self.reopening.as_mut()?.await;
        self.reopening = None;
        match answered.map(|answer| self.begin(answer, Some(self.passed))) {
            Ok(Opening::Resumed { .. }) => None,
            Ok(opening @ Opening::Init { .. }) => Some(Event::Reset(opening)),
            Err(error) => {
                tracing::warn!(address = %self.address, %error, "a subscription cannot go on; its client comes back");
                self.over = Some(Event::GoingAway { version: self.passed });
                None
            }
        }
    }

    /// Begins, or begins again, with what the object answered.
    fn begin(&mut self, answer: Answer, since: Option<Version>) -> Opening {
        match answer.outcome {
            Outcome::Init { entries } => {
                self.missed.clear();
                self.passed = answer.version;
                Opening::Init { version: answer.version, state: entries }
            }
            Outcome::Resumed { updates } => {
                let updates = updates.into_iter().map(|update| LiveUpdate::new(self.address.clone(), update));
                self.missed = updates.collect();
                self.passed = since.expect("a subscription resumes from a version");
                Opening::Resumed { version: answer.version }
            }
            other => unreachable!("an open is answered by init or resumed, not {other:?}"),
        }
    }
}

/// Asks an object for what came after a version, until it is led again.
async fn ask_again(
    hub: Hub,
    mut caller: Caller,
    address: ObjectAddress,
    since: Version,
) -> Result<Answer, Error> {
    loop {
        caller.deadline = Instant::now() + hub.0.reopen_within;
        let action = Action::Open { since: Some(since) };
        match hub.0.runtime.call(&caller, &address, action.into()).await {
            // No leader yet: the socket stays, and its client notices nothing but the silence.
            Err(error) if error.retry == Retry::Safe && !hub.0.closing.is_cancelled() => {
                tokio::time::sleep(REOPEN_PAUSE).await;
            }
            answered => return answered,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.seat.0.leave(&self.address, &self.topic, &self.queue);
    }
}

/// Why the hub takes nobody any more.
pub(super) fn stopping() -> Error {
    Error::new(Code::Unavailable, "the server is stopping; use another node or come back")
}

/// A subscriber's place among those that the node takes.
pub(super) struct Seat(pub(super) Hub);

impl Seat {
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
