//! A connection this node has dialled: requests go out on it, answers come back, many at a time.
//!
//! A request is written in the order it was asked, answers come in any. What waits to be written is bounded; when
//! it is full the request fails at once, surely not sent; so does one that the other side says it did not take.
//! One that was queued when the connection broke is lost: nobody knows whether it was read.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use parking_lot::Mutex;
use tokio::io::AsyncRead;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::network::AskError;
use crate::network::tcp::frame::{FRAME_MAX_BYTES, Frame, FrameReader, Kind};
use crate::network::tcp::queue::{Outgoing, Queued, queue};

/// Parts of a stream that may wait for their reader; beyond it the stream ends, and its reader opens another.
const PARTS_WAITING_MAX: usize = 1_024;
/// Bytes of the parts of a stream that may wait for their reader, likewise; a part alone may be larger.
const PARTS_WAITING_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Chunks of a snapshot on their way at once.
const CHUNKS_AHEAD: usize = 4;

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The other side closed it, in order or by reset.
    ByPeer,
    /// This side gave it up: silence, rubbish, or a stop.
    Here,
}

/// A connection: a cheap handle.
pub(super) struct Connection {
    outgoing: Outgoing,
    waiting: Mutex<HashMap<u64, Waiter>>,
    next: AtomicU64,
    /// The other side is about to stop.
    is_leaving: AtomicBool,
    closed: CancellationToken,
}

enum Waiter {
    Answer(oneshot::Sender<Result<Bytes, String>>),
    Parts(Parts),
    Snapshot(oneshot::Sender<Result<Bytes, String>>, Arc<Semaphore>),
}

/// What a stream's parts are given to, and how many bytes of them wait there.
struct Parts {
    sender: mpsc::Sender<Bytes>,
    waiting_bytes: Arc<AtomicUsize>,
}

impl Parts {
    /// Whether the reader has kept up so far that it may have this part.
    fn take(&self, part: Bytes) -> bool {
        let bytes = part.len();
        let before = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        (before == 0 || before + bytes <= PARTS_WAITING_BYTES_MAX) && self.sender.try_send(part).is_ok()
    }
}

impl Connection {
    /// A connection, and what its writer is to write.
    pub(super) fn new(closed: CancellationToken) -> (Arc<Self>, mpsc::Receiver<Queued>) {
        let (outgoing, queued) = queue();
        let waiting = Mutex::default();
        let is_leaving = AtomicBool::new(false);
        (Arc::new(Self { outgoing, waiting, next: AtomicU64::new(1), is_leaving, closed }), queued)
    }

    /// Closes it from this side.
    pub(super) fn close(&self) {
        self.closed.cancel();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// Sends a request now, and gives what waits for its answer.
    pub(super) fn request(
        self: &Arc<Self>,
        payload: Bytes,
        within: Duration,
    ) -> impl Future<Output = Result<Bytes, AskError>> + Send + use<> {
        let (sender, answer) = oneshot::channel();
        let sent = self.begin(payload, Waiter::Answer(sender));
        async move {
            let place = sent?;
            let lost = |why: &str| Err(AskError::Lost(why.to_owned()));
            let answered = timeout(within, answer).await;
            match answered {
                Ok(Ok(Ok(answer))) => {
                    place.done();
                    Ok(answer)
                }
                Ok(Ok(Err(why))) => {
                    place.done();
                    Err(AskError::NotSent(why))
                }
                Ok(Err(_)) => lost("the connection broke"),
                Err(_) => lost("it took too long"),
            }
        }
    }

    /// Opens a stream of parts.
    pub(super) fn stream(
        self: &Arc<Self>,
        payload: Bytes,
    ) -> impl Stream<Item = Bytes> + Send + 'static + use<> {
        let (sender, mut parts) = mpsc::channel::<Bytes>(PARTS_WAITING_MAX);
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let sent = self.begin(payload, Waiter::Parts(Parts { sender, waiting_bytes: waiting_bytes.clone() }));
        futures_util::stream::poll_fn(move |context| {
            // Held for as long as the stream is: dropping it tells the other side.
            if sent.is_err() {
                return Poll::Ready(None);
            }
            let part = std::task::ready!(parts.poll_recv(context));
            waiting_bytes.fetch_sub(part.as_ref().map_or(0, Bytes::len), Ordering::Relaxed);
            Poll::Ready(part)
        })
    }

    /// Begins to send a snapshot.
    pub(super) fn begin_snapshot(self: &Arc<Self>, payload: Bytes) -> Result<Sending, AskError> {
        let (sender, answer) = oneshot::channel();
        let credits = Arc::new(Semaphore::new(CHUNKS_AHEAD));
        let place = self.begin(payload, Waiter::Snapshot(sender, credits.clone()))?;
        Ok(Sending { place, credits, answer })
    }

    fn begin(self: &Arc<Self>, payload: Bytes, waiter: Waiter) -> Result<Place, AskError> {
        let not_sent = |why: &str| AskError::NotSent(why.to_owned());
        if payload.len() >= FRAME_MAX_BYTES {
            return Err(not_sent("it is too large to be sent to another node"));
        }
        // All under one lock: whoever ends the connection, or is told that the other side leaves, meets either
        // nothing of this request or a waiter for its answer.
        let mut waiting = self.waiting.lock();
        if self.is_closed() {
            return Err(not_sent("there is no connection"));
        }
        if self.is_leaving.load(Ordering::Acquire) {
            return Err(not_sent("the node is about to stop"));
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        if self.outgoing.try_send(Frame::new(Kind::Request, id, payload)).is_err() {
            return Err(not_sent("too much waits to be sent"));
        }
        waiting.insert(id, waiter);
        drop(waiting);
        Ok(Place { connection: self.clone(), id, is_done: false })
    }

    /// Takes what the other side sends, until the connection ends.
    pub(super) async fn read(
        &self,
        mut frames: FrameReader<impl AsyncRead + Unpin>,
        heard: impl Fn(&Frame),
    ) -> Ended {
        let ended = loop {
            let frame = tokio::select! {
                biased;
                () = self.closed.cancelled() => break Ended::Here,
                frame = frames.next() => frame,
            };
            match frame {
                Ok(Some(frame)) => {
                    heard(&frame);
                    self.take(frame);
                }
                Ok(None) => break Ended::ByPeer,
                Err(error) => break ended_by(&error),
            }
        };
        let mut waiting = self.waiting.lock();
        self.closed.cancel();
        waiting.clear();
        ended
    }

    fn take(&self, frame: Frame) {
        let mut waiting = self.waiting.lock();
        match frame.kind {
            Kind::Answer | Kind::NotTaken => {
                let answer = if frame.kind == Kind::Answer {
                    Ok(frame.payload)
                } else {
                    Err(String::from_utf8_lossy(&frame.payload).into_owned())
                };
                if let Some(Waiter::Answer(sender) | Waiter::Snapshot(sender, _)) = waiting.remove(&frame.id)
                {
                    // Whoever asked may have gone.
                    let _ = sender.send(answer);
                }
            }
            Kind::Part => {
                let is_full = matches!(waiting.get(&frame.id),
                    Some(Waiter::Parts(parts)) if !parts.take(frame.payload));
                if is_full {
                    // A stream loses nothing in the middle: it ends, and its reader opens another.
                    waiting.remove(&frame.id);
                    self.send(Frame::bare(Kind::Cancel, frame.id));
                }
            }
            Kind::End => drop(waiting.remove(&frame.id)),
            Kind::Credit => {
                if let Some(Waiter::Snapshot(_, credits)) = waiting.get(&frame.id)
                    && credits.available_permits() < CHUNKS_AHEAD
                {
                    credits.add_permits(1);
                }
            }
            Kind::Leaving => {
                self.is_leaving.store(true, Ordering::Release);
                // Streams are opened anew elsewhere; requests have their answers on the way.
                waiting.retain(|_, waiter| matches!(waiter, Waiter::Answer(_)));
            }
            Kind::Request | Kind::Cancel | Kind::Ping | Kind::Pong => {}
        }
        if waiting.is_empty() && self.is_leaving.load(Ordering::Acquire) {
            self.closed.cancel();
        }
    }

    /// Sends a frame that nobody waits for, if there is room.
    pub(super) fn send(&self, frame: Frame) {
        // One that does not fit is one of a connection in trouble.
        let _ = self.outgoing.try_send(frame);
    }
}

/// Who ended a connection on which this error was met.
pub(super) fn ended_by(error: &std::io::Error) -> Ended {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    match error.kind() {
        ConnectionReset | UnexpectedEof | BrokenPipe => Ended::ByPeer,
        _ => Ended::Here,
    }
}

/// A request that waits for its answer. Dropped before that, it tells the other side that nobody waits.
struct Place {
    connection: Arc<Connection>,
    id: u64,
    is_done: bool,
}

impl Place {
    fn done(mut self) {
        self.is_done = true;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.is_done {
            self.connection.waiting.lock().remove(&self.id);
            self.connection.send(Frame::bare(Kind::Cancel, self.id));
        }
    }
}

/// A snapshot that is being sent.
pub(super) struct Sending {
    place: Place,
    credits: Arc<Semaphore>,
    answer: oneshot::Receiver<Result<Bytes, String>>,
}

impl Sending {
    /// Sends a chunk as soon as there is room for it at the other side. The last one is empty.
    pub(super) async fn chunk(&mut self, chunk: Bytes) -> Result<(), AskError> {
        let broke = || AskError::Lost("the connection broke".to_owned());
        tokio::select! {
            biased;
            () = self.place.connection.closed.cancelled() => return Err(broke()),
            credit = self.credits.acquire() => credit.map_err(|_| broke())?.forget(),
        }
        let frame = Frame::new(Kind::Part, self.place.id, chunk);
        self.place.connection.outgoing.send(frame).await.map_err(|_| broke())
    }

    /// Waits for what the other side made of it.
    pub(super) async fn answer(self) -> Result<Bytes, AskError> {
        let answered = self.answer.await;
        self.place.done();
        match answered {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(why)) => Err(AskError::NotSent(why)),
            Err(_) => Err(AskError::Lost("the connection broke".to_owned())),
        }
    }
}
