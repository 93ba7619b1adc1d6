//! The applied state of one replica: where it lies, and the records of what of the log it holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::machine::Space;
use crate::raft::StoredMembership;
use crate::storage::ReadError;
use crate::storage::behind::Behind;
use crate::storage::codec::{self, Applied};
use crate::storage::database::Database;
use crate::storage::keys::{self, Column, FIRST_INCARNATION, GroupId, Incarnation, Record};
use crate::storage::progress::Progress;
use crate::storage::reader::Pinned;
use crate::storage::writer::Row;

/// The data of one replica.
pub(crate) struct StateStore {
    pub(crate) group: GroupId,
    pub(crate) database: Arc<Database>,
    incarnation: AtomicU32,
    /// The newest incarnation that was given to data, be it in vain.
    newest: AtomicU32,
    /// The last index whose writes are in `RocksDB`.
    pub(crate) written: Progress,
    /// The writes of those behind it.
    pub(crate) behind: Behind,
}

impl StateStore {
    /// Data of which nothing is known yet.
    pub(crate) fn new(group: GroupId, database: Arc<Database>) -> Self {
        let incarnation = AtomicU32::new(FIRST_INCARNATION);
        let newest = AtomicU32::new(FIRST_INCARNATION);
        let (written, behind) = (Progress::default(), Behind::default());
        Self { group, database, incarnation, newest, written, behind }
    }

    /// Takes up the data as it is on disk: gives what of the log it holds.
    pub(crate) fn recover(&self) -> Result<(Applied, StoredMembership), ReadError> {
        let column = records_column(self.group);
        let read = |record| self.database.get(column, &keys::replica_record(self.group, record));
        let (applied, membership) = self.decode_records(read(Record::Applied)?, read(Record::Membership)?)?;
        self.switch_to(applied.incarnation);
        self.written.reach(applied.log_id.map_or(0, |log_id| log_id.index));
        Ok((applied, membership))
    }

    fn decode_records(
        &self,
        applied: Option<Vec<u8>>,
        membership: Option<Vec<u8>>,
    ) -> Result<(Applied, StoredMembership), ReadError> {
        let none = Applied { incarnation: self.incarnation(), log_id: None, sequence: 0, sequence_term: 0 };
        let applied = applied.map(|value| codec::decode_applied(&value)).transpose()?.unwrap_or(none);
        let membership =
            membership.map(|value| codec::decode_membership(&value)).transpose()?.unwrap_or_default();
        Ok((applied, membership))
    }

    pub(crate) fn incarnation(&self) -> Incarnation {
        self.incarnation.load(Ordering::Acquire)
    }

    /// The data is now what lies under `incarnation`.
    pub(crate) fn switch_to(&self, incarnation: Incarnation) {
        self.incarnation.store(incarnation, Ordering::Release);
    }

    /// An incarnation under which nothing lies yet.
    pub(crate) fn next_incarnation(&self) -> Incarnation {
        let current = self.incarnation();
        let next = |newest: Incarnation| newest.max(current) + 1;
        let before =
            self.newest.fetch_update(Ordering::AcqRel, Ordering::Acquire, |newest| Some(next(newest)));
        next(before.expect("the closure always gives a number"))
    }

    /// The rows that say what is applied.
    pub(crate) fn record_rows(&self, applied: &Applied, membership: &StoredMembership) -> Vec<Row> {
        let column = records_column(self.group);
        let row = |record, value| Row::Put(column, keys::replica_record(self.group, record), value);
        vec![
            row(Record::Membership, codec::encode_membership(membership)),
            row(Record::Applied, codec::encode_applied(applied)),
        ]
    }

    /// The rows that remove the data of an incarnation.
    pub(crate) fn rows_without(&self, incarnation: Incarnation) -> Vec<Row> {
        let (from, to) = (keys::prefix(self.group, incarnation), keys::prefix(self.group, incarnation + 1));
        data_columns(self.group)
            .iter()
            .map(|column| Row::DeleteRange(*column, from.to_vec(), to.to_vec()))
            .collect()
    }

    /// The rows that remove what an install that never ended left behind, if there is any.
    pub(crate) fn leftover_rows(&self) -> Result<Vec<Row>, ReadError> {
        let current = self.incarnation();
        let next_group =
            self.group.0.checked_add(1).map_or(vec![u8::MAX; 7], |next| next.to_be_bytes().to_vec());
        let older = (
            keys::prefix(self.group, FIRST_INCARNATION).to_vec(),
            keys::prefix(self.group, current).to_vec(),
        );
        let newer = (keys::prefix(self.group, current + 1).to_vec(), next_group);
        let mut rows = Vec::new();
        let rocks = self.database.rocks()?;
        for column in data_columns(self.group) {
            for (from, to) in [&older, &newer] {
                if rocks.first(*column, from, to)?.is_some() {
                    rows.push(Row::DeleteRange(*column, from.clone(), to.clone()));
                }
            }
        }
        Ok(rows)
    }

    /// A consistent view of the data, with what of the log it holds, read from the same `RocksDB` snapshot.
    pub(crate) fn view(&self) -> Result<(Pinned, Applied, StoredMembership), ReadError> {
        let pinned = Pinned::of(self.database.rocks()?);
        let column = records_column(self.group);
        let read = |record| pinned.get(column, &keys::replica_record(self.group, record));
        let (applied, membership) = self.decode_records(read(Record::Applied)?, read(Record::Membership)?)?;
        Ok((pinned, applied, membership))
    }
}

/// The column a group's space lies in: the meta group's state is the cluster's map.
pub(crate) fn column_of(group: GroupId, space: Space) -> Column {
    match space {
        Space::State if group == GroupId::META => Column::Map,
        Space::State => Column::State,
        Space::Alarms => Column::Alarms,
    }
}

pub(crate) fn records_column(group: GroupId) -> Column {
    column_of(group, Space::State)
}

/// The columns a group's data lies in.
pub(crate) fn data_columns(group: GroupId) -> &'static [Column] {
    if group == GroupId::META { &[Column::Map, Column::Alarms] } else { &[Column::State, Column::Alarms] }
}
