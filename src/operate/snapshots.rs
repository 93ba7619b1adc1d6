//! Snapshots of the whole cluster, as files of this node: saved one at a time, and listed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use stead_cluster::SaveProgress;
use stead_cluster::archive::{Saved, manifest};
use utoipa::ToSchema;

use super::Operate;
use super::operations::Operations;
use crate::clock::Clock;
use crate::error::{Code, Error};
use crate::object::Timestamp;
use crate::runtime::Runtime;
use crate::telemetry::Metrics;

/// What the name of a snapshot's file ends with.
const ENDING: &str = ".snapshot";
/// Longest name of a snapshot, in bytes.
const NAME_MAX_BYTES: usize = 64;
/// Digits of the cluster's identity in a name that nobody gave.
const CLUSTER_DIGITS: usize = 8;
/// Snapshots that are listed, the newest; a directory of an archive may have any number.
const LISTED_MAX: usize = 1_000;

/// The snapshots of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SnapshotList {
    /// The directory they are kept in.
    pub directory: String,
    /// The snapshots there, the oldest first; the newest 1,000.
    pub snapshots: Vec<SnapshotView>,
}

/// One snapshot. What it says of itself is read from its beginning; `stead snapshot inspect` checks all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SnapshotView {
    /// Its name.
    pub name: String,
    /// Its file.
    pub file: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// When it was begun; everything acknowledged before is in it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub made_at: Option<Timestamp>,
    /// The identity of the cluster it is of.
    pub cluster: Option<String>,
    /// Shards of that cluster.
    pub shards: Option<u16>,
    /// Why it can not be read, where it can not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Where snapshots are kept, and what saving them needs.
#[derive(Clone)]
pub struct Snapshots {
    directory: PathBuf,
    clock: Arc<Clock>,
    metrics: Metrics,
    is_saving: Arc<AtomicBool>,
}

impl Snapshots {
    /// Snapshots kept in a directory, which is made when it is needed.
    #[must_use]
    pub fn new(directory: PathBuf, clock: Arc<Clock>, metrics: Metrics) -> Self {
        Self { directory, clock, metrics, is_saving: Arc::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        let directory = std::path::absolute(&self.directory).unwrap_or_else(|_| self.directory.clone());
        directory.join(format!("{name}{ENDING}"))
    }
}

impl Operate {
    /// The snapshots that this node keeps.
    ///
    /// # Errors
    ///
    /// `internal` when the directory can not be read.
    pub async fn snapshots(&self) -> Result<SnapshotList, Error> {
        let directory = self.snapshots.path("").parent().map(Path::to_owned).unwrap_or_default();
        let listed = directory.clone();
        let read = tokio::task::spawn_blocking(move || list(&listed)).await;
        let snapshots = read.unwrap_or_else(|panic| Err(std::io::Error::other(panic))).map_err(|error| {
            let shown = directory.display();
            Error::new(
                Code::Internal,
                format!("the directory of the snapshots {shown} cannot be read: {error}"),
            )
        })?;
        Ok(SnapshotList { directory: directory.display().to_string(), snapshots })
    }

    /// Saves the whole cluster into a file of this node; done when it is on disk.
    ///
    /// # Errors
    ///
    /// `invalid_request` for a name that is none, `conflict` where the name is taken or a snapshot is being saved.
    pub fn save_snapshot(&self, name: Option<String>) -> Result<u64, Error> {
        let made_at = Timestamp(self.snapshots.clock.now_ms());
        let name = match name {
            Some(name) => check_name(name)?,
            None => made_name(&self.runtime.logs().id().to_string(), made_at),
        };
        let path = self.snapshots.path(&name);
        if path.exists() {
            let detail = format!("there is a snapshot {name} already; give another name");
            return Err(Error::new(Code::Conflict, detail));
        }
        let saving = Saving::begin(&self.snapshots.is_saving)?;
        let id = self.operations.begin(format!("save snapshot {name}"));
        let (snapshots, runtime) = (self.snapshots.clone(), self.runtime.clone());
        let operations = self.operations.clone();
        self.runtime.spawn(async move {
            let saved = save(&snapshots, &runtime, path.clone(), made_at, &operations, id).await;
            match &saved {
                Ok(_) => snapshots.metrics.snapshots_saved.inc(),
                Err(problem) => {
                    tracing::warn!(name, problem, "a snapshot could not be saved");
                    snapshots.metrics.snapshots_failed.inc()
                }
            };
            // Whoever hears that it has ended may begin the next.
            drop(saving);
            operations.end(id, saved.map(|saved| described(&path, &saved)));
        });
        Ok(id)
    }
}

async fn save(
    snapshots: &Snapshots,
    runtime: &Runtime,
    path: PathBuf,
    made_at: Timestamp,
    operations: &Operations,
    id: u64,
) -> Result<Saved, String> {
    let directory = snapshots.directory.clone();
    std::fs::create_dir_all(&directory)
        .map_err(|error| format!("the directory {} cannot be made: {error}", directory.display()))?;
    let watch = |progress: SaveProgress| {
        // A backup that fills the disk would stop the very node that it is to save.
        runtime.room_in(&directory)?;
        let SaveProgress { saved, shards, bytes } = progress;
        let part = f64::from(saved) / f64::from(shards);
        operations.change(id, part, format!("{saved} of {shards} shards are saved, {bytes} bytes"));
        Ok(())
    };
    runtime.room_in(&directory)?;
    let saved = runtime.logs().save(path, made_at.0, watch).await;
    saved.map_err(|error| error.to_string())
}

fn described(path: &Path, saved: &Saved) -> String {
    format!(
        "{} is saved: {} bytes, {} rows, sha256 {}",
        path.display(),
        saved.bytes,
        saved.rows,
        saved.sha256
    )
}

/// One snapshot is saved at a time: that this one is.
struct Saving(Arc<AtomicBool>);

impl Saving {
    fn begin(is_saving: &Arc<AtomicBool>) -> Result<Self, Error> {
        if is_saving.swap(true, Ordering::AcqRel) {
            let detail = "this node is saving a snapshot already; wait for it, or ask another node";
            return Err(Error::new(Code::Conflict, detail));
        }
        Ok(Self(is_saving.clone()))
    }
}

impl Drop for Saving {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

fn check_name(name: String) -> Result<String, Error> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let begins = name.bytes().next().is_some_and(is_plain);
    if begins
        && name.len() <= NAME_MAX_BYTES
        && name.bytes().all(|byte| is_plain(byte) || b"-.".contains(&byte))
    {
        return Ok(name);
    }
    let detail =
        "a snapshot's name has 1 to 64 of a-z, 0-9, '-' and '.', and begins with a letter or a digit";
    Err(Error::new(Code::InvalidRequest, detail))
}

/// A name from the cluster's identity and the time: `3fa94b1c-20261125-123632`.
fn made_name(cluster: &str, made_at: Timestamp) -> String {
    let digits: String = cluster.chars().take(CLUSTER_DIGITS).collect();
    let moment: String =
        made_at.to_string().chars().filter(|char| char.is_ascii_digit() || *char == 'T').collect();
    let (day, time) = moment.split_once('T').unwrap_or((&moment, ""));
    format!("{digits}-{day}-{}", time.get(..6).unwrap_or(time))
}

/// The snapshots in a directory, the oldest first. None where there is no directory.
fn list(directory: &Path) -> std::io::Result<Vec<SnapshotView>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.strip_suffix(ENDING).filter(|name| !name.starts_with('.')).map(str::to_owned);
        if let (Some(name), Ok(metadata)) = (name, path.metadata())
            && metadata.is_file()
        {
            files.push((metadata.modified()?, name, path, metadata.len()));
        }
    }
    files.sort();
    let newest = files.len().saturating_sub(LISTED_MAX);
    let mut snapshots: Vec<SnapshotView> =
        files.into_iter().skip(newest).map(|(_, name, path, bytes)| view(name, &path, bytes)).collect();
    snapshots.sort_by(|one, other| (one.made_at, &one.name).cmp(&(other.made_at, &other.name)));
    Ok(snapshots)
}

fn view(name: String, path: &Path, bytes: u64) -> SnapshotView {
    let (manifest, problem) = match manifest(path) {
        Ok(manifest) => (Some(manifest), None),
        Err(error) => (None, Some(error.to_string())),
    };
    SnapshotView {
        name,
        file: path.display().to_string(),
        bytes,
        made_at: manifest.as_ref().map(|manifest| Timestamp(manifest.made_at_ms)),
        shards: manifest.as_ref().map(|manifest| manifest.shards),
        cluster: manifest.map(|manifest| manifest.cluster),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use super::{check_name, list, made_name};
    use crate::object::Timestamp;

    #[test]
    fn names_are_files_everywhere() {
        for name in ["a", "before-1.2", "0", &"x".repeat(64)] {
            assert!(check_name(name.to_owned()).is_ok(), "{name}");
        }
        for name in ["", ".hidden", "-x", "A", "a/b", "../x", "ä", "a b", &"x".repeat(65)] {
            assert!(check_name(name.to_owned()).is_err(), "{name}");
        }
        let made = made_name("3fa94b1c77", Timestamp(1_764_074_192_123));
        assert_eq!(made, "3fa94b1c-20251125-123632");
        assert!(check_name(made).is_ok());
    }

    #[test]
    fn what_is_no_snapshot_says_so_or_is_left_out() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for name in ["a.snapshot", "notes.txt", ".b.snapshot.unfinished", ".c.snapshot"] {
            std::fs::write(directory.path().join(name), b"nothing").expect("it is written");
        }
        let listed = list(directory.path()).expect("it is read");
        let shown: Vec<_> =
            listed.iter().map(|snapshot| (snapshot.name.as_str(), snapshot.problem.as_deref())).collect();
        assert_eq!(shown, [("a", Some("it is not a snapshot of a cluster"))]);
        assert_eq!(list(&directory.path().join("none")).expect("none is none"), []);
    }
}
