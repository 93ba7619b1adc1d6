//! What waits for one subscriber: bounded in frames and in bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{LivePresence, LiveSignal, LiveUpdate};
use crate::limits;

/// What waits in a queue.
pub(super) trait Weighs {
    /// What it takes in the queue, in bytes.
    fn weight(&self) -> usize;
}

/// One thing for a subscriber.
#[derive(Debug, Clone)]
pub(super) enum Item {
    /// The next update.
    Update(Arc<LiveUpdate>),
    /// Who is present has changed.
    Presence(Arc<LivePresence>),
    /// Somebody tells all others something.
    Signal(Arc<LiveSignal>),
    /// Updates were lost on the way here; the subscriber reads on from its last version.
    Lost,
}

/// A subscriber's queue: the hub puts in, the subscriber takes out.
pub(super) struct Queue<I = Item> {
    inner: Mutex<Inner<I>>,
    filled: Notify,
}

struct Inner<I> {
    items: VecDeque<I>,
    bytes: usize,
    overflown: bool,
    closed: bool,
}

/// What a subscriber finds in its queue.
#[derive(Debug)]
pub(super) enum Taken<I = Item> {
    Item(I),
    /// More than fits was put in: the subscriber is too slow.
    TooSlow,
    /// The hub has closed.
    Closed,
}

impl<I> Default for Queue<I> {
    fn default() -> Self {
        let inner = Inner { items: VecDeque::new(), bytes: 0, overflown: false, closed: false };
        Self { inner: Mutex::new(inner), filled: Notify::new() }
    }
}

impl<I: Weighs> Queue<I> {
    /// Puts one in. Never waits; what does not fit marks the subscriber as too slow.
    pub(super) fn put(&self, item: I) {
        let mut inner = self.inner.lock();
        let size = item.weight();
        let full = inner.items.len() >= limits::SUBSCRIBER_MAX_FRAMES
            || (inner.bytes + size > limits::SUBSCRIBER_MAX_BYTES && !inner.items.is_empty());
        if inner.overflown || full {
            // What was waiting is of no use any more: free it now, not when the socket lets go.
            inner.overflown = true;
            inner.items = VecDeque::new();
            inner.bytes = 0;
        } else {
            inner.bytes += size;
            inner.items.push_back(item);
        }
        drop(inner);
        self.filled.notify_one();
    }

    /// Nothing more will come.
    pub(super) fn close(&self) {
        self.inner.lock().closed = true;
        self.filled.notify_one();
    }

    /// Takes the next one. Cancel safe.
    pub(super) async fn take(&self) -> Taken<I> {
        loop {
            if let Some(taken) = self.try_take() {
                return taken;
            }
            self.filled.notified().await;
        }
    }

    fn try_take(&self) -> Option<Taken<I>> {
        let mut inner = self.inner.lock();
        if inner.overflown {
            return Some(Taken::TooSlow);
        }
        let Some(item) = inner.items.pop_front() else {
            return inner.closed.then_some(Taken::Closed);
        };
        inner.bytes -= item.weight();
        if inner.items.is_empty() {
            // An idle subscriber holds no memory for the burst it once had.
            inner.items = VecDeque::new();
        }
        Some(Taken::Item(item))
    }
}

impl Weighs for Item {
    fn weight(&self) -> usize {
        match self {
            Self::Update(update) => update.weight(),
            Self::Presence(presence) => presence.native().len(),
            Self::Signal(signal) => signal.native().len(),
            Self::Lost => 0,
        }
    }
}
