//! Sharded, durable, replicated, ordered logs of opaque commands.
//!
//! An application hands [`Shard::propose`] commands of bytes; each is written to the log of its shard, made
//! durable on a majority of the shard's replicas, and applied on every replica in log order by the
//! application's [`Machine`]. This crate knows nothing of what the commands mean.
//!
//! What is where, from the top down:
//!
//! - [`Cluster`] (`groups`): all Raft groups of one node, opened, recovered, ticked and stopped together.
//! - [`Shard`] (`group`): one group: who leads, the proposer that packs commands into entries, the apply task.
//! - [`Application`]: what the application on one node asks of it on another.
//! - [`archive`]: the whole cluster in one file, saved by [`Cluster::save`], and a new cluster made from it.
//! - `map`: the state machine of the meta group, the cluster's map of nodes and replicas.
//! - [`Network`]: how a group reaches its peers; [`NoPeers`] is the network of a node alone.
//! - `raft`: the types openraft is used with.
//! - `sabotage`: nothing, but for the simulation.
//! - `storage`: one `RocksDB` with one writer thread; the log, the votes, the applied state, snapshots.
//!
//! Invariants, each held in one place:
//!
//! - Every write to `RocksDB` is made by the one writer thread, whose batches are flushed before anything in
//!   them is confirmed (`storage::writer`). No task waits on the disk.
//! - A failed write or flush is never tried again: the node confirms nothing after it (`storage::health`).
//! - A command is answered once, after it was applied, in log order (`group::proposer`).
//! - Applied state is never ahead of the log on disk, and is rebuilt from it (`group::apply`).

#![forbid(unsafe_code)]

mod application;
pub mod archive;
mod group;
mod groups;
mod layout;
mod machine;
mod map;
mod metrics;
pub mod network;
mod options;
mod peek;
mod placement;
mod raft;
mod reconcile;
#[cfg(not(feature = "simulation"))]
mod sabotage;
#[cfg(feature = "simulation")]
pub mod sabotage;
mod status;
mod storage;

pub use application::Application;
pub use group::{AppliedEntry, Done, NotLeading, Page, Replay, ReplayError};
pub use group::{Shard, Stopped, Verdict, Why};
pub use groups::{ChangeError, Lost, SaveError, SaveProgress, WishError};
pub use groups::{Clock, Cluster, OpenError};
pub use layout::{LogIndex, NodeId, SLOTS, ShardId, ShardLayout, Slot, Term};
pub use machine::{ApplyError, Machine, Space, Writes};
pub use map::{ClusterId, NodeState};
pub use metrics::{BUCKETS_US, ClusterMetrics, Counter, Gauge, Histogram, ShardMetrics};
pub use network::{AskError, Network, NoPeers};
pub use options::Options;
pub use peek::{Peek, PeekError, evidence_in, peek};
pub use placement::{Move, MoveKind};
pub use status::{ClusterStatus, NodeReport, NodeStatus, Problem, ReplicaStatus, ShardStatus};
pub use storage::{ReadError, Reader, Scan, SimulatedDisk, WriteHook, WriteKind};
