//! What is known of a log in memory: its last entries, and how many bytes it holds.

use std::collections::VecDeque;

use crate::raft::Entry;
use crate::storage::codec::entry_bytes;

/// The last entries of a log, in memory.
#[derive(Default)]
pub(super) struct Tail {
    pub(super) entries: VecDeque<Entry>,
    pub(super) bytes: usize,
}

impl Tail {
    pub(super) fn first_index(&self) -> Option<u64> {
        self.entries.front().map(|entry| entry.log_id.index)
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.bytes += entry_bytes(&entry);
        self.entries.push_back(entry);
    }

    pub(super) fn pop_first_if(&mut self, condition: impl FnOnce(&Entry) -> bool) -> bool {
        let popped =
            if self.entries.front().is_some_and(condition) { self.entries.pop_front() } else { None };
        self.bytes -= popped.as_ref().map_or(0, entry_bytes);
        popped.is_some()
    }

    pub(super) fn truncate_from(&mut self, index: u64) {
        while self.entries.back().is_some_and(|entry| entry.log_id.index >= index) {
            self.bytes -= self.entries.pop_back().as_ref().map_or(0, entry_bytes);
        }
    }

    /// The entries of `from..to` that are here.
    pub(super) fn range(&self, from: u64, to: u64) -> impl Iterator<Item = &Entry> {
        let first = self.first_index().unwrap_or(u64::MAX);
        let skipped = usize::try_from(from.saturating_sub(first)).unwrap_or(usize::MAX);
        self.entries.iter().skip(skipped).take_while(move |entry| entry.log_id.index < to)
    }
}

/// How much of a log stays in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CacheBounds {
    pub(crate) entries: usize,
    pub(crate) bytes: usize,
}

/// How many bytes the log holds behind an index, to within [`Sizes::STEP_BYTES`]. Entries of before the start
/// of this process are not counted: they are purged by their number.
#[derive(Default)]
pub(super) struct Sizes {
    /// An index, and the bytes of the log up to and with it, in steps.
    steps: VecDeque<(u64, u64)>,
    total_bytes: u64,
}

impl Sizes {
    const STEP_BYTES: u64 = 256 * 1024;

    pub(super) fn add(&mut self, index: u64, bytes: usize) {
        self.total_bytes += bytes as u64;
        let last = self.steps.back().map_or(0, |(_, total)| *total);
        if self.total_bytes >= last + Self::STEP_BYTES {
            self.steps.push_back((index, self.total_bytes));
        }
    }

    pub(super) fn truncate_from(&mut self, index: u64) {
        while self.steps.pop_back_if(|(step, _)| *step >= index).is_some() {}
    }

    pub(super) fn purge_to(&mut self, index: u64) {
        while self.steps.pop_front_if(|(step, _)| *step <= index).is_some() {}
    }

    /// The last index that has at least `bytes` behind it.
    pub(super) fn index_before(&self, bytes: u64) -> Option<u64> {
        let up_to = self.total_bytes.checked_sub(bytes)?;
        self.steps.iter().take_while(|(_, total)| *total <= up_to).last().map(|(index, _)| *index)
    }
}
