//! Every key the crate stores under, frozen: numbers are big-endian, so that byte order is number order.
//!
//! | column | key | value |
//! |---|---|---|
//! | log | group, index | an entry |
//! | votes | group, [`Record`] | the group's vote, or the last purged log id |
//! | state, alarms | group, incarnation, the application's key | the application's value |
//! | state (map for the meta group) | group, incarnation 0, [`Record`] | what is applied; the membership |
//! | map | group 0, incarnation 0, [`Record`] | who this node is; the token it asked to join with |
//!
//! A replica's data lives under its incarnation, from 1. A snapshot is installed beside it under the next one.

use serde::{Deserialize, Serialize};

use crate::layout::ShardId;

/// A Raft group: a shard's, or the meta group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GroupId(pub(crate) u16);

impl GroupId {
    /// The group that keeps the cluster's map.
    pub(crate) const META: Self = Self(u16::MAX);

    /// The shard whose group it is; for the meta group a number no shard has.
    pub(crate) fn shard(self) -> ShardId {
        ShardId(self.0)
    }
}

impl From<ShardId> for GroupId {
    fn from(shard: ShardId) -> Self {
        Self(shard.0)
    }
}

impl std::fmt::Display for GroupId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if *self == Self::META { f.write_str("meta") } else { self.0.fmt(f) }
    }
}

/// The column families.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    Log,
    Votes,
    State,
    Alarms,
    Map,
}

impl Column {
    pub(crate) const ALL: [Self; 5] = [Self::Log, Self::Votes, Self::State, Self::Alarms, Self::Map];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Votes => "votes",
            Self::State => "state",
            Self::Alarms => "alarms",
            Self::Map => "map",
        }
    }
}

/// The crate's own records; the number is the last byte of their key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Record {
    Vote = 1,
    Purged = 2,
    Applied = 3,
    Membership = 4,
    Node = 5,
    Join = 6,
}

/// The generation of a replica's data.
pub(crate) type Incarnation = u32;

/// The incarnation that holds the crate's own records of a replica.
const RECORDS: Incarnation = 0;
/// The first incarnation of a replica's data.
pub(crate) const FIRST_INCARNATION: Incarnation = 1;

/// The key of an entry.
pub(crate) fn entry(group: GroupId, index: u64) -> [u8; 10] {
    let mut key = [0; 10];
    let (left, right) = key.split_at_mut(2);
    left.copy_from_slice(&group.0.to_be_bytes());
    right.copy_from_slice(&index.to_be_bytes());
    key
}

/// The index in the key of an entry, if it is one of this group.
pub(crate) fn entry_index(group: GroupId, key: &[u8]) -> Option<u64> {
    let index = key.strip_prefix(&group.0.to_be_bytes())?;
    Some(u64::from_be_bytes(index.try_into().ok()?))
}

/// The key of a record in the votes column.
pub(crate) fn vote_record(group: GroupId, record: Record) -> [u8; 3] {
    let [high, low] = group.0.to_be_bytes();
    [high, low, record as u8]
}

/// What every key of a replica's data begins with.
pub(crate) fn prefix(group: GroupId, incarnation: Incarnation) -> [u8; 6] {
    let [g0, g1] = group.0.to_be_bytes();
    let [i0, i1, i2, i3] = incarnation.to_be_bytes();
    [g0, g1, i0, i1, i2, i3]
}

/// The key of the application's `key` in a replica's data.
pub(crate) fn data(group: GroupId, incarnation: Incarnation, key: &[u8]) -> Vec<u8> {
    [&prefix(group, incarnation), key].concat()
}

/// The key of a replica's own record.
pub(crate) fn replica_record(group: GroupId, record: Record) -> Vec<u8> {
    data(group, RECORDS, &[record as u8])
}

/// The key of the record of who this node is.
pub(crate) fn node_record() -> Vec<u8> {
    data(GroupId(0), RECORDS, &[Record::Node as u8])
}

/// The key of the token this node asks to join a cluster with.
pub(crate) fn join_record() -> Vec<u8> {
    data(GroupId(0), RECORDS, &[Record::Join as u8])
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::{
        GroupId, Record, data, entry, entry_index, join_record, node_record, replica_record, vote_record,
    };

    fn check(key: &[u8], expected: &Expect) {
        expected.assert_eq(&key.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "));
    }

    #[test]
    fn keys_are_frozen() {
        check(&entry(GroupId(3), 258), &expect!["00 03 00 00 00 00 00 00 01 02"]);
        check(&vote_record(GroupId::META, Record::Vote), &expect!["ff ff 01"]);
        check(&vote_record(GroupId(3), Record::Purged), &expect!["00 03 02"]);
        check(&data(GroupId(3), 1, b"ab"), &expect!["00 03 00 00 00 01 61 62"]);
        check(&replica_record(GroupId(3), Record::Applied), &expect!["00 03 00 00 00 00 03"]);
        check(&replica_record(GroupId(3), Record::Membership), &expect!["00 03 00 00 00 00 04"]);
        check(&node_record(), &expect!["00 00 00 00 00 00 05"]);
        check(&join_record(), &expect!["00 00 00 00 00 00 06"]);
    }

    proptest! {
        #[test]
        fn entries_are_ordered_by_index(group: u16, one: u64, other: u64) {
            let group = GroupId(group);
            prop_assert_eq!(entry(group, one).cmp(&entry(group, other)), one.cmp(&other));
            prop_assert_eq!(entry_index(group, &entry(group, one)), Some(one));
        }

        #[test]
        fn other_keys_are_no_entries(key in prop::collection::vec(any::<u8>(), 0..16)) {
            if let Some(index) = entry_index(GroupId(1), &key) {
                prop_assert_eq!(entry(GroupId(1), index).to_vec(), key);
            }
        }
    }
}
