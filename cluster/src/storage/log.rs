//! The log of one group, as openraft uses it, and the small trait behind which it lies on disk.
//!
//! Recent entries are kept in memory ([`Tail`]): those not yet on disk, which must be readable at once, and as
//! many more as the options allow, for followers and apply. Older ones are read from disk. The log is purged
//! in one place, [`GroupLog::purge`], so that whoever wants to keep the entries can be asked there one day.

mod disk;
mod tail;

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use futures_util::Stream;
use futures_util::stream;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, RaftLogReader};
use parking_lot::Mutex;

use crate::metrics::ClusterMetrics;
use crate::raft::{Entry, LogId, TypeConfig, Vote};
use crate::storage::ReadError;
use crate::storage::codec::entry_bytes;
use crate::storage::keys::GroupId;
pub(crate) use crate::storage::log::disk::{LogDisk, Recovered, RocksLog};
pub(crate) use crate::storage::log::tail::CacheBounds;
use crate::storage::log::tail::{Sizes, Tail};
use crate::storage::progress::Progress;
use crate::storage::writer::{Change, Confirm, LogChange, WriteFailed, Writer};

/// Bytes of entries read at once where the reader is content with fewer than it asked for.
const READ_BYTES_MAX: usize = 1024 * 1024;

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

    /// The last entry, on disk or not.
    pub(crate) fn last(&self) -> Option<LogId> {
        self.shared.state.lock().last
    }

    /// The last index purged, and up to which index the log holds more than `bytes_kept` behind.
    pub(crate) fn retention(&self, bytes_kept: u64) -> (Option<u64>, Option<u64>) {
        let state = self.shared.state.lock();
        (state.purged.map(|purged| purged.index), state.sizes.index_before(bytes_kept))
    }

    /// The last index purged.
    pub(crate) fn purged(&self) -> Option<u64> {
        self.shared.state.lock().purged.map(|purged| purged.index)
    }

    /// Reads `from..to`, from memory where it is there, until `bytes_max` is passed.
    pub(crate) fn read(&self, from: u64, to: u64, bytes_max: usize) -> Result<Vec<Entry>, ReadError> {
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
