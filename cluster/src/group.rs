//! One Raft group.
use std::sync::Arc;

use bytes::Bytes;

use crate::layout::{LogIndex, NodeId, ShardId, Term};
use crate::status::ShardStatus;
use crate::storage::Reader;

/// Told once what became of a command.
pub type Done = Box<dyn FnOnce(Verdict) + Send>;

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is durable on a majority and applied here.
    Applied {
        /// The index of its entry.
        index: LogIndex,
    },
    /// It is surely in no log: proposing it again is safe.
    NotProposed(Why),
    /// It may yet be applied, or may have been.
    Unknown(Why),
}

/// Why a command was not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// This node does not lead the shard in the term of the proposal.
    #[error("this node does not lead the shard in that term")]
    NotLeading,
    /// Too many commands wait.
    #[error("too many commands wait for their turn in the log")]
    Overloaded,
    /// The command is larger than an entry may be.
    #[error("a command of {bytes} bytes is larger than an entry may be ({max})")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound, `entry_bytes_max`.
        max: usize,
    },
    /// The shard is stopped on this node, for this reason.
    #[error("the shard is stopped on this node: {0}")]
    Stopped(String),
    /// Leadership was lost while the command was on its way.
    #[error("leadership was lost while the command was on its way")]
    LeaderChanged,
}

/// Why this node does not answer for a shard now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this node does not lead the shard now")]
pub struct NotLeading {
    /// Who leads, where known. This node itself while it is not yet, or no longer, allowed to answer.
    pub leader: Option<NodeId>,
    /// Why the shard is stopped here, if it is.
    pub stopped: Option<String>,
}

/// The shard is stopped on this node, for this reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the shard is stopped on this node: {0}")]
pub struct Stopped(pub String);

/// A replica of a shard on this node: a cheap handle.
#[derive(Clone)]
pub struct Shard(Arc<()>);

impl Shard {
    /// Its number.
    #[must_use]
    pub fn id(&self) -> ShardId {
        unimplemented!()
    }
    /// Whether this node leads.
    pub fn lead(&self) -> Result<Term, NotLeading> {
        unimplemented!()
    }
    /// Watch.
    #[must_use]
    pub fn leadership(&self) -> tokio::sync::watch::Receiver<Option<Term>> {
        unimplemented!()
    }
    /// Propose.
    pub fn propose(&self, _term: Term, _command: Bytes, _done: Done) {
        unimplemented!()
    }
    /// Applied.
    #[must_use]
    pub fn applied(&self) -> LogIndex {
        unimplemented!()
    }
    /// Written.
    #[must_use]
    pub fn written(&self) -> LogIndex {
        unimplemented!()
    }
    /// Wait.
    pub async fn wait_written(&self, _index: LogIndex) -> Result<(), Stopped> {
        unimplemented!()
    }
    /// Reader.
    #[must_use]
    pub fn reader(&self) -> Reader {
        unimplemented!()
    }
    /// Status.
    #[must_use]
    pub fn status(&self) -> ShardStatus {
        unimplemented!()
    }
}
