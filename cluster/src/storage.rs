//! What a node keeps on disk: one `RocksDB` for the logs, votes and applied state of all its groups.
//!
//! - `database`: how it is opened. `keys` and `codec`: every byte in it, frozen.
//! - `writer`: the one thread that writes, and flushes for all groups at once; `queue`: the way to it. `health`:
//!   once it failed, it stays failed. `progress`: how far it has come. `behind`: what is applied and has time.
//! - `log`: a group's log as openraft uses it, behind the small trait `LogDisk`.
//! - `state`, `reader`: a replica's applied data. `snapshot`: its copy for another replica; `staging`: one
//!   that has arrived.
//! - `witness`: a second record of how far the log was on disk, which notices what recovery drops;
//!   `evidence` keeps it.

pub(crate) mod behind;
pub(crate) mod codec;
pub(crate) mod database;
pub(crate) mod evidence;
pub(crate) mod health;
pub(crate) mod keys;
pub(crate) mod log;
pub(crate) mod progress;
mod queue;
mod reader;
pub(crate) mod snapshot;
pub(crate) mod staging;
pub(crate) mod state;
pub(crate) mod witness;
pub(crate) mod writer;

use std::time::Duration;

use futures_util::future::BoxFuture;

/// Where in the data directory a restore writes, until all of it is there.
pub(crate) const UNFINISHED_RESTORE: &str = "restore.unfinished";

pub use reader::{ReadError, Reader, Scan};

/// Which kind of write it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteKind {
    /// Flushed to disk before anything in it is confirmed.
    Synced,
    /// Applied state alone, which the log rebuilds after a crash.
    Unsynced,
}

/// Called by the writer thread around every write: tests count flushes with it, and make disks fail.
pub trait WriteHook: Send + Sync + 'static {
    /// Before a batch of about this many bytes is written.
    ///
    /// # Errors
    ///
    /// An error is taken as the disk's own, with the same consequence: nothing is confirmed any more.
    fn before(&self, _kind: WriteKind, _bytes: usize) -> Result<(), String> {
        Ok(())
    }

    /// After the batch was written (and flushed, if [`WriteKind::Synced`]), before anything in it is confirmed.
    fn after(&self, _kind: WriteKind, _took: Duration) {}
}

/// A disk whose time is the runtime's, for simulations: it stands where a real one makes the writer wait.
pub trait SimulatedDisk: Send + Sync + 'static {
    /// Resolves when the disk has taken up the next batch; nothing of it is written before.
    fn begins(&self) -> BoxFuture<'static, ()>;

    /// Resolves when the disk is done with the batch; nothing in it is confirmed before.
    fn ends(&self, kind: WriteKind) -> BoxFuture<'static, ()>;
}
