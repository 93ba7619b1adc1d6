//! The streams that leave this node's objects: one for each gateway that watches an object, and who is present there.
//!
//! Streams stand apart from activations, so that a subscription does not keep an object in memory. A
//! stream that cannot keep up is told so and ends: its gateway opens another and reads what it
//! missed from the object's history. Publishing never waits.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::room::{Announcement, Member, Movement, Room, Session, Signal};
use crate::limits;
use crate::object::{ObjectAddress, Update};

/// Every stream of this node, by object.
#[derive(Clone, Default)]
pub(crate) struct Streams(Arc<Inner>);

#[derive(Default)]
struct Inner {
    audiences: RwLock<HashMap<ObjectAddress, Audience>>,
    tasks: TaskTracker,
}

/// Who watches an object, and who is present at it.
#[derive(Default)]
struct Audience {
    feeds: Vec<Feed>,
    room: Room,
}

/// The sending end of a stream.
struct Feed {
    session: Session,
    events: mpsc::Sender<StreamEvent>,
    overrun: Arc<AtomicBool>,
}

/// The receiving end of an object's stream; dropping it ends the stream.
pub(super) struct Stream {
    address: ObjectAddress,
    session: Session,
    streams: Streams,
    events: mpsc::Receiver<StreamEvent>,
    overrun: Arc<AtomicBool>,
}

/// What comes out of a stream.
#[derive(Debug, Clone)]
pub enum StreamEvent {
    /// The stream stands: every update from now on follows. These are present now.
    Stands(Arc<[Member]>),
    /// Updates were lost before; read them from the history.
    Overrun,
    /// The next update, in order.
    Update(Arc<Update>),
    /// Who is present has changed.
    Moved(Arc<Movement>),
    /// Somebody tells all others something.
    Signal(Arc<Signal>),
}

impl Streams {
    /// Opens a stream of an object; tells who is present.
    pub(super) fn open(&self, address: &ObjectAddress, session: Session) -> (Stream, Arc<[Member]>) {
        let (sender, events) = mpsc::channel(limits::STREAM_MAX_UPDATES);
        let overrun = Arc::new(AtomicBool::new(false));
        let feed = Feed { session, events: sender, overrun: overrun.clone() };
        let mut audiences = self.0.audiences.write();
        let audience = audiences.entry(address.clone()).or_default();
        audience.feeds.push(feed);
        let present = audience.room.everyone().into();
        drop(audiences);
        (Stream { address: address.clone(), session, streams: self.clone(), events, overrun }, present)
    }

    /// Whether anybody listens to an object.
    pub(crate) fn has(&self, address: &ObjectAddress) -> bool {
        self.0.audiences.read().contains_key(address)
    }

    /// Passes an update on. Never waits.
    pub(crate) fn publish(&self, address: &ObjectAddress, update: &Arc<Update>) {
        if let Some(audience) = self.0.audiences.read().get(address) {
            audience.send(&StreamEvent::Update(update.clone()));
        }
    }

    /// Takes in what a session tells, and passes it on. False if the session's stream does not stand here.
    pub(super) fn announce(
        &self,
        address: &ObjectAddress,
        session: Session,
        announcement: Announcement,
    ) -> bool {
        let Announcement { all, movement, signals } = announcement;
        let mut audiences = self.0.audiences.write();
        let Some(audience) = audiences.get_mut(address) else { return false };
        if !audience.feeds.iter().any(|feed| feed.session == session) {
            return false;
        }
        let moved = audience.room.hear(session, all, &movement);
        audience.moved(moved);
        for signal in signals {
            audience.send(&StreamEvent::Signal(Arc::new(signal)));
        }
        true
    }

    /// The members of a session that ended leave, if no other session has told of them since.
    fn bury(&self, address: &ObjectAddress, session: Session) {
        if let Some(audience) = self.0.audiences.write().get_mut(address) {
            let moved = audience.room.end(session);
            audience.moved(moved);
        }
    }
}

impl Audience {
    fn send(&self, event: &StreamEvent) {
        for feed in &self.feeds {
            feed.send(event.clone());
        }
    }

    fn moved(&self, movement: Movement) {
        if !movement.is_empty() {
            self.send(&StreamEvent::Moved(Arc::new(movement)));
        }
    }
}

impl Feed {
    /// Passes an event on. Never waits: where one does not fit the stream ends, and nothing follows.
    fn send(&self, event: StreamEvent) {
        if self.overrun.load(Ordering::Acquire) || self.events.try_send(event).is_err() {
            self.overrun.store(true, Ordering::Release);
        }
    }
}

impl Stream {
    /// Whose it is.
    pub(super) fn session(&self) -> Session {
        self.session
    }

    /// The next event, in the order of commits; none once some were lost. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<StreamEvent> {
        match self.events.try_recv() {
            Ok(event) => return Some(event),
            Err(_) if self.overrun.load(Ordering::Acquire) => return None,
            Err(_) => {}
        }
        // The feed lives as long as this end, so it is never closed from there.
        self.events.recv().await
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut audiences = self.streams.0.audiences.write();
        let Some(audience) = audiences.get_mut(&self.address) else { return };
        audience.feeds.retain(|feed| feed.session != self.session);
        if audience.feeds.is_empty() {
            audiences.remove(&self.address);
            return;
        }
        // Its gateway may just be opening another, so its members have a little time.
        if let Ok(handle) = Handle::try_current() {
            let (streams, address, session) = (self.streams.clone(), self.address.clone(), self.session);
            let bury = async move {
                tokio::time::sleep(limits::PRESENCE_GRACE).await;
                streams.bury(&address, session);
            };
            drop(self.streams.0.tasks.spawn_on(bury, &handle));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Value;

    fn address() -> ObjectAddress {
        ObjectAddress::parse("default", "object", "here").expect("a name of this test")
    }

    fn entered(id: &str) -> Announcement {
        let member = Member { id: id.into(), data: Value::null(), clock: 0 };
        let movement = Movement { entered: vec![member], left: Vec::new() };
        Announcement { movement, ..Announcement::default() }
    }

    async fn moved(stream: &mut Stream) -> (Vec<String>, Vec<String>) {
        match stream.next().await {
            Some(StreamEvent::Moved(moved)) => (
                moved.entered.iter().map(|member| member.id.to_string()).collect(),
                moved.left.iter().map(ToString::to_string).collect(),
            ),
            other => panic!("somebody moved, it was {other:?}"),
        }
    }

    #[tokio::test]
    async fn members_leave_a_little_after_their_stream() {
        let streams = Streams::default();
        let (one, other) = (Session::fresh(), Session::fresh());
        let (stream_of_one, present) = streams.open(&address(), one);
        assert!(present.is_empty());
        assert!(streams.announce(&address(), one, entered("a")));
        let (mut stream_of_other, present) = streams.open(&address(), other);
        assert_eq!(present.len(), 1);
        drop(stream_of_one);
        assert!(!streams.announce(&address(), one, entered("b")), "its stream has ended");
        assert_eq!(moved(&mut stream_of_other).await, (vec![], vec!["a".to_owned()]));
        drop(stream_of_other);
        assert!(!streams.has(&address()));
    }

    #[test]
    fn a_gateway_that_opens_again_in_time_takes_its_members_along() {
        let streams = Streams::default();
        let (old, new) = (Session::fresh(), Session::fresh());
        let (stream_of_old, _) = streams.open(&address(), old);
        assert!(streams.announce(&address(), old, entered("a")));
        let (_stream_of_new, _) = streams.open(&address(), new);
        drop(stream_of_old);
        assert!(streams.announce(&address(), new, entered("a")));
        streams.bury(&address(), old);
        assert_eq!(streams.open(&address(), Session::fresh()).1.len(), 1);
        streams.bury(&address(), new);
        assert_eq!(streams.open(&address(), Session::fresh()).1.len(), 0);
    }

    #[tokio::test]
    async fn a_stream_that_lost_something_ends_there() {
        let streams = Streams::default();
        let (mut stream, _) = streams.open(&address(), Session::fresh());
        let update = Arc::new(Update::parse(r#"{"version":1}"#).expect("it is one"));
        for _ in 0..=limits::STREAM_MAX_UPDATES {
            streams.publish(&address(), &update);
        }
        for _ in 0..limits::STREAM_MAX_UPDATES {
            assert!(stream.next().await.is_some());
        }
        assert!(stream.next().await.is_none());
    }
}
