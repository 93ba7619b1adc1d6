//! What lies between two indices of one shard's log, a page at a time: how who comes back catches up.
//!
//! Whoever has applied that much may answer, so this node's own replica is looked at first, whether it leads or not.
//! Only a leader decides that the log does not reach back far enough: it may keep more than others.

use std::time::Instant;

use stead_cluster::{LogIndex, NodeId, ReplayError, Shard, ShardId};

use super::wire::{PageForm, PageReply, PartForm};
use super::{Feed, Part};
use crate::error::{Code, Error};
use crate::limits;
use crate::runtime::Runtime;
use crate::runtime::forward::{Message, pause};
use crate::runtime::wire::{ErrorForm, decode, encode};

/// What a replica's own log has of a page.
enum Found {
    Part(Part),
    /// The log does not reach back so far, or the replica is not so far yet.
    Absent {
        is_purged: bool,
    },
}

impl Feed {
    /// The updates of one shard behind `after` and up to `until`, which is known to be applied somewhere: some of
    /// them, at least one entry further. A part that is lost says that no log reaches back so far.
    ///
    /// # Errors
    ///
    /// `unavailable` when nobody answers within the deadline.
    pub async fn read(
        &self,
        shard: usize,
        (after, until): (LogIndex, LogIndex),
        deadline: Instant,
    ) -> Result<Part, Error> {
        let id = ShardId(u16::try_from(shard).expect("a shard of the cluster's"));
        let shard = self.runtime.inner().cluster.shard(id);
        let mut tries = 0_u32;
        loop {
            let here = self.read_here(shard, after, until)?;
            let leads = shard.lead().is_ok();
            match here {
                Found::Part(part) => return Ok(part),
                Found::Absent { is_purged: true } if leads => return Ok(lost(id, until)),
                Found::Absent { .. } => {}
            }
            let node = if leads { None } else { self.runtime.leader_of(shard, tries) };
            if let Some(node) = node
                && let Some(part) = self.read_at(node, shard, (after, until), deadline).await?
            {
                return Ok(part);
            }
            if deadline <= Instant::now() {
                let detail = format!("nobody answers for shard {id}; try again");
                return Err(Error::new(Code::Unavailable, detail));
            }
            tries = tries.saturating_add(1);
            pause(shard, tries, limits::RETRY_PAUSE_MAX, deadline).await;
        }
    }

    fn read_here(&self, shard: &Shard, after: LogIndex, until: LogIndex) -> Result<Found, Error> {
        if shard.applied() < until {
            return Ok(Found::Absent { is_purged: false });
        }
        let unreadable = |error: &dyn std::fmt::Display| {
            tracing::error!(shard = %shard.id(), %error, "the log can not be read for a class feed");
            Error::new(Code::Internal, "the shard's log cannot be read; see /health and the server's log")
        };
        let page = match shard.replay(Some(after)).next_page(limits::FEED_PAGE_BYTES) {
            Ok(page) => page,
            Err(ReplayError::Purged) => return Ok(Found::Absent { is_purged: true }),
            Err(ReplayError::Stopped(_)) => return Ok(Found::Absent { is_purged: false }),
            Err(ReplayError::Read(error)) => return Err(unreadable(&error)),
        };
        let part = self.selection.part(usize::from(shard.id().0), &page);
        let mut part = part.map_err(|error| unreadable(&error))?;
        part.updates.retain(|update| update.index <= until);
        part.reached = part.reached.min(until);
        Ok(Found::Part(part))
    }

    async fn read_at(
        &self,
        node: NodeId,
        shard: &Shard,
        (after, until): (LogIndex, LogIndex),
        deadline: Instant,
    ) -> Result<Option<Part>, Error> {
        let id = shard.id();
        let form = PageForm { feed: self.form(id, Some(after)), until };
        let asked = self.runtime.ask_leader(node, shard, encode(&Message::Feed(form)), deadline).await;
        // Reading changes nothing, so whatever went wrong on the way is no more than a leader not found.
        let Some(reply) = asked.ok().and_then(|reply| decode::<PageReply>(&reply).ok()) else {
            return Ok(None);
        };
        match reply {
            PageReply::Part(part) => Ok(part.parse(usize::from(id.0), &self.selection).ok()),
            PageReply::Lost => Ok(Some(lost(id, until))),
            PageReply::Absent => Ok(None),
            PageReply::Error(error) => Err(error.into_error()),
        }
    }
}

impl Runtime {
    /// Answers another node that catches up.
    pub(in crate::runtime) fn answer_feed(&self, form: PageForm) -> PageReply {
        let (after, until) = (form.feed.after.unwrap_or_default(), form.until);
        let found = self.asked(form.feed).and_then(|(feed, shard)| {
            let shard = self.inner().cluster.shard(shard);
            Ok((feed.read_here(shard, after, until)?, shard.lead().is_ok()))
        });
        match found {
            Ok((Found::Part(part), _)) => PageReply::Part(PartForm::of(&part)),
            Ok((Found::Absent { is_purged: true }, true)) => PageReply::Lost,
            Ok((Found::Absent { .. }, _)) => PageReply::Absent,
            Err(error) => PageReply::Error(ErrorForm::of(&error)),
        }
    }
}

fn lost(shard: ShardId, until: LogIndex) -> Part {
    Part { shard: usize::from(shard.0), is_lost: true, updates: Vec::new(), reached: until }
}
