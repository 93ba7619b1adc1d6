//! How long a node takes to start with 100,000 objects stored: `restart [objects]`. Also what it burns idle.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use stead_cluster::{
    ApplyError, Clock, Cluster, LogIndex, Machine, NoPeers, Options, Reader, ShardId, Space, Verdict, Writes,
};

/// Stores each command under its first eight bytes.
struct Store;

impl Machine for Store {
    fn apply(
        &mut self,
        _: LogIndex,
        command: &[u8],
        _: &Reader,
        writes: &mut Writes,
    ) -> Result<(), ApplyError> {
        let (key, value) = command.split_at_checked(8).ok_or_else(|| ApplyError::new("too short"))?;
        writes.put(Space::State, key, value);
        Ok(())
    }

    fn reset(&mut self) {}
}

struct NoTime;

impl Clock for NoTime {
    fn now_ms(&self) -> u64 {
        0
    }
}

async fn open(directory: &Path) -> Cluster {
    let options = Options { data_dir: directory.to_owned(), ..Options::default() };
    let machine = |_: ShardId| Box::new(Store) as Box<dyn Machine>;
    Cluster::open(options, Arc::new(NoPeers), Arc::new(NoTime), machine).await.expect("it opens")
}

async fn put(cluster: &Cluster, number: u64) {
    let shard = cluster.shard(ShardId(u16::try_from(number % 12).expect("it is below 12")));
    let (sender, verdict) = tokio::sync::oneshot::channel();
    let command = [&number.to_be_bytes(), [7; 200].as_slice()].concat();
    // The other end is awaited below.
    shard.propose(
        shard.lead().expect("it leads"),
        Bytes::from(command),
        Box::new(move |v| drop(sender.send(v))),
    );
    assert!(matches!(verdict.await, Ok(Verdict::Applied { .. })), "it is applied");
}

fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("linux says");
    let fields: Vec<&str> = stat.split_whitespace().collect();
    let ticks =
        |field: usize| fields.get(field).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    Duration::from_millis((ticks(13) + ticks(14)) * 10)
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "it is what the example is for")]
async fn main() {
    let objects = std::env::args().nth(1).and_then(|objects| objects.parse().ok()).unwrap_or(100_000);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let cluster = open(directory.path()).await;
    let numbers: Vec<u64> = (0..objects).collect();
    for chunk in numbers.chunks(1_000) {
        futures_util::future::join_all(chunk.iter().map(|number| put(&cluster, *number))).await;
    }
    // As a kill leaves it.
    let killed = directory.path().join("killed");
    copy(directory.path(), &killed);
    let begun = Instant::now();
    cluster.shutdown().await;
    println!("shutdown {:?}", begun.elapsed());
    for (path, how) in [(directory.path(), "a shutdown"), (killed.as_path(), "a kill")] {
        let begun = Instant::now();
        let cluster = open(path).await;
        let opened = begun.elapsed();
        put(&cluster, objects).await;
        println!("after {how}: open {opened:?}, first write answered after {:?}", begun.elapsed());
        let (before, seconds) = (cpu(), 5);
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        println!("idle: {:?} of CPU in {seconds} s", cpu().saturating_sub(before));
        cluster.shutdown().await;
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("there is room");
    for entry in std::fs::read_dir(from).expect("it is there").flatten().filter(|entry| entry.path() != to) {
        let (path, copied) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &copied);
        } else {
            std::fs::copy(&path, &copied).expect("there is room");
        }
    }
}
