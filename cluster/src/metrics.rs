//! Counters of the node's logs and disk. Plain atomics: whoever serves them renders them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets of [`Histogram`], in microseconds; one more bucket holds what is above.
pub const BUCKETS_US: [u64; 12] =
    [50, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 51_200, 204_800, 819_200];

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Its value now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Its value now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, by: usize) {
        self.0.fetch_add(by as u64, Ordering::Relaxed);
    }

    pub(crate) fn subtract(&self, by: usize) {
        self.0.fetch_sub(by as u64, Ordering::Relaxed);
    }
}

/// Durations, counted in the buckets of [`BUCKETS_US`].
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Counter; BUCKETS_US.len() + 1],
    sum_us: Counter,
}

impl Histogram {
    pub(crate) fn observe(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS_US.iter().position(|bound| us <= *bound).unwrap_or(BUCKETS_US.len());
        if let Some(counter) = self.buckets.get(bucket) {
            counter.add(1);
        }
        self.sum_us.add(us);
    }

    /// How many fell into each bucket (not cumulative), the one above the last bound at the end.
    pub fn buckets(&self) -> Vec<u64> {
        self.buckets.iter().map(Counter::get).collect()
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(Counter::get).sum()
    }

    /// Their sum, in microseconds.
    pub fn sum_us(&self) -> u64 {
        self.sum_us.get()
    }
}

/// What a node counts of one shard, or of the group that keeps the map. Nothing of it is counted on the way of a
/// write; how long its queues are is read where they are.
#[derive(Debug, Default)]
pub struct ShardMetrics {
    /// Terms for which this node stood as a candidate.
    pub elections: Counter,
    /// Terms in which this node led.
    pub leaderships: Counter,
    /// Times this node handed the leadership over.
    pub transfers: Counter,
    /// Times it could not, and somebody was left to be elected.
    pub transfers_failed: Counter,
    /// Snapshots sent to other replicas, to their end.
    pub snapshots_sent: Counter,
    /// Snapshots received from another replica, to their end.
    pub snapshots_received: Counter,
    /// Snapshots that broke off on their way, sent or received.
    pub snapshots_failed: Counter,
    /// Bytes of the chunks sent.
    pub snapshot_bytes_sent: Arc<Counter>,
    /// Bytes of the chunks received.
    pub snapshot_bytes_received: Arc<Counter>,
}

/// What a node counts of its logs and its disk, over all shards and the meta group.
#[derive(Debug, Default)]
pub struct ClusterMetrics {
    /// Batches written with a flush to disk.
    pub fsyncs: Counter,
    /// Batches written, flushed or not.
    pub batches: Counter,
    /// Bytes of all batches, keys and values with `RocksDB`'s own framing.
    pub bytes_written: Counter,
    /// Writes that wait for the writer thread.
    pub writer_queue: Gauge,
    /// How long a batch with its flush took.
    pub fsync_time: Histogram,
    /// Entries handed to Raft.
    pub entries_proposed: Counter,
    /// Commands in those entries.
    pub commands_proposed: Counter,
    /// Entries applied, blank ones and those of other leaders included.
    pub entries_applied: Counter,
    /// Commands applied.
    pub commands_applied: Counter,
    /// Commands refused before they reached a log.
    pub commands_refused: Counter,
    /// Commands of which it is unknown whether they will be applied.
    pub commands_unknown: Counter,
    /// Commands that wait for their entry, over all shards.
    pub commands_waiting: Gauge,
    /// Times a group's log was purged.
    pub log_purges: Counter,
    /// Entries those purges removed.
    pub entries_purged: Counter,
    /// Snapshots installed here.
    pub snapshots_installed: Counter,
}
