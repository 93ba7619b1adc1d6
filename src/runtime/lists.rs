//! Lists of the objects of a class: gathered over all shards, in the byte order of names.
//!
//! Each shard is asked after its read barrier, so a list shows every object acknowledged before it
//! began; it is not a snapshot. Only the meta of each object is read: its keys are stepped over.

use std::sync::Arc;

use stead_cluster::{Reader, ShardId, Space};

use super::handle::Intent;
use super::storage::unreadable;
use super::{ListQuery, ObjectPage, ObjectSummary, Runtime, cursor, failure};
use crate::caller::Caller;
use crate::error::{Code, Error};
use crate::object::{ClassName, ObjectAddress, ObjectName, StorageError, Tenant, codec, keys};

impl Runtime {
    /// One page of the objects of a class.
    ///
    /// # Errors
    ///
    /// `class_not_found`, `invalid_request` for a cursor that is none, `unavailable`.
    pub async fn list(
        &self,
        caller: &Caller,
        class: &ClassName,
        query: ListQuery,
    ) -> Result<ObjectPage, Error> {
        let tenant = Tenant::try_from(caller.tenant.clone())
            .map_err(|error| Error::new(Code::Forbidden, error.to_string()))?;
        self.authorize(caller, &tenant, class, Intent::Read)?;
        let after = query.cursor.as_deref().map(cursor::decode).transpose()?;
        let mut objects = self.gather(caller, class, &query, after).await?;
        let has_more = objects.len() > query.limit;
        objects.truncate(query.limit);
        let cursor = objects.last().filter(|_| has_more).map(|last| cursor::encode(&last.name));
        Ok(ObjectPage { objects, cursor })
    }

    /// The first objects of a class in shards that this node leads, in the byte order of names. A shard that it does
    /// not lead any more is given back.
    pub(super) async fn list_here(
        &self,
        shards: &[ShardId],
        tenant: Tenant,
        class: ClassName,
        part: ListPart,
    ) -> Result<(Vec<ObjectSummary>, Vec<ShardId>), Error> {
        let (mut readers, mut not_led, mut read) = (Vec::new(), Vec::new(), Vec::new());
        for id in shards {
            let shard = self.inner().cluster.shard(*id);
            let is_written = match shard.lead() {
                Ok(_) => shard.wait_written(shard.applied()).await.is_ok(),
                Err(_) => false,
            };
            if is_written {
                readers.push(shard.reader());
                read.push(shard);
            } else {
                not_led.push(*id);
            }
        }
        let page = self.inner().tasks.spawn_blocking(move || gather(readers, &tenant, &class, &part));
        let page = page.await.map_err(|_| Error::new(Code::Internal, "the list could not be gathered"))?;
        let rows = page.map_err(|error| failure::unreadable(&error))?;
        // Asked again after the read: the process may have been paused since, and led no longer.
        if read.iter().any(|shard| shard.lead().is_err()) {
            return Ok((Vec::new(), shards.to_vec()));
        }
        Ok((rows, not_led))
    }
}

/// Which part of a list is wanted.
#[derive(Debug, Clone)]
pub(super) struct ListPart {
    pub(super) prefix: String,
    pub(super) after: Option<String>,
    /// At most so many rows.
    pub(super) rows: usize,
}

/// Merges the shards' lists; each is in order already.
fn gather(
    readers: Vec<Reader>,
    tenant: &Tenant,
    class: &ClassName,
    part: &ListPart,
) -> Result<Vec<ObjectSummary>, StorageError> {
    let mut shards = Vec::with_capacity(readers.len());
    for reader in readers {
        let mut objects = Objects::begin(&reader, tenant, class, &part.prefix, part.after.as_deref())?;
        let head = objects.next()?;
        shards.push((head, objects));
    }
    let mut objects: Vec<ObjectSummary> = Vec::new();
    loop {
        let named = shards.iter_mut().filter(|(head, _)| head.is_some());
        let Some((head, rest)) = named.min_by(|(a, _), (b, _)| name_of(a.as_ref()).cmp(&name_of(b.as_ref())))
        else {
            return Ok(objects);
        };
        if objects.len() == part.rows {
            return Ok(objects);
        }
        objects.extend(std::mem::replace(head, rest.next()?));
    }
}

pub(super) fn name_of(head: Option<&ObjectSummary>) -> Option<&str> {
    head.map(|object| &*object.name)
}

/// The objects of a class in one shard, in the byte order of names.
struct Objects {
    scan: stead_cluster::Scan,
}

impl Objects {
    fn begin(
        reader: &Reader,
        tenant: &Tenant,
        class: &ClassName,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Self, StorageError> {
        let mut range = keys::class_range(tenant, class, prefix);
        if let Some(after) = after {
            let last = ObjectName::parse(after).map_err(unreadable)?;
            let last = ObjectAddress::new(tenant.clone(), class.clone(), last);
            range.start = range.start.max(keys::object_end(&last));
        }
        Ok(Self { scan: reader.scan(Space::State, range) })
    }

    fn next(&mut self) -> Result<Option<ObjectSummary>, StorageError> {
        while let Some(row) = self.scan.next() {
            let (key, value) = row.map_err(unreadable)?;
            let (address, place) = keys::decode(&key).map_err(unreadable)?;
            // The meta of an object is its first key; the rest of them is stepped over.
            self.scan.seek(&keys::object_end(&address));
            if place != keys::Place::Meta {
                continue;
            }
            let meta = codec::decode_meta(&value).map_err(unreadable)?;
            let name: Arc<str> = address.name().clone().into();
            if meta.exists {
                return Ok(Some(ObjectSummary { name, version: meta.version, updated_at: meta.updated_at }));
            }
        }
        Ok(None)
    }
}
