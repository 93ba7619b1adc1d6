//! A connection that a peer has dialled: its requests are handed to this node, in order, and answered as the
//! answers come.
//!
//! Each request's future is polled once before the next request is handed over, so entries reach their group in
//! the order they were sent. How many are under way is bounded; one beyond it is not taken, and the peer is told.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::io::AsyncRead;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::layout::NodeId;
use crate::network::tcp::connection::{Ended, ended_by};
use crate::network::tcp::frame::{Frame, FrameReader, Kind};
use crate::network::tcp::queue::Outgoing;
use crate::network::tcp::wire::{Ask, decode_append, decode_json, encode_append_response, encode_json};
use crate::network::{GroupId, Inbound, NotTaken, ShardSnapshot, Snapshot, Vote};
use crate::raft::{LogId, StoredMembership};
use crate::storage::ReadError;

/// Requests of one connection under way at once.
const REQUESTS_MAX: usize = 4_096;
/// Streams of one connection: they stay for long, and must not take the requests' places. A peer has one for each
/// object that somebody follows through it.
const STREAMS_MAX: usize = 65_536;
/// Parts of a stream that are sent before others get their turn.
const STREAM_TURN: usize = 64;
/// Chunks of a snapshot that may wait here; a peer that heeds its credits sends no more.
const CHUNKS_WAITING_MAX: usize = 8;

/// What serves a connection.
pub(super) struct Service {
    pub(super) peer: NodeId,
    pub(super) inbound: Arc<dyn Inbound>,
    pub(super) outgoing: Outgoing,
    pub(super) tasks: TaskTracker,
    /// This node is about to stop: the peer is told, and what it has asked is still answered.
    pub(super) leaving: CancellationToken,
    pub(super) closed: CancellationToken,
}

/// What may be under way at once.
struct Places {
    requests: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

impl Default for Places {
    fn default() -> Self {
        let (requests, streams) = (Semaphore::new(REQUESTS_MAX), Semaphore::new(STREAMS_MAX));
        Self { requests: Arc::new(requests), streams: Arc::new(streams) }
    }
}

impl Places {
    fn take(&self, ask: Ask) -> Result<OwnedSemaphorePermit, NotTaken> {
        let places = if ask == Ask::Stream { &self.streams } else { &self.requests };
        let full = |_| NotTaken("the node has too many requests under way".to_owned());
        places.clone().try_acquire_owned().map_err(full)
    }
}

/// What is under way, by the number of its request.
#[derive(Default)]
struct UnderWay {
    requests: HashMap<u64, CancellationToken>,
    snapshots: HashMap<u64, mpsc::Sender<Bytes>>,
}

impl Service {
    /// Serves until the connection ends.
    pub(super) async fn run(
        self,
        mut frames: FrameReader<impl AsyncRead + Unpin>,
        heard: impl Fn(&Frame),
    ) -> Ended {
        let service = Arc::new(self);
        let under_way = Arc::new(Mutex::new(UnderWay::default()));
        let places = Places::default();
        let silent = frames.heard();
        let serving = async {
            loop {
                match frames.next().await {
                    Ok(Some(frame)) => {
                        heard(&frame);
                        service.take(frame, &places, &under_way).await;
                    }
                    Ok(None) => return Ended::ByPeer,
                    Err(error) => return ended_by(&error),
                }
            }
        };
        let telling = async {
            service.leaving.cancelled().await;
            service.send(Frame::bare(Kind::Leaving, 0)).await;
            std::future::pending::<Ended>().await
        };
        let ended = tokio::select! {
            biased;
            () = service.closed.cancelled() => Ended::Here,
            ended = telling => ended,
            ended = serving => ended,
            () = silent.silence() => Ended::Here,
        };
        service.closed.cancel();
        under_way.lock().requests.drain().for_each(|(_, request)| request.cancel());
        under_way.lock().snapshots.clear();
        ended
    }

    async fn take(self: &Arc<Self>, frame: Frame, places: &Places, under_way: &Arc<Mutex<UnderWay>>) {
        match frame.kind {
            Kind::Request => self.begin(frame, places, under_way).await,
            Kind::Cancel => {
                let mut under_way = under_way.lock();
                under_way.snapshots.remove(&frame.id);
                if let Some(request) = under_way.requests.remove(&frame.id) {
                    request.cancel();
                }
            }
            Kind::Part => {
                let mut under_way = under_way.lock();
                let chunks = under_way.snapshots.get(&frame.id);
                if chunks.is_some_and(|chunks| chunks.try_send(frame.payload).is_err()) {
                    // More than was allowed, or nobody takes them any more.
                    under_way.snapshots.remove(&frame.id);
                }
            }
            Kind::Ping => self.send(Frame::bare(Kind::Pong, frame.id)).await,
            Kind::Answer | Kind::NotTaken | Kind::End | Kind::Credit | Kind::Pong | Kind::Leaving => {}
        }
    }

    async fn send(&self, frame: Frame) {
        // The writer ends with the connection; then nobody waits for the answer either.
        let _ = self.outgoing.send(frame).await;
    }

    /// Begins a request; what is not done at once goes on beside the next ones.
    async fn begin(self: &Arc<Self>, frame: Frame, places: &Places, under_way: &Arc<Mutex<UnderWay>>) {
        let id = frame.id;
        let begun = Ask::decode(frame.payload)
            .map_err(|error| NotTaken(error.to_string()))
            .and_then(|(ask, body)| Ok((places.take(ask)?, self.hand_over(ask, body, id, under_way)?)));
        let (place, mut answering) = match begun {
            Ok(begun) => begun,
            Err(NotTaken(why)) => return self.send(Frame::new(Kind::NotTaken, id, why)).await,
        };
        // The budget of this task must not decide whether the message reached its group.
        let first = tokio::task::coop::unconstrained(std::future::poll_fn(|context| {
            Poll::Ready(match answering.as_mut().poll(context) {
                Poll::Ready(frame) => Some(frame),
                Poll::Pending => None,
            })
        }));
        if let Some(frame) = first.await {
            under_way.lock().snapshots.remove(&id);
            return self.send(frame).await;
        }
        let cancelled = CancellationToken::new();
        under_way.lock().requests.insert(id, cancelled.clone());
        let (service, under_way) = (self.clone(), under_way.clone());
        self.tasks.spawn(async move {
            let frame = tokio::select! {
                biased;
                () = cancelled.cancelled() => None,
                frame = answering => Some(frame),
            };
            under_way.lock().requests.remove(&id);
            under_way.lock().snapshots.remove(&id);
            if let Some(frame) = frame {
                service.send(frame).await;
            }
            drop(place);
        });
    }

    /// Hands the request over; the future gives the frame that ends it.
    fn hand_over(
        self: &Arc<Self>,
        ask: Ask,
        body: Bytes,
        id: u64,
        under_way: &Arc<Mutex<UnderWay>>,
    ) -> Result<BoxFuture<'static, Frame>, NotTaken> {
        let unreadable = |_| NotTaken("the request can not be read".to_owned());
        let inbound = &self.inbound;
        Ok(match ask {
            Ask::Append(group) => {
                let answer = inbound.append(group, decode_append(body).map_err(unreadable)?);
                Box::pin(async move { ended(id, answer.await, encode_append_response) })
            }
            Ask::Vote(group) => {
                let answer = inbound.vote(group, decode_json(&body).map_err(unreadable)?);
                Box::pin(async move { ended(id, answer.await, encode_json) })
            }
            Ask::PreVote(group) => {
                let answer = inbound.pre_vote(group, decode_json(&body).map_err(unreadable)?);
                Box::pin(async move { ended(id, answer.await, encode_json) })
            }
            Ask::Transfer(group) => {
                let answer = inbound.transfer(group, decode_json(&body).map_err(unreadable)?);
                Box::pin(async move { ended(id, answer.await, encode_json) })
            }
            Ask::Snapshot(group) => self.begin_snapshot(group, &body, id, under_way)?,
            Ask::Answer(desk) => {
                let answer = inbound.answer(self.peer, desk, body);
                Box::pin(async move { Frame::new(Kind::Answer, id, answer.await) })
            }
            Ask::Stream => {
                let mut parts = inbound.stream(self.peer, body);
                let outgoing = self.outgoing.clone();
                Box::pin(async move {
                    let mut sent = 0_usize;
                    while let Some(part) = parts.next().await {
                        if outgoing.send(Frame::new(Kind::Part, id, part)).await.is_err() {
                            break;
                        }
                        sent += 1;
                        if sent.is_multiple_of(STREAM_TURN) {
                            tokio::task::yield_now().await;
                        }
                    }
                    Frame::bare(Kind::End, id)
                })
            }
        })
    }

    /// A snapshot: its chunks follow as parts, each acknowledged with a credit once it is taken.
    fn begin_snapshot(
        self: &Arc<Self>,
        group: GroupId,
        body: &[u8],
        id: u64,
        under_way: &Arc<Mutex<UnderWay>>,
    ) -> Result<BoxFuture<'static, Frame>, NotTaken> {
        let (vote, last_log_id, last_membership): (Vote, Option<LogId>, StoredMembership) =
            decode_json(body).map_err(|_| NotTaken("the request can not be read".to_owned()))?;
        let (chunks, mut incoming) = mpsc::channel::<Bytes>(CHUNKS_WAITING_MAX);
        under_way.lock().snapshots.insert(id, chunks);
        let (sender, data) = ShardSnapshot::from_peer();
        let meta = openraft::type_config::alias::SnapshotMetaOf::<crate::raft::TypeConfig> {
            last_log_id,
            last_membership,
        };
        let installed = self.inbound.snapshot(group, vote, Snapshot { meta, snapshot: data });
        let outgoing = self.outgoing.clone();
        let feed = async move {
            while let Some(chunk) = incoming.recv().await {
                let is_last = chunk.is_empty();
                if sender.send(Ok(chunk)).await.is_err() || is_last {
                    return;
                }
                // The connection ends for the install too: then the sender here is dropped.
                let _ = outgoing.send(Frame::bare(Kind::Credit, id)).await;
            }
            // The peer stopped in the middle; an install must not take that for the end.
            let _ = sender.send(Err(ReadError("the peer stopped sending its snapshot".to_owned()))).await;
        };
        Ok(Box::pin(async move {
            let (answer, ()) = tokio::join!(installed, feed);
            ended(id, answer, encode_json)
        }))
    }
}

fn ended<T>(id: u64, answer: Result<T, NotTaken>, encode: impl FnOnce(&T) -> Vec<u8>) -> Frame {
    match answer {
        Ok(answer) => Frame::new(Kind::Answer, id, encode(&answer)),
        Err(NotTaken(why)) => Frame::new(Kind::NotTaken, id, why),
    }
}
