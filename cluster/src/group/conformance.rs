//! openraft's own suite for log storage and state machines, and snapshots between two data directories.

mod replaying;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use openraft::EntryPayload;
use openraft::StorageError;
use openraft::storage::RaftStateMachine;
use openraft::testing::log::{StoreBuilder, Suite};
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::group::apply::StateMachine;
use crate::group::standing::Standing;
use crate::layout::LogIndex;
use crate::machine::{ApplyError, Machine, Space, Writes};
use crate::metrics::ClusterMetrics;
use crate::raft::{Commands, Entry, TypeConfig, log_id};
use crate::storage::Reader;
use crate::storage::database::Database;
use crate::storage::health::Health;
use crate::storage::keys::{self, Column, GroupId};
use crate::storage::log::{CacheBounds, GroupLog, LogDisk, RocksLog};
use crate::storage::snapshot::ShardSnapshot;
use crate::storage::state::StateStore;
use crate::storage::witness::Witness;
use crate::storage::writer::{Change, Row, Writer};

/// Stores each command under itself, and forgets what it knew when told to.
struct Echo {
    resets: Arc<std::sync::atomic::AtomicU64>,
}

impl Machine for Echo {
    fn apply(
        &mut self,
        _: LogIndex,
        command: &[u8],
        _: &Reader,
        writes: &mut Writes,
    ) -> Result<(), ApplyError> {
        writes.put(Space::State, command, b"state");
        writes.put(Space::Alarms, command, b"alarm");
        Ok(())
    }

    fn reset(&mut self) {
        self.resets.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

/// One replica without a Raft.
struct Replica {
    directory: TempDir,
    database: Arc<Database>,
    store: Arc<StateStore>,
    writer: Writer,
    log: GroupLog,
    machine: StateMachine,
    standing: Arc<Standing>,
    resets: Arc<std::sync::atomic::AtomicU64>,
}

const GROUP: GroupId = GroupId(3);

/// The ends of the writer threads that a test started. It waits for them: a process that exits while one of
/// them is in `RocksDB` is aborted.
#[derive(Default)]
struct Ends(Mutex<Vec<oneshot::Receiver<()>>>);

impl Ends {
    async fn wait(&self) {
        let ends = std::mem::take(&mut *self.0.lock());
        for end in ends {
            end.await.expect("the writer thread tells that it ends");
        }
    }
}

fn replica(cache: CacheBounds, ends: &Ends) -> Replica {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let database =
        Database::open(&directory.path().join("rocksdb"), 1024 * 1024).expect("the database opens");
    let metrics = Arc::new(ClusterMetrics::default());
    let disk: Arc<dyn LogDisk> = Arc::new(RocksLog { database: database.clone() });
    let witness = Witness::open(directory.path(), 1).expect("the witness opens");
    let rocks = database.rocks().expect("it is open");
    let health = Arc::new(Health::default());
    let (writer, end) = Writer::start(rocks, disk.clone(), witness, health, metrics.clone(), None, None)
        .expect("the writer starts");
    ends.0.lock().push(end);
    let store = Arc::new(StateStore::new(GROUP, database.clone()));
    let state = store.recover().expect("nothing is stored yet");
    let recovered = disk.recover(GROUP).expect("nothing is stored yet");
    let log = GroupLog::new(GROUP, recovered, disk, writer.clone(), metrics.clone(), cache);
    let resets = Arc::default();
    let echo = Box::new(Echo { resets: Arc::clone(&resets) });
    let standing = Arc::new(Standing::default());
    let machine = StateMachine::new(echo, store.clone(), state, writer.clone(), standing.clone(), metrics);
    Replica { directory, database, store, writer, log, machine, standing, resets }
}

struct Replicas {
    cache: CacheBounds,
    ends: Arc<Ends>,
}

impl StoreBuilder<TypeConfig, GroupLog, StateMachine, TempDir> for Replicas {
    async fn build(&self) -> Result<(TempDir, GroupLog, StateMachine), StorageError<TypeConfig>> {
        let Replica { directory, log, machine, .. } = replica(self.cache, &self.ends);
        Ok((directory, log, machine))
    }
}

async fn suite_passes(cache: CacheBounds) {
    let ends = Arc::new(Ends::default());
    Suite::test_all(Replicas { cache, ends: ends.clone() }).await.expect("the suite passes");
    ends.wait().await;
}

#[tokio::test]
async fn openrafts_suite_passes_with_entries_in_memory() {
    suite_passes(CacheBounds { entries: 1_000, bytes: 1024 * 1024 }).await;
}

#[tokio::test]
async fn openrafts_suite_passes_with_entries_on_disk() {
    suite_passes(CacheBounds { entries: 1, bytes: 1 }).await;
}

/// Applies entries of one command each, `k<index>`, numbered from `sequence` on.
async fn apply(replica: &mut Replica, term: u64, from: u64, to: u64, mut sequence: u64) {
    let entries = (from..=to).map(|index| {
        let commands = Commands::pack(sequence, [Bytes::from(format!("k{index}"))].iter());
        sequence += 1;
        Ok((Entry { log_id: log_id(term, index), payload: EntryPayload::Normal(commands) }, None))
    });
    let entries: Vec<_> = entries.collect();
    replica.machine.apply(stream::iter(entries)).await.expect("they are applied");
    // Now, so that what was applied is in RocksDB.
    replica.writer.write(Change::Behind(replica.store.clone())).await.expect("the disk works");
}

fn keys(replica: &Replica, space: Space) -> Vec<String> {
    let rows = Reader::live(replica.store.clone()).scan(space, Vec::new()..vec![u8::MAX]);
    rows.map(|row| String::from_utf8(row.expect("it can be read").0).expect("keys are text")).collect()
}

fn small(ends: &Ends) -> Replica {
    replica(CacheBounds { entries: 8, bytes: 1024 }, ends)
}

#[tokio::test]
async fn a_snapshot_replaces_the_state_of_another_replica() {
    let ends = Ends::default();
    let (mut from, mut to) = (small(&ends), small(&ends));
    apply(&mut from, 1, 1, 3_000, 1).await;
    apply(&mut to, 1, 1, 2, 1).await;
    to.store.behind.add(stale(), &applied_of(&to), None);
    to.writer.write(Change::Behind(to.store.clone())).await.expect("it is written");
    assert_eq!(keys(&to, Space::State).len(), 3);
    // And again, but not written yet: it must not come after the snapshot.
    to.store.behind.add(stale(), &applied_of(&to), None);

    let snapshot = from.machine.get_current_snapshot().await.expect("it can be read").expect("there is one");
    assert_eq!(snapshot.meta.last_log_id, Some(log_id(1, 3_000)));
    // What is applied while it is being sent belongs to the log, not to the snapshot.
    apply(&mut from, 1, 3_001, 3_010, 3_001).await;
    to.machine
        .install_snapshot(&snapshot.meta, over_a_wire(snapshot.snapshot))
        .await
        .expect("it is installed");

    assert_eq!(keys(&to, Space::State).len(), 3_000, "neither less, nor what was there before");
    assert_eq!(keys(&to, Space::Alarms).len(), 3_000);
    assert_eq!(to.resets.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert_eq!(to.store.written.get(), 3_000);
    assert_eq!(to.store.incarnation(), 2);
    // The next entry of the same proposer follows on what the snapshot holds.
    apply(&mut to, 1, 3_001, 3_002, 3_001).await;
    assert_eq!(keys(&to, Space::State).len(), 3_002);

    let again = StateStore::new(GROUP, to.database.clone());
    let (applied, _) = again.recover().expect("it can be read");
    assert_eq!((applied.incarnation, applied.log_id), (2, Some(log_id(1, 3_002))));
    assert!(again.leftover_rows().expect("it can be read").is_empty(), "the old data is gone");
    drop((from, to));
    ends.wait().await;
}

#[tokio::test]
async fn an_install_that_breaks_off_leaves_the_old_state_and_is_cleaned_up() {
    let ends = Ends::default();
    let (mut from, mut to) = (small(&ends), small(&ends));
    apply(&mut from, 1, 1, 20_000, 1).await;
    apply(&mut to, 1, 1, 2, 1).await;
    let mut snapshot =
        from.machine.get_current_snapshot().await.expect("it can be read").expect("there is one");
    let (sender, broken) = ShardSnapshot::from_peer();
    let first = snapshot.snapshot.next().await.expect("it can be read").expect("there is a chunk");
    sender.send(Ok(first)).await.expect("there is room");
    drop(sender);
    to.machine.install_snapshot(&snapshot.meta, broken).await.expect_err("the end is missing");
    assert_eq!(keys(&to, Space::State), ["k1", "k2"]);
    to.writer.write(Change::Rows { rows: Vec::new(), flush: false }).await.expect("the disk works");
    let again = StateStore::new(GROUP, to.database.clone());
    again.recover().expect("it can be read");
    assert!(again.leftover_rows().expect("it can be read").is_empty(), "what came is removed at once");
    // A crash in the middle leaves it where it is.
    let leftover = Row::Put(Column::State, keys::data(GROUP, 7, b"k9"), Vec::new());
    to.writer.write(Change::Rows { rows: vec![leftover], flush: false }).await.expect("the disk works");
    let leftovers = again.leftover_rows().expect("it can be read");
    assert!(!leftovers.is_empty());
    to.writer.write(Change::Rows { rows: leftovers, flush: false }).await.expect("the disk works");
    assert!(again.leftover_rows().expect("it can be read").is_empty());
    assert_eq!(keys(&to, Space::State), ["k1", "k2"]);
    drop((from, to));
    ends.wait().await;
}

#[tokio::test]
async fn an_entry_whose_predecessor_was_refused_is_left_out_by_every_replica() {
    let ends = Ends::default();
    let mut replica = small(&ends);
    apply(&mut replica, 1, 1, 1, 1).await;
    apply(&mut replica, 1, 2, 2, 3).await; // number 2 of the term is missing
    apply(&mut replica, 1, 3, 3, 4).await;
    apply(&mut replica, 2, 4, 4, 1).await; // a new term, a new count
    assert_eq!(keys(&replica, Space::State), ["k1", "k4"]);
    drop(replica);
    ends.wait().await;
}

fn stale() -> Writes {
    let mut writes = Writes::default();
    writes.put(Space::State, b"stale", b"");
    writes
}

fn applied_of(replica: &Replica) -> crate::storage::codec::Applied {
    replica.store.view().expect("it can be read").1
}

/// The snapshot as a peer gets it: chunk by chunk, with an empty one at the end.
fn over_a_wire(mut snapshot: ShardSnapshot) -> ShardSnapshot {
    let (sender, received) = ShardSnapshot::from_peer();
    tokio_util::task::TaskTracker::new().spawn(async move {
        while let Some(chunk) = snapshot.next().await.expect("it can be read") {
            sender.send(Ok(chunk)).await.expect("somebody receives");
        }
        sender.send(Ok(Bytes::new())).await.expect("somebody receives");
    });
    received
}
