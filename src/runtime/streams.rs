//! The streams of updates that leave this node's objects: at most one an object and gateway.
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
pub(crate) struct Streams(Arc<RwLock<HashMap<ObjectAddress, Sender>>>);

struct Sender {
    updates: mpsc::Sender<Arc<Update>>,
    overrun: Arc<AtomicBool>,
}

/// The receiving end of an object's stream; dropping it ends the stream.
pub struct Stream {
    address: ObjectAddress,
    streams: Streams,
    updates: mpsc::Receiver<Arc<Update>>,
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
    /// Opens the stream of an object. One opened before ends: a gateway holds one.
    pub(crate) fn open(&self, address: &ObjectAddress) -> Stream {
        let (sender, updates) = mpsc::channel(limits::STREAM_MAX_UPDATES);
        let overrun = Arc::new(AtomicBool::new(false));
        self.0.write().insert(address.clone(), Sender { updates: sender, overrun: overrun.clone() });
        Stream { address: address.clone(), streams: self.clone(), updates, overrun }
    }

    /// Whether anybody listens to an object.
    pub(crate) fn has(&self, address: &ObjectAddress) -> bool {
        self.0.read().contains_key(address)
    }

    /// Passes an update on. Never waits.
    pub(crate) fn publish(&self, address: &ObjectAddress, update: &Arc<Update>) {
        if let Some(sender) = self.0.read().get(address)
            && sender.updates.try_send(update.clone()).is_err()
        {
            sender.overrun.store(true, Ordering::Release);
        }
    }
}

impl Stream {
    /// The next event, in the order of commits; `None` once another stream has taken its place.
    /// Cancel safe.
    pub async fn next(&mut self) -> Option<StreamEvent> {
        match self.updates.try_recv() {
            Ok(update) => return Some(StreamEvent::Update(update)),
            Err(_) if self.overrun.swap(false, Ordering::AcqRel) => return Some(StreamEvent::Overrun),
            Err(_) => {}
        }
        self.updates.recv().await.map(StreamEvent::Update)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut streams = self.streams.0.write();
        if streams.get(&self.address).is_some_and(|sender| Arc::ptr_eq(&sender.overrun, &self.overrun)) {
            streams.remove(&self.address);
        }
    }
}
