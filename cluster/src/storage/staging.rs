//! A peer's snapshot that has arrived whole, beside the replica's data and under an incarnation of its own.
//!
//! A snapshot is received before Raft hears of it. Raft takes an error while it installs one for an error of the
//! disk and stops the replica; and a peer that breaks off in the middle, which happens, is none. The replica goes on
//! meanwhile, and what arrived in vain is removed.

use std::io;
use std::sync::Arc;

use crate::storage::keys::Incarnation;
use crate::storage::snapshot::{self, ShardSnapshot};
use crate::storage::state::StateStore;
use crate::storage::writer::{Change, Writer};

/// A received snapshot. Dropped, it is removed.
pub(crate) struct Staged {
    store: Arc<StateStore>,
    writer: Writer,
    incarnation: Incarnation,
    sequence: (u64, u64),
    is_kept: bool,
}

impl Staged {
    /// Receives a snapshot to its end.
    pub(crate) async fn receive(
        store: Arc<StateStore>,
        writer: Writer,
        mut snapshot: ShardSnapshot,
    ) -> Result<Self, io::Error> {
        let incarnation = store.next_incarnation();
        let mut staged = Self { store, writer, incarnation, sequence: (0, 0), is_kept: false };
        while let Some(chunk) = snapshot.next().await? {
            let chunk = snapshot::parse(&chunk, staged.store.group, incarnation);
            let chunk = chunk.ok_or_else(|| io::Error::other("a chunk of a snapshot is damaged"))?;
            staged.sequence = chunk.sequence.unwrap_or(staged.sequence);
            // It needs no flush before the switch to it has its own.
            staged.writer.write(Change::Rows { rows: chunk.rows, flush: false }).await?;
        }
        Ok(staged)
    }

    /// Keeps it: under which incarnation it lies, and which entry of its proposer is the last in it, by term and
    /// number.
    pub(crate) fn keep(mut self) -> (Incarnation, (u64, u64)) {
        self.is_kept = true;
        (self.incarnation, self.sequence)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.is_kept {
            // Where there is no room the next start removes it.
            self.writer
                .try_send(Change::Rows { rows: self.store.rows_without(self.incarnation), flush: false });
        }
    }
}
