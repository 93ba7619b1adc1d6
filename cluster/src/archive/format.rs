//! Every byte of a snapshot's file, frozen: numbers are big-endian.
//!
//! ```text
//! head     magic (8), format u16, length u32, manifest (JSON), CRC-32C of all this u32
//! frames   kind u8, shard u16, length u32, CRC-32C of these three and of the bytes u32, bytes
//! ```
//!
//! | kind | bytes of the frame |
//! |---|---|
//! | 1, data | a chunk of the shard, as replicas send it to one another ([`crate::storage::snapshot`]) |
//! | 2, end of a shard | term, index, number of rows, bytes of its chunks: u64 each |
//! | 3, end of the file | SHA-256 of everything before this frame; its shard is 65535 |
//!
//! The shards come in order, each with its data and its end; the file ends behind the frame of kind 3. What of it
//! is damaged is found by the sums of the frames; that nothing is, by the last one. A program reads every format up
//! to its own and refuses newer ones: what it does not understand it must not pass over.

use serde::{Deserialize, Serialize};

/// What a snapshot's file begins with.
pub(super) const MAGIC: [u8; 8] = *b"steadsnp";
/// The format that this program writes.
pub(super) const FORMAT: u16 = 1;
/// Bytes of the head before its manifest.
pub(super) const HEAD_BYTES: usize = 8 + 2 + 4;
/// Bytes of a sum.
pub(super) const SUM_BYTES: usize = 4;
/// Bytes of a frame before its own.
pub(super) const FRAME_HEAD_BYTES: usize = 1 + 2 + 4 + SUM_BYTES;
/// Largest manifest, in bytes. It has a handful of fields.
pub(super) const MANIFEST_BYTES_MAX: u32 = 64 * 1024;
/// Largest frame, in bytes: a chunk is about 256 KiB, or one row, which is smaller than an entry, and that than
/// 2 GiB.
pub(super) const FRAME_BYTES_MAX: u32 = i32::MAX as u32;
/// What stands for the shard in the last frame.
pub(super) const NO_SHARD: u16 = u16::MAX;

/// What a snapshot is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The identity of the cluster.
    pub cluster: String,
    /// When it was begun, in milliseconds since 1970. Everything acknowledged before is in it.
    pub made_at_ms: u64,
    /// The version of the program that made it.
    pub version: String,
    /// Shards of the cluster.
    pub shards: u16,
    /// Replicas that each shard of the cluster was to have.
    pub replication_factor: u16,
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Data = 1,
    ShardEnd = 2,
    FileEnd = 3,
}

impl Kind {
    pub(super) fn of(byte: u8) -> Option<Self> {
        [Self::Data, Self::ShardEnd, Self::FileEnd].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// What the end of a shard says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardEnd {
    /// The term of the last entry whose effect is in it.
    pub term: u64,
    /// The index of that entry.
    pub index: u64,
    /// Its rows.
    pub rows: u64,
    /// Bytes of its rows, with what stands between them.
    pub bytes: u64,
}

/// The head of a file.
pub(super) fn encode_head(manifest: &Manifest) -> Vec<u8> {
    let manifest = serde_json::to_vec(manifest).expect("a manifest is made of texts and numbers");
    let length = u32::try_from(manifest.len()).expect("a manifest is short");
    assert!(length <= MANIFEST_BYTES_MAX, "a manifest is short");
    let mut out = [MAGIC.as_slice(), &FORMAT.to_be_bytes(), &length.to_be_bytes(), &manifest].concat();
    let sum = crc32c::crc32c(&out);
    out.extend_from_slice(&sum.to_be_bytes());
    out
}

/// What comes before the bytes of a frame.
pub(super) fn encode_frame_head(kind: Kind, shard: u16, bytes: &[u8]) -> [u8; FRAME_HEAD_BYTES] {
    let length = u32::try_from(bytes.len()).expect("chunks are smaller than 2 GiB");
    assert!(length <= FRAME_BYTES_MAX, "chunks are smaller than 2 GiB");
    let mut head = [0; FRAME_HEAD_BYTES];
    let [kind_at, s0, s1, l0, l1, l2, l3, c0, c1, c2, c3] = &mut head;
    *kind_at = kind as u8;
    [*s0, *s1] = shard.to_be_bytes();
    [*l0, *l1, *l2, *l3] = length.to_be_bytes();
    [*c0, *c1, *c2, *c3] = frame_sum(kind as u8, shard, length, bytes).to_be_bytes();
    head
}

/// A frame's head as it was read: nothing of it is sure before its sum is checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct FrameHead {
    pub(super) kind: u8,
    pub(super) shard: u16,
    pub(super) length: u32,
    sum: u32,
}

impl FrameHead {
    pub(super) fn decode(head: [u8; FRAME_HEAD_BYTES]) -> Self {
        let [kind, s0, s1, l0, l1, l2, l3, c0, c1, c2, c3] = head;
        Self {
            kind,
            shard: u16::from_be_bytes([s0, s1]),
            length: u32::from_be_bytes([l0, l1, l2, l3]),
            sum: u32::from_be_bytes([c0, c1, c2, c3]),
        }
    }

    /// Whether head and bytes are as they were written.
    pub(super) fn is_sum_of(&self, bytes: &[u8]) -> bool {
        self.sum == frame_sum(self.kind, self.shard, self.length, bytes)
    }
}

fn frame_sum(kind: u8, shard: u16, length: u32, bytes: &[u8]) -> u32 {
    let sum = crc32c::crc32c(&[kind]);
    let sum = crc32c::crc32c_append(sum, &shard.to_be_bytes());
    let sum = crc32c::crc32c_append(sum, &length.to_be_bytes());
    crc32c::crc32c_append(sum, bytes)
}

impl ShardEnd {
    pub(super) fn encode(self) -> [u8; 32] {
        let mut out = [0; 32];
        let numbers = [self.term, self.index, self.rows, self.bytes];
        for (place, number) in out.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 32] = bytes.try_into().ok()?;
        let (numbers, _) = bytes.as_chunks::<8>();
        let [term, index, rows, bytes] = numbers else { return None };
        let number = |bytes: &[u8; 8]| u64::from_be_bytes(*bytes);
        Some(Self { term: number(term), index: number(index), rows: number(rows), bytes: number(bytes) })
    }
}
