//! Reads of the applied state of one shard, live or from one moment.
//!
//! A snapshot and an iterator of `RocksDB` borrow the database; here they own a share of it, so that they can
//! be kept and sent like any value.

use std::ops::Range;
use std::sync::Arc;

use rocksdb::DBRawIterator;
use self_cell::self_cell;

use crate::layout::LogIndex;
use crate::machine::Space;
use crate::storage::codec;
use crate::storage::database::{Rocks, between};
use crate::storage::keys::{self, Column, Incarnation};
use crate::storage::state::{StateStore, column_of};

/// Why something can not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the data directory can not be read: {0}")]
pub struct ReadError(pub String);

impl From<rocksdb::Error> for ReadError {
    fn from(error: rocksdb::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<codec::DecodeError> for ReadError {
    fn from(error: codec::DecodeError) -> Self {
        Self(error.to_string())
    }
}

impl From<ReadError> for std::io::Error {
    fn from(error: ReadError) -> Self {
        Self::other(error)
    }
}

/// Reads the applied state of one shard's replica: a cheap handle.
///
/// It sees what is in `RocksDB` now, at least the writes up to [`Reader::written`]; a [`Reader::snapshot`] sees
/// one moment, always the same.
#[derive(Clone)]
pub struct Reader {
    store: Arc<StateStore>,
    pinned: Option<Moment>,
}

#[derive(Clone)]
struct Moment {
    pinned: Result<Pinned, ReadError>,
    incarnation: Incarnation,
    written: LogIndex,
}

impl Reader {
    pub(crate) fn live(store: Arc<StateStore>) -> Self {
        Self { store, pinned: None }
    }

    /// The last index whose writes are surely seen.
    #[must_use]
    pub fn written(&self) -> LogIndex {
        self.pinned.as_ref().map_or_else(|| self.store.written.get(), |moment| moment.written)
    }

    /// The value of a key.
    ///
    /// # Errors
    ///
    /// When the disk can not be read.
    pub fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        let column = column_of(self.store.group, space);
        match &self.pinned {
            Some(moment) => moment.pinned.clone()?.get(column, &self.key(key)),
            None => self.store.database.get(column, &self.key(key)),
        }
    }

    /// A reader of this moment: what is written later it does not see. It holds back the space of what is
    /// deleted meanwhile, so it is not to be kept for long.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        if self.pinned.is_some() {
            return self.clone();
        }
        // Asked for before the moment, so that it is true of the moment.
        let written = self.written();
        let incarnation = self.store.incarnation();
        let pinned = self.store.database.rocks().map(Pinned::of);
        Self { store: self.store.clone(), pinned: Some(Moment { pinned, incarnation, written }) }
    }

    /// The keys of a range with their values, in order, of the moment of this call.
    #[must_use]
    pub fn scan(&self, space: Space, range: Range<Vec<u8>>) -> Scan {
        self.scan_in(Direction::Forward, space, &range)
    }

    /// The same from the last key to the first.
    #[must_use]
    pub fn scan_back(&self, space: Space, range: Range<Vec<u8>>) -> Scan {
        self.scan_in(Direction::Backward, space, &range)
    }

    fn scan_in(&self, direction: Direction, space: Space, range: &Range<Vec<u8>>) -> Scan {
        let column = column_of(self.store.group, space);
        let (from, to) = (self.key(&range.start), self.key(&range.end));
        let rows = match &self.pinned {
            Some(moment) => moment.pinned.clone().map(|pinned| pinned.rows(column, &from, &to)),
            None => self.store.database.rocks().map(|rocks| Rows::live(rocks, column, &from, &to)),
        };
        Scan::new(rows, direction, keys::prefix(self.store.group, self.incarnation()))
    }

    fn incarnation(&self) -> Incarnation {
        self.pinned.as_ref().map_or_else(|| self.store.incarnation(), |moment| moment.incarnation)
    }

    fn key(&self, key: &[u8]) -> Vec<u8> {
        keys::data(self.store.group, self.incarnation(), key)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Forward,
    Backward,
}

/// The keys of a range, one after the other.
pub struct Scan {
    rows: Result<Rows, ReadError>,
    direction: Direction,
    prefix: [u8; 6],
    state: ScanState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ScanState {
    /// On the row that comes next.
    At,
    /// On the row that was given last.
    Behind,
    /// Over, be it after an error.
    Ended,
}

impl Scan {
    fn new(mut rows: Result<Rows, ReadError>, direction: Direction, prefix: [u8; 6]) -> Self {
        if let Ok(rows) = &mut rows {
            rows.with(|rows| match direction {
                Direction::Forward => rows.seek_to_first(),
                Direction::Backward => rows.seek_to_last(),
            });
        }
        Self { rows, direction, prefix, state: ScanState::At }
    }

    /// Goes to `key`, or where it is not there to the next in the scan's direction. May go either way.
    pub fn seek(&mut self, key: &[u8]) {
        let key = [&self.prefix, key].concat();
        if let Ok(rows) = &mut self.rows {
            rows.with(|rows| match self.direction {
                Direction::Forward => rows.seek(&key),
                Direction::Backward => rows.seek_for_prev(&key),
            });
        }
        self.state = ScanState::At;
    }
}

impl Iterator for Scan {
    type Item = Result<(Vec<u8>, Vec<u8>), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == ScanState::Ended {
            return None;
        }
        let (is_behind, direction, prefix) =
            (self.state == ScanState::Behind, self.direction, self.prefix.len());
        self.state = ScanState::Ended;
        let rows = match &mut self.rows {
            Ok(rows) => rows,
            Err(error) => return Some(Err(error.clone())),
        };
        let row = rows.with(|rows| {
            match direction {
                Direction::Forward if is_behind => rows.next(),
                Direction::Backward if is_behind => rows.prev(),
                Direction::Forward | Direction::Backward => {}
            }
            match rows.item() {
                Some((key, value)) => {
                    Ok(Some((key.get(prefix..).unwrap_or_default().to_vec(), value.to_vec())))
                }
                None => rows.status().map(|()| None),
            }
        });
        if matches!(row, Ok(Some(_))) {
            self.state = ScanState::Behind;
        }
        row.map_err(ReadError::from).transpose()
    }
}

type Snapshot<'a> = rocksdb::Snapshot<'a>;

self_cell!(
    pub(crate) struct SnapshotCell {
        owner: Arc<Rocks>,
        #[covariant]
        dependent: Snapshot,
    }
);

self_cell!(
    pub(crate) struct LiveRows {
        owner: Arc<Rocks>,
        #[covariant]
        dependent: DBRawIterator,
    }
);

self_cell!(
    pub(crate) struct PinnedRows {
        owner: Arc<SnapshotCell>,
        #[covariant]
        dependent: DBRawIterator,
    }
);

/// A `RocksDB` snapshot that owns a share of its database.
#[derive(Clone)]
pub(crate) struct Pinned(Arc<SnapshotCell>);

impl Pinned {
    pub(crate) fn of(rocks: Arc<Rocks>) -> Self {
        Self(Arc::new(SnapshotCell::new(rocks, |rocks| rocks.db().snapshot())))
    }

    pub(crate) fn get(&self, column: Column, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        let column = self.0.borrow_owner().column(column);
        Ok(self.0.borrow_dependent().get_cf(column, key)?)
    }

    /// The rows at or behind `from` and before `to`.
    pub(crate) fn rows(&self, column: Column, from: &[u8], to: &[u8]) -> Rows {
        Rows::Pinned(PinnedRows::new(self.0.clone(), |snapshot| {
            let column = snapshot.borrow_owner().column(column);
            snapshot.borrow_dependent().raw_iterator_cf_opt(column, between(from, to))
        }))
    }
}

/// A `RocksDB` iterator that owns a share of its database.
pub(crate) enum Rows {
    Live(LiveRows),
    Pinned(PinnedRows),
}

impl Rows {
    fn live(rocks: Arc<Rocks>, column: Column, from: &[u8], to: &[u8]) -> Self {
        Self::Live(LiveRows::new(rocks, |rocks| rocks.rows(column, from, to)))
    }

    pub(crate) fn with<T>(&mut self, act: impl FnOnce(&mut DBRawIterator<'_>) -> T) -> T {
        match self {
            Self::Live(rows) => rows.with_dependent_mut(|_, rows| act(rows)),
            Self::Pinned(rows) => rows.with_dependent_mut(|_, rows| act(rows)),
        }
    }
}
