//! The one thread that writes to `RocksDB`.
//!
//! Whatever has gathered while the last batch was flushed becomes the next batch: one `WriteBatch`, one flush
//! for all groups of the node. Writes of applied state ride along and ask for no flush of their own, since
//! the log rebuilds them. Nothing is confirmed before the batch it is in is on disk, in the order it came.
//! After a failure every write fails, those that wait and those to come.
//!
//! In a simulation it is a task in the place of a thread, whose disk takes the runtime's time ([`SimulatedDisk`]).

use std::sync::Arc;
use std::time::Instant;

use openraft::storage::IOFlushed;
use rocksdb::{WriteBatch, WriteOptions};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use crate::metrics::ClusterMetrics;
use crate::raft::{Entry, LogId, TypeConfig, Vote};
use crate::sabotage::{self, Sabotage};
use crate::storage::database::Rocks;
use crate::storage::health::Health;
use crate::storage::keys::{Column, GroupId};
use crate::storage::log::LogDisk;
use crate::storage::progress::Progress;
use crate::storage::witness::{Witness, vote_note};
use crate::storage::{SimulatedDisk, WriteHook, WriteKind};

/// Writes that may wait for the thread; those who bring more wait for room.
const QUEUE_MAX: usize = 8_192;
/// Writes taken into one batch at most.
const BATCH_WRITES_MAX: usize = 4_096;
/// Bytes after which a batch takes no more writes.
const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The disk failed before or with this write.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(crate) struct WriteFailed(pub(crate) String);

impl From<WriteFailed> for std::io::Error {
    fn from(failed: WriteFailed) -> Self {
        Self::other(failed.0)
    }
}

/// One write, and who is to hear of it.
pub(crate) struct Write {
    pub(crate) change: Change,
    pub(crate) confirm: Confirm,
}

/// What is to be written.
pub(crate) enum Change {
    /// A change of a group's log or vote: flushed.
    Log { group: GroupId, change: LogChange },
    /// Puts and deletes under full keys, in order.
    Rows { rows: Vec<Row>, flush: bool },
    /// Nothing: the thread ends behind the writes before it.
    End,
}

/// A change of a group's log or vote.
pub(crate) enum LogChange {
    Append(Vec<Entry>),
    Vote(Vote),
    /// Removes the entries from this index on.
    TruncateFrom(u64),
    /// Removes the entries up to and with this one.
    PurgeTo(LogId),
}

/// A change of one key, or of a range of keys.
pub(crate) enum Row {
    Put(Column, Vec<u8>, Vec<u8>),
    Delete(Column, Vec<u8>),
    DeleteRange(Column, Vec<u8>, Vec<u8>),
}

/// Who is told when a write is on disk, or failed.
pub(crate) enum Confirm {
    Nobody,
    Raft(IOFlushed<TypeConfig>, Arc<Progress>, u64),
    Progress(Arc<Progress>, u64),
    Waiter(oneshot::Sender<Result<(), WriteFailed>>),
}

/// The way to the writer thread.
#[derive(Clone)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Write>,
}

impl Writer {
    /// Starts the thread, or with a simulated disk the task. It ends with [`Self::end`], or when every `Writer`
    /// is dropped; then the receiver resolves.
    pub(crate) fn start(
        rocks: Arc<Rocks>,
        log: Arc<dyn LogDisk>,
        witness: Witness,
        health: Arc<Health>,
        metrics: Arc<ClusterMetrics>,
        hook: Option<Arc<dyn WriteHook>>,
        simulated: Option<Arc<dyn SimulatedDisk>>,
    ) -> std::io::Result<(Self, oneshot::Receiver<()>)> {
        let (queue, writes) = mpsc::channel(QUEUE_MAX);
        let (ended, end) = oneshot::channel();
        let (scratch, noted) = (Vec::new(), Vec::new());
        let thread = Thread { rocks, log, witness, health, metrics, hook, scratch, noted, has_ended: false };
        // Both drop their share of the database first. Nobody waits for the end of a node that is dropped
        // without a shutdown.
        if let Some(disk) = simulated {
            TaskTracker::new().spawn(async move {
                thread.run_as_task(writes, disk.as_ref()).await;
                let _ = ended.send(());
            });
        } else {
            std::thread::Builder::new().name("stead-writer".to_owned()).spawn(move || {
                thread.run(writes);
                let _ = ended.send(());
            })?;
        }
        Ok((Self { queue }, end))
    }

    /// Queues a write. Its confirmation comes later, and always.
    pub(crate) async fn send(&self, change: Change, confirm: Confirm) -> Result<(), WriteFailed> {
        let sent = self.queue.send(Write { change, confirm }).await;
        sent.map_err(|_| WriteFailed("the node is shutting down".to_owned()))
    }

    /// Queues a write of which nobody is to hear, if there is room.
    pub(crate) fn try_send(&self, change: Change) {
        drop(self.queue.try_send(Write { change, confirm: Confirm::Nobody }));
    }

    /// Queues a write and waits until it is on disk (a write that asks for no flush: in the log of `RocksDB`).
    pub(crate) async fn write(&self, change: Change) -> Result<(), WriteFailed> {
        let (confirm, confirmed) = oneshot::channel();
        self.send(change, Confirm::Waiter(confirm)).await?;
        confirmed.await.unwrap_or_else(|_| Err(WriteFailed("the writer thread ended".to_owned())))
    }
}

impl Writer {
    /// Ends the thread behind the writes queued so far. What comes later fails.
    pub(crate) async fn end(&self) {
        // Already ended is as good.
        let _ = self.send(Change::End, Confirm::Nobody).await;
    }
}

struct Thread {
    rocks: Arc<Rocks>,
    log: Arc<dyn LogDisk>,
    witness: Witness,
    health: Arc<Health>,
    metrics: Arc<ClusterMetrics>,
    hook: Option<Arc<dyn WriteHook>>,
    scratch: Vec<u8>,
    /// What the witness is to say of the batch once it is on disk.
    noted: Vec<(GroupId, Noted)>,
    has_ended: bool,
}

#[derive(Clone, Copy)]
enum Noted {
    NextIndex(u64),
    /// What the index behind the last entry is at least, now that everything before it is purged.
    NextIndexAtLeast(u64),
    Vote((u64, u64, bool)),
}

impl Drop for Thread {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.health.fail("the writer thread panicked".to_owned());
        }
    }
}

impl Thread {
    fn run(mut self, mut queue: mpsc::Receiver<Write>) {
        let mut waiting = Vec::new();
        while !self.has_ended && queue.blocking_recv_many(&mut waiting, BATCH_WRITES_MAX) > 0 {
            self.metrics.writer_queue.set(queue.len() as u64);
            let mut writes = waiting.drain(..).peekable();
            while writes.peek().is_some() {
                self.write_batch(&mut writes).confirm();
            }
        }
        self.write_last();
    }

    /// The same as a task: the disk's time is the runtime's.
    async fn run_as_task(mut self, mut queue: mpsc::Receiver<Write>, disk: &dyn SimulatedDisk) {
        let mut waiting = Vec::new();
        while !self.has_ended && queue.recv_many(&mut waiting, BATCH_WRITES_MAX).await > 0 {
            let mut writes = std::mem::take(&mut waiting).into_iter().peekable();
            while writes.peek().is_some() {
                disk.begins().await;
                let written = self.write_batch(&mut writes);
                disk.ends(written.kind).await;
                written.confirm();
            }
        }
        self.write_last();
    }

    fn write_last(&mut self) {
        if self.health.failure().is_none()
            && let Err(error) = self.witness.write_last()
        {
            tracing::warn!(%error, "the witness could not be flushed at shutdown");
        }
    }

    /// Writes one batch of what comes first.
    fn write_batch(&mut self, writes: &mut impl Iterator<Item = Write>) -> Written {
        let mut batch = WriteBatch::default();
        let mut confirms = Vec::new();
        let mut kind = WriteKind::Unsynced;
        let mut result = Ok(());
        for Write { change, confirm } in writes {
            confirms.push(confirm);
            result = self.stage(change, &mut batch, &mut kind);
            if result.is_err() || batch.size_in_bytes() >= BATCH_BYTES_MAX {
                break;
            }
        }
        if sabotage::is_on(Sabotage::ConfirmUnflushed) {
            kind = WriteKind::Unsynced;
        }
        let result = result.and_then(|()| self.commit(batch, kind));
        if let Err(WriteFailed(reason)) = &result {
            self.health.fail(reason.clone());
        }
        Written { confirms, result, kind }
    }

    fn stage(
        &mut self,
        change: Change,
        batch: &mut WriteBatch,
        kind: &mut WriteKind,
    ) -> Result<(), WriteFailed> {
        match change {
            Change::Log { group, change } => {
                *kind = WriteKind::Synced;
                self.note(group, &change)?;
                self.log.stage(group, &change, batch, &mut self.scratch);
            }
            Change::Rows { rows, flush } => {
                if flush {
                    *kind = WriteKind::Synced;
                }
                for row in &rows {
                    stage_row(&self.rocks, row, batch);
                }
            }
            Change::End => self.has_ended = true,
        }
        Ok(())
    }

    /// Notes what the witness is to say once the batch is on disk; a log that gets shorter it hears of before.
    fn note(&mut self, group: GroupId, change: &LogChange) -> Result<(), WriteFailed> {
        let noted = match change {
            LogChange::Append(entries) => match entries.last() {
                Some(entry) => Noted::NextIndex(entry.log_id.index + 1),
                None => return Ok(()),
            },
            LogChange::Vote(vote) => Noted::Vote(vote_note(vote)),
            LogChange::PurgeTo(log_id) => Noted::NextIndexAtLeast(log_id.index + 1),
            LogChange::TruncateFrom(index) => Noted::NextIndex(*index),
        };
        self.noted.push((group, noted));
        if let LogChange::TruncateFrom(index) = change {
            let note = self.witness.change(group);
            note.next_index = note.next_index.min(*index);
            self.witness_result(Witness::write_flushed)?;
        }
        Ok(())
    }

    fn commit(&mut self, batch: WriteBatch, kind: WriteKind) -> Result<(), WriteFailed> {
        if let Some(reason) = self.health.failure() {
            return Err(WriteFailed(reason.to_owned()));
        }
        if batch.is_empty() {
            return Ok(());
        }
        let bytes = batch.size_in_bytes();
        if let Some(hook) = &self.hook {
            hook.before(kind, bytes).map_err(WriteFailed)?;
        }
        let mut options = WriteOptions::default();
        options.set_sync(kind == WriteKind::Synced);
        let begun = Instant::now();
        let written = self.rocks.db().write_opt(batch, &options);
        let took = begun.elapsed();
        written.map_err(|error| WriteFailed(format!("a write to the data directory failed: {error}")))?;
        if let Some(hook) = &self.hook {
            hook.after(kind, took);
        }
        self.metrics.batches.add(1);
        self.metrics.bytes_written.add(bytes as u64);
        if kind == WriteKind::Synced {
            self.metrics.fsyncs.add(1);
            self.metrics.fsync_time.observe(took);
            for (group, noted) in self.noted.drain(..) {
                let note = self.witness.change(group);
                match noted {
                    Noted::NextIndex(index) => note.next_index = index,
                    Noted::NextIndexAtLeast(index) => note.next_index = note.next_index.max(index),
                    Noted::Vote(vote) => note.vote = vote,
                }
            }
            self.witness_result(Witness::write)?;
        }
        Ok(())
    }

    fn witness_result(&mut self, write: fn(&mut Witness) -> std::io::Result<()>) -> Result<(), WriteFailed> {
        write(&mut self.witness)
            .map_err(|error| WriteFailed(format!("a write of the witness failed: {error}")))
    }
}

fn stage_row(rocks: &Rocks, row: &Row, batch: &mut WriteBatch) {
    match row {
        Row::Put(column, key, value) => batch.put_cf(rocks.column(*column), key, value),
        Row::Delete(column, key) => batch.delete_cf(rocks.column(*column), key),
        Row::DeleteRange(column, from, to) => batch.delete_range_cf(rocks.column(*column), from, to),
    }
}

/// What became of a batch, and who is to hear of it.
struct Written {
    confirms: Vec<Confirm>,
    result: Result<(), WriteFailed>,
    kind: WriteKind,
}

impl Written {
    fn confirm(self) {
        for confirm in self.confirms {
            confirm.tell(&self.result);
        }
    }
}

impl Confirm {
    fn tell(self, result: &Result<(), WriteFailed>) {
        match self {
            Self::Nobody => {}
            Self::Raft(flushed, progress, index) => {
                if result.is_ok() {
                    progress.reach(index);
                }
                flushed.io_completed(result.clone().map_err(std::io::Error::from));
            }
            Self::Progress(progress, index) => match result {
                Ok(()) => progress.reach(index),
                Err(WriteFailed(reason)) => progress.stop(reason),
            },
            // A waiter that went away does not want to know.
            Self::Waiter(waiter) => drop(waiter.send(result.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Change, Row, Writer};
    use crate::metrics::ClusterMetrics;
    use crate::storage::database::Database;
    use crate::storage::health::Health;
    use crate::storage::keys::Column;
    use crate::storage::log::RocksLog;
    use crate::storage::witness::Witness;
    use crate::storage::{WriteHook, WriteKind};

    /// Fails the second write only.
    #[derive(Default)]
    struct Hiccup(AtomicU64);

    impl WriteHook for Hiccup {
        fn before(&self, _: WriteKind, _: usize) -> Result<(), String> {
            let is_second = self.0.fetch_add(1, Ordering::Relaxed) == 1;
            if is_second { Err("hiccup".to_owned()) } else { Ok(()) }
        }
    }

    #[tokio::test]
    async fn after_one_failed_write_every_write_fails() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let database = Database::open(&directory.path().join("rocksdb"), 1024 * 1024).expect("it opens");
        let (health, metrics) = (Arc::new(Health::default()), Arc::new(ClusterMetrics::default()));
        let log = Arc::new(RocksLog { database: database.clone() });
        let witness = Witness::open(directory.path(), 1).expect("it opens");
        let hook: Option<Arc<dyn WriteHook>> = Some(Arc::new(Hiccup::default()));
        let rocks = database.rocks().expect("it is open");
        let (writer, ended) = Writer::start(rocks, log, witness, health.clone(), metrics.clone(), hook, None)
            .expect("it starts");
        let put =
            |key: u8| Change::Rows { rows: vec![Row::Put(Column::Map, vec![key], vec![])], flush: true };
        writer.write(put(1)).await.expect("the first is written");
        writer.write(put(2)).await.expect_err("the second fails");
        let error = writer.write(put(3)).await.expect_err("so does every later one");
        assert_eq!(error.to_string(), "hiccup");
        assert_eq!(health.failure(), Some("hiccup"));
        writer.end().await;
        ended.await.expect("the thread ends");
        let stored = |key: u8| database.get(Column::Map, &[key]).expect("it can be read").is_some();
        assert_eq!([stored(1), stored(2), stored(3)], [true, false, false]);
        assert_eq!(metrics.fsyncs.get(), 1);
    }
}
