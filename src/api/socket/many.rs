//! The life of a socket that carries many subscriptions.
//!
//! Each subscription is a task of its own that says its frames to this one, through one short channel: while the
//! client does not read, nobody gets anything off there, and what happens meanwhile waits in the subscriptions'
//! queues, whose bounds it then meets.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::FutureExt as _;
use hyper::upgrade::OnUpgrade;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::keepalive::Keepalive;
use super::line::{BURST_BYTES, Burst, Line, LineEnd, Load, subscribe};
use super::wire::{Arrival, CloseCode, End, Wire};
use super::{Order, Voice};
use crate::api::ApiState;
use crate::api::ask::tenant_of;
use crate::caller::Caller;
use crate::error::{Code, Error};
use crate::limits::{DASHBOARD_EVERY, SOCKET_MAX_SUBSCRIPTIONS};
use crate::live::{FeedEvent, FeedOpening, FeedSubscription, FeedUpdate};
use crate::object::{ClassName, ObjectAddress, ObjectName, Value, Version};
use crate::telemetry::Transport;

/// Bursts of all subscriptions that wait for the socket.
const BURSTS_WAITING: usize = 8;
/// Subscriptions of one socket that read their state at once: a state may be large.
const OPENING_AT_ONCE: usize = 8;
/// Orders to one subscription that wait for it; a socket has fewer under way in all.
const ORDERS_WAITING: usize = 128;

/// How clients of a socket with many subscriptions speak.
pub(super) trait Tongue: Send {
    /// What a client's frame asks for, in order.
    fn receive(&mut self, frame: &[u8]) -> Vec<Wish>;
}

/// How one subscription among many is put in frames.
pub(super) trait LineVoice: Voice {
    /// The frame that says why a subscription could not begin.
    fn refused(&mut self, error: &Error) -> Bytes;

    /// The frame that a feed begins with, or begins again.
    fn feed_opening(&mut self, class: &ClassName, opening: &FeedOpening) -> Bytes;

    /// The frame of an update of a feed; none, if nothing is said any more.
    fn feed_update(&mut self, update: &FeedUpdate) -> Option<Bytes>;

    /// The frame of the figures of change management; none for those who speak of no such thing.
    fn metrics(&mut self, figures: &serde_json::Value) -> Option<Bytes> {
        let _ = figures;
        None
    }
}

/// What a client's frame asks for.
pub(super) enum Wish {
    /// A frame at once.
    Say(Bytes),
    /// A subscription.
    Begin(Box<Beginning>),
    /// Something on a subscription; `absent` is said if there is no such one.
    Order { key: Arc<str>, order: Order, absent: Bytes },
    /// The end of a subscription, without a word.
    Drop { key: Arc<str> },
}

/// A subscription to begin.
pub(super) struct Beginning {
    /// What it goes by on this socket.
    pub(super) key: Arc<str>,
    pub(super) target: Target,
    /// The client is present from the start, and shows this.
    pub(super) presence: Option<Value>,
    pub(super) voice: Box<dyn LineVoice>,
    /// Said if there is one of that key.
    pub(super) taken: Bytes,
}

/// What is subscribed to.
#[derive(Debug)]
pub(super) enum Target {
    /// An object, from a version on.
    Object(ClassName, ObjectName, Option<Version>),
    /// All objects of a class, from a cursor on.
    Feed(ClassName, Option<String>),
    /// The figures of change management.
    Metrics,
}

/// What a subscription's task says.
struct Said {
    key: Arc<str>,
    /// Which of those that had this key one after the other.
    number: u64,
    burst: Burst,
    refused: bool,
}

/// A subscription, as its socket holds it. Dropping it ends its task.
struct Held {
    number: u64,
    orders: mpsc::Sender<(Order, Load)>,
    /// What was ordered and is not answered.
    load: Load,
    _task: DropGuard,
}

struct Session {
    api: ApiState,
    caller: Caller,
    wire: Wire,
    tongue: Box<dyn Tongue>,
    held: HashMap<Arc<str>, Held>,
    begun: u64,
    opening: Arc<Semaphore>,
    say: mpsc::Sender<Said>,
    said: mpsc::Receiver<Said>,
    keepalive: Keepalive,
    load: Load,
    /// What was said at once since everything was written, in bytes.
    said_bytes: usize,
    leaving: bool,
}

/// Lives until the client goes, or the socket must be closed.
pub(super) async fn run(
    api: ApiState,
    connection: OnUpgrade,
    caller: Caller,
    tongue: Box<dyn Tongue>,
    transport: Transport,
) {
    // A connection that broke before it was handed over is no socket.
    let Ok(upgraded) = connection.await else { return };
    let wire = Wire::of(upgraded).await;
    let Some(_place) = api.take_socket(transport) else {
        wire.close(CloseCode::TooMany, "the node has too many sockets; come back after a pause").await;
        return;
    };
    let (say, said) = mpsc::channel(BURSTS_WAITING);
    let mut session = Session {
        keepalive: Keepalive::every(api.settings().ping_interval),
        api,
        caller,
        wire,
        tongue,
        held: HashMap::new(),
        begun: 0,
        opening: Arc::new(Semaphore::new(OPENING_AT_ONCE)),
        say,
        said,
        load: Load::default(),
        said_bytes: 0,
        leaving: false,
    };
    let end = session.live().await;
    let Session { wire, held, said, .. } = session;
    // The subscriptions end before the goodbye, which may take its time.
    drop((held, said));
    wire.end(end).await;
}

impl Session {
    async fn live(&mut self) -> End {
        loop {
            if let Some(end) = self.step().await {
                return end;
            }
        }
    }

    async fn step(&mut self) -> Option<End> {
        let clear = self.wire.is_clear();
        if self.leaving && clear && self.held.is_empty() {
            return Some(End::Closed(CloseCode::GoingAway, "the server stops; use another node".to_owned()));
        }
        let reading = self.load.has_room() && self.said_bytes < BURST_BYTES && !self.leaving;
        tokio::select! {
            biased;
            () = self.keepalive.due() => self.keepalive.ping(&mut self.wire),
            arrival = self.wire.next(reading) => self.arrived(arrival),
            Some(said) = self.said.recv(), if clear => self.pass_on(said),
            () = self.api.hub().closed(), if !self.leaving => {
                self.leaving = true;
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
            Arrival::Written => {
                self.said_bytes = 0;
                None
            }
            Arrival::Alive => None,
            Arrival::Gone => Some(End::Gone),
            Arrival::Broken(code) => Some(End::broken(code)),
        }
    }

    fn received(&mut self, frame: &[u8]) -> Option<End> {
        let mut load = Load::of_frame(frame.len());
        for wish in self.tongue.receive(frame) {
            match wish {
                Wish::Say(said) => self.say_at_once(said),
                Wish::Drop { key } => self.let_go(&key),
                Wish::Begin(beginning) => {
                    if self.held.len() >= SOCKET_MAX_SUBSCRIPTIONS || self.api.hub().is_full() {
                        let reason = "too many subscriptions; come back after a pause".to_owned();
                        return Some(End::Closed(CloseCode::TooMany, reason));
                    }
                    self.begin(*beginning, std::mem::take(&mut load));
                }
                Wish::Order { key, order, absent } => {
                    self.order(&key, order, absent, std::mem::take(&mut load));
                }
            }
        }
        None
    }

    fn say_at_once(&mut self, said: Bytes) {
        self.said_bytes += said.len();
        self.wire.say(said);
    }

    fn begin(&mut self, beginning: Beginning, load: Load) {
        if self.held.contains_key(&beginning.key) {
            self.say_at_once(beginning.taken);
            return;
        }
        self.begun += 1;
        let (orders, ordered) = mpsc::channel(ORDERS_WAITING);
        let stop = CancellationToken::new();
        let subscriber = Subscriber {
            api: self.api.clone(),
            caller: self.caller.clone(),
            opening: self.opening.clone(),
            say: self.say.clone(),
            key: beginning.key.clone(),
            number: self.begun,
        };
        self.load.add(load);
        let held = Held { number: self.begun, orders, load, _task: stop.clone().drop_guard() };
        self.held.insert(beginning.key.clone(), held);
        self.api.spawn(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = subscriber.run(beginning, ordered, load) => {}
            }
        });
    }

    fn order(&mut self, key: &Arc<str>, order: Order, absent: Bytes, load: Load) {
        let Some(held) = self.held.get_mut(key) else { return self.say_at_once(absent) };
        // It has room: the socket has fewer orders under way than fit.
        match held.orders.try_send((order, load)) {
            Ok(()) => {
                held.load.add(load);
                self.load.add(load);
            }
            Err(_) => self.say_at_once(absent),
        }
    }

    fn let_go(&mut self, key: &Arc<str>) {
        if let Some(held) = self.held.remove(key) {
            self.load.subtract(held.load);
        }
    }

    /// Writes what a subscription says, and with it whatever else is ready.
    fn pass_on(&mut self, said: Said) -> Option<End> {
        let mut next = Some(said);
        while let Some(said) = next {
            if let Some(end) = self.pass_on_one(said) {
                return Some(end);
            }
            let room = self.wire.waiting_bytes() < BURST_BYTES;
            next = if room { self.said.try_recv().ok() } else { None };
        }
        None
    }

    fn pass_on_one(&mut self, said: Said) -> Option<End> {
        let Said { key, number, burst, refused } = said;
        // What is said by one that was let go since is not said any more.
        let held = self.held.get_mut(&key).filter(|held| held.number == number)?;
        held.load.subtract(burst.settled);
        self.load.subtract(burst.settled);
        burst.frames.into_iter().for_each(|frame| self.wire.say(frame));
        if refused {
            self.let_go(&key);
        }
        match burst.end? {
            LineEnd::Left => {
                self.let_go(&key);
                None
            }
            LineEnd::GoingAway(_) if self.api.hub().is_closing() => {
                self.let_go(&key);
                None
            }
            LineEnd::GoingAway(_) => {
                let reason = "an object can not be reached; come back with your versions".to_owned();
                Some(End::Closed(CloseCode::GoingAway, reason))
            }
            LineEnd::TooSlow(_) => {
                let reason = "too slow; come back with your versions".to_owned();
                Some(End::Closed(CloseCode::TooSlow, reason))
            }
        }
    }
}

/// What a subscription's task has.
struct Subscriber {
    api: ApiState,
    caller: Caller,
    opening: Arc<Semaphore>,
    say: mpsc::Sender<Said>,
    key: Arc<str>,
    number: u64,
}

impl Subscriber {
    async fn run(mut self, beginning: Beginning, ordered: mpsc::Receiver<(Order, Load)>, load: Load) {
        let Beginning { target, presence, voice, .. } = beginning;
        let began = Began { voice, ordered, load };
        match target {
            Target::Object(class, name, since) => {
                self.watch_object((class, name), since, presence, began).await;
            }
            Target::Feed(class, cursor) => self.watch_feed(class, cursor, began).await,
            Target::Metrics => self.watch_metrics(began).await,
        }
    }

    async fn watch_object(
        &mut self,
        (class, name): (ClassName, ObjectName),
        since: Option<Version>,
        presence: Option<Value>,
        Began { mut voice, mut ordered, load }: Began,
    ) {
        let permit = self.may_open().await;
        let begun = async {
            let address = ObjectAddress::new(tenant_of(&self.caller)?, class, name);
            let subscription = subscribe(&self.api, &mut self.caller, &address, since).await?;
            Ok::<_, Error>((address, subscription))
        };
        let (address, subscription) = match begun.await {
            Ok(begun) => begun,
            Err(error) => return self.refuse(voice.refused(&error), load).await,
        };
        let (api, caller) = (self.api.clone(), self.caller.clone());
        let (mut line, frames) = Line::begin(api, caller, address, voice, subscription);
        if let Some(data) = presence {
            line.obey(Order::Enter(data, Box::new(|_| None)), Load::default());
        }
        self.say(Burst { frames, settled: load, end: None }, false).await;
        drop(permit);
        loop {
            tokio::select! {
                biased;
                Some((order, load)) = ordered.recv() => line.obey(order, load),
                burst = line.next() => {
                    let is_over = burst.end.is_some();
                    self.say(burst, false).await;
                    if is_over {
                        return;
                    }
                }
            }
        }
    }

    async fn watch_feed(
        &mut self,
        class: ClassName,
        cursor: Option<String>,
        Began { mut voice, mut ordered, load }: Began,
    ) {
        let permit = self.may_open().await;
        self.caller.deadline = Instant::now() + self.api.settings().request_deadline;
        let mut feed = match self.api.hub().feed(&self.caller, &class, cursor.as_deref()).await {
            Ok(feed) => feed,
            Err(error) => return self.refuse(voice.refused(&error), load).await,
        };
        let frames = vec![voice.feed_opening(&class, &feed.take_opening())];
        self.say(Burst { frames, settled: load, end: None }, false).await;
        drop(permit);
        loop {
            let burst = tokio::select! {
                biased;
                Some((order, load)) = ordered.recv() => refuse_on_feed(order, load),
                event = feed.next() => fed(event, &mut feed, &class, &mut *voice),
            };
            let is_over = burst.end.is_some();
            self.say(burst, false).await;
            if is_over {
                return;
            }
        }
    }

    /// Says the figures at once and then from time to time; all sockets of the node share one computation.
    async fn watch_metrics(&mut self, Began { mut voice, mut ordered, mut load }: Began) {
        let mut ticks = tokio::time::interval(DASHBOARD_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let burst = tokio::select! {
                biased;
                Some((order, load)) = ordered.recv() => refuse_on_feed(order, load),
                () = self.api.hub().closed() => {
                    Burst { end: Some(LineEnd::GoingAway(Version::ZERO)), ..Burst::default() }
                }
                _ = ticks.tick() => {
                    self.caller.deadline = Instant::now() + self.api.settings().request_deadline;
                    // What cannot be computed now is said the next time.
                    let figures = self.api.changeflow().board(&self.caller).await.ok();
                    let frame = figures.and_then(|figures| voice.metrics(&figures));
                    Burst { frames: frame.into_iter().collect(), settled: std::mem::take(&mut load), end: None }
                }
            };
            let is_over = burst.end.is_some();
            self.say(burst, false).await;
            if is_over {
                return;
            }
        }
    }

    async fn may_open(&self) -> OwnedSemaphorePermit {
        self.opening.clone().acquire_owned().await.expect("the semaphore is never closed")
    }

    async fn refuse(&self, frame: Bytes, load: Load) {
        self.say(Burst { frames: vec![frame], settled: load, end: None }, true).await;
    }

    async fn say(&self, burst: Burst, refused: bool) {
        let said = Said { key: self.key.clone(), number: self.number, burst, refused };
        // The socket that listened no more has let go of this task.
        drop(self.say.send(said).await);
    }
}

/// What a subscription's task is given at its beginning.
struct Began {
    voice: Box<dyn LineVoice>,
    ordered: mpsc::Receiver<(Order, Load)>,
    load: Load,
}

/// What a feed has to say, and with it whatever else is ready.
fn fed(event: FeedEvent, feed: &mut FeedSubscription, class: &ClassName, voice: &mut dyn LineVoice) -> Burst {
    let (mut burst, mut said_bytes) = (Burst::default(), 0);
    let mut event = Some(event);
    while let Some(next) = event {
        let frame = match next {
            FeedEvent::Update(update) => voice.feed_update(&update),
            FeedEvent::Lost(opening) => Some(voice.feed_opening(class, &opening)),
            // What was passed on is said first; then the feed says the same again.
            _ if !burst.frames.is_empty() => return burst,
            FeedEvent::TooSlow => {
                burst.end = Some(LineEnd::TooSlow(Version::ZERO));
                return burst;
            }
            FeedEvent::GoingAway => {
                burst.end = Some(LineEnd::GoingAway(Version::ZERO));
                return burst;
            }
        };
        said_bytes += frame.as_ref().map_or(0, Bytes::len);
        burst.frames.extend(frame);
        event = if said_bytes < BURST_BYTES { feed.next().now_or_never() } else { None };
    }
    burst
}

/// What is answered to an order on a feed: it is watched, and left.
fn refuse_on_feed(order: Order, load: Load) -> Burst {
    let refused = || invalid("a feed takes no calls, signals or presence; subscribe to the object");
    let is_last = matches!(order, Order::Leave(_));
    let frames = match order {
        Order::Say(frame) => vec![frame],
        Order::Leave(frames) => frames,
        Order::Call(_, reply) => reply(Err(refused())),
        Order::Enter(_, settled) | Order::Signal(_, settled) => settled(Err(refused())).into_iter().collect(),
    };
    Burst { frames, settled: load, end: is_last.then_some(LineEnd::Left) }
}

/// What is said where something is refused before a subscription is tried.
pub(super) fn invalid(detail: impl ToString) -> Error {
    Error::new(Code::InvalidRequest, detail.to_string())
}
