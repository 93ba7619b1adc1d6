//! A WebSocket's bytes: what waits to be written, what comes in, how it ends.
//!
//! Frames are shared with every other subscriber until they are written, and large ones are written in
//! pieces, so a socket's own buffers stay small whatever passed through them. Nothing is taken from a
//! subscription while something waits here: what a slow client does not read waits in the
//! subscription's queue, whose bound it then meets.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};

use crate::error::{Code, Error};
use crate::limits::BODY_MAX_BYTES;

/// Largest piece of a message that is written as one frame, in bytes.
const PIECE_MAX_BYTES: usize = 16 * 1024;
/// What waits in a socket's own buffer at most, in bytes: a piece or two, and pongs to a client that does not read them.
const WRITE_BUFFER_MAX_BYTES: usize = 8 * PIECE_MAX_BYTES;
/// What is read from a socket at once, in bytes: most frames of clients are smaller.
const READ_BUFFER_BYTES: usize = 1024;
/// How long a closed socket may take to say goodbye.
const FAREWELL: Duration = Duration::from_secs(5);
/// What is read, and thrown away, while a closed socket says goodbye, in bytes.
const FAREWELL_MAX_BYTES: usize = 8 * 1024 * 1024;
/// Longest reason in a close frame, in bytes (RFC 6455, section 5.5).
const REASON_MAX_BYTES: usize = 123;

/// Why a socket is closed, as the client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CloseCode {
    /// The server stops, or cannot go on with the object: come back.
    GoingAway = 1001,
    /// The client breaks the protocol.
    Protocol = 1002,
    /// Text that is not UTF-8, or an editor's message that is none.
    NotText = 1007,
    /// A frame above 4 MiB, or a document that would be too large.
    TooLarge = 1009,
    /// The client is not known.
    Unauthenticated = 4401,
    /// The client may not.
    Forbidden = 4403,
    /// There is no such class.
    NotFound = 4404,
    /// The client did not keep up: come back with the version.
    TooSlow = 4508,
    /// Too many sockets or subscriptions: come back after a pause.
    TooMany = 4529,
}

/// What a socket has to tell.
#[derive(Debug)]
pub(super) enum Arrival {
    /// A text.
    Text(Utf8Bytes),
    /// Bytes.
    Binary(Bytes),
    /// A ping or pong: the client is there.
    Alive,
    /// Everything that waited is written.
    Written,
    /// The client closed, or the connection broke.
    Gone,
    /// The client sent what cannot be read.
    Broken(CloseCode),
}

/// How a socket ends.
#[derive(Debug)]
pub(super) enum End {
    /// The client closed, or its connection broke.
    Gone,
    /// The client gave no sign of life.
    Silent,
    /// It is told why.
    Closed(CloseCode, String),
}

impl End {
    /// The client sent what cannot be read.
    pub(super) fn broken(code: CloseCode) -> Self {
        let reason = match code {
            CloseCode::NotText => "text frames are UTF-8",
            CloseCode::TooLarge => "frames have at most 4 MiB",
            _ => "the frame breaks the protocol",
        };
        Self::Closed(code, reason.to_owned())
    }
}

/// A WebSocket.
pub(super) struct Wire {
    stream: WebSocketStream<TokioIo<Upgraded>>,
    waiting: VecDeque<Message>,
    waiting_bytes: usize,
    unflushed: bool,
    /// Whether a piece was written since it was last asked.
    moved: bool,
}

impl Wire {
    pub(super) async fn of(upgraded: Upgraded) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(PIECE_MAX_BYTES)
            .max_write_buffer_size(WRITE_BUFFER_MAX_BYTES)
            .max_message_size(Some(BODY_MAX_BYTES))
            .max_frame_size(Some(BODY_MAX_BYTES));
        let stream =
            WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
        Self { stream, waiting: VecDeque::new(), waiting_bytes: 0, unflushed: false, moved: false }
    }

    /// Whether nothing waits to be written.
    pub(super) fn is_clear(&self) -> bool {
        self.waiting.is_empty() && !self.unflushed
    }

    /// How much waits to be written, in bytes.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Whether anything was written since this was last asked.
    pub(super) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// Adds a text, which is UTF-8.
    pub(super) fn say(&mut self, text: Bytes) {
        self.add(Data::Text, text);
    }

    /// Adds bytes.
    pub(super) fn say_binary(&mut self, bytes: Bytes) {
        self.add(Data::Binary, bytes);
    }

    fn add(&mut self, mut kind: Data, mut message: Bytes) {
        self.waiting_bytes += message.len();
        loop {
            let piece = message.split_to(message.len().min(PIECE_MAX_BYTES));
            let last = message.is_empty();
            self.waiting.push_back(Message::Frame(Frame::message(piece, OpCode::Data(kind), last)));
            if last {
                return;
            }
            kind = Data::Continue;
        }
    }

    /// Adds a ping.
    pub(super) fn ping(&mut self) {
        self.waiting.push_back(Message::Ping(Bytes::new()));
    }

    /// Writes what waits, reads if `reading`, and tells what comes of it. Cancel safe.
    pub(super) async fn next(&mut self, reading: bool) -> Arrival {
        std::future::poll_fn(|context| self.poll(context, reading)).await
    }

    fn poll(&mut self, context: &mut Context<'_>, reading: bool) -> Poll<Arrival> {
        if !self.is_clear() {
            match self.poll_write(context) {
                Poll::Ready(Ok(())) => return Poll::Ready(Arrival::Written),
                Poll::Ready(Err(_)) => return Poll::Ready(Arrival::Gone),
                Poll::Pending => {}
            }
        }
        if !reading {
            return Poll::Pending;
        }
        let message = match ready!(self.stream.poll_next_unpin(context)) {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Poll::Ready(broken(&error)),
            None => return Poll::Ready(Arrival::Gone),
        };
        Poll::Ready(match message {
            Message::Text(text) => Arrival::Text(text),
            Message::Binary(bytes) => Arrival::Binary(bytes),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Arrival::Alive,
            Message::Close(_) => Arrival::Gone,
        })
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<tungstenite::Result<()>> {
        while !self.waiting.is_empty() {
            ready!(self.stream.poll_ready_unpin(context))?;
            let Some(message) = self.waiting.pop_front() else { break };
            (self.unflushed, self.moved) = (true, true);
            self.stream.start_send_unpin(message)?;
        }
        ready!(self.stream.poll_flush_unpin(context))?;
        self.unflushed = false;
        self.waiting_bytes = 0;
        // An idle socket keeps no room for the burst it once had.
        self.waiting = VecDeque::new();
        Poll::Ready(Ok(()))
    }

    /// Says goodbye as the end asks for.
    pub(super) async fn end(self, end: End) {
        match end {
            End::Silent => drop(self),
            End::Gone => self.let_go().await,
            End::Closed(code, reason) => self.close(code, &reason).await,
        }
    }

    /// Answers the client's close, or just lets go.
    async fn let_go(mut self) {
        let goodbye = async { while let Some(Ok(_)) = self.stream.next().await {} };
        // A client that does not answer is let go all the same.
        drop(tokio::time::timeout(FAREWELL, goodbye).await);
    }

    /// Closes with a code and a reason. What still waits is dropped.
    pub(super) async fn close(mut self, code: CloseCode, reason: &str) {
        let end = reason.floor_char_boundary(REASON_MAX_BYTES);
        let frame =
            CloseFrame { code: (code as u16).into(), reason: reason.get(..end).unwrap_or_default().into() };
        self.waiting = VecDeque::new();
        let goodbye = async {
            if self.stream.close(Some(frame)).await.is_err() {
                return;
            }
            // What the client sent meanwhile is read, or the reset that answers it would overtake the frame.
            let mut thrown_away = [0; 512];
            let mut left = FAREWELL_MAX_BYTES;
            while let Ok(read @ 1..) = self.stream.get_mut().read(&mut thrown_away).await {
                match left.checked_sub(read) {
                    Some(less) => left = less,
                    None => return,
                }
            }
        };
        // A client that does not read is let go all the same.
        drop(tokio::time::timeout(FAREWELL, goodbye).await);
    }
}

/// How a socket is closed whose subscription can not begin.
pub(super) fn close_code(error: &Error) -> CloseCode {
    match error.code {
        Code::ClassNotFound => CloseCode::NotFound,
        Code::Forbidden => CloseCode::Forbidden,
        Code::Unauthenticated => CloseCode::Unauthenticated,
        Code::Overloaded | Code::RateLimited => CloseCode::TooMany,
        _ => CloseCode::GoingAway,
    }
}

fn broken(error: &tungstenite::Error) -> Arrival {
    match error {
        tungstenite::Error::Utf8(_) => Arrival::Broken(CloseCode::NotText),
        tungstenite::Error::Capacity(CapacityError::MessageTooLong { .. }) => {
            Arrival::Broken(CloseCode::TooLarge)
        }
        tungstenite::Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => {
            Arrival::Gone
        }
        tungstenite::Error::Protocol(_) => Arrival::Broken(CloseCode::Protocol),
        _ => Arrival::Gone,
    }
}
