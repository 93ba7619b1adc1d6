//! What a node of a cluster is started with, every bound with its unit and reason.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::storage::{SimulatedDisk, WriteHook};

/// What [`crate::Cluster::open`] is given.
#[derive(Clone)]
pub struct Options {
    /// Where everything is stored. Made if it is not there.
    pub data_dir: PathBuf,
    /// Shards of the cluster. It is set when the cluster is made; later it must be the same.
    pub shards: u16,
    /// Replicas of each shard the cluster strives for. A node alone has one of each all the same.
    pub replication_factor: u16,
    /// Where clients reach this node; only told to others.
    pub address: String,
    /// Where the cluster's other nodes reach this node.
    pub peer_address: String,
    /// Where this node stands; replicas of a shard are spread over zones.
    pub zone: Option<String>,
    /// The version of the program, for the cluster's map.
    pub version: String,
    /// Peer address of a member of the cluster this node is to join; none founds a cluster of this node alone.
    /// A node that is a member already asks there where the others are, if it is told nothing else.
    pub join: Option<String>,
    /// How long a node that is not yet a member tries to join before it gives up.
    pub join_within: Duration,
    /// How long a node may be silent before its replicas are given to others.
    pub replace_after: Duration,
    /// How often a leader with followers is heard.
    pub heartbeat: Duration,
    /// The shortest wait before an election.
    pub election_min: Duration,
    /// The longest wait before an election, and the length of a leader's lease.
    pub election_max: Duration,
    /// Entries of one shard on their way at once. 1 makes the fullest entries; more only helps with many shards.
    pub entries_in_flight: usize,
    /// Largest entry, in bytes of its commands. A command larger than this is refused.
    pub entry_bytes_max: usize,
    /// Commands of one shard that may wait for an entry; beyond it they are refused.
    pub proposals_waiting_max: usize,
    /// Bytes of the commands of one shard that may wait for an entry; beyond it they are refused.
    pub proposals_waiting_bytes_max: usize,
    /// Applied entries a shard's log keeps, so that a node that was away rarely needs a snapshot.
    pub log_kept_entries: u64,
    /// Bytes of applied entries a shard's log keeps; the smaller of the two bounds counts.
    pub log_kept_bytes: u64,
    /// Recent entries of a shard kept in memory for followers, beside those not yet on disk.
    pub log_cached_entries: usize,
    /// Bytes of recent entries of a shard kept in memory.
    pub log_cached_bytes: usize,
    /// Size of the cache of `RocksDB` blocks, shared by everything on this node, in bytes.
    pub block_cache_bytes: usize,
    /// Called around every write to disk: tests make disks fail and count flushes with it.
    pub write_hook: Option<Arc<dyn WriteHook>>,
    /// Runs the writer as a task on this disk, in the place of a thread: for simulations.
    pub simulated_disk: Option<Arc<dyn SimulatedDisk>>,
    /// Where the node's random choices come from; the operating system where there is none. For simulations.
    pub seed: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("data"),
            shards: 12,
            replication_factor: 3,
            address: String::new(),
            peer_address: String::new(),
            zone: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            join: None,
            join_within: Duration::from_mins(1),
            replace_after: Duration::from_mins(5),
            heartbeat: Duration::from_millis(200),
            election_min: Duration::from_millis(500),
            election_max: Duration::from_millis(600),
            entries_in_flight: 1,
            entry_bytes_max: 16 * 1024 * 1024,
            proposals_waiting_max: 16_384,
            proposals_waiting_bytes_max: 64 * 1024 * 1024,
            log_kept_entries: 20_000,
            log_kept_bytes: 32 * 1024 * 1024,
            // Of a node's dozen logs they are to stay in the processor's cache.
            log_cached_entries: 128,
            log_cached_bytes: 1024 * 1024,
            block_cache_bytes: 64 * 1024 * 1024,
            write_hook: None,
            simulated_disk: None,
            seed: None,
        }
    }
}

/// Most entries of a shard on their way at once. Behind one that was refused, so many may be in the log without
/// taking effect; who reads the log again looks back so far for it.
pub(crate) const ENTRIES_IN_FLIGHT_MAX: usize = 16;
/// Most shards of a cluster: each costs tasks and timers on every node that has a replica.
pub(crate) const SHARDS_MAX: u16 = 1_024;

impl Options {
    /// A source of random choices.
    pub(crate) fn random(&self) -> StdRng {
        self.seed.map_or_else(rand::make_rng, StdRng::seed_from_u64)
    }

    /// What is wrong with these options, if anything.
    pub(crate) fn check(&self) -> Result<(), String> {
        let wrong = [
            (self.shards == 0 || self.shards > SHARDS_MAX, "shards must be between 1 and 1024"),
            (self.replication_factor == 0, "replication_factor must be at least 1"),
            (
                self.entries_in_flight == 0 || self.entries_in_flight > ENTRIES_IN_FLIGHT_MAX,
                "entries_in_flight must be between 1 and 16",
            ),
            (self.entry_bytes_max == 0, "entry_bytes_max must be at least 1"),
            (self.entry_bytes_max > u32::MAX as usize / 2, "entry_bytes_max must be below 2 GiB"),
            (self.heartbeat.is_zero(), "heartbeat must be longer than nothing"),
            (self.election_min <= self.heartbeat, "election_min must be longer than heartbeat"),
            (self.election_max <= self.election_min, "election_max must be longer than election_min"),
        ];
        match wrong.into_iter().find(|(is_wrong, _)| *is_wrong) {
            Some((_, why)) => Err(why.to_owned()),
            None => Ok(()),
        }
    }
}
