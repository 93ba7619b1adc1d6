//! An object's updates from wherever it is led: a stream that follows the leader.
//!
//! A gateway's stream is fed by this node while it leads the object's shard, and else by a stream of the node that
//! does. Whenever the leader changes, or the way to it breaks, the stream is opened anew at the new one, and once
//! it stands there the gateway is told that something may be missing: it reads that from the object's history.
//! So no update is lost between two leaders, and whoever watches notices nothing but a short silence.

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
use super::forward::pause;
use super::handle::Intent;
use super::streams::{Feed, Stream, StreamEvent};
use super::wire::{AddressForm, CallerForm, encode};
use crate::caller::Caller;
use crate::limits;
use crate::object::{ObjectAddress, Update};
use crate::telemetry::Metrics;
use part::Part;

/// A stream asked of another node.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Watch {
    caller: CallerForm,
    address: AddressForm,
}

/// Feeds a gateway's stream for as long as somebody reads it. `led` is the term, if any, in which this node led the
/// shard when the stream was opened: in that term its own turns feed the stream, and nothing is missing from it.
pub(super) async fn follow(
    runtime: Runtime,
    caller: Caller,
    address: ObjectAddress,
    feed: Feed,
    led: Option<Term>,
) {
    tokio::select! {
        biased;
        () = feed.ended() => {}
        () = runtime.inner().stopping.cancelled() => {}
        () = follow_leader(&runtime, &caller, &address, &feed, led) => {}
    }
}

async fn follow_leader(
    runtime: &Runtime,
    caller: &Caller,
    address: &ObjectAddress,
    feed: &Feed,
    mut led: Option<Term>,
) {
    let shard = runtime.shard_of(address);
    let mut leader = shard.leader();
    let mut tries = 0_u32;
    loop {
        leader.borrow_and_update();
        if let Ok(term) = shard.lead() {
            // Whatever was committed under another term may be missing, also if this node led then and leads again.
            if led.replace(term) != Some(term) {
                feed.send(StreamEvent::Overrun);
            }
            while shard.lead() == Ok(term) {
                if leader.changed().await.is_err() {
                    return;
                }
            }
            tries = 0;
        } else if let Some(node) = runtime.leader_of(shard, tries)
            && relay(runtime, caller, address, feed, (shard, node)).await
        {
            tries = 0;
        }
        tries = tries.saturating_add(1);
        let until = Instant::now() + limits::RELAY_PAUSE_MAX;
        pause(shard, tries, limits::RELAY_PAUSE_MAX, until).await;
    }
}

/// Feeds the stream from another node, until that ends or leads no more. Whether it ever stood.
async fn relay(
    runtime: &Runtime,
    caller: &Caller,
    address: &ObjectAddress,
    feed: &Feed,
    (shard, node): (&Shard, NodeId),
) -> bool {
    let watch = Watch { caller: CallerForm::of(caller), address: AddressForm::of(address) };
    let mut parts = runtime.inner().cluster.stream(node, encode(&watch));
    let mut leader = shard.leader();
    let metrics = &runtime.inner().parts.metrics;
    let mut stands: Option<Counted<'_>> = None;
    loop {
        // Whom nobody is known to have replaced may well lead still.
        if leader.borrow_and_update().is_some_and(|known| known != node) {
            break;
        }
        let part = tokio::select! {
            biased;
            part = parts.next() => part,
            changed = leader.changed() => match changed {
                Ok(()) => continue,
                Err(_) => None,
            },
        };
        let Some(part) = part else { break };
        match Part::decode(&part) {
            Some(Part::Stands) => {
                stands.get_or_insert_with(|| Counted::among(metrics));
                feed.send(StreamEvent::Overrun);
            }
            Some(Part::Update(update)) => feed.send(StreamEvent::Update(update)),
            // Whatever it was, the history has it.
            None => feed.send(StreamEvent::Overrun),
        }
    }
    stands.is_some()
}

/// One of the streams relayed, for as long as it stands: it ends by being dropped when the last subscriber leaves.
struct Counted<'a>(&'a Metrics);

impl<'a> Counted<'a> {
    fn among(metrics: &'a Metrics) -> Self {
        metrics.streams_relayed.inc();
        Self(metrics)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.streams_relayed.dec();
    }
}

/// Serves a stream to another node, for as long as this node leads the object's shard and the reader keeps up.
pub(super) fn serve(runtime: Runtime, watch: &Watch) -> BoxStream<'static, Bytes> {
    let Some(served) = Served::open(runtime, watch) else { return futures_util::stream::empty().boxed() };
    let stands = futures_util::stream::once(async { Part::Stands.encode() });
    let updates = futures_util::stream::unfold(served, |mut served| async move {
        let update = served.next().await?;
        Some((Part::Update(update).encode(), served))
    });
    stands.chain(updates).boxed()
}

/// A stream that another node reads.
struct Served {
    runtime: Runtime,
    address: ObjectAddress,
    stream: Stream,
    leader: watch::Receiver<Option<NodeId>>,
    term: Term,
}

impl Served {
    /// None if the object is not to be watched here.
    fn open(runtime: Runtime, watch: &Watch) -> Option<Self> {
        let address = watch.address.parse().ok()?;
        let caller = watch.caller.clone().into_caller();
        runtime.authorize(&caller, address.tenant(), address.class(), Intent::Read).ok()?;
        let (_, stream) = runtime.inner().parts.streams.open(&address);
        let shard = runtime.shard_of(&address);
        let leader = shard.leader();
        // Asked after the stream stands: what is committed in this term from here on goes into it.
        let term = shard.lead().ok()?;
        Some(Self { runtime, address, stream, leader, term })
    }

    /// The next update; none once it can not be known to be the next.
    async fn next(&mut self) -> Option<Arc<Update>> {
        loop {
            tokio::select! {
                biased;
                event = self.stream.next() => match event {
                    Some(StreamEvent::Update(update)) => return Some(update),
                    // What was lost here is lost to the reader too: it opens another stream and reads the history.
                    Some(StreamEvent::Overrun) | None => return None,
                },
                changed = self.leader.changed() => {
                    if changed.is_err() || self.runtime.shard_of(&self.address).lead() != Ok(self.term) {
                        return None;
                    }
                }
                // A leader that is cut off from the others hears of no successor.
                () = tokio::time::sleep(limits::SERVED_LOOK_EVERY) => {
                    if self.runtime.shard_of(&self.address).lead() != Ok(self.term) {
                        return None;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Counted;
    use crate::telemetry::Metrics;

    #[test]
    fn a_dropped_relay_is_counted_no_more() {
        let metrics = Metrics::new();
        let counted = Counted::among(&metrics);
        assert_eq!(metrics.streams_relayed.get(), 1);
        drop(counted);
        assert_eq!(metrics.streams_relayed.get(), 0);
    }
}
