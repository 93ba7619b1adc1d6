//! Makes the data directory of a new cluster's founder from an archive. The cluster does not run meanwhile.
//!
//! Each shard is written as if its leader had sent it a snapshot: its data, the record of what is applied, and a log
//! that is purged up to there. So replicas that join later get it by a snapshot too, never from a log that begins at
//! nothing. Its only voter is the founder, whose address the cluster's map overrides as soon as there is one; the map
//! itself is made anew at the first start, as in any new cluster.
//!
//! Everything is made in a directory of its own within the data directory, and one rename makes it the node's: what
//! a damaged file or a crash leaves is nothing that could be started.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::RngExt;

use crate::archive::format::{Manifest, ShardEnd};
use crate::archive::reading::{ArchiveError, Contents, Part, Reading};
use crate::layout::NodeId;
use crate::map::ClusterId;
use crate::metrics::ClusterMetrics;
use crate::options::SHARDS_MAX;
use crate::raft::{Membership, Peer, StoredMembership, Vote, log_id};
use crate::storage::UNFINISHED_RESTORE;
use crate::storage::codec::{self, Applied, Identity};
use crate::storage::database::{DIRECTORY, Database};
use crate::storage::health::Health;
use crate::storage::keys::{self, Column, FIRST_INCARNATION, GroupId};
use crate::storage::log::RocksLog;
use crate::storage::snapshot;
use crate::storage::state::StateStore;
use crate::storage::witness::Witness;
use crate::storage::writer::{Change, LogChange, Row, Writer};

/// The number of the node that a restore makes.
const FOUNDER: NodeId = NodeId(1);
/// Memory for blocks read from disk; a restore reads none.
const BLOCK_CACHE_BYTES: usize = 8 * 1024 * 1024;
/// What may be in a data directory that counts as empty: file systems put it into their root.
const LOST_AND_FOUND: &str = "lost+found";

/// A cluster that was made from an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Its identity, which is a new one.
    pub cluster: ClusterId,
    /// What the archive held.
    pub contents: Contents,
}

/// Why there is no new cluster. The data directory is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The archive does not do.
    #[error("{}: {error}", path.display())]
    Archive {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: ArchiveError,
    },
    /// There is something in the directory.
    #[error("the data directory {} is not empty: give a new one", .0.display())]
    NotEmpty(PathBuf),
    /// The directory can not be written.
    #[error("the data directory {} can not be written: {error}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// Makes a data directory from an archive: a cluster of one node, which others may join.
///
/// # Errors
///
/// When the archive is damaged or the directory is not empty; it is left as it was.
pub async fn restore(file: &Path, data_dir: &Path) -> Result<Restored, RestoreError> {
    let in_archive = |error| RestoreError::Archive { path: file.to_owned(), error };
    let in_directory = |error| RestoreError::Directory { path: data_dir.to_owned(), error };
    let archive = Reading::open(file).map_err(in_archive)?;
    let shards = archive.manifest.shards;
    if shards == 0 || shards > SHARDS_MAX {
        let what = format!("it says that it has {shards} shards");
        return Err(in_archive(ArchiveError::Damaged { at: 0, what }));
    }
    let is_new = !data_dir.exists();
    std::fs::create_dir_all(data_dir).map_err(in_directory)?;
    if !is_empty(data_dir).map_err(in_directory)? {
        return Err(RestoreError::NotEmpty(data_dir.to_owned()));
    }
    let unfinished = data_dir.join(UNFINISHED_RESTORE);
    let restored = match fill(&unfinished, archive).await {
        Ok(restored) => Ok(restored),
        Err(Failed::Archive(error)) => Err(in_archive(error)),
        Err(Failed::Disk(error)) => Err(in_directory(error)),
    };
    match restored {
        Ok(restored) => {
            take_up(&unfinished, data_dir).map_err(in_directory)?;
            Ok(restored)
        }
        Err(error) => {
            // What can not be removed can not be started either.
            let _ = std::fs::remove_dir_all(&unfinished);
            if is_new {
                let _ = std::fs::remove_dir(data_dir);
            }
            Err(error)
        }
    }
}

/// Whether nothing of anybody's is in a directory; a restore that was killed there before is begun again.
fn is_empty(directory: &Path) -> io::Result<bool> {
    let unfinished = directory.join(UNFINISHED_RESTORE);
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        if name != LOST_AND_FOUND && name != UNFINISHED_RESTORE {
            return Ok(false);
        }
    }
    if unfinished.exists() {
        std::fs::remove_dir_all(unfinished)?;
    }
    Ok(true)
}

/// Why the directory could not be filled.
enum Failed {
    Archive(ArchiveError),
    Disk(io::Error),
}

impl<E: Into<io::Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Disk(error.into())
    }
}

/// Writes a whole archive into a directory of its own.
async fn fill(directory: &Path, archive: Reading) -> Result<Restored, Failed> {
    std::fs::create_dir(directory)?;
    let groups = usize::from(SHARDS_MAX) + 1;
    let witness = Witness::open(directory, groups).map_err(io::Error::other)?;
    let database = Database::open(&directory.join(DIRECTORY), BLOCK_CACHE_BYTES).map_err(io::Error::other)?;
    let log = Arc::new(RocksLog { database: database.clone() });
    let (health, metrics) = (Arc::new(Health::default()), Arc::new(ClusterMetrics::default()));
    let (writer, ended) = Writer::start(database.rocks()?, log, witness, health, metrics, None, None)?;
    let written = write(archive, &database, &writer).await;
    writer.end().await;
    // Resolves also when the thread panicked.
    let _ = ended.await;
    database.close().await;
    written
}

async fn write(mut archive: Reading, database: &Arc<Database>, writer: &Writer) -> Result<Restored, Failed> {
    let mut shards = Vec::new();
    let mut sequence = None;
    let (bytes, sha256) = loop {
        let group = GroupId(u16::try_from(shards.len()).expect("there are at most SHARDS_MAX"));
        match archive.next().map_err(Failed::Archive)? {
            Part::Chunk { bytes } => {
                let chunk = snapshot::parse(&bytes, group, FIRST_INCARNATION);
                let chunk = chunk.expect("its rows were counted when it was read");
                sequence = chunk.sequence.or(sequence);
                writer.write(Change::Rows { rows: chunk.rows, flush: false }).await?;
            }
            Part::ShardEnd(end) => {
                let store = StateStore::new(group, database.clone());
                end_shard(&store, writer, end, sequence.take().unwrap_or_default()).await?;
                shards.push(end);
            }
            Part::FileEnd { bytes, sha256 } => break (bytes, sha256),
        }
    };
    let cluster = ClusterId(rand::rng().random());
    let Manifest { shards: count, .. } = archive.manifest;
    // The first start makes it 1.
    let identity = Identity { cluster, node: FOUNDER, shards: count, epoch: 0 };
    let row = Row::Put(Column::Map, keys::node_record(), codec::encode_identity(&identity));
    writer.write(Change::Rows { rows: vec![row], flush: true }).await?;
    Ok(Restored { cluster, contents: Contents { manifest: archive.manifest, shards, bytes, sha256 } })
}

/// Writes what a replica knows of itself that has got its data by a snapshot.
async fn end_shard(
    store: &StateStore,
    writer: &Writer,
    end: ShardEnd,
    (sequence_term, sequence): (u64, u64),
) -> Result<(), Failed> {
    // Nothing is at index 0 but the membership of a group that never did anything.
    let last = log_id(end.term.max(1), end.index.max(1));
    let applied = Applied { incarnation: FIRST_INCARNATION, log_id: Some(last), sequence, sequence_term };
    let founder = BTreeMap::from([(FOUNDER, Peer::default())]);
    let membership =
        Membership::new(vec![BTreeSet::from([FOUNDER])], founder).expect("the only voter is the only node");
    let membership = StoredMembership::new(Some(last), membership);
    let rows = store.record_rows(&applied, &membership);
    writer.write(Change::Rows { rows, flush: false }).await?;
    let vote = Vote::new_committed(end.term.max(1), FOUNDER);
    for change in [LogChange::PurgeTo(last), LogChange::Vote(vote)] {
        writer.write(Change::Log { group: store.group, change }).await?;
    }
    Ok(())
}

/// Makes what was written the node's.
fn take_up(unfinished: &Path, data_dir: &Path) -> io::Result<()> {
    std::fs::rename(unfinished.join(DIRECTORY), data_dir.join(DIRECTORY))?;
    let absolute = std::path::absolute(data_dir)?;
    File::open(&absolute)?.sync_all()?;
    if let Some(parent) = absolute.parent() {
        File::open(parent)?.sync_all()?;
    }
    // The witness in it speaks of a database that is elsewhere now; the first start makes another.
    std::fs::remove_dir_all(unfinished)
}
