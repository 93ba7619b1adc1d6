//! What is applied and not yet in `RocksDB`: the writes of one replica, gathered.
//!
//! The log is what makes a commit durable, and from it these writes are made again after a crash, so nobody
//! has to wait for them, and they need not be written one by one. Of a key that is written again and again
//! only the last value is. They are written together, with the record of what is applied: after [`BEHIND_MAX`],
//! when they are many ([`Behind::is_full`]), or when somebody wants to read them
//! ([`Shard::wait_written`](crate::Shard::wait_written)).

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use parking_lot::Mutex;
use rocksdb::WriteBatch;

use crate::layout::LogIndex;
use crate::machine::{Operation, Space, Writes};
use crate::raft::StoredMembership;
use crate::storage::codec::{self, Applied};
use crate::storage::database::Rocks;
use crate::storage::keys::{self, GroupId, Record};
use crate::storage::state::{column_of, records_column};

/// How long writes wait for others. As much of the log is applied again after a crash.
pub(crate) const BEHIND_MAX: Duration = Duration::from_millis(250);
/// Bytes of one replica that wait at most.
const BYTES_MAX: usize = 1024 * 1024;
/// What a row weighs in memory beside its key and value, about, in bytes.
const ROW_BYTES: usize = 96;

/// Applied writes of one replica that are not in `RocksDB` yet.
#[derive(Default)]
pub(crate) struct Behind(Mutex<Gathered>);

#[derive(Default)]
struct Gathered {
    state: Rows,
    alarms: Rows,
    /// Ranges to be removed before the rows are written.
    ranges: Vec<(Space, Vec<u8>, Vec<u8>)>,
    bytes: usize,
    /// What is applied with these; none if there are none.
    applied: Option<Applied>,
    membership: Option<StoredMembership>,
}

/// The new value of each key; none for one that is gone.
type Rows = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Whether there were writes before those that were added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Added {
    First,
    ToOthers,
}

impl Behind {
    /// Adds the writes of applied entries, with what is applied now.
    pub(crate) fn add(
        &self,
        writes: Writes,
        applied: &Applied,
        membership: Option<&StoredMembership>,
    ) -> Added {
        let mut gathered = self.0.lock();
        for operation in writes.into_operations() {
            gathered.take_in(operation);
        }
        if let Some(membership) = membership {
            gathered.membership = Some(membership.clone());
        }
        match gathered.applied.replace(*applied) {
            None => Added::First,
            Some(_) => Added::ToOthers,
        }
    }

    /// Whether so much waits that it is to be written before more is added.
    pub(crate) fn is_full(&self) -> bool {
        self.0.lock().bytes >= BYTES_MAX
    }

    /// Drops what waits: a snapshot takes its place.
    pub(crate) fn clear(&self) {
        drop(std::mem::take(&mut *self.0.lock()));
    }

    /// Puts everything into a batch; gives the last index applied, if there was anything.
    pub(crate) fn stage(&self, group: GroupId, rocks: &Rocks, batch: &mut WriteBatch) -> Option<LogIndex> {
        let gathered = std::mem::take(&mut *self.0.lock());
        let applied = gathered.applied?;
        let prefix = keys::prefix(group, applied.incarnation);
        let mut full = prefix.to_vec();
        for (space, from, to) in &gathered.ranges {
            let column = rocks.column(column_of(group, *space));
            batch.delete_range_cf(column, [&prefix, &**from].concat(), [&prefix, &**to].concat());
        }
        for (space, rows) in [(Space::State, &gathered.state), (Space::Alarms, &gathered.alarms)] {
            let column = rocks.column(column_of(group, space));
            for (key, value) in rows {
                full.truncate(prefix.len());
                full.extend_from_slice(key);
                match value {
                    Some(value) => batch.put_cf(column, &full, value),
                    None => batch.delete_cf(column, &full),
                }
            }
        }
        let column = rocks.column(records_column(group));
        if let Some(membership) = &gathered.membership {
            let record = keys::replica_record(group, Record::Membership);
            batch.put_cf(column, record, codec::encode_membership(membership));
        }
        let record = keys::replica_record(group, Record::Applied);
        batch.put_cf(column, record, codec::encode_applied(&applied));
        Some(applied.log_id.map_or(0, |log_id| log_id.index))
    }
}

impl Gathered {
    fn take_in(&mut self, operation: Operation) {
        match operation {
            Operation::Put { space, key, value } => self.put(space, key, Some(value)),
            Operation::Delete { space, key } => self.put(space, key, None),
            // RocksDB refuses a range that ends before it begins, and with it the whole batch.
            Operation::DeleteRange { from, to, .. } if from >= to => {}
            Operation::DeleteRange { space, from, to } => {
                let range = (Bound::Included(&from), Bound::Excluded(&to));
                let rows = self.rows(space);
                let within: Vec<Vec<u8>> =
                    rows.range::<Vec<u8>, _>(range).map(|(key, _)| key.clone()).collect();
                let mut freed = 0;
                for key in within {
                    if let Some(value) = rows.remove(&key) {
                        freed += weight(&key, value.as_deref());
                    }
                }
                self.bytes = self.bytes - freed + from.len() + to.len() + ROW_BYTES;
                self.ranges.push((space, from, to));
            }
        }
    }

    fn put(&mut self, space: Space, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.bytes += value.as_ref().map_or(0, Vec::len);
        let key_bytes = key.len() + ROW_BYTES;
        match self.rows(space).insert(key, value) {
            Some(old) => self.bytes -= old.map_or(0, |old| old.len()),
            None => self.bytes += key_bytes,
        }
    }

    fn rows(&mut self, space: Space) -> &mut Rows {
        match space {
            Space::State => &mut self.state,
            Space::Alarms => &mut self.alarms,
        }
    }
}

fn weight(key: &[u8], value: Option<&[u8]>) -> usize {
    key.len() + value.map_or(0, <[u8]>::len) + ROW_BYTES
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use rocksdb::WriteBatch;

    use super::{Added, Behind, Gathered, weight};
    use crate::machine::{Space, Writes};
    use crate::raft::log_id;
    use crate::storage::codec::Applied;
    use crate::storage::database::Database;
    use crate::storage::keys::{self, Column, GroupId};

    const GROUP: GroupId = GroupId(3);

    fn applied(index: u64) -> Applied {
        Applied { incarnation: 1, log_id: Some(log_id(1, index)), sequence: index, sequence_term: 1 }
    }

    /// One operation: what, and on which of few keys.
    #[derive(Debug, Clone)]
    enum Step {
        Put(u8, u8),
        Delete(u8),
        DeleteRange(u8, u8),
        Stage,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0..16_u8, any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
            3 => (0..16_u8).prop_map(Step::Delete),
            2 => (0..16_u8, 0..17_u8).prop_map(|(from, to)| Step::DeleteRange(from, to)),
            1 => Just(Step::Stage),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn what_is_written_at_once_is_what_was_asked_for_in_order(steps in prop::collection::vec(step(), 0..60)) {
            let directory = tempfile::tempdir().expect("a temporary directory");
            let database = Database::open(directory.path(), 1024 * 1024).expect("it opens");
            let rocks = database.rocks().expect("it is open");
            let behind = Behind::default();
            let mut model = BTreeMap::new();
            let stage = || {
                let mut batch = WriteBatch::default();
                behind.stage(GROUP, &rocks, &mut batch);
                rocks.db().write(batch).expect("it is written");
            };
            for (index, step) in (1..).zip(&steps) {
                let mut writes = Writes::default();
                match step {
                    Step::Put(key, value) => {
                        writes.put(Space::State, [*key], [*value]);
                        model.insert(*key, *value);
                    }
                    Step::Delete(key) => {
                        writes.delete(Space::State, [*key]);
                        model.remove(key);
                    }
                    Step::DeleteRange(from, to) => {
                        writes.delete_range(Space::State, [*from], [*to]);
                        model.retain(|key, _| !(from..to).contains(&key));
                    }
                    Step::Stage => stage(),
                }
                behind.add(writes, &applied(index), None);
                let weighed = weighed(&behind.0.lock());
                prop_assert_eq!(behind.0.lock().bytes, weighed);
            }
            stage();
            for key in 0..16 {
                let stored = database.get(Column::State, &keys::data(GROUP, 1, &[key])).expect("it can be read");
                prop_assert_eq!(stored, model.get(&key).map(|value| vec![*value]));
            }
        }
    }

    fn weighed(gathered: &Gathered) -> usize {
        let rows = gathered.state.iter().chain(&gathered.alarms);
        let rows: usize = rows.map(|(key, value)| weight(key, value.as_deref())).sum();
        rows + gathered.ranges.iter().map(|(_, from, to)| from.len() + weight(to, None)).sum::<usize>()
    }

    #[test]
    fn a_replica_is_announced_once_until_it_is_written() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let database = Database::open(directory.path(), 1024 * 1024).expect("it opens");
        let rocks = database.rocks().expect("it is open");
        let behind = Behind::default();
        assert_eq!(behind.add(Writes::default(), &applied(1), None), Added::First);
        assert_eq!(behind.add(Writes::default(), &applied(2), None), Added::ToOthers);
        assert_eq!(behind.stage(GROUP, &rocks, &mut WriteBatch::default()), Some(2));
        assert_eq!(behind.stage(GROUP, &rocks, &mut WriteBatch::default()), None);
        assert_eq!(behind.add(Writes::default(), &applied(3), None), Added::First);
        behind.clear();
        assert_eq!(behind.stage(GROUP, &rocks, &mut WriteBatch::default()), None);
    }
}
