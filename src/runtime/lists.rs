//! Lists of the objects of a class: gathered over all shards, in the byte order of names.
//!
//! Each shard is asked after its read barrier, so a list shows every object acknowledged before it
//! began; it is not a snapshot. Only the meta of each object is read: its keys are stepped over.

use std::sync::Arc;

use stead_cluster::{Reader, Space};

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
        let mut readers = Vec::new();
        for shard in self.inner().cluster.shards() {
            self.leading(shard, caller.deadline).await?;
            let applied = shard.applied();
            shard.wait_written(applied).await.map_err(|_| {
                Error::new(Code::Unavailable, "a shard has stopped on this node; see /health")
            })?;
            readers.push(shard.reader());
        }
        let class = class.clone();
        let page = self.inner().tasks.spawn_blocking(move || gather(readers, &tenant, &class, &query, after));
        let page = page.await.map_err(|_| Error::new(Code::Internal, "the list could not be gathered"))?;
        page.map_err(|error| failure::unreadable(&error))
    }
}

/// Merges the shards' lists; each is in order already.
fn gather(
    readers: Vec<Reader>,
    tenant: &Tenant,
    class: &ClassName,
    query: &ListQuery,
    after: Option<String>,
) -> Result<ObjectPage, StorageError> {
    let mut shards = Vec::with_capacity(readers.len());
    for reader in readers {
        let mut objects = Objects::begin(&reader, tenant, class, &query.prefix, after.as_deref())?;
        let head = objects.next()?;
        shards.push((head, objects));
    }
    let mut objects: Vec<ObjectSummary> = Vec::new();
    loop {
        let named = shards.iter_mut().filter(|(head, _)| head.is_some());
        let Some((head, rest)) = named.min_by(|(a, _), (b, _)| name_of(a.as_ref()).cmp(&name_of(b.as_ref())))
        else {
            return Ok(ObjectPage { objects, cursor: None });
        };
        if objects.len() == query.limit {
            let cursor = objects.last().map(|last| cursor::encode(&last.name));
            return Ok(ObjectPage { objects, cursor });
        }
        objects.extend(std::mem::replace(head, rest.next()?));
    }
}

fn name_of(head: Option<&ObjectSummary>) -> Option<&str> {
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
