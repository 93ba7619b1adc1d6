//! What happens on one subscription of a socket: events, and answers to what its client asks there.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesOrdered, StreamExt};

use super::{Order, Voice};
use crate::api::ApiState;
use crate::caller::Caller;
use crate::error::Error;
use crate::limits::BODY_MAX_BYTES;
use crate::live::{Event, Subscription};
use crate::object::{ObjectAddress, Version};
use crate::runtime::Member;

/// What one burst says before the connection is looked at again, in bytes.
pub(super) const BURST_BYTES: usize = 64 * 1024;
/// Orders of one socket under way at once; more wait unread in the connection.
const ORDERS_MAX: usize = 64;
/// Sizes of the frames that those came in, in bytes; one more may come on top.
const ORDERED_MAX_BYTES: usize = BODY_MAX_BYTES;

/// What a client has ordered and was not answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Load {
    orders: usize,
    bytes: usize,
}

impl Load {
    /// One order that came in a frame of so many bytes.
    pub(super) fn of_frame(bytes: usize) -> Self {
        Self { orders: 1, bytes }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.orders += other.orders;
        self.bytes += other.bytes;
    }

    pub(super) fn subtract(&mut self, other: Self) {
        self.orders -= other.orders;
        self.bytes -= other.bytes;
    }

    /// Whether more may be ordered. A client that asks and does not read its answers is not heard for as long.
    pub(super) fn has_room(self) -> bool {
        self.orders < ORDERS_MAX && self.bytes < ORDERED_MAX_BYTES
    }
}

/// What a line has to say at once.
#[derive(Default)]
pub(super) struct Burst {
    pub(super) frames: Vec<Bytes>,
    /// What was ordered and is answered with these frames.
    pub(super) settled: Load,
    /// After these frames nothing is said any more.
    pub(super) end: Option<LineEnd>,
}

/// How a line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineEnd {
    /// As its client wished.
    Left,
    /// The client did not keep up.
    TooSlow(Version),
    /// The server stops, or cannot go on with the object; what was asked is answered.
    GoingAway(Version),
}

/// An answer on its way to the client.
struct Answered {
    /// The version whose update the client sees first.
    after: Version,
    frames: Vec<Bytes>,
    load: Load,
    is_last: bool,
}

/// One subscription of a socket.
pub(super) struct Line<V: ?Sized> {
    api: ApiState,
    caller: Caller,
    address: ObjectAddress,
    subscription: Subscription,
    answers: FuturesOrdered<BoxFuture<'static, Answered>>,
    /// The next answer, held until the client has seen its update.
    parked: Option<Answered>,
    /// The server stops: what was asked is answered, nothing else is passed on.
    leaving: bool,
    voice: Box<V>,
}

impl<V: Voice + ?Sized> Line<V> {
    /// A line, and what it says first.
    pub(super) fn begin(
        api: ApiState,
        caller: Caller,
        address: ObjectAddress,
        mut voice: Box<V>,
        mut subscription: Subscription,
    ) -> (Self, Vec<Bytes>) {
        let mut frames = Vec::new();
        let opening = subscription.take_opening();
        voice.opening(&address, &opening, subscription.id(), &mut frames);
        let line = Self {
            api,
            caller,
            address,
            subscription,
            answers: FuturesOrdered::new(),
            parked: None,
            leaving: false,
            voice,
        };
        (line, frames)
    }

    /// How the client speaks.
    pub(super) fn voice(&self) -> &V {
        &self.voice
    }

    /// Takes an order that came in a frame of so many bytes.
    pub(super) fn obey(&mut self, order: Order, load: Load) {
        let is_last = matches!(order, Order::Leave(_));
        let frames = match order {
            Order::Call(request, reply) => {
                let (runtime, address) = (self.api.runtime().clone(), self.address.clone());
                let mut caller = self.caller.clone();
                caller.deadline = Instant::now() + self.api.settings().request_deadline;
                let call = async move {
                    let result = runtime.call(&caller, &address, *request).await;
                    let after = result.as_ref().map_or(Version::ZERO, |answer| answer.version);
                    Answered { after, frames: reply(result), load, is_last: false }
                };
                self.answers.push_back(call.boxed());
                return;
            }
            Order::Say(frame) => vec![frame],
            Order::Leave(frames) => frames,
            Order::Enter(data, settled) => {
                let id = Arc::clone(self.subscription.id());
                settled(self.subscription.enter(Member { id, data, clock: 0 })).into_iter().collect()
            }
            Order::Signal(data, settled) => settled(self.subscription.signal(data)).into_iter().collect(),
        };
        let answered = Answered { after: Version::ZERO, frames, load, is_last };
        self.answers.push_back(std::future::ready(answered).boxed());
    }

    /// Whether the server stops and everything asked is answered.
    pub(super) fn is_done(&self) -> bool {
        self.leaving && self.answers.is_empty() && self.parked.is_none()
    }

    /// Whether the server stops.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// The last version said.
    pub(super) fn version(&self) -> Version {
        self.subscription.version()
    }

    /// What is to be said next. Cancel safe.
    pub(super) async fn next(&mut self) -> Burst {
        let mut burst = Burst::default();
        if self.is_done() {
            burst.end = Some(LineEnd::GoingAway(self.version()));
            return burst;
        }
        let waits = self.parked.is_some();
        tokio::select! {
            biased;
            event = self.subscription.next(), if !self.leaving => self.happened(event, &mut burst),
            Some(answered) = self.answers.next(), if !waits && !self.answers.is_empty() => {
                self.answered(answered, &mut burst);
            }
        }
        burst
    }

    /// Says an event, and with it whatever else is ready.
    fn happened(&mut self, event: Event, burst: &mut Burst) {
        let mut event = Some(event);
        let mut said_bytes = 0;
        while let Some(next) = event {
            let before = burst.frames.len();
            match next {
                Event::Update(update) => self.voice.update(&update, &mut burst.frames),
                Event::Presence(presence) => self.voice.presence(&presence, &mut burst.frames),
                Event::Signal(signal) => self.voice.signal(&signal, &mut burst.frames),
                Event::Reset(opening) => {
                    let own_id = self.subscription.id();
                    self.voice.opening(&self.address, &opening, own_id, &mut burst.frames);
                }
                // What was passed on is said first; then the subscription says the same again.
                Event::TooSlow { .. } if !burst.frames.is_empty() => return,
                Event::TooSlow { version } => {
                    burst.end = Some(LineEnd::TooSlow(version));
                    return;
                }
                Event::GoingAway { .. } => {
                    self.leaving = true;
                    break;
                }
            }
            said_bytes += burst.frames.iter().skip(before).map(Bytes::len).sum::<usize>();
            let room = said_bytes < BURST_BYTES;
            event = if room { self.subscription.next().now_or_never() } else { None };
        }
        if let Some(parked) = self.parked.take() {
            self.answered(parked, burst);
        }
    }

    /// Says an answer, or holds it until its update has passed.
    fn answered(&mut self, answered: Answered, burst: &mut Burst) {
        let mut next = Some(answered);
        let mut said_bytes = 0;
        while let Some(answered) = next {
            // A subscription that is over passes nothing on; the answer is still owed.
            if answered.after > self.subscription.version() && !self.leaving {
                self.parked = Some(answered);
                return;
            }
            burst.settled.add(answered.load);
            said_bytes += answered.frames.iter().map(Bytes::len).sum::<usize>();
            burst.frames.extend(answered.frames);
            if answered.is_last {
                burst.end = Some(LineEnd::Left);
                return;
            }
            let room = said_bytes < BURST_BYTES;
            next = if room { self.answers.next().now_or_never().flatten() } else { None };
        }
    }
}

/// Begins a subscription for a line.
pub(super) async fn subscribe(
    api: &ApiState,
    caller: &mut Caller,
    address: &ObjectAddress,
    since: Option<Version>,
) -> Result<Subscription, Error> {
    caller.deadline = Instant::now() + api.settings().request_deadline;
    api.hub().subscribe(caller, address, since).await
}
