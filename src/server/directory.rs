//! What the data directory of a node that does not run says of it.

use std::path::{Path, PathBuf};

use stead_cluster::{NodeState, PeekError};

/// Whose a data directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The cluster, as hexadecimal digits.
    pub cluster: String,
    /// The node's number there.
    pub node: u64,
    /// Shards of the cluster.
    pub shards: u16,
    /// How often the directory was opened by a node.
    pub opened: u64,
    /// The node was removed from its cluster, as far as it has heard.
    pub is_removed: bool,
}

/// Whose a data directory is; none while its node belongs to no cluster. The database is only read.
///
/// # Errors
///
/// When it can not be read.
pub fn owner_of(data: &Path) -> Result<Option<Owner>, PeekError> {
    let peeked = stead_cluster::peek(data)?;
    Ok(peeked.map(|peeked| Owner {
        cluster: peeked.cluster.to_string(),
        node: peeked.node.0,
        shards: peeked.shards,
        opened: peeked.epoch,
        is_removed: peeked.state == Some(NodeState::Removed),
    }))
}

/// Where it keeps what a recovery found damaged, if it does.
#[must_use]
pub fn evidence_in(data: &Path) -> Option<PathBuf> {
    stead_cluster::evidence_in(data)
}
