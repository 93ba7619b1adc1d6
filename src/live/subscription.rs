//! One subscriber's view of one object: each version once and in order, whatever happens to leaders meanwhile.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::hub::{Hub, Seat, Topic};
use super::queue::{Item, Queue, Taken};
use super::{LivePresence, LiveSignal, LiveUpdate};
use crate::caller::Caller;
use crate::error::{Code, Error, Retry};
use crate::limits::{PRESENCE_KNOWN_WITHIN, PRESENCE_MAX_BYTES, PRESENT_MAX, SIGNAL_MAX_BYTES};
use crate::object::{Key, ObjectAddress, Value, Version};
use crate::runtime::{Action, Answer, Full, Member, Outcome, Signal};

/// Between two tries of a subscription to go on where it was, while its object cannot be reached.
const REOPEN_PAUSE: Duration = Duration::from_millis(200);

/// How a subscription begins, or begins again.
#[derive(Debug, Clone)]
pub enum Opening {
    /// With the whole state.
    Init {
        /// The version it is of; 0 for an object never written.
        version: Version,
        /// Every key and value; `None` if it is too large for one frame.
        state: Option<Vec<(Key, Value)>>,
        /// Who is present.
        present: Vec<Member>,
    },
    /// Where it left off: every update after `since` follows.
    Resumed {
        /// The object's version now.
        version: Version,
        /// Who is present: what was known before is not any more.
        present: Vec<Member>,
    },
}

/// What a subscriber is told.
#[derive(Debug, Clone)]
pub enum Event {
    /// The next update; also that the object was deleted, see [`crate::object::Update::deleted_object`].
    Update(Arc<LiveUpdate>),
    /// Somebody came, changed or went.
    Presence(Arc<LivePresence>),
    /// Somebody else tells all others something.
    Signal(Arc<LiveSignal>),
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
    /// What it is known by to others, when it is present.
    id: Arc<str>,
    /// The same, as the owner of what it tells of.
    owner: u64,
    /// Whom it has told of.
    entered: Vec<Arc<str>>,
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
        Subscription::begin(seat, caller, address, (topic, queue), since).await
    }
}

impl Subscription {
    /// Begins one whose queue is filled already.
    async fn begin(
        seat: Seat,
        caller: &Caller,
        address: &ObjectAddress,
        (topic, queue): (Arc<Topic>, Arc<Queue>),
        since: Option<Version>,
    ) -> Result<Self, Error> {
        let owner = rand::random();
        let mut subscription = Self {
            seat,
            id: format!("{owner:016x}").into(),
            owner,
            entered: Vec::new(),
            caller: caller.clone(),
            address: address.clone(),
            topic,
            queue,
            opening: Opening::Resumed { version: Version::ZERO, present: Vec::new() },
            missed: VecDeque::new(),
            passed: Version::ZERO,
            reopening: None,
            over: None,
        };
        let runtime = subscription.seat.hub().runtime();
        let answer = runtime.call(caller, address, Action::Open { since }.into()).await?;
        // Whoever is present is told later, if it takes longer than that.
        drop(tokio::time::timeout(PRESENCE_KNOWN_WITHIN, subscription.topic.known()).await);
        subscription.opening = subscription.open(answer, since);
        Ok(subscription)
    }

    /// What it is known by to others.
    #[must_use]
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Somebody is present, or shows something else than before, until this subscription ends or says that it left.
    ///
    /// # Errors
    ///
    /// `invalid_request` if it shows too much of itself, `overloaded` if too many are present.
    pub fn enter(&mut self, member: Member) -> Result<(), Error> {
        if member.data.len() > PRESENCE_MAX_BYTES {
            let detail = format!("presence has at most {PRESENCE_MAX_BYTES} bytes of JSON");
            return Err(Error::new(Code::InvalidRequest, detail));
        }
        if !self.entered.contains(&member.id) {
            self.entered.push(member.id.clone());
        }
        self.topic.outbox().enter(self.owner, member).map_err(|Full| {
            let detail = format!("{PRESENT_MAX} are present at this object; the others are not shown");
            Error::new(Code::Overloaded, detail)
        })
    }

    /// Somebody whom it has told of is not present any more.
    pub fn exit(&mut self, id: &Arc<str>) {
        self.entered.retain(|entered| entered != id);
        self.topic.outbox().leave(self.owner, id);
    }

    /// Tells all others something.
    ///
    /// # Errors
    ///
    /// `invalid_request` if it is too large, `overloaded` if too much waits for the object's leader.
    pub fn signal(&self, data: Value) -> Result<(), Error> {
        if data.len() > SIGNAL_MAX_BYTES {
            let detail = format!("a signal has at most {SIGNAL_MAX_BYTES} bytes of JSON");
            return Err(Error::new(Code::InvalidRequest, detail));
        }
        let signal = Signal { from: self.id.clone(), data };
        self.topic.outbox().signal(signal).map_err(|Full| {
            Error::new(Code::Overloaded, "too many signals wait for the object's leader; send fewer")
        })
    }

    /// How it begins. Given away, so that no subscriber keeps a whole state for as long as it lives.
    pub fn take_opening(&mut self) -> Opening {
        std::mem::replace(&mut self.opening, Opening::Resumed { version: self.passed, present: Vec::new() })
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
                Taken::Item(Item::Presence(presence)) => return Event::Presence(presence),
                Taken::Item(Item::Signal(signal)) if signal.signal().from == self.id => {}
                Taken::Item(Item::Signal(signal)) => return Event::Signal(signal),
                Taken::Item(Item::Update(_) | Item::Lost) => {
                    let (hub, caller) = (self.seat.hub().clone(), self.caller.clone());
                    self.reopening = Some(ask_again(hub, caller, self.address.clone(), self.passed).boxed());
                }
                Taken::TooSlow => {
                    self.seat.hub().metrics().slow_closes.inc();
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
        match answered.map(|answer| self.open(answer, Some(self.passed))) {
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
    fn open(&mut self, answer: Answer, since: Option<Version>) -> Opening {
        match answer.outcome {
            Outcome::Init { entries } => {
                self.missed.clear();
                self.passed = answer.version;
                Opening::Init { version: answer.version, state: entries, present: self.topic.everyone() }
            }
            Outcome::Resumed { updates } => {
                let updates = updates.into_iter().map(|update| LiveUpdate::new(self.address.clone(), update));
                self.missed = updates.collect();
                self.passed = since.expect("a subscription resumes from a version");
                Opening::Resumed { version: answer.version, present: self.topic.everyone() }
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
        caller.deadline = Instant::now() + hub.reopen_within();
        let action = Action::Open { since: Some(since) };
        match hub.runtime().call(&caller, &address, action.into()).await {
            // No leader yet: the socket stays, and its client notices nothing but the silence.
            Err(error) if error.retry == Retry::Safe && !hub.is_closing() => {
                tokio::time::sleep(REOPEN_PAUSE).await;
            }
            answered => return answered,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        for id in &self.entered {
            self.topic.outbox().leave(self.owner, id);
        }
        self.seat.hub().leave(&self.address, &self.topic, &self.queue);
    }
}
