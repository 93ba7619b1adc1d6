//! The life of a socket that watches one object, from the handshake to the last frame.

use hyper::upgrade::OnUpgrade;

use super::keepalive::Keepalive;
use super::line::{BURST_BYTES, Burst, Line, LineEnd, Load, subscribe};
use super::wire::{Arrival, CloseCode, End, Wire, close_code};
use super::{Dialect, Opened, Reaction};
use crate::api::{ApiState, Place};

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
    let mut wire = Wire::of(connection.await.ok()?).await;
    let Some(place) = api.take_socket(opened.transport) else {
        wire.close(CloseCode::TooMany, "the node has too many sockets; come back after a pause").await;
        return None;
    };
    let mut caller = opened.caller;
    match subscribe(&api, &mut caller, &opened.address, opened.since).await {
        Err(error) => {
            wire.close(close_code(&error), &error.detail).await;
            None
        }
        Ok(subscription) => {
            let keepalive = Keepalive::every(api.settings().ping_interval);
            let (line, frames) = Line::begin(api, caller, opened.address, opened.dialect, subscription);
            for frame in frames {
                wire.say(frame);
            }
            let session = Session { wire, line, keepalive, load: Load::default(), said_bytes: 0 };
            Some((Box::new(session), place))
        }
    }
}

struct Session {
    wire: Wire,
    line: Line<dyn Dialect>,
    keepalive: Keepalive,
    load: Load,
    /// What was said at once since everything was written, in bytes.
    said_bytes: usize,
}

impl Session {
    async fn live(&mut self) -> End {
        loop {
            if let Some(end) = self.step().await {
                return end;
            }
        }
    }

    async fn end(self: Box<Self>, end: End) {
        let Self { wire, line, .. } = *self;
        // The subscription's queue is freed before the goodbye, which may take its time.
        drop(line);
        wire.end(end).await;
    }

    async fn step(&mut self) -> Option<End> {
        let clear = self.wire.is_clear();
        let room = self.load.has_room() && self.said_bytes < BURST_BYTES;
        let reading = room && !self.line.is_leaving();
        tokio::select! {
            biased;
            () = self.keepalive.due() => self.keepalive.ping(&mut self.wire),
            arrival = self.wire.next(reading) => self.arrived(arrival),
            burst = self.line.next(), if clear => self.say(burst),
        }
    }

    fn say(&mut self, burst: Burst) -> Option<End> {
        self.load.subtract(burst.settled);
        burst.frames.into_iter().for_each(|frame| self.wire.say(frame));
        match burst.end? {
            LineEnd::TooSlow(version) => Some(End::Closed(CloseCode::TooSlow, version.to_string())),
            LineEnd::GoingAway(version) => Some(End::Closed(CloseCode::GoingAway, version.to_string())),
            LineEnd::Left => unreachable!("the only subscription of a socket is not left"),
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
            Arrival::Broken(code) => return Some(End::broken(code)),
        }
        None
    }

    fn received(&mut self, frame: &[u8]) {
        match self.line.voice().receive(frame) {
            None => {}
            Some(Reaction::Say(said)) => {
                self.said_bytes += said.len();
                self.wire.say(said);
            }
            Some(Reaction::Order(order)) => {
                let load = Load::of_frame(frame.len());
                self.load.add(load);
                self.line.obey(order, load);
            }
        }
    }
}
