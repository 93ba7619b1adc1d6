//! The version of an object: how many of its commits changed it.

use std::fmt;

/// An object's count of commits that changed it; the first is 1. It does not go back, not even over a
/// deletion.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Version(pub u64);

impl Version {
    /// The version of an object that was never written.
    pub const ZERO: Version = Version(0);

    /// The version after one more change.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("an object is not changed 2^64 times"))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
