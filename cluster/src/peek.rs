//! A look into the data directory of a node that does not run: whose it is, and what its map says of it.
//!
//! The database is opened for reading only, which takes no lock and writes nothing, not even what recovery would.
//! While a process has the directory open its files may go away under the look, which then fails; it harms nobody.

use std::path::{Path, PathBuf};

use crate::layout::NodeId;
use crate::map::{ClusterId, ClusterMap, NodeState};
use crate::storage::codec;
use crate::storage::database::{DIRECTORY, Database};
use crate::storage::evidence;
use crate::storage::keys::{self, Column, GroupId};
use crate::storage::state::StateStore;
use crate::storage::{ReadError, Reader};

/// What a data directory says of its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peek {
    /// The cluster it belongs to.
    pub cluster: ClusterId,
    /// Its number there.
    pub node: NodeId,
    /// Shards of the cluster.
    pub shards: u16,
    /// How often the directory was opened.
    pub epoch: u64,
    /// What the cluster's map, as far as the node has heard of it, wants of the node; none before it has.
    pub state: Option<NodeState>,
}

/// Why nothing can be seen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the database can not be read: {0}")]
pub struct PeekError(String);

/// Looks into a data directory; none of a node that belongs to no cluster yet.
///
/// # Errors
///
/// When the database can not be opened, or what it says does not decode.
pub fn peek(data_dir: &Path) -> Result<Option<Peek>, PeekError> {
    let failed = |error: &dyn std::fmt::Display| PeekError(error.to_string());
    let directory = data_dir.join(DIRECTORY);
    if !directory.exists() {
        return Ok(None);
    }
    let database = Database::open_read_only(&directory).map_err(|error| failed(&error))?;
    let stored = database.get(Column::Map, &keys::node_record()).map_err(|error| failed(&error))?;
    let Some(stored) = stored else { return Ok(None) };
    let identity = codec::decode_identity(&stored).map_err(|error| failed(&error))?;
    let store = StateStore::new(GroupId::META, database);
    let map = map_of(store).map_err(|error| failed(&error))?;
    Ok(Some(Peek {
        cluster: identity.cluster,
        node: identity.node,
        shards: identity.shards,
        epoch: identity.epoch,
        state: map.nodes.get(&identity.node).map(|known| known.state),
    }))
}

fn map_of(store: StateStore) -> Result<ClusterMap, ReadError> {
    store.recover()?;
    ClusterMap::load(&Reader::live(store.into()))
}

/// Where a data directory keeps the logs of before a recovery that found damage, if it does.
#[must_use]
pub fn evidence_in(data_dir: &Path) -> Option<PathBuf> {
    let kept = data_dir.join(evidence::COPY);
    kept.is_dir().then_some(kept)
}
