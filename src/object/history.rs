//! Which updates an object keeps for subscribers that come back, and whom they still help.

use std::collections::VecDeque;
use std::ops::Range;

use crate::limits::{HISTORY_MAX_BYTES, HISTORY_MAX_UPDATES};

use super::{Meta, Version};

/// The sizes of the updates kept, oldest first: every version from `first` to the newest has one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HistoryWindow {
    first: u64,
    sizes: VecDeque<u32>,
    bytes: u64,
}

impl HistoryWindow {
    /// The window of a stored history: the sizes in bytes of the versions from `meta.history_first` on.
    #[must_use]
    pub fn load(meta: &Meta, sizes: impl IntoIterator<Item = usize>) -> Self {
        let sizes: VecDeque<u32> = sizes.into_iter().map(saturate).collect();
        let bytes = sizes.iter().copied().map(u64::from).sum();
        Self { first: meta.history_first, sizes, bytes }
    }

    /// Adds the update of the next version; gives the versions that go to make room. The newest always stays.
    pub fn push(&mut self, version: Version, size_bytes: usize) -> Range<u64> {
        if self.sizes.is_empty() {
            self.first = version.0;
        }
        let size = saturate(size_bytes);
        self.sizes.push_back(size);
        self.bytes += u64::from(size);
        let start = self.first;
        while self.sizes.len() > 1 && self.is_over() {
            if let Some(gone) = self.sizes.pop_front() {
                self.bytes -= u64::from(gone);
                self.first += 1;
            }
        }
        start..self.first
    }

    /// Drops everything up to and with `version`; gives the versions that go.
    pub fn clear(&mut self, version: Version) -> Range<u64> {
        let gone = if self.sizes.is_empty() { 0..0 } else { self.first..version.0 + 1 };
        self.sizes.clear();
        self.bytes = 0;
        gone
    }

    /// The oldest version kept.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Bytes of all updates kept.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn is_over(&self) -> bool {
        self.sizes.len() as u64 > HISTORY_MAX_UPDATES || self.bytes > HISTORY_MAX_BYTES
    }
}

fn saturate(size_bytes: usize) -> u32 {
    u32::try_from(size_bytes).unwrap_or(u32::MAX)
}

/// What helps a subscriber that comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resume {
    /// These versions, in order; none if it is empty.
    From(Range<u64>),
    /// The full state: the history does not reach back that far, or the version is not this object's.
    Reset,
}

/// What helps a subscriber that saw everything up to `since`.
#[must_use]
pub fn can_resume(since: Version, meta: &Meta) -> Resume {
    let missing = since.0.saturating_add(1)..meta.version.0.saturating_add(1);
    if since > meta.version || (!missing.is_empty() && missing.start < meta.history_first) {
        Resume::Reset
    } else {
        Resume::From(missing)
    }
}
