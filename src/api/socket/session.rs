//! The life of a socket, from the handshake to the last frame.

use std::time::Instant;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesOrdered, StreamExt};
use hyper::upgrade::OnUpgrade;

use super::keepalive::{Keepalive, Silent};
use super::wire::{Arrival, CloseCode, Wire, close_code, reason_of};
use super::{Dialect, Opened, Reaction};
use crate::api::{ApiState, Place};
use crate::caller::Caller;
use crate::limits::BODY_MAX_BYTES;
use crate::live::{Event, Subscription};
use crate::object::{ObjectAddress, Version};

/// Calls of one socket asked at once; more wait unread in the connection.
const CALLS_MAX: usize = 64;
/// Sizes of the frames that those calls came in, in bytes; one more may come on top.
const ASKED_MAX_BYTES: usize = BODY_MAX_BYTES;
/// What one burst writes before the connection is looked at again, in bytes.
const BURST_BYTES: usize = 64 * 1024;

/// Lives until the client goes, or the socket must be closed.
///
/// What happens once is boxed: a socket idles for hours, and its task is as large as its largest state.
pub(super) async fn run(api: ApiState, connection: OnUpgrade, opened: Opened) {
    if let Some((mut session, _place)) = Box::pin(begin(api, connection, opened)).await {
        let end = session.live().await;
        Box::pin(session.end(end)).await;
    }
}

async fn begin(api: ApiState, connection: OnUpgrade, opened: Opened) -> Option<(Box<Session>, Place)> {
    // A connection that broke before it was handed over is no socket.
    let wire = Wire::of(connection.await.ok()?).await;
    let Some(place) = api.take_socket(opened.transport) else {
        wire.close(CloseCode::TooMany, "the node has too many sockets; come back after a pause").await;
        return None;
    };
    let mut caller = opened.caller;
    caller.deadline = Instant::now() + api.settings().request_deadline;
    match api.hub().subscribe(&caller, &opened.address, opened.since).await {
        Err(error) => {
            wire.close(close_code(&error), &error.detail).await;
            None
        }
        Ok(subscription) => {
            let session = Session::begin(api, caller, opened.address, opened.dialect, wire, subscription);
            Some((Box::new(session), place))
        }
    }
}

/// An answer on its way to the client.
struct Answered {
    /// The version whose update the client sees first.
    after: Version,
    frame: Bytes,
    /// The size of the frame that asked for it, in bytes.
    asked_bytes: usize,
}

/// How a session ends.
enum End {
    /// The client closed, or its connection broke.
    Gone,
    /// The client gave no sign of life.
    Silent,
    Closed(CloseCode, String),
}

struct Session {
    api: ApiState,
    caller: Caller,
    address: ObjectAddress,
    dialect: Box<dyn Dialect>,
    wire: Wire,
    subscription: Subscription,
    calls: FuturesOrdered<BoxFuture<'static, Answered>>,
    /// The next answer, held until the client has seen its update.
    parked: Option<Answered>,
    /// The sizes of the frames that the calls under way came in, in bytes.
    asked_bytes: usize,
    /// What was said at once since everything was written, in bytes.
    said_bytes: usize,
    keepalive: Keepalive,
    /// The server stops: nothing more is read, what was asked is answered.
    leaving: bool,
}

impl Session {
    fn begin(
        api: ApiState,
        caller: Caller,
        address: ObjectAddress,
        dialect: Box<dyn Dialect>,
        mut wire: Wire,
        mut subscription: Subscription,
    ) -> Self {
        wire.say(dialect.opening(&address, &subscription.take_opening()));
        let keepalive = Keepalive::every(api.settings().ping_interval);
        let calls = FuturesOrdered::new();
        Self {
            api,
            caller,
            address,
            dialect,
            wire,
            subscription,
            calls,
            parked: None,
            asked_bytes: 0,
            said_bytes: 0,
            keepalive,
            leaving: false,
        }
    }

    async fn live(&mut self) -> End {
        loop {
            if let Some(end) = self.step().await {
                return end;
            }
        }
    }

    async fn end(self: Box<Self>, end: End) {
        let Self { wire, subscription, .. } = *self;
        // The subscription's queue is freed before the goodbye, which may take its time.
        drop(subscription);
        match end {
            End::Silent => drop(wire),
            End::Gone => wire.let_go().await,
            End::Closed(code, reason) => wire.close(code, &reason).await,
        }
    }

    async fn step(&mut self) -> Option<End> {
        let clear = self.wire.is_clear();
        if self.leaving && clear && self.calls.is_empty() && self.parked.is_none() {
            return Some(End::Closed(CloseCode::GoingAway, self.subscription.version().to_string()));
        }
        // A client that asks and does not read its answers is not heard for as long.
        let room = self.calls.len() < CALLS_MAX
            && self.asked_bytes < ASKED_MAX_BYTES
            && self.said_bytes < BURST_BYTES;
        let reading = room && !self.leaving;
        let waits = self.parked.is_some();
        tokio::select! {
            biased;
            () = self.keepalive.due() => match self.keepalive.ping(&mut self.wire) {
                Ok(()) => None,
                Err(Silent) => Some(End::Silent),
            },
            arrival = self.wire.next(reading) => self.arrived(arrival),
            event = self.subscription.next(), if clear && !self.leaving => self.happened(event),
            Some(answered) = self.calls.next(), if clear && !waits && !self.calls.is_empty() => {
                self.answered(answered);
                None
            }
        }
    }

    fn arrived(&mut self, arrival: Arrival) -> Option<End> {
        if !matches!(arrival, Arrival::Written) {
            self.keepalive.heard();
        }
        match arrival {
            Arrival::Text(text) => self.received(text.as_bytes()),
            Arrival::Binary(bytes) => self.received(&bytes),
            Arrival::Written => self.said_bytes = 0,
            Arrival::Alive => {}
            Arrival::Gone => return Some(End::Gone),
            Arrival::Broken(code) => return Some(End::Closed(code, reason_of(code).to_owned())),
        }
        None
    }

    fn received(&mut self, frame: &[u8]) {
        let asked_bytes = frame.len();
        match self.dialect.receive(frame) {
            None => {}
            Some(Reaction::Say(frame)) => {
                self.said_bytes += frame.len();
                self.wire.say(frame);
            }
            Some(Reaction::SayInTurn(frame)) => {
                self.asked_bytes += asked_bytes;
                let answered = Answered { after: Version::ZERO, frame, asked_bytes };
                self.calls.push_back(std::future::ready(answered).boxed());
            }
            Some(Reaction::Call(request, reply)) => {
                let runtime = self.api.runtime().clone();
                let address = self.address.clone();
                let mut caller = self.caller.clone();
                caller.deadline = Instant::now() + self.api.settings().request_deadline;
                let call = async move {
                    let result = runtime.call(&caller, &address, *request).await;
                    let after = result.as_ref().map_or(Version::ZERO, |answer| answer.version);
                    Answered { after, frame: reply(result), asked_bytes }
                };
                self.asked_bytes += asked_bytes;
                self.calls.push_back(call.boxed());
            }
        }
    }

    /// Writes an event, and with it whatever else is ready, as one burst.
    fn happened(&mut self, event: Event) -> Option<End> {
        let mut event = Some(event);
        while let Some(next) = event {
            match next {
                Event::Update(update) => {
                    for frame in self.dialect.update(&update) {
                        self.wire.say(frame);
                    }
                }
                Event::Reset(opening) => self.wire.say(self.dialect.opening(&self.address, &opening)),
                // What was passed on is written first; then the subscription says the same again.
                Event::TooSlow { .. } if !self.wire.is_clear() => break,
                Event::TooSlow { version } => {
                    return Some(End::Closed(CloseCode::TooSlow, version.to_string()));
                }
                Event::GoingAway { .. } => {
                    self.leaving = true;
                    break;
                }
            }
            let room = self.wire.waiting_bytes() < BURST_BYTES;
            event = if room { self.subscription.next().now_or_never() } else { None };
        }
        if let Some(parked) = self.parked.take() {
            self.answered(parked);
        }
        None
    }

    /// Writes an answer, or holds it until its update has passed.
    fn answered(&mut self, answered: Answered) {
        let mut next = Some(answered);
        while let Some(answered) = next {
            // A subscription that is over passes nothing on; the answer is still owed.
            if answered.after > self.subscription.version() && !self.leaving {
                self.parked = Some(answered);
                return;
            }
            self.asked_bytes -= answered.asked_bytes;
            self.wire.say(answered.frame);
            let room = self.wire.waiting_bytes() < BURST_BYTES;
            next = if room { self.calls.next().now_or_never().flatten() } else { None };
        }
    }
}
