//! Commits of a log, of which those of one class become updates.

use std::sync::Arc;

use stead_cluster::Page;

use super::{Logged, Part};
use crate::object::codec::CodecError;
use crate::object::{ClassName, ObjectAddress, Tenant, Update, codec, keys};

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
            for (nth, command) in (1..).zip(entry.commands()) {
                if let Some((address, update)) = self.read(command)? {
                    updates.push(Logged { index: entry.index, nth, address, update: Arc::new(update) });
                }
            }
        }
        Ok(Part { shard, is_lost: false, updates, reached: page.reached })
    }

    /// The update of a commit, if it is one of the class.
    fn read(&self, commit: &[u8]) -> Result<Option<(ObjectAddress, Update)>, CodecError> {
        // Most commits are of other classes: of those, nothing but the address is looked at.
        if !codec::read_commit_object(commit)?.starts_with(&self.start) {
            return Ok(None);
        }
        let commit = codec::decode_commit(commit)?;
        Ok(Update::from_commit(&commit).map(|update| (commit.address, update)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{ObjectAddress, Version, samples};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_commit_is_of_its_class_and_of_no_other(mut commit in samples::commit()) {
            let selection = |tenant: &str, class: &str| {
                Selection::new(Tenant::parse(tenant).unwrap(), ClassName::parse(class).unwrap())
            };
            commit.address = ObjectAddress::parse("default", "counter", "a").unwrap();
            (commit.base.version, commit.meta.version) = (Version(1), Version(2));
            let bytes = codec::encode_commit(&commit);
            let logged = |selection: &Selection| selection.read(&bytes);
            let found = logged(&selection("default", "counter")).unwrap().expect("it is of the class");
            prop_assert_eq!(&found.0, &commit.address);
            prop_assert_eq!(Some(found.1), Update::from_commit(&commit));
            for (tenant, class) in [("default", "count"), ("default", "counter-2"), ("other", "counter"), ("defaul", "counter")] {
                prop_assert_eq!(logged(&selection(tenant, class)), Ok(None));
            }
            // What changes no version is no update.
            commit.meta.version = Version(1);
            let bytes = codec::encode_commit(&commit);
            prop_assert_eq!(selection("default", "counter").read(&bytes), Ok(None));
        }
    }
}
