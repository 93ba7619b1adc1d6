//! Writes an archive: under another name until it is whole and on disk, so that nothing is taken for one that is
//! none.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::archive::format::{self, Kind, Manifest, NO_SHARD, ShardEnd};
use crate::storage::snapshot;

/// What the name of an unfinished file ends with.
const UNFINISHED: &str = ".unfinished";
/// Bytes after which what was written is flushed: one large flush at the end would hold up those of the log.
const FLUSH_EVERY_BYTES: u64 = 8 * 1024 * 1024;

/// An archive that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// Bytes of the file.
    pub bytes: u64,
    /// The SHA-256 of the file, as hexadecimal digits.
    pub sha256: String,
    /// Its rows, in all shards.
    pub rows: u64,
}

/// An archive being written. Dropped, it is removed.
pub(crate) struct Writing {
    path: PathBuf,
    unfinished: PathBuf,
    file: BufWriter<File>,
    hash: Sha256,
    written: u64,
    flushed: u64,
    rows: u64,
    shard: u16,
    begun: Begun,
    is_finished: bool,
}

/// Where the present shard began, to begin it again; and what there is of it.
struct Begun {
    at: u64,
    hash: Sha256,
    rows: u64,
    bytes: u64,
}

impl Begun {
    fn at(at: u64, hash: Sha256) -> Self {
        Self { at, hash, rows: 0, bytes: 0 }
    }
}

impl Writing {
    /// Begins a file, which must not be there yet.
    pub(crate) fn create(path: PathBuf, manifest: &Manifest) -> io::Result<Self> {
        if path.exists() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is such a file already"));
        }
        let directory = directory_of(&path);
        std::fs::create_dir_all(directory)?;
        remove_abandoned(directory)?;
        let unfinished = unfinished_of(&path);
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&unfinished)?;
        // It is locked for as long as somebody writes it.
        file.try_lock().map_err(|_| io::Error::other("another process is writing it"))?;
        file.set_len(0)?;
        let hash = Sha256::new();
        let begun = Begun::at(0, hash.clone());
        let file = BufWriter::new(file);
        let (written, flushed, rows, shard, is_finished) = (0, 0, 0, 0, false);
        let mut writing =
            Self { path, unfinished, file, hash, written, flushed, rows, shard, begun, is_finished };
        writing.put(&format::encode_head(manifest))?;
        writing.begun = Begun::at(writing.written, writing.hash.clone());
        Ok(writing)
    }

    /// Bytes written so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.written
    }

    /// Adds a chunk of the present shard.
    pub(crate) fn data(&mut self, chunk: &[u8]) -> io::Result<()> {
        let rows = snapshot::count_rows(chunk);
        let rows = rows.ok_or_else(|| io::Error::other("a chunk of a snapshot is damaged"))?;
        self.begun.rows += rows;
        self.begun.bytes += chunk.len() as u64;
        self.frame(Kind::Data, self.shard, chunk)?;
        if self.written - self.flushed >= FLUSH_EVERY_BYTES {
            self.file.flush()?;
            self.file.get_ref().sync_data()?;
            self.flushed = self.written;
        }
        Ok(())
    }

    /// Takes back what there is of the present shard.
    pub(crate) fn begin_again(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().set_len(self.begun.at)?;
        self.file.seek(SeekFrom::Start(self.begun.at))?;
        self.written = self.begun.at;
        self.flushed = self.flushed.min(self.begun.at);
        self.hash = self.begun.hash.clone();
        self.begun = Begun::at(self.written, self.hash.clone());
        Ok(())
    }

    /// Ends the present shard, whose last entry is of this term and index, and begins the next.
    pub(crate) fn end_shard(&mut self, term: u64, index: u64) -> io::Result<()> {
        let end = ShardEnd { term, index, rows: self.begun.rows, bytes: self.begun.bytes };
        self.frame(Kind::ShardEnd, self.shard, &end.encode())?;
        self.rows += end.rows;
        self.shard += 1;
        self.begun = Begun::at(self.written, self.hash.clone());
        Ok(())
    }

    /// Ends the file: it has its name, and both are on disk.
    pub(crate) fn finish(mut self) -> io::Result<Saved> {
        let sum = self.hash.clone().finalize();
        self.frame(Kind::FileEnd, NO_SHARD, &sum)?;
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        if self.path.exists() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is such a file by now"));
        }
        std::fs::rename(&self.unfinished, &self.path)?;
        self.is_finished = true;
        File::open(directory_of(&self.path))?.sync_all()?;
        let sha256 = hexadecimal(&self.hash.clone().finalize());
        Ok(Saved { bytes: self.written, sha256, rows: self.rows })
    }

    fn frame(&mut self, kind: Kind, shard: u16, bytes: &[u8]) -> io::Result<()> {
        self.put(&format::encode_frame_head(kind, shard, bytes))?;
        self.put(bytes)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.written += bytes.len() as u64;
        Ok(())
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if !self.is_finished
            && let Err(error) = std::fs::remove_file(&self.unfinished)
        {
            let file = self.unfinished.display();
            tracing::warn!(%file, %error, "an unfinished snapshot could not be removed");
        }
    }
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn unfinished_of(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(UNFINISHED);
    path.with_file_name(name)
}

/// Removes what a process that was killed left: files that nobody has locked.
fn remove_abandoned(directory: &Path) -> io::Result<()> {
    for file in std::fs::read_dir(directory)? {
        let path = file?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_unfinished = name.starts_with('.') && name.ends_with(UNFINISHED);
        if is_unfinished && File::open(&path)?.try_lock().is_ok() {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}
