//! The streams of updates that leave this node's objects: one for each gateway that watches an object.
//!
//! Streams stand apart from activations, so that a subscription does not keep an object in memory. A
//! stream that cannot keep up is told so and loses what does not fit: its gateway then reads what it
//! missed from the object's history. Publishing never waits.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use tokio::sync::mpsc;

use crate::limits;
use crate::object::{ObjectAddress, Update};

/// Every stream of this node, by object.
#[derive(Clone, Default)]
pub(crate) struct Streams(Arc<RwLock<HashMap<ObjectAddress, Vec<Feed>>>>);

/// The sending end of a stream.
#[derive(Clone)]
pub(crate) struct Feed {
    events: mpsc::Sender<StreamEvent>,
    overrun: Arc<AtomicBool>,
}

/// The receiving end of an object's stream; dropping it ends the stream.
pub struct Stream {
    address: ObjectAddress,
    streams: Streams,
    events: mpsc::Receiver<StreamEvent>,
    overrun: Arc<AtomicBool>,
}

/// What comes out of a stream.
#[derive(Debug, Clone)]
pub enum StreamEvent {
    /// The next update, in order.
    Update(Arc<Update>),
    /// Updates were lost here; read them from the history.
    Overrun,
}

impl Streams {
    /// Opens a stream of an object.
    pub(crate) fn open(&self, address: &ObjectAddress) -> (Feed, Stream) {
        let (sender, events) = mpsc::channel(limits::STREAM_MAX_UPDATES);
        let overrun = Arc::new(AtomicBool::new(false));
        let feed = Feed { events: sender, overrun: overrun.clone() };
        self.0.write().entry(address.clone()).or_default().push(feed.clone());
        (feed, Stream { address: address.clone(), streams: self.clone(), events, overrun })
    }

    /// Whether anybody listens to an object.
    pub(crate) fn has(&self, address: &ObjectAddress) -> bool {
        self.0.read().contains_key(address)
    }

    /// Passes an update on. Never waits.
    pub(crate) fn publish(&self, address: &ObjectAddress, update: &Arc<Update>) {
        if let Some(feeds) = self.0.read().get(address) {
            for feed in feeds {
                feed.send(StreamEvent::Update(update.clone()));
            }
        }
    }
}

impl Feed {
    /// Passes an event on. Never waits: what does not fit is made up for from the history.
    pub(crate) fn send(&self, event: StreamEvent) {
        if self.events.try_send(event).is_err() {
            self.overrun.store(true, Ordering::Release);
        }
    }

    /// Resolves when nobody receives any more.
    pub(crate) async fn ended(&self) {
        self.events.closed().await;
    }
}

impl Stream {
    /// The next event, in the order of commits. Cancel safe.
    pub async fn next(&mut self) -> Option<StreamEvent> {
        match self.events.try_recv() {
            Ok(event) => return Some(event),
            Err(_) if self.overrun.swap(false, Ordering::AcqRel) => return Some(StreamEvent::Overrun),
            Err(_) => {}
        }
        self.events.recv().await
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut streams = self.streams.0.write();
        if let Some(feeds) = streams.get_mut(&self.address) {
            feeds.retain(|feed| !Arc::ptr_eq(&feed.overrun, &self.overrun));
            if feeds.is_empty() {
                streams.remove(&self.address);
            }
        }
    }
}
