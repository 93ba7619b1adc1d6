//! What is numbered: nodes, slots, shards, and which shard owns which slot.
//!
//! A slot is a hash of what the application addresses; there are always [`SLOTS`] of them. A shard owns a
//! range of slots and is one Raft group. Slots are finer than shards so that shards can be split one day
//! without any address changing its slot.

use std::fmt;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

/// How many slots there are: 14 bits of the address's hash.
pub const SLOTS: u16 = 16_384;

/// A Raft term. It only grows, and has at most one leader.
pub type Term = u64;

/// A position in a shard's log. The first entry has index 0.
pub type LogIndex = u64;

/// The number of a node; never used again for another node of the same cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<u64> for NodeId {
    fn from(id: u64) -> Self {
        Self(id)
    }
}

/// The number of a shard, from 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShardId(pub u16);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One of the [`SLOTS`] slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// The slot of this number, if there is one.
    #[must_use]
    pub fn new(number: u16) -> Option<Self> {
        (number < SLOTS).then_some(Self(number))
    }

    /// Its number, below [`SLOTS`].
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which shard owns which slots: shard `i` of `n` begins at slot `ceil(i * SLOTS / n)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardLayout {
    shards: u16,
}

impl ShardLayout {
    /// The layout of a cluster of this many shards.
    ///
    /// # Panics
    ///
    /// With no shards, or more than there are slots: [`crate::Cluster::open`] refuses both before.
    #[must_use]
    pub fn new(shards: u16) -> Self {
        assert!((1..=SLOTS).contains(&shards), "a cluster has between 1 and {SLOTS} shards, not {shards}");
        Self { shards }
    }

    /// The shard that owns a slot.
    #[must_use]
    pub fn shard_of(&self, slot: Slot) -> ShardId {
        let shard = u32::from(slot.0) * u32::from(self.shards) / u32::from(SLOTS);
        ShardId(u16::try_from(shard).expect("a slot is below SLOTS, so its shard is below the u16 count"))
    }

    /// The slots of a shard, first and last.
    ///
    /// # Panics
    ///
    /// With a shard that is not of this layout.
    #[must_use]
    pub fn slots_of(&self, shard: ShardId) -> RangeInclusive<u16> {
        assert!(shard.0 < self.shards, "shard {shard} is not one of {}", self.shards);
        self.first_slot(shard.0)..=self.first_slot(shard.0 + 1) - 1
    }

    /// How many shards there are.
    #[must_use]
    pub fn count(&self) -> u16 {
        self.shards
    }

    fn first_slot(self, shard: u16) -> u16 {
        let first = (u32::from(shard) * u32::from(SLOTS)).div_ceil(u32::from(self.shards));
        u16::try_from(first).expect("a shard is at most the count, so its first slot is at most SLOTS")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{SLOTS, ShardId, ShardLayout, Slot};

    #[test]
    fn twelve_shards_begin_where_the_contract_says() {
        let layout = ShardLayout::new(12);
        let firsts: Vec<u16> = (0..12).map(|shard| *layout.slots_of(ShardId(shard)).start()).collect();
        assert_eq!(firsts, [0, 1366, 2731, 4096, 5462, 6827, 8192, 9558, 10923, 12288, 13654, 15019]);
        assert_eq!(*layout.slots_of(ShardId(11)).end(), SLOTS - 1);
        assert_eq!(Slot::new(SLOTS), None);
    }

    proptest! {
        #[test]
        fn a_slot_is_in_the_range_of_its_shard(shards in 1..=SLOTS, number in 0..SLOTS) {
            let layout = ShardLayout::new(shards);
            let shard = layout.shard_of(Slot::new(number).expect("below SLOTS"));
            prop_assert!(layout.slots_of(shard).contains(&number));
        }
    }
}
