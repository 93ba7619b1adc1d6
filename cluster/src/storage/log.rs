//! The log of one group, as openraft uses it, and the small trait behind which it lies on disk.
//!
//! Recent entries are kept in memory ([`Tail`]): those not yet on disk, which must be readable at once, and as
//! many more as the options allow, for followers and apply. Older ones are read from disk. The log is purged
//! in one place, [`GroupLog::purge`], so that whoever wants to keep the entries can be asked there one day.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, RaftLogReader};
use parking_lot::Mutex;
use rocksdb::WriteBatch;

use crate::metrics::ClusterMetrics;
use crate::raft::{Entry, LogId, TypeConfig, Vote};
use crate::storage::ReadError;
use crate::storage::codec::{self, entry_bytes};
use crate::storage::database::Database;
use crate::storage::keys::{self, Column, GroupId, Record};
use crate::storage::progress::Progress;
use crate::storage::writer::{Change, Confirm, LogChange, WriteFailed, Writer};

/// Bytes of entries read at once where the reader is content with fewer than it asked for.
const READ_BYTES_MAX: usize = 1024 * 1024;

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

/// The last entries of a log, in memory.
#[derive(Default)]
struct Tail {
    entries: VecDeque<Entry>,
    bytes: usize,
}

impl Tail {
    fn first_index(&self) -> Option<u64> {
        self.entries.front().map(|entry| entry.log_id.index)
    }

    fn push(&mut self, entry: Entry) {
        self.bytes += entry_bytes(&entry);
        self.entries.push_back(entry);
    }

    fn pop_first_if(&mut self, condition: impl FnOnce(&Entry) -> bool) -> bool {
        let popped =
            if self.entries.front().is_some_and(condition) { self.entries.pop_front() } else { None };
        self.bytes -= popped.as_ref().map_or(0, entry_bytes);
        popped.is_some()
    }

    fn truncate_from(&mut self, index: u64) {
        while self.entries.back().is_some_and(|entry| entry.log_id.index >= index) {
            self.bytes -= self.entries.pop_back().as_ref().map_or(0, entry_bytes);
        }
    }

    /// The entries of `from..to` that are here.
    fn range(&self, from: u64, to: u64) -> impl Iterator<Item = &Entry> {
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

/// The log of one group: a cheap handle. Its writes go through the writer thread.
#[derive(Clone)]
pub(crate) struct GroupLog {
    shared: Arc<Shared>,
}

struct Shared {
    group: GroupId,
    disk: Arc<dyn LogDisk>,
    writer: Writer,
    metrics: Arc<ClusterMetrics>,
    bounds: CacheBounds,
    /// The index behind the last entry on disk.
    written: Arc<Progress>,
    state: Mutex<State>,
}

struct State {
    tail: Tail,
    vote: Option<Vote>,
    purged: Option<LogId>,
    last: Option<LogId>,
    sizes: Sizes,
}

impl GroupLog {
    /// The log as it was recovered.
    pub(crate) fn new(
        group: GroupId,
        recovered: Recovered,
        disk: Arc<dyn LogDisk>,
        writer: Writer,
        metrics: Arc<ClusterMetrics>,
        bounds: CacheBounds,
    ) -> Self {
        let written = Arc::new(Progress::at(recovered.next_index()));
        let Recovered { vote, purged, last } = recovered;
        let state = State { tail: Tail::default(), vote, purged, last, sizes: Sizes::default() };
        Self {
            shared: Arc::new(Shared {
                group,
                disk,
                writer,
                metrics,
                bounds,
                written,
                state: Mutex::new(state),
            }),
        }
    }

    /// The last index purged, and up to which index the log holds more than `bytes_kept` behind.
    pub(crate) fn retention(&self, bytes_kept: u64) -> (Option<u64>, Option<u64>) {
        let state = self.shared.state.lock();
        (state.purged.map(|purged| purged.index), state.sizes.index_before(bytes_kept))
    }

    /// Reads `from..to`, from memory where it is there, until `bytes_max` is passed.
    fn read(&self, from: u64, to: u64, bytes_max: usize) -> Result<Vec<Entry>, ReadError> {
        let (mut entries, on_disk_to) = {
            let state = self.shared.state.lock();
            let to = to.min(state.last.map_or(0, |last| last.index + 1));
            let tail_from = state.tail.first_index().unwrap_or(to).min(to);
            if from >= tail_from {
                let mut bytes = 0;
                let within = |entry: &&Entry| {
                    let is_within = bytes < bytes_max;
                    bytes += entry_bytes(entry);
                    is_within
                };
                return Ok(state.tail.range(from, to).take_while(within).cloned().collect());
            }
            (state.tail.range(tail_from, to).cloned().collect::<Vec<_>>(), tail_from)
        };
        let mut older = self.shared.disk.read(self.shared.group, from, on_disk_to, bytes_max)?;
        let reached = older.last().map(|entry| entry.log_id.index + 1);
        match reached {
            Some(reached) if reached < on_disk_to && bytes_max == usize::MAX => {
                let group = self.shared.group;
                return Err(ReadError(format!(
                    "the log of shard {group} has a gap before index {on_disk_to}"
                )));
            }
            // What was asked for is more than is to be given at once.
            Some(reached) if reached < on_disk_to => {}
            // Behind the last on disk, or nothing of the range is there before what is in memory.
            Some(_) | None => older.append(&mut entries),
        }
        Ok(older)
    }

    async fn write(&self, change: LogChange) -> Result<(), WriteFailed> {
        self.shared.writer.write(Change::Log { group: self.shared.group, change }).await
    }
}

impl State {
    /// Drops from memory what is on disk and more than is to be kept.
    fn trim(&mut self, written: u64, bounds: CacheBounds) {
        while self.tail.entries.len() > bounds.entries || self.tail.bytes > bounds.bytes {
            if !self.tail.pop_first_if(|entry| entry.log_id.index < written) {
                break;
            }
        }
    }
}

impl RaftLogReader<TypeConfig> for GroupLog {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> Result<Vec<Entry>, io::Error>
    where
        RB: RangeBounds<u64> + Clone + Debug + Send,
    {
        let (from, to) = bounds_of(&range);
        Ok(self.read(from, to, usize::MAX)?)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        Ok(self.read(start, end, READ_BYTES_MAX)?)
    }

    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = Result<Entry, io::Error>> + Send
    where
        RB: RangeBounds<u64> + Clone + Debug + Send,
    {
        // In pieces, so that a long log is never in memory as a whole.
        let (from, to) = bounds_of(&range);
        let pieces = stream::unfold((self.clone(), Some(from)), move |(log, from)| async move {
            let from = from.filter(|from| *from < to)?;
            let (piece, next) = match log.read(from, to, READ_BYTES_MAX) {
                Ok(entries) => {
                    let next = entries.last().map(|entry| entry.log_id.index + 1);
                    (entries.into_iter().map(Ok).collect(), next)
                }
                Err(error) => (vec![Err(io::Error::from(error))], None),
            };
            Some((stream::iter(piece), (log, next)))
        });
        Box::pin(futures_util::StreamExt::flatten(pieces))
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.shared.state.lock().vote)
    }
}

impl RaftLogStorage<TypeConfig> for GroupLog {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let state = self.shared.state.lock();
        Ok(LogState { last_purged_log_id: state.purged, last_log_id: state.last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        self.shared.state.lock().vote = Some(*vote);
        Ok(self.write(LogChange::Vote(*vote)).await?)
    }

    async fn append<I>(&mut self, entries: I, flushed: IOFlushed<TypeConfig>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let Some(last) = entries.last().map(|entry| entry.log_id) else {
            flushed.io_completed(Ok(()));
            return Ok(());
        };
        {
            let written = self.shared.written.get();
            let mut state = self.shared.state.lock();
            for entry in &entries {
                state.sizes.add(entry.log_id.index, entry_bytes(entry));
                state.tail.push(entry.clone());
            }
            state.last = Some(last);
            state.trim(written, self.shared.bounds);
        }
        let change = Change::Log { group: self.shared.group, change: LogChange::Append(entries) };
        let confirm = Confirm::Raft(flushed, self.shared.written.clone(), last.index + 1);
        Ok(self.shared.writer.send(change, confirm).await?)
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        let from = {
            let mut state = self.shared.state.lock();
            let last = last_log_id.max(state.purged);
            let from = last.map_or(0, |last| last.index + 1);
            if state.last.is_none_or(|present| present.index < from) {
                return Ok(());
            }
            state.tail.truncate_from(from);
            state.sizes.truncate_from(from);
            state.last = last;
            from
        };
        self.write(LogChange::TruncateFrom(from)).await?;
        self.shared.written.fall_back(from);
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        let removed = {
            let mut state = self.shared.state.lock();
            let before = state.purged.map_or(0, |purged| purged.index + 1);
            while state.tail.pop_first_if(|entry| entry.log_id.index <= log_id.index) {}
            state.sizes.purge_to(log_id.index);
            state.purged = state.purged.max(Some(log_id));
            state.last = state.last.max(Some(log_id));
            (log_id.index + 1).saturating_sub(before)
        };
        self.write(LogChange::PurgeTo(log_id)).await?;
        self.shared.metrics.log_purges.add(1);
        self.shared.metrics.entries_purged.add(removed);
        Ok(())
    }
}

fn bounds_of(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Included(from) => *from,
        Bound::Excluded(from) => from + 1,
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(to) => to.saturating_add(1),
        Bound::Excluded(to) => *to,
        Bound::Unbounded => u64::MAX,
    };
    (from, to)
}

/// How many bytes the log holds behind an index, to within [`Sizes::STEP_BYTES`]. Entries of before the start
/// of this process are not counted: they are purged by their number.
#[derive(Default)]
struct Sizes {
    /// An index, and the bytes of the log up to and with it, in steps.
    steps: VecDeque<(u64, u64)>,
    total_bytes: u64,
}

impl Sizes {
    const STEP_BYTES: u64 = 256 * 1024;

    fn add(&mut self, index: u64, bytes: usize) {
        self.total_bytes += bytes as u64;
        let last = self.steps.back().map_or(0, |(_, total)| *total);
        if self.total_bytes >= last + Self::STEP_BYTES {
            self.steps.push_back((index, self.total_bytes));
        }
    }

    fn truncate_from(&mut self, index: u64) {
        while self.steps.pop_back_if(|(step, _)| *step >= index).is_some() {}
    }

    fn purge_to(&mut self, index: u64) {
        while self.steps.pop_front_if(|(step, _)| *step <= index).is_some() {}
    }

    /// The last index that has at least `bytes` behind it.
    fn index_before(&self, bytes: u64) -> Option<u64> {
        let up_to = self.total_bytes.checked_sub(bytes)?;
        self.steps.iter().take_while(|(_, total)| *total <= up_to).last().map(|(index, _)| *index)
    }
}
