//! An object's updates from wherever it is led: a stream that follows the leader.
//!
//! A gateway's stream is fed by this node while it leads the object's shard, and else by a stream of the node that
//! does. Whenever the leader changes, or the way to it breaks, the stream is opened anew at the new one, and once
//! it stands there the gateway is told that something may be missing: it reads that from the object's history.
//! So no update is lost between two leaders, and whoever watches notices nothing but a short silence.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};
use stead_cluster::{NodeId, Shard};

use super::Runtime;
use super::forward::pause;
use super::handle::Intent;
use super::streams::{Feed, Stream, StreamEvent};
use super::wire::{AddressForm, CallerForm, encode};
use crate::caller::Caller;
use crate::object::{ObjectAddress, Update};

/// What is sent first on a stream between nodes: it stands, and every update from now on will follow.
const STANDS: &[u8] = b"";

/// A stream asked of another node.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Watch {
    caller: CallerForm,
    address: AddressForm,
}

/// Feeds a gateway's stream for as long as somebody reads it.
pub(super) async fn follow(runtime: Runtime, caller: Caller, address: ObjectAddress, feed: Feed) {
    tokio::select! {
        biased;
        () = feed.ended() => {}
        () = runtime.inner().stopping.cancelled() => {}
        () = follow_leader(&runtime, &caller, &address, &feed) => {}
    }
}

async fn follow_leader(runtime: &Runtime, caller: &Caller, address: &ObjectAddress, feed: &Feed) {
    let shard = runtime.shard_of(address);
    let mut leader = shard.leader();
    let mut tries = 0_u32;
    let mut is_first = true;
    loop {
        leader.borrow_and_update();
        if shard.lead().is_ok() {
            // The turns of this node publish to the feed by themselves. At the first time the subscriber has not
            // read anything yet, so nothing can be missing.
            if !is_first {
                feed.send(StreamEvent::Overrun);
            }
            while shard.lead().is_ok() {
                if leader.changed().await.is_err() {
                    return;
                }
            }
        } else if let Some(node) = runtime.leader_of(shard, tries)
            && relay(runtime, caller, address, feed, (shard, node)).await
        {
            tries = 0;
        }
        is_first = false;
        tries = tries.saturating_add(1);
        let until = std::time::Instant::now() + Duration::from_secs(1);
        pause(shard, tries, until).await;
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
    let relayed = &runtime.inner().parts.metrics.streams_relayed;
    let mut stands = false;
    loop {
        let part = tokio::select! {
            biased;
            part = parts.next() => part,
            changed = leader.changed() => {
                let known = *leader.borrow_and_update();
                if changed.is_ok() && known.is_none_or(|known| known == node) {
                    continue;
                }
                None
            }
        };
        match part {
            Some(part) if part.as_ref() == STANDS => {
                stands = true;
                relayed.inc();
                feed.send(StreamEvent::Overrun);
            }
            Some(part) => match std::str::from_utf8(&part).ok().and_then(|text| Update::parse(text).ok()) {
                Some(update) => feed.send(StreamEvent::Update(Arc::new(update))),
                // Whatever it was, the history has it.
                None => feed.send(StreamEvent::Overrun),
            },
            None => break,
        }
    }
    if stands {
        relayed.dec();
    }
    stands
}

/// Serves a stream to another node, for as long as this node leads the object's shard and the reader keeps up.
pub(super) fn serve(runtime: Runtime, watch: Watch) -> BoxStream<'static, Bytes> {
    let opened = open(&runtime, watch);
    let Some((address, stream)) = opened else { return futures_util::stream::empty().boxed() };
    let leader = runtime.shard_of(&address).leader();
    let stands = futures_util::stream::once(async { Bytes::from_static(STANDS) });
    let state = (runtime, address, stream, leader);
    let updates =
        futures_util::stream::unfold(state, |(runtime, address, mut stream, mut leader)| async move {
            loop {
                let event = tokio::select! {
                    biased;
                    event = stream.next() => event,
                    changed = leader.changed() => {
                        if changed.is_ok() && runtime.shard_of(&address).lead().is_ok() {
                            continue;
                        }
                        None
                    }
                };
                // What was lost here is lost to the reader too: it opens another stream and reads the history.
                let Some(StreamEvent::Update(update)) = event else { return None };
                let part = Bytes::from(update.to_json_text());
                return Some((part, (runtime, address, stream, leader)));
            }
        });
    stands.chain(updates).boxed()
}

fn open(runtime: &Runtime, watch: Watch) -> Option<(ObjectAddress, Stream)> {
    let address = watch.address.parse().ok()?;
    let caller = watch.caller.into_caller();
    runtime.authorize(&caller, address.tenant(), address.class(), Intent::Read).ok()?;
    let (_, stream) = runtime.inner().parts.streams.open(&address);
    // Asked after the stream stands: a leader from here on publishes to it.
    runtime.shard_of(&address).lead().ok()?;
    Some((address, stream))
}
