//! A list gathered from the leaders of all shards, wherever they are.
//!
//! Each node is asked once for all the shards it leads, and gives the first rows of them merged, one more than the
//! page has. A shard whose leader has moved is asked for again, within the caller's deadline.

use std::collections::BTreeMap;
use std::time::Instant;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use stead_cluster::{NodeId, ShardId};

use super::forward::{Message, pause};
use super::lists::ListPart;
use super::wire::{CallerForm, ErrorForm, NotReadable, decode, encode};
use super::{ListQuery, ObjectSummary, Runtime, failure};
use crate::caller::Caller;
use crate::error::{Code, Error};
use crate::limits;
use crate::object::{ClassName, Tenant, Timestamp, Version};

/// A part of a list, asked of another node.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ListForm {
    pub(super) caller: CallerForm,
    pub(super) class: String,
    prefix: String,
    after: Option<String>,
    rows: usize,
    pub(super) shards: Vec<u16>,
}

impl ListForm {
    pub(super) fn part(&self) -> ListPart {
        let rows = self.rows.min(limits::GATHER_ROWS_MAX);
        ListPart { prefix: self.prefix.clone(), after: self.after.clone(), rows }
    }
}

/// What the other node found: rows in order, and the shards that it does not lead.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ListReply {
    Rows { rows: Vec<(String, Version, u64)>, not_led: Vec<u16> },
    Error(ErrorForm),
}

type Found = Result<(Vec<ObjectSummary>, Vec<ShardId>), Error>;

impl Runtime {
    /// The first rows of a list over all shards: one more than the page has, if there are so many.
    pub(super) async fn gather(
        &self,
        caller: &Caller,
        class: &ClassName,
        query: &ListQuery,
        after: Option<String>,
    ) -> Result<Vec<ObjectSummary>, Error> {
        let part = ListPart { prefix: query.prefix.clone(), after, rows: query.limit + 1 };
        let mut missing: Vec<ShardId> =
            self.inner().cluster.shards().iter().map(stead_cluster::Shard::id).collect();
        let (mut rows, mut tries) = (Vec::new(), 0);
        while let Some(first) = missing.first().copied() {
            if tries > 0 {
                if caller.deadline <= Instant::now() {
                    let count = missing.len();
                    let detail = format!("{count} shards have no leader that answers; try again");
                    return Err(Error::new(Code::Unavailable, detail));
                }
                let shard = self.inner().cluster.shard(first);
                pause(shard, tries, limits::RETRY_PAUSE_MAX, caller.deadline).await;
            }
            let asked = self.by_leader(&missing, tries)?;
            missing.retain(|shard| !asked.values().flatten().any(|asked| asked == shard));
            let found =
                asked.into_iter().map(|(node, shards)| self.list_at(node, shards, caller, class, &part));
            for found in join_all(found).await {
                let (found, not_led) = found?;
                rows.extend(found);
                missing.extend(not_led);
            }
            tries += 1;
        }
        rows.sort_unstable_by(|one: &ObjectSummary, other| one.name.cmp(&other.name));
        rows.truncate(part.rows);
        Ok(rows)
    }

    /// Which node to ask about which shards; those without a known leader are in none.
    fn by_leader(&self, shards: &[ShardId], tries: u32) -> Result<BTreeMap<NodeId, Vec<ShardId>>, Error> {
        let mut asked: BTreeMap<NodeId, Vec<ShardId>> = BTreeMap::new();
        for id in shards {
            let shard = self.inner().cluster.shard(*id);
            let node = match shard.lead() {
                Ok(_) => Some(self.inner().cluster.node_id()),
                Err(refused) => {
                    let node = self.leader_of(shard, tries);
                    if node.is_none() && refused.stopped.is_some() {
                        return Err(failure::not_leading(&refused));
                    }
                    node
                }
            };
            if let Some(node) = node {
                asked.entry(node).or_default().push(*id);
            }
        }
        Ok(asked)
    }

    async fn list_at(
        &self,
        node: NodeId,
        shards: Vec<ShardId>,
        caller: &Caller,
        class: &ClassName,
        part: &ListPart,
    ) -> Found {
        if node == self.inner().cluster.node_id() {
            let tenant = Tenant::try_from(caller.tenant.clone())
                .map_err(|error| Error::new(Code::Forbidden, error.to_string()))?;
            return self.list_here(&shards, tenant, class.clone(), part.clone()).await;
        }
        let form = ListForm {
            caller: CallerForm::of(caller),
            class: class.as_str().to_owned(),
            prefix: part.prefix.clone(),
            after: part.after.clone(),
            rows: part.rows,
            shards: shards.iter().map(|shard| shard.0).collect(),
        };
        let Some(first) = shards.first() else { return Ok((Vec::new(), shards)) };
        let (first, message) = (self.inner().cluster.shard(*first), encode(&Message::List(form)));
        let asked = self.ask_leader(node, first, message, caller.deadline).await;
        // Reading changes nothing, so whatever went wrong on the way is no more than a leader not found.
        let Ok(reply) = asked else { return Ok((Vec::new(), shards)) };
        match decode::<ListReply>(&reply) {
            Ok(ListReply::Rows { rows, not_led }) => {
                let rows = rows.into_iter().map(|(name, version, updated_at_ms)| ObjectSummary {
                    name: name.into(),
                    version,
                    updated_at: Timestamp(updated_at_ms),
                });
                Ok((rows.collect(), not_led.into_iter().map(ShardId).collect()))
            }
            Ok(ListReply::Error(error)) => Err(error.into_error()),
            Err(NotReadable) => Err(Error::new(Code::Internal, NotReadable.to_string())),
        }
    }
}
