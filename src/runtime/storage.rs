//! An object's keys as its turns see them: the activation's cache, over local RocksDB.
//!
//! What a commit on its way puts is in the cache until it is written, so a turn sees every turn before
//! it. A small object is held whole, and then an absent key needs no look at the disk. What grows
//! beyond [`limits::ACTIVATION_CACHE_MAX_BYTES`] is dropped once everything in it is written.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::Bound;

use stead_cluster::Reader;

use crate::limits;
use crate::object::storage::scan_start;
use crate::object::{Key, ObjectAddress, Op, Page, Space, Storage, StorageError, Stored, codec, keys};

/// The keys of one active object.
pub(crate) struct Keys {
    address: ObjectAddress,
    generation: u32,
    reader: Reader,
    cache: RefCell<Cache>,
}

/// Keys read or written since the cache was empty; `None` is a key that is not there.
#[derive(Default)]
struct Cache {
    public: Entries,
    private: Entries,
    bytes: usize,
    /// Every key of the object is here: what is not, does not exist.
    whole: bool,
}

type Entries = BTreeMap<Key, Option<Stored>>;

impl Keys {
    /// Loads the object's keys if they are few and small, else none: then they come one by one.
    pub(crate) fn load(
        address: ObjectAddress,
        generation: u32,
        reader: Reader,
    ) -> Result<Self, StorageError> {
        let mut cache = Cache { whole: true, ..Cache::default() };
        for space in [Space::Public, Space::Private] {
            for row in rows(
                &reader,
                &address,
                generation,
                space,
                keys::state_prefix_range(&address, generation, space, ""),
            ) {
                let (key, stored) = row?;
                cache.put(space, key, Some(stored));
                if cache.len() > limits::ACTIVATION_LOAD_KEYS
                    || cache.bytes > limits::ACTIVATION_LOAD_MAX_BYTES
                {
                    return Ok(Self { address, generation, reader, cache: RefCell::default() });
                }
            }
        }
        Ok(Self { address, generation, reader, cache: RefCell::new(cache) })
    }

    /// The keys of an object that has none.
    pub(crate) fn none(address: ObjectAddress, generation: u32, reader: Reader) -> Self {
        Self { address, generation, reader, cache: RefCell::new(Cache { whole: true, ..Cache::default() }) }
    }

    /// Takes over what a commit did. `generation` is the one after it.
    pub(crate) fn apply(&mut self, ops: &[Op], generation: u32) {
        let cache = self.cache.get_mut();
        if generation != self.generation {
            self.generation = generation;
            *cache = Cache { whole: true, ..Cache::default() };
        }
        for op in ops {
            match op {
                Op::Put { key, value } => cache.put(key.space, key.key.clone(), Some(value.clone())),
                Op::Delete { key } => cache.put(key.space, key.key.clone(), None),
                Op::Clear => {}
            }
        }
    }

    /// Whether the cache has grown beyond what an activation may hold.
    pub(crate) fn too_large(&self) -> bool {
        self.cache.borrow().bytes > limits::ACTIVATION_CACHE_MAX_BYTES
    }

    /// Drops the cache. Only when everything in it is written.
    pub(crate) fn drop_cache(&mut self) {
        self.cache.replace(Cache::default());
    }
}

impl Storage for Keys {
    fn get(&self, space: Space, key: &str) -> Result<Option<Stored>, StorageError> {
        let mut cache = self.cache.borrow_mut();
        if let Some(known) = cache.entries(space).get(key) {
            return Ok(known.clone());
        }
        if cache.whole {
            return Ok(None);
        }
        let row = keys::state(&self.address, self.generation, space, key);
        let found = self.reader.get(stead_cluster::Space::State, &row).map_err(unreadable)?;
        let stored = found.map(|value| codec::decode_stored(&value)).transpose().map_err(unreadable)?;
        if let Ok(key) = Key::parse(key) {
            cache.put(space, key, stored.clone());
        }
        Ok(stored)
    }

    fn scan(
        &self,
        space: Space,
        prefix: &str,
        after: Option<&str>,
        page: Page,
    ) -> Result<Vec<(Key, Stored)>, StorageError> {
        let cache = self.cache.borrow();
        let cached = cache.entries(space).range::<str, _>((scan_start(prefix, after), Bound::Unbounded));
        let cached = cached
            .take_while(|(key, _)| key.as_str().starts_with(prefix))
            .map(|(key, value)| (key, value.as_ref()));
        if cache.whole {
            let rows = cached.filter_map(|(key, value)| Some(Ok((key.clone(), value?.clone()))));
            return fill(page, rows);
        }
        let mut range = keys::state_prefix_range(&self.address, self.generation, space, prefix);
        if let Bound::Excluded(after) = scan_start(prefix, after) {
            // The smallest key above `after`.
            range.start = keys::state(&self.address, self.generation, space, after);
            range.start.push(0);
        }
        let written = rows(&self.reader, &self.address, self.generation, space, range);
        fill(page, Merged { written: written.peekable(), cached: cached.peekable() })
    }
}

impl Cache {
    fn entries(&self, space: Space) -> &Entries {
        match space {
            Space::Public => &self.public,
            Space::Private => &self.private,
        }
    }

    fn len(&self) -> usize {
        self.public.len() + self.private.len()
    }

    fn put(&mut self, space: Space, key: Key, stored: Option<Stored>) {
        let size =
            |key: &Key, stored: &Option<Stored>| key.as_str().len() + stored.as_ref().map_or(0, Stored::len);
        let entries = match space {
            Space::Public => &mut self.public,
            Space::Private => &mut self.private,
        };
        let added = size(&key, &stored);
        let gone = if self.whole && stored.is_none() {
            entries.remove_entry(&key)
        } else {
            self.bytes += added;
            entries.insert(key.clone(), stored).map(|old| (key, old))
        };
        self.bytes -= gone.map_or(0, |(key, old)| size(&key, &old));
    }
}

/// What is written, with what the cache knows laid over it, in key order.
struct Merged<W: Iterator, C: Iterator> {
    written: Peekable<W>,
    cached: Peekable<C>,
}

impl<'a, W, C> Iterator for Merged<W, C>
where
    W: Iterator<Item = Result<(Key, Stored), StorageError>>,
    C: Iterator<Item = (&'a Key, Option<&'a Stored>)>,
{
    type Item = Result<(Key, Stored), StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((cached, _)) = self.cached.peek() else { return self.written.next() };
            match self.written.peek() {
                Some(Err(_)) => return self.written.next(),
                Some(Ok((written, _))) if written < *cached => return self.written.next(),
                Some(Ok((written, _))) if written == *cached => drop(self.written.next()),
                Some(Ok(_)) | None => {}
            }
            if let Some((key, Some(stored))) = self.cached.next() {
                return Some(Ok((key.clone(), stored.clone())));
            }
        }
    }
}

fn fill(
    page: Page,
    rows: impl Iterator<Item = Result<(Key, Stored), StorageError>>,
) -> Result<Vec<(Key, Stored)>, StorageError> {
    let mut found = Vec::new();
    let mut bytes = 0;
    for row in rows {
        if page.is_full(found.len(), bytes) {
            break;
        }
        let (key, stored) = row?;
        bytes += key.as_str().len() + stored.len();
        found.push((key, stored));
    }
    Ok(found)
}

fn rows(
    reader: &Reader,
    address: &ObjectAddress,
    generation: u32,
    space: Space,
    range: std::ops::Range<Vec<u8>>,
) -> impl Iterator<Item = Result<(Key, Stored), StorageError>> + use<> {
    let prefix = keys::state(address, generation, space, "").len();
    reader.scan(stead_cluster::Space::State, range).map(move |row| {
        let (row, value) = row.map_err(unreadable)?;
        let key = row.get(prefix..).and_then(|key| std::str::from_utf8(key).ok());
        let key = key.and_then(|key| Key::parse(key).ok()).ok_or_else(|| unreadable("a key that is none"))?;
        Ok((key, codec::decode_stored(&value).map_err(unreadable)?))
    })
}

/// A read that failed, or bytes that do not decode.
pub(crate) fn unreadable(error: impl ToString) -> StorageError {
    StorageError { detail: error.to_string() }
}
