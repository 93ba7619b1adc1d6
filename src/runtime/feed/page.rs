//! Commits of a log, of which those of one class become updates.

use std::sync::Arc;

use stead_cluster::{AppliedEntry, Page};

use super::{Logged, Part};
use crate::object::codec::CodecError;
use crate::object::{ClassName, Tenant, Update, codec, keys};

/// What of a log is of a feed: the objects of one class of one tenant.
#[derive(Debug)]
pub(super) struct Selection {
    tenant: Tenant,
    class: ClassName,
    /// What the keys of its objects begin with. No address of another class begins so.
    start: Vec<u8>,
}

impl Selection {
    pub(super) fn new(tenant: Tenant, class: ClassName) -> Self {
        let start = keys::class_range(&tenant, &class, "").start;
        Self { tenant, class, start }
    }

    pub(super) fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    pub(super) fn class(&self) -> &ClassName {
        &self.class
    }

    /// The part that a page of a shard's log is.
    pub(super) fn part(&self, shard: usize, page: &Page) -> Result<Part, CodecError> {
        let mut updates = Vec::new();
        for entry in &page.entries {
            self.read(entry, &mut updates)?;
        }
        Ok(Part { shard, is_lost: false, updates, reached: page.reached })
    }

    fn read(&self, entry: &AppliedEntry, updates: &mut Vec<Logged>) -> Result<(), CodecError> {
        for (nth, command) in (1..).zip(entry.commands()) {
            // Most commits are of other classes: of those, nothing but the address is looked at.
            if !codec::read_commit_object(command)?.starts_with(&self.start) {
                continue;
            }
            let commit = codec::decode_commit(command)?;
            if let Some(update) = Update::from_commit(&commit) {
                let (index, address) = (entry.index, commit.address);
                updates.push(Logged { index, nth, address, update: Arc::new(update) });
            }
        }
        Ok(())
    }
}
