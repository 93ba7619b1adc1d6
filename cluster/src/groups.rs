//! All groups of a node.
use std::sync::Arc;

use crate::group::Shard;
use crate::layout::{NodeId, ShardId, ShardLayout};
use crate::machine::Machine;
use crate::map::ClusterId;
use crate::metrics::ClusterMetrics;
use crate::network::Network;
use crate::options::Options;
use crate::status::ClusterStatus;

/// Wall time, for records such as a node's start. Nothing of the protocol depends on it.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> u64;
}

/// Why a data directory can not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The options contradict themselves.
    #[error("{0}")]
    Options(String),
    /// Another process has it open.
    #[error("the data directory {0} is in use by another process")]
    Locked(String),
    /// It was made with other options.
    #[error("{0}")]
    Mismatch(String),
    /// It can not be read or written.
    #[error("the data directory can not be opened: {0}")]
    Storage(String),
    /// Raft refused what is stored.
    #[error("recovery failed: {0}")]
    Recovery(String),
}

/// All Raft groups of one node: a cheap handle.
#[derive(Clone)]
pub struct Cluster(Arc<()>);

impl Cluster {
    /// Opens.
    pub async fn open(
        _options: Options,
        _network: Arc<dyn Network>,
        _clock: Arc<dyn Clock>,
        _machine: impl Fn(ShardId) -> Box<dyn Machine>,
    ) -> Result<Self, OpenError> {
        unimplemented!()
    }
    /// Layout.
    #[must_use]
    pub fn layout(&self) -> &ShardLayout {
        unimplemented!()
    }
    /// Shard.
    #[must_use]
    pub fn shard(&self, _id: ShardId) -> &Shard {
        unimplemented!()
    }
    /// Shards.
    #[must_use]
    pub fn shards(&self) -> &[Shard] {
        unimplemented!()
    }
    /// Node.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        unimplemented!()
    }
    /// Cluster.
    #[must_use]
    pub fn id(&self) -> ClusterId {
        unimplemented!()
    }
    /// Status.
    #[must_use]
    pub fn status(&self) -> ClusterStatus {
        unimplemented!()
    }
    /// Health.
    pub fn storage_health(&self) -> Result<(), String> {
        unimplemented!()
    }
    /// Metrics.
    #[must_use]
    pub fn metrics(&self) -> &ClusterMetrics {
        unimplemented!()
    }
    /// Shutdown.
    pub async fn shutdown(&self) {
        unimplemented!()
    }
}
