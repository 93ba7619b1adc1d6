//! An object's updates from wherever it is led: a stream that follows the leader.
//!
//! A gateway's stream is that of this node while it leads the object's shard, and else a stream of the node that
//! does. Whenever the leader changes, or the way to it breaks, the stream is opened anew at the new one, and once
//! it stands there the gateway is told that something may be missing: it reads that from the object's history.
//! So no update is lost between two leaders, and whoever watches notices nothing but a short silence.
//!
//! The other way goes what this gateway tells of its clients, to whoever leads; one that knows nothing yet is told of
//! everybody.

mod part;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};
use stead_cluster::{NodeId, Shard, Term};
use tokio::sync::watch;

use super::Runtime;
use super::forward::{Message, pause};
use super::handle::Intent;
use super::outbox::Outbox;
use super::room::{Announcement, Member, Session};
use super::streams::{Stream, StreamEvent};
use super::wire::{AddressForm, CallerForm, NotReadable, decode, encode};
use crate::caller::Caller;
use crate::limits;
use crate::object::ObjectAddress;
use crate::telemetry::Counted;

use part::AnnouncementForm;

/// A stream asked of another node.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Watch {
    caller: CallerForm,
    address: AddressForm,
    session: Session,
}

/// What a gateway tells of its clients, for one object that it has a stream of.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Announce {
    address: AddressForm,
    session: Session,
    announcement: AnnouncementForm,
}

/// Whether it was taken in: the session's stream stands there.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Announced {
    is_heard: bool,
}

/// A gateway's stream of an object, wherever the object is led and goes on to be led.
pub struct Upstream {
    runtime: Runtime,
    caller: Caller,
    address: ObjectAddress,
    outbox: Arc<Outbox>,
    /// Opened at once where this node leads, so that nothing is missed from here on.
    here: Option<Served>,
}

impl Upstream {
    pub(super) fn open(runtime: Runtime, caller: Caller, address: ObjectAddress) -> Self {
        let here = Served::open(runtime.clone(), address.clone(), Session::fresh());
        Self { runtime, caller, address, outbox: Arc::default(), here }
    }

    /// What is put in here is told to the leader.
    #[must_use]
    pub fn outbox(&self) -> Arc<Outbox> {
        self.outbox.clone()
    }

    /// Passes on what comes, until the server stops. Dropping it ends the stream.
    pub async fn run(mut self, mut pass: impl FnMut(StreamEvent) + Send) {
        let stopping = self.runtime.inner().stopping.clone();
        tokio::select! {
            biased;
            () = stopping.cancelled() => {}
            () = self.follow(&mut pass) => {}
        }
    }

    async fn follow(&mut self, pass: &mut (impl FnMut(StreamEvent) + Send)) {
        let runtime = self.runtime.clone();
        let shard = runtime.shard_of(&self.address);
        let mut tries = 0_u32;
        // What is opened later than at first may have missed something.
        let mut here = self.here.take();
        let mut is_first = here.is_some();
        loop {
            let opened = || Served::open(runtime.clone(), self.address.clone(), Session::fresh());
            let stood = if let Some(served) = here.take().or_else(opened) {
                self.serve_here(served, std::mem::take(&mut is_first), pass).await;
                true
            } else if let Some(node) = runtime.leader_of(shard, tries) {
                self.relay(shard, node, pass).await
            } else {
                false
            };
            tries = if stood { 1 } else { tries.saturating_add(1) };
            let until = Instant::now() + limits::RELAY_PAUSE_MAX;
            pause(shard, tries, limits::RELAY_PAUSE_MAX, until).await;
        }
    }

    /// Passes on what this node's own objects give, as long as it leads.
    async fn serve_here(
        &self,
        mut served: Served,
        is_first: bool,
        pass: &mut (impl FnMut(StreamEvent) + Send),
    ) {
        pass(StreamEvent::Stands(served.present.clone()));
        if !is_first {
            pass(StreamEvent::Overrun);
        }
        let session = served.stream.session();
        let pump = async {
            while let Some(event) = served.next().await {
                pass(event);
            }
        };
        tokio::select! {
            biased;
            () = pump => {}
            () = self.tell(session, None) => {}
        }
    }

    /// Passes on what another node gives, until that ends or leads no more. Whether it ever stood.
    async fn relay(&self, shard: &Shard, node: NodeId, pass: &mut (impl FnMut(StreamEvent) + Send)) -> bool {
        let session = Session::fresh();
        let watch =
            Watch { caller: CallerForm::of(&self.caller), address: AddressForm::of(&self.address), session };
        let mut parts = self.runtime.inner().cluster.stream(node, encode(&watch));
        let mut leader = shard.leader();
        match next_part(&mut parts, &mut leader, node).await {
            Some(Ok(present @ StreamEvent::Stands(_))) => pass(present),
            _ => return false,
        }
        pass(StreamEvent::Overrun);
        let _counted = Counted::on(&self.runtime.inner().parts.metrics.streams_relayed);
        let pump = async {
            while let Some(part) = next_part(&mut parts, &mut leader, node).await {
                // Whatever it was that can not be read, the history has it.
                pass(part.unwrap_or(StreamEvent::Overrun));
            }
        };
        tokio::select! {
            biased;
            () = pump => {}
            () = self.tell(session, Some(node)) => {}
        }
        true
    }

    /// Tells the leader, this node unless another is named, of everybody here and then of what changes, until it does
    /// not hear.
    async fn tell(&self, session: Session, node: Option<NodeId>) {
        let mut first = self.outbox.everything();
        loop {
            let announcement = match first.take() {
                Some(everything) => everything,
                None => self.outbox.next().await,
            };
            let is_heard = match node {
                None => self.runtime.inner().parts.streams.announce(&self.address, session, announcement),
                Some(node) => self.announce(node, session, &announcement).await,
            };
            if !is_heard {
                return;
            }
        }
    }

    async fn announce(&self, node: NodeId, session: Session, announcement: &Announcement) -> bool {
        let announcement = AnnouncementForm::of(announcement);
        let announce = Announce { address: AddressForm::of(&self.address), session, announcement };
        let message = encode(&Message::Announce(announce));
        match self.runtime.inner().cluster.ask(node, message, limits::ANNOUNCED_WITHIN).await {
            Ok(reply) => matches!(decode::<Announced>(&reply), Ok(Announced { is_heard: true })),
            Err(_) => false,
        }
    }
}

/// The next part of a node's stream; none if it has ended, or somebody else is known to lead.
async fn next_part(
    parts: &mut BoxStream<'static, Bytes>,
    leader: &mut watch::Receiver<Option<NodeId>>,
    node: NodeId,
) -> Option<Result<StreamEvent, NotReadable>> {
    loop {
        // Whom nobody is known to have replaced may well lead still.
        if leader.borrow_and_update().is_some_and(|known| known != node) {
            return None;
        }
        tokio::select! {
            biased;
            part = parts.next() => return part.map(|part| part::decode(&part)),
            changed = leader.changed() => changed.ok()?,
        }
    }
}

/// Serves a stream to another node, for as long as this node leads the object's shard and the reader keeps up.
pub(super) fn serve(runtime: Runtime, watch: Watch) -> BoxStream<'static, Bytes> {
    let Some(served) = Served::for_neighbour(runtime, watch) else {
        return futures_util::stream::empty().boxed();
    };
    let stands = part::encode(&StreamEvent::Stands(served.present.clone()));
    let events = futures_util::stream::unfold(served, |mut served| async move {
        let event = served.next().await?;
        Some((part::encode(&event)?, served))
    });
    futures_util::stream::iter(stands).chain(events).boxed()
}

/// Takes in what another node tells of its clients.
pub(super) fn hear(runtime: &Runtime, announce: Announce) -> Announced {
    let (Ok(address), Ok(announcement)) = (announce.address.parse(), announce.announcement.parse()) else {
        return Announced { is_heard: false };
    };
    let streams = &runtime.inner().parts.streams;
    Announced { is_heard: streams.announce(&address, announce.session, announcement) }
}

/// A stream of one of this node's objects, as long as this node leads.
struct Served {
    runtime: Runtime,
    address: ObjectAddress,
    stream: Stream,
    /// Who was present when it was opened.
    present: Arc<[Member]>,
    leader: watch::Receiver<Option<NodeId>>,
    term: Term,
}

impl Served {
    /// None if the object is not to be watched here.
    fn for_neighbour(runtime: Runtime, watch: Watch) -> Option<Self> {
        let address = watch.address.parse().ok()?;
        let caller = watch.caller.into_caller();
        runtime.authorize(&caller, address.tenant(), address.class(), Intent::Read).ok()?;
        Self::open(runtime, address, watch.session)
    }

    /// None if this node does not lead.
    fn open(runtime: Runtime, address: ObjectAddress, session: Session) -> Option<Self> {
        runtime.shard_of(&address).lead().ok()?;
        let (stream, present) = runtime.inner().parts.streams.open(&address, session);
        let shard = runtime.shard_of(&address);
        let leader = shard.leader();
        // Asked after the stream stands: what is committed in this term from here on goes into it.
        let term = shard.lead().ok()?;
        Some(Self { runtime, address, stream, present, leader, term })
    }

    /// The next event; none once it can not be known to be the next. Cancel safe.
    async fn next(&mut self) -> Option<StreamEvent> {
        loop {
            tokio::select! {
                biased;
                event = self.stream.next() => return event,
                changed = self.leader.changed() => {
                    if changed.is_err() || !self.leads() {
                        return None;
                    }
                }
                // A leader that is cut off from the others hears of no successor.
                () = tokio::time::sleep(limits::SERVED_LOOK_EVERY) => {
                    if !self.leads() {
                        return None;
                    }
                }
            }
        }
    }

    fn leads(&self) -> bool {
        self.runtime.shard_of(&self.address).lead() == Ok(self.term)
    }
}
