//! WebSockets: the upgrade, and the life of a socket that watches objects.
//!
//! A socket that watches one object ([`single`]) is one task; one that watches many ([`many`]) has a task for each of
//! its subscriptions. Either way a [`line`] is what happens on one subscription: events and answers, taken
//! only while nothing waits to be written, so that a socket never holds more than one burst. Calls are
//! asked in the order in which they came, several at a time, and answered in that order, each after the
//! update of the version it made. How frames look is the matter of a [`Voice`], what a client's frames
//! mean that of a [`Dialect`] or, where there are many subscriptions, of a [`many::Tongue`].

mod compatible;
mod editor;
mod keepalive;
mod line;
mod lines;
mod many;
mod native;
mod phoenix;
mod single;
mod upgrade;
mod wire;

use axum::response::Response;
use bytes::Bytes;

use super::ApiState;
use crate::caller::Caller;
use crate::error::Error;
use crate::live::{LivePresence, LiveSignal, LiveUpdate, Opening};
use crate::object::{ObjectAddress, Value, Version};
use crate::runtime::{Answer, Request};
use crate::telemetry::Transport;

pub(super) use native::{opening as native_opening, presence_behind as native_presence_behind};
pub(super) use phoenix::Version as PhoenixVersion;
pub(super) use upgrade::Upgrade;

/// How what happens on a subscription is put in frames.
trait Voice: Send {
    /// The frames that a subscription begins with, or begins again. `own_id` is its own among those present.
    fn opening(&mut self, address: &ObjectAddress, opening: &Opening, own_id: &str, say: &mut Vec<Bytes>);

    /// The frames of an update.
    fn update(&mut self, update: &LiveUpdate, say: &mut Vec<Bytes>);

    /// The frames that tell who came and went; none, in a dialect that has none.
    fn presence(&mut self, _presence: &LivePresence, _say: &mut Vec<Bytes>) {}

    /// The frames of a signal; none, in a dialect that has none.
    fn signal(&mut self, _signal: &LiveSignal, _say: &mut Vec<Bytes>) {}
}

/// How clients of a socket with one subscription speak.
trait Dialect: Voice {
    /// What a client's frame asks for; nothing, in a dialect that ignores what it does not know.
    fn receive(&self, frame: &[u8]) -> Option<Reaction>;
}

/// What a client's frame asks for.
enum Reaction {
    /// A frame at once.
    Say(Bytes),
    /// Something on the subscription, in its turn.
    Order(Order),
}

/// What a client wants on a subscription.
enum Order {
    /// A frame in its turn, behind the answers to what was asked before.
    Say(Bytes),
    /// A call, and the frames that its outcome makes.
    Call(Box<Request>, Reply),
    /// The client is present, and shows this.
    Enter(Value, Settled),
    /// All others are told this.
    Signal(Value, Settled),
    /// The end of the subscription, said with these frames.
    Leave(Vec<Bytes>),
}

/// Makes a call's outcome frames.
type Reply = Box<dyn FnOnce(Result<Answer, Error>) -> Vec<Bytes> + Send>;

/// Makes what came of an order that has no answer of its own a frame, if anything is said of it.
type Settled = Box<dyn FnOnce(Result<(), Error>) -> Option<Bytes> + Send>;

/// What a socket is opened on, and how it speaks.
pub(super) struct Opened {
    caller: Caller,
    address: ObjectAddress,
    since: Option<Version>,
    dialect: Box<dyn Dialect>,
    transport: Transport,
}

impl Opened {
    /// A socket that speaks the native frames.
    pub(super) fn native(caller: Caller, address: ObjectAddress, since: Option<Version>) -> Self {
        Self { caller, address, since, dialect: Box::new(native::Native), transport: Transport::native }
    }

    /// A socket that speaks the frames of the original worker.
    pub(super) fn compatible(caller: Caller, address: ObjectAddress) -> Self {
        Self {
            caller,
            address,
            since: None,
            dialect: Box::new(compatible::Worker),
            transport: Transport::compatible,
        }
    }
}

/// Answers 101, and begins the life of an editor's socket once the connection is handed over.
pub(super) fn open_editor(
    api: &ApiState,
    upgrade: Upgrade,
    caller: Caller,
    address: ObjectAddress,
) -> Response {
    let (response, connection) = upgrade.accept();
    api.spawn(editor::run(api.clone(), connection, caller, address));
    response
}

/// Answers 101, and begins the socket's life once the connection is handed over.
pub(super) fn open(api: &ApiState, upgrade: Upgrade, opened: Opened) -> Response {
    let (response, connection) = upgrade.accept();
    let state = api.clone();
    api.spawn(single::run(state, connection, opened));
    response
}

/// The same for a socket that carries many subscriptions in the native frames.
pub(super) fn open_many(api: &ApiState, upgrade: Upgrade, caller: Caller) -> Response {
    let (response, connection) = upgrade.accept();
    let tongue = Box::new(lines::NativeLines::new());
    api.spawn(many::run(api.clone(), connection, caller, tongue, Transport::many));
    response
}

/// The same in the channels protocol of Phoenix.
pub(super) fn open_phoenix(
    api: &ApiState,
    upgrade: Upgrade,
    caller: Caller,
    version: PhoenixVersion,
) -> Response {
    let (response, connection) = upgrade.accept();
    let tongue = Box::new(phoenix::Channels::new(version));
    api.spawn(many::run(api.clone(), connection, caller, tongue, Transport::phoenix));
    response
}
