//! A node in a temporary directory, and a machine that is simple to check.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use stead_cluster::{
    ApplyError, Clock, Cluster, LogIndex, Machine, NoPeers, OpenError, Options, Reader, Shard, ShardId,
    Space, Verdict, WriteHook, WriteKind, Writes,
};
use tempfile::TempDir;
use tokio::sync::oneshot;

/// How long anything awaited here may take at most.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A command is `key=value`: the machine stores it, refuses the key `bad`, and counts what it applied.
pub(crate) struct Notebook {
    applied: u64,
}

impl Notebook {
    pub(crate) fn new() -> Self {
        Self { applied: 0 }
    }
}

impl Machine for Notebook {
    fn apply(
        &mut self,
        index: LogIndex,
        command: &[u8],
        _reader: &Reader,
        writes: &mut Writes,
    ) -> Result<(), ApplyError> {
        let at = command.iter().position(|byte| *byte == b'=').unwrap();
        let (key, value) = (&command[..at], &command[at + 1..]);
        if key == b"bad" {
            return Err(ApplyError::new("the key is bad"));
        }
        self.applied += 1;
        writes.put(Space::State, key, value);
        writes.put(Space::Alarms, index.to_be_bytes(), key);
        Ok(())
    }

    fn reset(&mut self) {}
}

pub(crate) struct NoTime;

impl Clock for NoTime {
    fn now_ms(&self) -> u64 {
        1_000
    }
}

/// Counts writes, and fails those from a given one on.
#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) synced: AtomicU64,
    pub(crate) is_full: std::sync::atomic::AtomicBool,
}

impl WriteHook for Disk {
    fn before(&self, _: WriteKind, _: usize) -> Result<(), String> {
        if self.is_full.load(Ordering::SeqCst) { Err("no space left on device".to_owned()) } else { Ok(()) }
    }

    fn after(&self, kind: WriteKind, _: Duration) {
        if kind == WriteKind::Synced {
            self.synced.fetch_add(1, Ordering::SeqCst);
        }
    }
}

pub(crate) struct Node {
    pub(crate) cluster: Cluster,
    pub(crate) disk: Arc<Disk>,
}

pub(crate) fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

pub(crate) fn options(directory: &Path) -> Options {
    Options { data_dir: directory.to_owned(), shards: 3, ..Options::default() }
}

impl Node {
    pub(crate) async fn start(directory: &Path) -> Self {
        Self::with(options(directory)).await.unwrap()
    }

    pub(crate) async fn with(options: Options) -> Result<Self, OpenError> {
        let disk = Arc::new(Disk::default());
        let options = Options { write_hook: Some(disk.clone()), ..options };
        let machine = |_: ShardId| Box::new(Notebook::new()) as Box<dyn Machine>;
        let cluster = Cluster::open(options, Arc::new(NoPeers), Arc::new(NoTime), machine).await?;
        Ok(Self { cluster, disk })
    }

    pub(crate) fn shard(&self, number: u16) -> &Shard {
        self.cluster.shard(ShardId(number))
    }

    /// Proposes `key=value` in the present term, and waits for the verdict.
    pub(crate) async fn put(&self, shard: u16, key: &str, value: &str) -> Verdict {
        let shard = self.shard(shard);
        let term = shard.lead().map_or(0, |term| term);
        propose(shard, term, format!("{key}={value}")).await
    }

    /// The value of a key, once everything applied is in the state.
    pub(crate) async fn get(&self, shard: u16, key: &str) -> Option<String> {
        let shard = self.shard(shard);
        shard.wait_written(shard.applied()).await.unwrap();
        let value = shard.reader().get(Space::State, key.as_bytes()).unwrap();
        value.map(|value| String::from_utf8(value).unwrap())
    }
}

pub(crate) async fn propose(shard: &Shard, term: u64, command: String) -> Verdict {
    let (sender, verdict) = oneshot::channel();
    shard.propose(term, Bytes::from(command), Box::new(move |verdict| sender.send(verdict).unwrap()));
    tokio::time::timeout(DEADLINE, verdict).await.unwrap().unwrap()
}

/// A copy of a data directory as a kill would leave it: what the process wrote, flushed or not.
pub(crate) fn copy_as_killed(from: &Path, to: &Path) -> PathBuf {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_as_killed(&path, &copy);
        } else {
            std::fs::copy(&path, &copy).unwrap();
        }
    }
    to.to_owned()
}
