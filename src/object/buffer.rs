//! What a turn has written so far, over the committed keys: reads see writes, and nothing is changed
//! until the buffer has become the operations of a commit.

use std::collections::BTreeMap;

use super::storage::Op;
use super::storage::scan_start;
use super::{Key, Page, Space, Storage, StorageError, Stored, StoredKey};

/// Writes of a turn over the committed keys of its object.
pub struct WriteBuffer<'a> {
    storage: &'a dyn Storage,
    /// Whether the committed keys are gone from this turn's view.
    cleared: bool,
    /// What each written key is now; `None` is a deleted one.
    public: Writes,
    private: Writes,
}

type Writes = BTreeMap<Key, Option<Stored>>;

impl<'a> WriteBuffer<'a> {
    /// An empty buffer over these committed keys.
    #[must_use]
    pub fn new(storage: &'a dyn Storage) -> Self {
        Self { storage, cleared: false, public: Writes::new(), private: Writes::new() }
    }

    /// The value under a key, as the turn sees it.
    ///
    /// # Errors
    /// [`StorageError`] if the committed keys cannot be read.
    pub fn get(&self, space: Space, key: &str) -> Result<Option<Stored>, StorageError> {
        match self.writes(space).get(key) {
            Some(written) => Ok(written.clone()),
            None if self.cleared => Ok(None),
            None => self.storage.get(space, key),
        }
    }

    /// Writes a key; a later write takes the place of an earlier one.
    pub fn put(&mut self, space: Space, key: Key, value: Stored) {
        self.writes_mut(space).insert(key, Some(value));
    }

    /// Deletes a key, which the caller knows to be present.
    pub fn delete(&mut self, space: Space, key: Key) {
        if self.cleared {
            self.writes_mut(space).remove(&key);
        } else {
            self.writes_mut(space).insert(key, None);
        }
    }

    /// Deletes every key of both spaces.
    pub fn clear(&mut self) {
        self.cleared = true;
        self.public.clear();
        self.private.clear();
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        !self.cleared && self.public.is_empty() && self.private.is_empty()
    }

    /// Entries in key order, as the turn sees them: committed and written ones merged. As with
    /// [`Storage::scan`], only an empty page is the end.
    ///
    /// # Errors
    /// [`StorageError`] if the committed keys cannot be read.
    pub fn scan(
        &self,
        space: Space,
        prefix: &str,
        after: Option<&str>,
        page: Page,
    ) -> Result<Vec<(Key, Stored)>, StorageError> {
        if self.is_untouched() {
            return self.storage.scan(space, prefix, after, page);
        }
        let mut merged = Merged { page, bytes: 0, entries: Vec::new() };
        let mut seen: Option<Key> = None;
        loop {
            let after = seen.as_ref().map_or(after, |key| Some(key.as_str()));
            let committed = self.committed(space, prefix, after, page)?;
            let last = committed.last().map(|(key, _)| key.clone());
            let start = scan_start(prefix, after);
            let mut written = self
                .writes(space)
                .range::<str, _>((start, std::ops::Bound::Unbounded))
                .take_while(|(key, _)| key.as_str().starts_with(prefix))
                .take_while(|(key, _)| last.as_ref().is_none_or(|last| *key <= last))
                .peekable();
            for (key, value) in committed {
                while let Some((earlier, write)) = written.next_if(|(next, _)| **next < key) {
                    if merged.push(earlier, write.as_ref()) {
                        return Ok(merged.entries);
                    }
                }
                let full = match written.next_if(|(next, _)| **next == key) {
                    Some((_, write)) => merged.push(&key, write.as_ref()),
                    None => merged.push(&key, Some(&value)),
                };
                if full {
                    return Ok(merged.entries);
                }
            }
            for (key, write) in written {
                if merged.push(key, write.as_ref()) {
                    return Ok(merged.entries);
                }
            }
            if last.is_none() {
                return Ok(merged.entries);
            }
            seen = last;
        }
    }

    fn committed(
        &self,
        space: Space,
        prefix: &str,
        after: Option<&str>,
        page: Page,
    ) -> Result<Vec<(Key, Stored)>, StorageError> {
        if self.cleared { Ok(Vec::new()) } else { self.storage.scan(space, prefix, after, page) }
    }

    /// The operations of the commit: a clear first, then keys in order, the public ones first.
    #[must_use]
    pub fn into_ops(self) -> Vec<Op> {
        let mut ops = Vec::with_capacity(usize::from(self.cleared) + self.public.len() + self.private.len());
        if self.cleared {
            ops.push(Op::Clear);
        }
        for (space, writes) in [(Space::Public, self.public), (Space::Private, self.private)] {
            ops.extend(writes.into_iter().map(|(key, write)| {
                let key = StoredKey { space, key };
                match write {
                    Some(value) => Op::Put { key, value },
                    None => Op::Delete { key },
                }
            }));
        }
        ops
    }

    fn writes(&self, space: Space) -> &Writes {
        match space {
            Space::Public => &self.public,
            Space::Private => &self.private,
        }
    }

    fn writes_mut(&mut self, space: Space) -> &mut Writes {
        match space {
            Space::Public => &mut self.public,
            Space::Private => &mut self.private,
        }
    }
}

/// A page while it is filled.
struct Merged {
    page: Page,
    bytes: usize,
    entries: Vec<(Key, Stored)>,
}

impl Merged {
    /// Adds an entry unless it is a deleted one; says whether the page is full.
    fn push(&mut self, key: &Key, value: Option<&Stored>) -> bool {
        if let Some(value) = value {
            self.bytes += key.as_str().len() + value.len();
            self.entries.push((key.clone(), value.clone()));
        }
        self.page.is_full(self.entries.len(), self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;
    use crate::object::{MemoryStorage, samples};

    /// What a turn does with its buffer: a delete is of a key that is there.
    fn write(buffer: &mut WriteBuffer<'_>, op: &Op) {
        match op {
            Op::Put { key, value } => buffer.put(key.space, key.key.clone(), value.clone()),
            Op::Delete { key } => {
                if buffer.get(key.space, key.key.as_str()).unwrap().is_some() {
                    buffer.delete(key.space, key.key.clone());
                }
            }
            Op::Clear => buffer.clear(),
        }
    }

    /// All entries, page by page.
    fn walk(buffer: &WriteBuffer<'_>, space: Space, prefix: &str, page: Page) -> Vec<(Key, Stored)> {
        let mut all: Vec<(Key, Stored)> = Vec::new();
        loop {
            let after = all.last().map(|(key, _)| key.clone());
            let found = buffer.scan(space, prefix, after.as_ref().map(Key::as_str), page).unwrap();
            assert!(found.len() <= page.entries, "a page has a bound");
            if found.is_empty() {
                return all;
            }
            all.extend(found);
        }
    }

    proptest! {
        /// The committed keys are `before`; the model is the map that has everything done to it.
        #[test]
        fn is_a_map_over_a_map(
            before in vec(samples::op(), 0..24),
            during in vec(samples::op(), 0..24),
            prefix in "[ab]{0,2}",
            entries in 1_usize..5,
            bytes in 1_usize..400,
        ) {
            let mut committed = MemoryStorage::default();
            committed.apply(&before);
            let mut model = committed.clone();
            let mut buffer = WriteBuffer::new(&committed);
            for op in &during {
                write(&mut buffer, op);
                model.apply(std::slice::from_ref(op));
            }
            for space in [Space::Public, Space::Private] {
                let expected: Vec<_> = model
                    .entries(space)
                    .filter(|(key, _)| key.as_str().starts_with(&prefix))
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect();
                for (key, value) in &expected {
                    prop_assert_eq!(buffer.get(space, key.as_str()), Ok(Some(value.clone())));
                }
                prop_assert_eq!(walk(&buffer, space, &prefix, Page { entries, bytes }), expected);
            }
            let ops = buffer.into_ops();
            let mut after = committed.clone();
            after.apply(&ops);
            prop_assert_eq!(&after, &model);
            let written: Vec<_> = ops.iter().filter_map(|op| match op {
                Op::Put { key, .. } | Op::Delete { key } => Some(key),
                Op::Clear => None,
            }).collect();
            prop_assert_eq!(written.is_sorted_by(|one, next| one < next), true, "each key once, in order");
            prop_assert_eq!(ops.iter().skip(1).any(|op| *op == Op::Clear), false, "a clear is the first");
        }
    }

    #[test]
    fn a_put_that_is_deleted_again_is_still_a_change() {
        let committed = MemoryStorage::default();
        let mut buffer = WriteBuffer::new(&committed);
        let key = Key::parse("a").unwrap();
        buffer.put(Space::Public, key.clone(), Stored::Json(crate::object::Value::null()));
        buffer.delete(Space::Public, key.clone());
        assert!(!buffer.is_untouched());
        assert_eq!(buffer.into_ops(), [Op::Delete { key: StoredKey { space: Space::Public, key } }]);
    }
}
