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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_newest_by_number() {
        let mut window = HistoryWindow::default();
        for version in 1..=HISTORY_MAX_UPDATES {
            assert!(window.push(Version(version), 10).is_empty());
        }
        assert_eq!(window.push(Version(HISTORY_MAX_UPDATES + 1), 10), 1..2);
        assert_eq!(window.push(Version(HISTORY_MAX_UPDATES + 2), 10), 2..3);
        assert_eq!((window.first(), window.bytes()), (3, HISTORY_MAX_UPDATES * 10));
    }

    #[test]
    fn keeps_the_newest_by_size() {
        let half = usize::try_from(HISTORY_MAX_BYTES / 2).unwrap();
        let mut window = HistoryWindow::default();
        assert!(window.push(Version(8), half).is_empty());
        assert!(window.push(Version(9), half).is_empty());
        assert_eq!(window.push(Version(10), 1), 8..9);
        // One that is larger than all that may be kept stays alone.
        assert_eq!(window.push(Version(11), 3 * half), 9..11);
        assert_eq!((window.first(), window.bytes()), (11, 3 * half as u64));
        assert_eq!(window.push(Version(12), 1), 11..12);
    }

    #[test]
    fn begins_again_after_a_clear() {
        let mut window = HistoryWindow::default();
        assert!(window.clear(Version(0)).is_empty());
        window.push(Version(1), 10);
        window.push(Version(2), 10);
        assert_eq!(window.clear(Version(2)), 1..3);
        assert!(window.push(Version(3), 7).is_empty());
        assert_eq!((window.first(), window.bytes()), (3, 7));
    }

    #[test]
    fn loads_as_it_was() {
        let mut window = HistoryWindow::default();
        for version in 4..=9 {
            window.push(Version(version), 100);
        }
        let meta = Meta { version: Version(9), history_first: 4, ..Meta::default() };
        assert_eq!(HistoryWindow::load(&meta, [100; 6]), window);
        assert_eq!(HistoryWindow::load(&Meta::default(), []), HistoryWindow::default());
    }

    #[test]
    fn resumes_where_history_reaches_back() {
        let meta = Meta { version: Version(10), history_first: 5, ..Meta::default() };
        let check = |since, expected| assert_eq!(can_resume(Version(since), &meta), expected, "{since}");
        check(10, Resume::From(11..11));
        check(9, Resume::From(10..11));
        check(4, Resume::From(5..11));
        check(3, Resume::Reset);
        check(0, Resume::Reset);
        check(11, Resume::Reset);
        check(u64::MAX, Resume::Reset);
        assert_eq!(can_resume(Version(0), &Meta::default()), Resume::From(1..1));
    }
}
