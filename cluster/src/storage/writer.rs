//! The one thread that writes to `RocksDB`.
//!
//! Whatever has gathered while the last batch was flushed becomes the next batch: one `WriteBatch`, one flush
//! for all groups of the node. Writes of applied state wait in [`super::behind`], ride along when it is time
//! and ask for no flush of their own, since the log rebuilds them. Nothing is confirmed before the batch it is
//! in is on disk, in the order it came. After a failure every write fails, those that wait and those to come.
//!
//! In a simulation it is a task in the place of a thread, whose disk takes the runtime's time ([`SimulatedDisk`]).

use std::collections::VecDeque;
use std::sync::Arc;

use openraft::storage::IOFlushed;
use rocksdb::{WriteBatch, WriteOptions};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::metrics::ClusterMetrics;
use crate::raft::{Entry, LogId, TypeConfig, Vote};
use crate::sabotage::{self, Sabotage};
use crate::storage::behind::BEHIND_MAX;
use crate::storage::database::Rocks;
use crate::storage::health::Health;
use crate::storage::keys::{Column, GroupId};
use crate::storage::log::LogDisk;
use crate::storage::progress::Progress;
use crate::storage::queue::{self, Receiver, Sender};
use crate::storage::state::StateStore;
use crate::storage::witness::{Witness, vote_note};
use crate::storage::{SimulatedDisk, WriteHook, WriteKind};

/// Writes that may wait for the thread; those who bring more wait for room.
const QUEUE_MAX: usize = 8_192;
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
    /// Puts and removed ranges under full keys, in order.
    Rows { rows: Vec<Row>, flush: bool },
    /// What a replica has applied and not written yet: now.
    Behind(Arc<StateStore>),
    /// The same, but after [`BEHIND_MAX`].
    BehindLater(Arc<StateStore>),
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
    DeleteRange(Column, Vec<u8>, Vec<u8>),
}

/// Who is told when a write is on disk, or failed.
pub(crate) enum Confirm {
    Nobody,
    Raft(IOFlushed<TypeConfig>, Arc<Progress>, u64),
    Written(Arc<StateStore>, u64),
    Waiter(oneshot::Sender<Result<(), WriteFailed>>),
}

/// The way to the writer thread.
#[derive(Clone)]
pub(crate) struct Writer {
    queue: Sender<Write>,
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
        let (queue, writes) = queue::queue(QUEUE_MAX);
        let (ended, end) = oneshot::channel();
        let thread = Thread {
            rocks,
            log,
            witness,
            health,
            metrics,
            hook,
            scratch: Vec::new(),
            noted: Vec::new(),
            later: VecDeque::new(),
            has_ended: false,
        };
        // Both drop their share of the database first, and what came too late. Nobody waits for the end of a
        // node that is dropped without a shutdown.
        if let Some(disk) = simulated {
            TaskTracker::new().spawn(async move {
                thread.run_as_task(&writes, disk.as_ref()).await;
                drop(writes);
                let _ = ended.send(());
            });
        } else {
            std::thread::Builder::new().name("stead-writer".to_owned()).spawn(move || {
                thread.run(&writes);
                drop(writes);
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
    /// Replicas with applied writes that wait, and until when, the first to be written first.
    later: VecDeque<(Instant, Arc<StateStore>)>,
    has_ended: bool,
}

/// A batch in the making.
struct Staged {
    batch: WriteBatch,
    kind: WriteKind,
    confirms: Vec<Confirm>,
}

impl Default for Staged {
    fn default() -> Self {
        Self { batch: WriteBatch::default(), kind: WriteKind::Unsynced, confirms: Vec::new() }
    }
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
    fn run(mut self, queue: &Receiver<Write>) {
        let mut waiting = Vec::new();
        while !self.has_ended && queue.take(&mut waiting, self.due()) {
            self.metrics.writer_queue.set(queue.len() as u64);
            let mut writes = waiting.drain(..).peekable();
            // Once at least: it may be time for what waits.
            self.write_batch(&mut writes).confirm();
            while writes.peek().is_some() {
                self.write_batch(&mut writes).confirm();
            }
        }
        while let Some(write) = self.next_at_end() {
            self.write_batch(&mut std::iter::once(write)).confirm();
        }
        self.write_last();
    }

    /// The same as a task: the disk's time is the runtime's.
    async fn run_as_task(mut self, queue: &Receiver<Write>, disk: &dyn SimulatedDisk) {
        let mut waiting = Vec::new();
        while !self.has_ended && queue.take_async(&mut waiting, self.due()).await {
            let mut writes = std::mem::take(&mut waiting).into_iter().peekable();
            loop {
                disk.begins().await;
                let written = self.write_batch(&mut writes);
                disk.ends(written.kind).await;
                written.confirm();
                if writes.peek().is_none() {
                    break;
                }
            }
        }
        while let Some(write) = self.next_at_end() {
            disk.begins().await;
            let written = self.write_batch(&mut std::iter::once(write));
            disk.ends(written.kind).await;
            written.confirm();
        }
        self.write_last();
    }

    /// When it is time for applied writes that wait.
    fn due(&self) -> Option<Instant> {
        self.later.front().map(|(due, _)| *due)
    }

    /// What waits is written at the end, so that the next start finds nothing to apply again.
    fn next_at_end(&mut self) -> Option<Write> {
        let (_, store) = self.later.pop_front()?;
        Some(Write { change: Change::Behind(store), confirm: Confirm::Nobody })
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
        let mut staged = Staged::default();
        let mut result = Ok(());
        for Write { change, confirm } in writes {
            result = self.stage(change, &mut staged);
            staged.confirms.push(confirm);
            if result.is_err() || staged.batch.size_in_bytes() >= BATCH_BYTES_MAX {
                break;
            }
        }
        // One replica a batch, so that no flush of the log waits for many.
        if let Some((due, _)) = self.later.front()
            && *due <= Instant::now()
            && let Some((_, store)) = self.later.pop_front()
        {
            self.stage_behind(store, &mut staged);
        }
        let Staged { batch, kind, confirms } = staged;
        let kind = if sabotage::is_on(Sabotage::ConfirmUnflushed) { WriteKind::Unsynced } else { kind };
        let result = result.and_then(|()| self.commit(batch, kind));
        if let Err(WriteFailed(reason)) = &result {
            self.health.fail(reason.clone());
        }
        Written { confirms, result, kind }
    }

    fn stage(&mut self, change: Change, staged: &mut Staged) -> Result<(), WriteFailed> {
        match change {
            Change::Log { group, change } => {
                staged.kind = WriteKind::Synced;
                self.note(group, &change)?;
                self.log.stage(group, &change, &mut staged.batch, &mut self.scratch);
            }
            Change::Rows { rows, flush } => {
                if flush {
                    staged.kind = WriteKind::Synced;
                }
                for row in &rows {
                    stage_row(&self.rocks, row, &mut staged.batch);
                }
            }
            Change::Behind(store) => {
                self.later.retain(|(_, other)| !Arc::ptr_eq(other, &store));
                self.stage_behind(store, staged);
            }
            Change::BehindLater(store) => self.later.push_back((Instant::now() + BEHIND_MAX, store)),
            Change::End => self.has_ended = true,
        }
        Ok(())
    }

    fn stage_behind(&self, store: Arc<StateStore>, staged: &mut Staged) {
        if let Some(index) = store.behind.stage(store.group, &self.rocks, &mut staged.batch) {
            staged.confirms.push(Confirm::Written(store, index));
        }
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
            Self::Written(store, index) => match result {
                Ok(()) => store.written.reach(index),
                Err(WriteFailed(reason)) => store.written.stop(reason),
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
