//! Reads an archive and checks every sum in it. What is wrong with a file is said with the place where it shows.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::archive::format::{
    FORMAT, FRAME_BYTES_MAX, FRAME_HEAD_BYTES, FrameHead, HEAD_BYTES, Kind, MAGIC, MANIFEST_BYTES_MAX,
    Manifest, NO_SHARD, SUM_BYTES, ShardEnd,
};
use crate::archive::writing::hexadecimal;
use crate::storage::snapshot;

/// Why an archive can not be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The file is not there, or the disk fails.
    #[error("it can not be read: {0}")]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("it is not a snapshot of a cluster")]
    NotOne,
    /// A newer program made it.
    #[error(
        "it has format {0}, which this program does not know: take the program that made it, or a newer one"
    )]
    Newer(u16),
    /// Its end is missing.
    #[error("it ends at byte {at}, in the middle of {what}: it was cut short")]
    CutShort {
        /// Bytes that are there.
        at: u64,
        /// What was being read.
        what: String,
    },
    /// Something is not as it was written.
    #[error("it is damaged at byte {at}: {what}")]
    Damaged {
        /// Where that begins which is damaged.
        at: u64,
        /// What is.
        what: String,
    },
}

/// What an archive holds, all of it checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// What it is of.
    pub manifest: Manifest,
    /// What each shard has, by number.
    pub shards: Vec<ShardEnd>,
    /// Bytes of the file.
    pub bytes: u64,
    /// The SHA-256 of the file, as hexadecimal digits.
    pub sha256: String,
}

/// Reads an archive to its end and checks every sum.
///
/// # Errors
///
/// With what is wrong with it.
pub fn inspect(path: &Path) -> Result<Contents, ArchiveError> {
    let mut reading = Reading::open(path)?;
    let mut shards = Vec::new();
    loop {
        match reading.next()? {
            Part::Chunk { .. } => {}
            Part::ShardEnd(end) => shards.push(end),
            Part::FileEnd { bytes, sha256 } => {
                return Ok(Contents { manifest: reading.manifest, shards, bytes, sha256 });
            }
        }
    }
}

/// What an archive is of, from its beginning alone: whether the rest is whole only [`inspect`] says.
///
/// # Errors
///
/// When the beginning is none of an archive.
pub fn manifest(path: &Path) -> Result<Manifest, ArchiveError> {
    Ok(Reading::open(path)?.manifest)
}

/// A part of an archive.
pub(super) enum Part {
    /// Of a shard.
    Chunk { bytes: Vec<u8> },
    /// The shard of the chunks before is whole.
    ShardEnd(ShardEnd),
    /// So is the file.
    FileEnd { bytes: u64, sha256: String },
}

/// An archive being read, shard after shard.
pub(super) struct Reading {
    pub(super) manifest: Manifest,
    input: Input,
    /// The shard that is read.
    shard: u16,
    rows: u64,
    bytes: u64,
}

impl Reading {
    pub(super) fn open(path: &Path) -> Result<Self, ArchiveError> {
        Self::new(Box::new(BufReader::new(File::open(path)?)))
    }

    fn new(source: Box<dyn Read + Send>) -> Result<Self, ArchiveError> {
        let mut input = Input { source, at: 0, hash: Sha256::new() };
        let manifest = read_head(&mut input)?;
        Ok(Self { manifest, input, shard: 0, rows: 0, bytes: 0 })
    }

    /// The next part, its sum checked.
    pub(super) fn next(&mut self) -> Result<Part, ArchiveError> {
        let (at, before) = (self.input.at, self.input.hash.clone());
        let what = if self.shard < self.manifest.shards {
            format!("shard {} of {}", self.shard, self.manifest.shards)
        } else {
            "the sum at its end".to_owned()
        };
        let head = FrameHead::decode(self.input.array::<FRAME_HEAD_BYTES>(&what)?);
        let damaged = |why: &str| ArchiveError::Damaged { at, what: format!("{what}: {why}") };
        if head.length > FRAME_BYTES_MAX {
            return Err(damaged("a length can not be right"));
        }
        let bytes = self.input.take(head.length, &what)?;
        if !head.is_sum_of(&bytes) {
            return Err(damaged("a checksum does not fit"));
        }
        let kind = Kind::of(head.kind).ok_or_else(|| damaged("it has a part of an unknown kind"))?;
        let is_over = self.shard == self.manifest.shards;
        match (kind, is_over) {
            (Kind::Data, false) if head.shard == self.shard => {
                let rows = snapshot::count_rows(&bytes).ok_or_else(|| damaged("its rows are damaged"))?;
                (self.rows, self.bytes) = (self.rows + rows, self.bytes + bytes.len() as u64);
                Ok(Part::Chunk { bytes })
            }
            (Kind::ShardEnd, false) if head.shard == self.shard => {
                let end = ShardEnd::decode(&bytes).ok_or_else(|| damaged("its end is damaged"))?;
                if (end.rows, end.bytes) != (self.rows, self.bytes) {
                    return Err(damaged("not all of its rows are there"));
                }
                (self.shard, self.rows, self.bytes) = (self.shard + 1, 0, 0);
                Ok(Part::ShardEnd(end))
            }
            (Kind::FileEnd, true) if head.shard == NO_SHARD => {
                if before.finalize().as_slice() != bytes {
                    return Err(damaged("the sum of the whole file does not fit"));
                }
                self.input.end()?;
                let sha256 = hexadecimal(&self.input.hash.clone().finalize());
                Ok(Part::FileEnd { bytes: self.input.at, sha256 })
            }
            _ => Err(damaged("a part of it is missing")),
        }
    }
}

fn read_head(input: &mut Input) -> Result<Manifest, ArchiveError> {
    let what = "its head";
    let head = input.array::<HEAD_BYTES>(what).map_err(|error| match error {
        ArchiveError::CutShort { .. } => ArchiveError::NotOne,
        other => other,
    })?;
    let [magic @ .., f0, f1, l0, l1, l2, l3] = head;
    if magic != MAGIC {
        return Err(ArchiveError::NotOne);
    }
    let format = u16::from_be_bytes([f0, f1]);
    if format > FORMAT {
        return Err(ArchiveError::Newer(format));
    }
    let damaged = || ArchiveError::Damaged { at: 0, what: what.to_owned() };
    let length = u32::from_be_bytes([l0, l1, l2, l3]);
    if format == 0 || length > MANIFEST_BYTES_MAX {
        return Err(damaged());
    }
    let bytes = input.take(length, what)?;
    let sum = u32::from_be_bytes(input.array::<SUM_BYTES>(what)?);
    if crc32c::crc32c_append(crc32c::crc32c(&head), &bytes) != sum {
        return Err(damaged());
    }
    serde_json::from_slice(&bytes).map_err(|_| damaged())
}

/// The bytes of a file, counted and summed up as they are read.
struct Input {
    source: Box<dyn Read + Send>,
    at: u64,
    hash: Sha256,
}

impl Input {
    /// So many bytes. However many a damaged length says, memory is taken for those that are there.
    fn take(&mut self, length: u32, what: &str) -> Result<Vec<u8>, ArchiveError> {
        let mut bytes = Vec::new();
        let read = self.source.by_ref().take(length.into()).read_to_end(&mut bytes)?;
        self.at += read as u64;
        self.hash.update(&bytes);
        if bytes.len() < length as usize {
            return Err(ArchiveError::CutShort { at: self.at, what: what.to_owned() });
        }
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], ArchiveError> {
        let length = u32::try_from(N).expect("heads are short");
        let bytes = self.take(length, what)?;
        Ok(bytes.try_into().expect("as many were asked for"))
    }

    fn end(&mut self) -> Result<(), ArchiveError> {
        let at = self.at;
        match self.source.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(ArchiveError::Damaged { at, what: "there is something behind its end".to_owned() }),
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
