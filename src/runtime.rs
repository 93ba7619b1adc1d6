//! The objects alive on this node.
//!
//! Read in the order of a call: [`Runtime`] (`handle`) authorises it and finds the shard; `registry`
//! finds or starts the object's activation and admits the call; it takes its turn on the `stage`, at
//! once or behind others, from the mailbox of the actor (`activation`); `turns` runs the class and makes
//! the commit; the shard replicates it; `machine` applies it on every replica; `gate` lets out the
//! update, to `streams`, and then the reply, to the caller.
//!
//! Beside that way: `life` starts and stops it all; `active` is what an object in memory consists of;
//! `passivation` puts idle objects to sleep, `alarms` wakes those whose time has come,
//! `lists` gathers over all shards, `feed` reads the updates of a class from their logs.

mod activation;
mod active;
mod alarms;
mod cursor;
mod failure;
mod feed;
mod forward;
mod gate;
mod gather;
mod handle;
mod health;
mod history;
mod life;
mod lists;
mod machine;
mod neighbour;
mod outbox;
mod parts;
mod passivation;
mod presence;
mod recent;
mod records;
mod registry;
mod relay;
mod request;
mod room;
mod stage;
mod state;
mod storage;
mod streams;
#[cfg(test)]
mod tests;
mod timers;
mod turns;
mod wire;
mod work;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

pub use feed::{Feed, Following, Logged, Part};
pub use handle::{Intent, Runtime};
pub use health::Room;
pub use machine::ObjectMachine;
pub use outbox::{Full, Outbox};
pub use relay::Upstream;
pub use request::{Absent, Action, Answer, ListQuery, Location, ObjectPage, ObjectSummary, Outcome, Request};
pub use room::{Member, Movement, Signal};
pub use state::{ClusterState, ClusterView, NodeView, NodeWish, ProblemView};
pub use streams::StreamEvent;

/// What the runtime of a node is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Most objects in memory; beyond it the least recently used goes to sleep.
    pub max_active_objects: NonZeroUsize,
    /// Most requests that wait for their answer on this node.
    pub max_requests_waiting: usize,
    /// Replicas that each shard should have.
    pub replication_factor: u16,
    /// How long an object stays in memory with nobody using it.
    pub passivation_idle: Duration,
    /// Where the node's data lies.
    pub data_dir: PathBuf,
    /// Room its disk should have left, in bytes.
    pub disk_free_min_bytes: u64,
    /// How long a turn of the runtime's own may take to be answered.
    pub request_deadline: Duration,
}
