//! Keeps what recovery would throw away.
//!
//! Recovery reads the write-ahead logs up to the first record it can not read, and deletes them; if that record
//! was damage and not a torn end, whatever is behind it is gone for whoever wants to look or to repair. So the
//! logs are copied before every recovery that does not follow a shutdown. They are small (see the bound in
//! `database`). The copy is removed when nothing was found missing, and kept when something was.

use std::io;
use std::path::{Path, PathBuf};

/// Where the copies lie in the data directory.
pub(crate) const COPY: &str = "wal-before-recovery";
/// Where they lie while they are being made.
const UNFINISHED_COPY: &str = "wal-before-recovery.unfinished";
/// How `RocksDB` ends the names of its write-ahead logs.
const WAL_EXTENSION: &str = "log";

/// A copy of the write-ahead logs.
pub(crate) struct Evidence {
    directory: Option<PathBuf>,
}

impl Evidence {
    /// Nothing to keep: there was a shutdown before.
    pub(crate) fn none() -> Self {
        Self { directory: None }
    }

    /// Copies the write-ahead logs of the database. A copy that is there is of a recovery that found damage, or
    /// did not end: it is older, and stays.
    pub(crate) fn copy(data_dir: &Path, database: &Path) -> io::Result<Self> {
        let (unfinished, directory) = (data_dir.join(UNFINISHED_COPY), data_dir.join(COPY));
        if !database.exists() {
            return Ok(Self::none());
        }
        if directory.exists() {
            return Ok(Self { directory: Some(directory) });
        }
        if unfinished.exists() {
            std::fs::remove_dir_all(&unfinished)?;
        }
        std::fs::create_dir(&unfinished)?;
        for file in std::fs::read_dir(database)? {
            let file = file?;
            if file.path().extension().is_some_and(|extension| extension == WAL_EXTENSION) {
                std::fs::copy(file.path(), unfinished.join(file.file_name()))?;
            }
        }
        std::fs::rename(unfinished, &directory)?;
        Ok(Self { directory: Some(directory) })
    }

    /// Removes the copy: nothing is missing.
    pub(crate) fn discard(self) {
        if let Some(directory) = self.directory
            && let Err(error) = std::fs::remove_dir_all(&directory)
        {
            tracing::warn!(%error, "a copy of write-ahead logs that is not needed could not be removed");
        }
    }

    /// Leaves the copy for whoever looks into it.
    pub(crate) fn keep(self) {
        if let Some(directory) = self.directory {
            let directory = directory.display();
            tracing::error!(%directory, "the write-ahead logs from before the recovery are kept");
        }
    }
}
