//! WebSockets: the upgrade, and the life of a socket that watches one object.
//!
//! A socket is one task. It takes events from its subscription and answers to its client's calls only
//! while nothing waits to be written, so it never holds more than one burst. Calls are asked in the
//! order in which they came, several at a time, and answered in that order, each after the update of
//! the version it made. How frames look is the matter of a [`Dialect`].

mod compatible;
mod editor;
mod keepalive;
mod native;
mod session;
mod upgrade;
mod wire;

use axum::response::Response;
use bytes::Bytes;

use super::ApiState;
use crate::caller::Caller;
use crate::error::Error;
use crate::live::{LiveUpdate, Opening};
use crate::object::{ObjectAddress, Version};
use crate::runtime::{Answer, Request};
use crate::telemetry::Transport;

pub(super) use native::{fresh_id, opening as native_opening};
pub(super) use upgrade::Upgrade;

/// How frames look on a socket.
trait Dialect: Send + Sync {
    /// The frame that a subscription begins with, or begins again.
    fn opening(&self, address: &ObjectAddress, opening: &Opening) -> Bytes;

    /// The frames of an update.
    fn update(&self, update: &LiveUpdate) -> Vec<Bytes>;

    /// What a client's frame asks for; nothing, in a dialect that ignores what it does not know.
    fn receive(&self, frame: &[u8]) -> Option<Reaction>;
}

/// What a client's frame asks for.
enum Reaction {
    /// A frame at once.
    Say(Bytes),
    /// A frame in its turn, behind the answers to what was asked before.
    SayInTurn(Bytes),
    /// A call, and the frame that its outcome makes.
    Call(Box<Request>, Reply),
}

/// Makes a call's outcome a frame.
type Reply = Box<dyn FnOnce(Result<Answer, Error>) -> Bytes + Send>;

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
        Self {
            caller,
            address,
            since,
            dialect: Box::new(native::Native::new()),
            transport: Transport::native,
        }
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
    api.spawn(session::run(state, connection, opened));
    response
}
