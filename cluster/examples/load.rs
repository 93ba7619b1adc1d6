//! Commands a second through the replicated log of a node alone: `load [seconds]`.
//!
//! A closed loop: so many commands are on their way, each verdict sends the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use stead_cluster::{
    ApplyError, Clock, Cluster, LogIndex, Machine, NoPeers, Options, Reader, Shard, ShardId, Space, Verdict,
    Writes,
};

struct Store(u64);

impl Machine for Store {
    fn apply(
        &mut self,
        _: LogIndex,
        command: &[u8],
        _: &Reader,
        writes: &mut Writes,
    ) -> Result<(), ApplyError> {
        self.0 += 1;
        writes.put(Space::State, (self.0 % 1_000).to_be_bytes(), command);
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

struct Load {
    applied: AtomicU64,
    latency_us: AtomicU64,
    is_over: std::sync::atomic::AtomicBool,
}

fn send(load: Arc<Load>, shard: Shard) {
    let Ok(term) = shard.lead() else { return };
    let (begun, next) = (Instant::now(), shard.clone());
    let done = move |verdict| {
        if matches!(verdict, Verdict::Applied { .. }) {
            load.applied.fetch_add(1, Ordering::Relaxed);
            let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
            load.latency_us.fetch_add(took, Ordering::Relaxed);
            if !load.is_over.load(Ordering::Relaxed) {
                send(load, next);
            }
        }
    };
    shard.propose(term, Bytes::from_static(&[7; 200]), Box::new(done));
}

async fn run(shards: u16, in_flight: usize, seconds: u64) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let options = Options { data_dir: directory.path().to_owned(), shards, ..Options::default() };
    let machine = |_: ShardId| Box::new(Store(0)) as Box<dyn Machine>;
    let cluster =
        Cluster::open(options, Arc::new(NoPeers), Arc::new(NoTime), machine).await.expect("it opens");
    let (applied, latency_us) = (AtomicU64::new(0), AtomicU64::new(0));
    let load = Arc::new(Load { applied, latency_us, is_over: false.into() });
    let (begun, fsyncs) = (Instant::now(), cluster.metrics().fsyncs.get());
    for number in 0..in_flight {
        let shard = u16::try_from(number % usize::from(shards)).expect("it is below the count of shards");
        send(load.clone(), cluster.shard(ShardId(shard)).clone());
    }
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    load.is_over.store(true, Ordering::Relaxed);
    let commands = load.applied.load(Ordering::Relaxed);
    let metrics = cluster.metrics();
    let fsyncs = metrics.fsyncs.get() - fsyncs;
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let (rate, per_fsync, per_entry, latency, fsync) = (
        commands as f64 / begun.elapsed().as_secs_f64(),
        fsyncs as f64 / commands as f64,
        commands as f64 / metrics.entries_proposed.get() as f64,
        load.latency_us.load(Ordering::Relaxed) as f64 / commands as f64,
        metrics.fsync_time.sum_us() as f64 / metrics.fsync_time.count() as f64,
    );
    #[expect(clippy::print_stdout, reason = "it is what the example is for")]
    {
        println!(
            "{shards:>3} shards, {in_flight:>4} in flight: {rate:>8.0} commands/s, mean {latency:>6.0} us, \
             {per_fsync:.3} fsyncs a command of {fsync:.0} us, {per_entry:.2} commands an entry"
        );
    }
    cluster.shutdown().await;
}

#[tokio::main]
async fn main() {
    let seconds = std::env::args().nth(1).and_then(|seconds| seconds.parse().ok()).unwrap_or(3);
    for (shards, in_flight) in [(12, 1), (12, 64), (12, 256), (1, 64)] {
        run(shards, in_flight, seconds).await;
    }
}
