//! A feed of one shard from wherever it is led: it follows the leader, and goes on at the next one from the last index.

use std::time::Instant;

use futures_util::StreamExt;
use stead_cluster::{LogIndex, NodeId, Shard, ShardId};
use tokio::sync::mpsc;

use super::wire::{PartForm, StreamForm};
use super::{Feed, Part, Tail};
use crate::limits;
use crate::runtime::forward::pause;
use crate::runtime::wire::{decode, encode};
use crate::telemetry::Counted;

/// Follows one shard for as long as somebody reads its parts.
pub(super) async fn follow(feed: Feed, shard: ShardId, parts: mpsc::Sender<Part>) {
    let reader = parts.clone();
    let shard = feed.runtime.inner().cluster.shard(shard).clone();
    let mut follower = Follower { feed: &feed, shard, parts, reached: None };
    tokio::select! {
        biased;
        () = reader.closed() => {}
        () = feed.runtime.inner().stopping.cancelled() => {}
        () = follower.follow_leader() => {}
    }
}

struct Follower<'a> {
    feed: &'a Feed,
    shard: Shard,
    parts: mpsc::Sender<Part>,
    /// Up to where everything was passed on; none before it is known where to begin.
    reached: Option<LogIndex>,
}

impl Follower<'_> {
    async fn follow_leader(&mut self) {
        let mut tries = 0_u32;
        loop {
            let selection = self.feed.selection.clone();
            let stood = match Tail::open(self.shard.clone(), selection, self.reached) {
                Some(mut tail) => {
                    while let Some(part) = tail.next().await {
                        self.pass_on(part).await;
                    }
                    true
                }
                None => match self.feed.runtime.leader_of(&self.shard, tries) {
                    Some(node) => self.relay(node).await,
                    None => false,
                },
            };
            tries = if stood { 1 } else { tries.saturating_add(1) };
            let until = Instant::now() + limits::RELAY_PAUSE_MAX;
            pause(&self.shard, tries, limits::RELAY_PAUSE_MAX, until).await;
        }
    }

    /// Passes on what another node reads, until that ends or leads no more. Whether it ever stood.
    async fn relay(&mut self, node: NodeId) -> bool {
        let inner = self.feed.runtime.inner();
        let request = StreamForm::Feed(self.feed.form(self.shard.id(), self.reached));
        let mut parts = inner.cluster.stream(node, encode(&request));
        let mut leader = self.shard.leader();
        let mut stands: Option<Counted> = None;
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
            // One that can not be read is asked for again, of whoever can say it better.
            let part = part.and_then(|part| decode::<PartForm>(&part).ok());
            let shard = usize::from(self.shard.id().0);
            let Some(part) = part.and_then(|part| part.parse(shard, &self.feed.selection).ok()) else {
                break;
            };
            stands.get_or_insert_with(|| Counted::on(&inner.parts.metrics.feeds_relayed));
            self.pass_on(part).await;
        }
        stands.is_some()
    }

    async fn pass_on(&mut self, part: Part) {
        if part.is_lost {
            self.feed.runtime.inner().parts.metrics.feed_gaps.inc();
        }
        self.reached = self.reached.max(Some(part.reached));
        // Nobody reads any more: this ends too.
        let _ = self.parts.send(part).await;
    }
}
