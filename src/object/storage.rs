//! The committed keys of one object, as a turn reads them.
//!
//! Keys live in two spaces that cannot meet: what clients see, and what a class keeps for itself.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use super::{Key, Value};

/// A view of the committed keys of one object. The runtime has one on RocksDB and its cache,
/// [`MemoryStorage`] is one for tests and models.
pub trait Storage {
    /// The value under a key.
    ///
    /// # Errors
    /// [`StorageError`] if it cannot be read.
    fn get(&self, space: Space, key: &str) -> Result<Option<Stored>, StorageError>;

    /// Entries in the byte order of their keys: those that begin with `prefix` and come after `after`.
    /// At least one if there is one; it stops at either bound of the page, so fewer than
    /// [`Page::entries`] does not mean the end: only none does.
    ///
    /// # Errors
    /// [`StorageError`] if they cannot be read.
    fn scan(
        &self,
        space: Space,
        prefix: &str,
        after: Option<&str>,
        page: Page,
    ) -> Result<Vec<(Key, Stored)>, StorageError>;
}

/// How much one scan gives at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Entries at most.
    pub entries: usize,
    /// Stops after the entry with which keys and values have this many bytes.
    pub bytes: usize,
}

impl Page {
    /// Whether a page that has this much is done.
    #[must_use]
    pub fn is_full(self, entries: usize, bytes: usize) -> bool {
        entries >= self.entries || bytes >= self.bytes
    }
}

/// Who sees a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Space {
    /// Clients: JSON values, in the state, in lists and in updates.
    Public = 0,
    /// The class alone: bytes.
    Private = 1,
}

/// A key with its space.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoredKey {
    /// Who sees it.
    pub space: Space,
    /// The key.
    pub key: Key,
}

/// What lies under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// A JSON value: what the public space has.
    Json(Value),
    /// Bytes of the class's own: what the private space has.
    Binary(Bytes),
}

impl Stored {
    /// The size that counts for the object's bounds, in bytes.
    #[expect(clippy::len_without_is_empty, reason = "the size is what counts")]
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Stored::Json(value) => value.len(),
            Stored::Binary(bytes) => bytes.len(),
        }
    }

    /// The JSON value, if it is one.
    #[must_use]
    pub fn into_json(self) -> Option<Value> {
        match self {
            Stored::Json(value) => Some(value),
            Stored::Binary(_) => None,
        }
    }

    /// The bytes, if they are the class's own.
    #[must_use]
    pub fn into_binary(self) -> Option<Bytes> {
        match self {
            Stored::Binary(bytes) => Some(bytes),
            Stored::Json(_) => None,
        }
    }
}

/// One change of the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// The key has this value now.
    Put {
        /// The key.
        key: StoredKey,
        /// Its value.
        value: Stored,
    },
    /// The key is gone.
    Delete {
        /// The key.
        key: StoredKey,
    },
    /// Every key is gone. Always the first.
    Clear,
}

/// The committed keys could not be read: a disk error or bytes that do not decode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the object's keys cannot be read: {detail}")]
pub struct StorageError {
    /// What went wrong.
    pub detail: String,
}

/// An object's keys in memory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemoryStorage {
    public: BTreeMap<Key, Stored>,
    private: BTreeMap<Key, Stored>,
}

impl MemoryStorage {
    /// Carries out the operations of a commit.
    pub fn apply(&mut self, ops: &[Op]) {
        for op in ops {
            match op {
                Op::Clear => *self = Self::default(),
                Op::Put { key, value } => {
                    self.space_mut(key.space).insert(key.key.clone(), value.clone());
                }
                Op::Delete { key } => {
                    self.space_mut(key.space).remove(&key.key);
                }
            }
        }
    }

    /// Every entry of a space, in key order.
    pub fn entries(&self, space: Space) -> impl Iterator<Item = (&Key, &Stored)> {
        self.space(space).iter()
    }

    fn space(&self, space: Space) -> &BTreeMap<Key, Stored> {
        match space {
            Space::Public => &self.public,
            Space::Private => &self.private,
        }
    }

    fn space_mut(&mut self, space: Space) -> &mut BTreeMap<Key, Stored> {
        match space {
            Space::Public => &mut self.public,
            Space::Private => &mut self.private,
        }
    }
}

impl Storage for MemoryStorage {
    fn get(&self, space: Space, key: &str) -> Result<Option<Stored>, StorageError> {
        Ok(self.space(space).get(key).cloned())
    }

    fn scan(
        &self,
        space: Space,
        prefix: &str,
        after: Option<&str>,
        page: Page,
    ) -> Result<Vec<(Key, Stored)>, StorageError> {
        let mut found = Vec::new();
        let mut bytes = 0;
        for (key, value) in self.space(space).range::<str, _>((scan_start(prefix, after), Bound::Unbounded)) {
            if !key.as_str().starts_with(prefix) || page.is_full(found.len(), bytes) {
                break;
            }
            bytes += key.as_str().len() + value.len();
            found.push((key.clone(), value.clone()));
        }
        Ok(found)
    }
}

/// Where a scan of a prefix begins.
#[must_use]
pub fn scan_start<'a>(prefix: &'a str, after: Option<&'a str>) -> Bound<&'a str> {
    match after {
        Some(after) if after >= prefix => Bound::Excluded(after),
        _ => Bound::Included(prefix),
    }
}
