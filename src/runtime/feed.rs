//! Class feeds: the updates of all objects of a class of a tenant, read from the shards' logs.
//!
//! A commit's update can be made from the commit, and every commit is in a log, so a feed costs a write nothing and
//! needs no history of its own: whoever comes back says up to which index of each log it has seen everything. Indices
//! are the same on every replica, so any leader goes on where another one stopped.
//!
//! - [`Feed`]: the right to read one. [`Feed::follow`] follows all shards from now on; [`Feed::read`] (`read`) reads
//!   what lies between two indices of one shard.
//! - `page`: commits of a log, of which those of the class become updates. `tail`: one shard's, on the node that leads
//!   it, as they are applied. `follow`: the same on any node, from whoever leads. `wire`: both between nodes.
//!
//! Within a shard updates come in the order of its log, so each object's versions in theirs; between shards there is
//! no order. Only what is applied is given, so what comes is true whoever leads.

mod follow;
mod page;
mod read;
mod tail;
mod wire;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use stead_cluster::{LogIndex, ShardId};
use tokio::sync::mpsc;

use self::page::Selection;
use self::tail::Tail;
use self::wire::{FeedForm, PartForm};
pub(super) use self::wire::{PageForm, StreamForm};
use super::Runtime;
use super::handle::Intent;
use super::wire::encode;
use crate::caller::Caller;
use crate::error::{Code, Error};
use crate::limits;
use crate::object::{ClassName, ObjectAddress, Tenant, Update};

/// The right to read the feed of one class. Cheap to clone.
#[derive(Clone)]
pub struct Feed {
    runtime: Runtime,
    caller: Caller,
    selection: Arc<Selection>,
}

/// An update, and where in its shard's log it is from.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged {
    /// The index of the entry.
    pub index: LogIndex,
    /// Which command of the entry it is from, counted from 1.
    pub nth: u32,
    /// The object.
    pub address: ObjectAddress,
    /// What happened to it.
    pub update: Arc<Update>,
}

/// A part of a feed, from one shard. Parts end where an entry ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The shard's number.
    pub shard: usize,
    /// The log did not reach back far enough: what happened up to `reached` is not known, and no update is here.
    pub is_lost: bool,
    /// The updates, in the order of the log.
    pub updates: Vec<Logged>,
    /// The index up to which everything is known now.
    pub reached: LogIndex,
}

/// The parts of all shards as they come, in order within each. Dropping it ends it.
pub struct Following(mpsc::Receiver<Part>);

impl Following {
    /// The next part; the first of each shard says where it begins. None once the node stops. Cancel safe.
    pub async fn next(&mut self) -> Option<Part> {
        self.0.recv().await
    }
}

impl Feed {
    /// The cluster's identity: an index means something in the logs of this cluster only.
    #[must_use]
    pub fn cluster(&self) -> [u8; 16] {
        self.runtime.inner().cluster.id().0
    }

    /// How many shards there are, each with a log of its own.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.runtime.inner().cluster.shards().len()
    }

    /// Follows all shards from now on, wherever they are led and go on to be led.
    #[must_use]
    pub fn follow(&self) -> Following {
        let (sender, parts) = mpsc::channel(limits::FEED_PARTS_WAITING);
        let inner = self.runtime.inner();
        for shard in inner.cluster.shards() {
            inner.tasks.spawn(follow::follow(self.clone(), shard.id(), sender.clone()));
        }
        Following(parts)
    }

    fn form(&self, shard: ShardId, after: Option<LogIndex>) -> FeedForm {
        FeedForm::of(&self.caller, self.selection.class(), shard, after)
    }
}

impl Runtime {
    /// The feed of a class.
    ///
    /// # Errors
    ///
    /// When the caller may not read the class's objects, or there is no such class.
    pub fn feed(&self, caller: &Caller, class: &ClassName) -> Result<Feed, Error> {
        let tenant = Tenant::try_from(caller.tenant.clone())
            .map_err(|error| Error::new(Code::Forbidden, error.to_string()))?;
        self.authorize(caller, &tenant, class, Intent::Read)?;
        let selection = Arc::new(Selection::new(tenant, class.clone()));
        Ok(Feed { runtime: self.clone(), caller: caller.clone(), selection })
    }

    /// What another node asks for, if it may have it and there is such a shard.
    fn asked(&self, form: FeedForm) -> Result<(Feed, ShardId), Error> {
        let invalid = |error: &dyn std::fmt::Display| Error::new(Code::InvalidRequest, error.to_string());
        let class = ClassName::parse(&form.class).map_err(|error| invalid(&error))?;
        let feed = self.feed(&form.caller.into_caller(), &class)?;
        if usize::from(form.shard) >= feed.shards() {
            return Err(invalid(&"there is no such shard"));
        }
        Ok((feed, ShardId(form.shard)))
    }
}

/// Serves a feed of one shard to another node, for as long as this node leads the shard and the reader keeps up.
pub(super) fn serve(runtime: &Runtime, form: FeedForm) -> BoxStream<'static, Bytes> {
    let after = form.after;
    let tail = runtime.asked(form).ok().and_then(|(feed, shard)| {
        let shard = runtime.inner().cluster.shard(shard).clone();
        Tail::open(shard, feed.selection, after)
    });
    let Some(tail) = tail else { return futures_util::stream::empty().boxed() };
    let parts = futures_util::stream::unfold(tail, |mut tail| async move {
        let part = tail.next().await?;
        Some((encode(&PartForm::of(&part)), tail))
    });
    parts.boxed()
}
