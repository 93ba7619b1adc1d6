//! Where logs and votes lie on disk, behind a small trait.

use std::sync::Arc;

use bytes::Bytes;
use rocksdb::WriteBatch;

use crate::raft::{Entry, LogId, Vote};
use crate::storage::ReadError;
use crate::storage::codec;
use crate::storage::database::Database;
use crate::storage::keys::{self, Column, GroupId, Record};
use crate::storage::writer::LogChange;

/// Where logs and votes lie on disk. `RocksDB` is one; a file of preallocated segments could be another.
pub(crate) trait LogDisk: Send + Sync {
    /// Puts a change into the batch the writer thread will flush. `scratch` spares an allocation.
    fn stage(&self, group: GroupId, change: &LogChange, batch: &mut WriteBatch, scratch: &mut Vec<u8>);

    /// What of a group's log there is, and its vote.
    fn recover(&self, group: GroupId) -> Result<Recovered, ReadError>;

    /// The entries of a range, in order and without a gap, until `bytes_max` is passed.
    fn read(&self, group: GroupId, from: u64, to: u64, bytes_max: usize) -> Result<Vec<Entry>, ReadError>;
}

/// What of a group's log was on disk at the start.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    pub(crate) vote: Option<Vote>,
    pub(crate) purged: Option<LogId>,
    /// The last entry, or what was purged last where there is none.
    pub(crate) last: Option<LogId>,
}

impl Recovered {
    /// The index behind the last entry.
    pub(crate) fn next_index(&self) -> u64 {
        self.last.map_or(0, |last| last.index + 1)
    }
}

/// Logs in `RocksDB`.
pub(crate) struct RocksLog {
    pub(crate) database: Arc<Database>,
}

impl LogDisk for RocksLog {
    fn stage(&self, group: GroupId, change: &LogChange, batch: &mut WriteBatch, scratch: &mut Vec<u8>) {
        let rocks = self.database.rocks().expect("the writer thread ends before the database is closed");
        let (log, votes) = (rocks.column(Column::Log), rocks.column(Column::Votes));
        match change {
            LogChange::Append(entries) => {
                for entry in entries {
                    scratch.clear();
                    codec::encode_entry(entry, scratch);
                    batch.put_cf(log, keys::entry(group, entry.log_id.index), &scratch);
                }
            }
            LogChange::TruncateFrom(index) => {
                batch.delete_range_cf(log, keys::entry(group, *index), keys::entry(group, u64::MAX));
            }
            LogChange::PurgeTo(log_id) => {
                batch.delete_range_cf(log, keys::entry(group, 0), keys::entry(group, log_id.index + 1));
                let key = keys::vote_record(group, Record::Purged);
                batch.put_cf(votes, key, codec::encode_log_id(log_id));
            }
            LogChange::Vote(vote) => {
                let key = keys::vote_record(group, Record::Vote);
                batch.put_cf(votes, key, codec::encode_vote(vote));
            }
        }
    }

    fn recover(&self, group: GroupId) -> Result<Recovered, ReadError> {
        let vote = self.database.get(Column::Votes, &keys::vote_record(group, Record::Vote))?;
        let vote = vote.map(|value| codec::decode_vote(&value)).transpose()?;
        let purged = self.database.get(Column::Votes, &keys::vote_record(group, Record::Purged))?;
        let purged = purged.map(|value| codec::decode_log_id(&value)).transpose()?;
        let (from, to) = (keys::entry(group, 0), keys::entry(group, u64::MAX));
        let last = match self.database.rocks()?.last(Column::Log, &from, &to)? {
            Some((key, value)) => {
                let index = keys::entry_index(group, &key).ok_or_else(|| foreign_key(group))?;
                Some(codec::decode_entry(index, value.into())?.log_id)
            }
            None => purged,
        };
        Ok(Recovered { vote, purged, last })
    }

    fn read(&self, group: GroupId, from: u64, to: u64, bytes_max: usize) -> Result<Vec<Entry>, ReadError> {
        let (lower, upper) = (keys::entry(group, from), keys::entry(group, to));
        let rocks = self.database.rocks()?;
        let mut rows = rocks.rows(Column::Log, &lower, &upper);
        let (mut entries, mut bytes) = (Vec::new(), 0);
        rows.seek_to_first();
        while let Some((key, value)) = rows.item() {
            let index = keys::entry_index(group, key).ok_or_else(|| foreign_key(group))?;
            let expected = entries.last().map(|entry: &Entry| entry.log_id.index + 1);
            if expected.is_some_and(|expected| expected != index) {
                return Err(ReadError(format!("the log of shard {group} has a gap before index {index}")));
            }
            entries.push(codec::decode_entry(index, Bytes::copy_from_slice(value))?);
            bytes += value.len();
            if bytes >= bytes_max {
                break;
            }
            rows.next();
        }
        rows.status()?;
        Ok(entries)
    }
}

fn foreign_key(group: GroupId) -> ReadError {
    ReadError(format!("the log of shard {group} holds a key that is no entry's"))
}
