//! Storage.
use std::ops::Range;
use std::time::Duration;

use crate::layout::LogIndex;
use crate::machine::Space;

/// Which kind of write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteKind {
    /// Flushed to disk before anything in it is confirmed.
    Synced,
    /// Applied state alone, rebuilt from the log after a crash.
    Unsynced,
}

/// Called by the writer thread around every write.
pub trait WriteHook: Send + Sync + 'static {
    /// Before the batch is written; an error is taken as the disk's.
    fn before(&self, _kind: WriteKind, _bytes: usize) -> Result<(), String> {
        Ok(())
    }
    /// After the batch was written, before anything in it is confirmed.
    fn after(&self, _kind: WriteKind, _took: Duration) {}
}

/// Why something can not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the disk can not be read: {0}")]
pub struct ReadError(pub String);

/// Reads the applied state of one shard.
#[derive(Clone)]
pub struct Reader;

impl Reader {
    /// Written.
    #[must_use]
    pub fn written(&self) -> LogIndex {
        unimplemented!()
    }
    /// Get.
    pub fn get(&self, _space: Space, _key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        unimplemented!()
    }
    /// Snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Reader {
        unimplemented!()
    }
    /// Scan.
    #[must_use]
    pub fn scan(&self, _space: Space, _range: Range<Vec<u8>>) -> Scan {
        unimplemented!()
    }
    /// Scan back.
    #[must_use]
    pub fn scan_back(&self, _space: Space, _range: Range<Vec<u8>>) -> Scan {
        unimplemented!()
    }
}

/// Scan.
pub struct Scan;
impl Scan {
    /// Seek.
    pub fn seek(&mut self, _key: &[u8]) {
        unimplemented!()
    }
}
impl Iterator for Scan {
    type Item = Result<(Vec<u8>, Vec<u8>), ReadError>;
    fn next(&mut self) -> Option<Self::Item> {
        unimplemented!()
    }
}
