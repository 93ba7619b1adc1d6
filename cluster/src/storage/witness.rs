//! A small file beside `RocksDB` that says how far each group's log and vote were surely on disk.
//!
//! Point-in-time recovery ends at the first record it can not read. That is right for a torn last record, which
//! nobody was told of, and wrong for damage in the middle: then acknowledged entries vanish without an error.
//! The witness tells the two apart. After each flushed batch the writer notes the last index and the vote of
//! the groups in it; at the next start a log or vote that ends before its note has lost something.
//!
//! The note is written after the flush it speaks of, so it never claims what was not on disk, in whatever order
//! the kernel writes the two files back. It is not flushed itself (that would double the price of a write): a
//! killed process loses nothing of it, a power cut at most the notes of the last seconds. Where a log gets
//! shorter on purpose, the shorter note is flushed first.
//!
//! Two slots are written in turn, each with a checksum, so that a torn note leaves the one before it. The last
//! note of a shutdown says that it was one.
//!
//! The file is also what a process locks first of a data directory, before it touches anything else in it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::raft::Vote;
use crate::storage::keys::GroupId;

/// The name of the file in the data directory.
pub(crate) const FILE: &str = "witness";

/// What every slot begins with, its version at the end.
const MAGIC: [u8; 8] = *b"steadwt1";
/// Bytes of a slot before its notes: magic, number, clean mark, count.
const HEADER_BYTES: usize = 8 + 8 + 1 + 2;
/// Bytes of one group's note.
const NOTE_BYTES: usize = 2 + 8 + 8 + 8 + 1;
/// Bytes of the checksum that ends a slot.
const CHECKSUM_BYTES: usize = 8;
/// Slots begin at multiples of this, so that the two never share a page.
const PAGE_BYTES: usize = 4_096;

/// How far one group was surely on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Note {
    /// The index behind the last entry.
    pub(crate) next_index: u64,
    /// Term and node of the vote, and whether it was of a leader: in the order votes are in.
    pub(crate) vote: (u64, u64, bool),
}

/// The form of a vote that notes keep.
pub(crate) fn vote_note(vote: &Vote) -> (u64, u64, bool) {
    (vote.leader_id.term, vote.leader_id.voted_for.0, vote.committed)
}

/// The file, and what it says.
pub(crate) struct Witness {
    file: File,
    slot_bytes: usize,
    said: Said,
    buffer: Vec<u8>,
}

/// What a slot says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Said {
    /// Which note it is, from 1.
    number: u64,
    /// Whether nothing was written after it.
    was_shut_down: bool,
    notes: BTreeMap<GroupId, Note>,
}

/// Why the witness can not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("another process has it open")]
    Locked,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Witness {
    /// Opens the file or makes it, with room for this many groups, and locks it for as long as it is open.
    pub(crate) fn open(directory: &Path, groups: usize) -> Result<Self, Error> {
        let path = directory.join(FILE);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Locked),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let bytes = HEADER_BYTES + groups * NOTE_BYTES + CHECKSUM_BYTES;
        let slot_bytes = bytes.next_multiple_of(PAGE_BYTES);
        file.set_len(2 * slot_bytes as u64)?;
        let slots = [0, 1].into_iter().filter_map(|slot| read_slot(&file, slot, slot_bytes));
        let said = slots.max_by_key(|said| said.number).unwrap_or_default();
        Ok(Self { file, slot_bytes, said, buffer: Vec::new() })
    }

    /// Whether the last process that wrote here ended with a shutdown; or none ever wrote.
    pub(crate) fn was_shut_down(&self) -> bool {
        self.said.was_shut_down || self.said.number == 0
    }

    /// What is noted of each group.
    pub(crate) fn notes(&self) -> BTreeMap<GroupId, Note> {
        self.said.notes.clone()
    }

    /// Changes what is noted of a group, for [`Self::write`] to store.
    pub(crate) fn change(&mut self, group: GroupId) -> &mut Note {
        self.said.notes.entry(group).or_default()
    }

    /// Stores the notes, without a flush.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        self.said.was_shut_down = false;
        self.write_said()
    }

    fn write_said(&mut self) -> io::Result<()> {
        self.said.number += 1;
        self.buffer.clear();
        encode(&self.said, &mut self.buffer);
        let slot = self.said.number % 2;
        self.file.write_all_at(&self.buffer, slot * self.slot_bytes as u64)
    }

    /// Stores the last notes of a shutdown, flushed.
    pub(crate) fn write_last(&mut self) -> io::Result<()> {
        self.said.was_shut_down = true;
        self.write_said()?;
        self.file.sync_data()
    }

    /// Stores the notes in both slots, flushed.
    pub(crate) fn write_flushed(&mut self) -> io::Result<()> {
        self.write()?;
        self.write()?;
        self.file.sync_data()
    }
}

fn encode(said: &Said, out: &mut Vec<u8>) {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&said.number.to_be_bytes());
    out.push(u8::from(said.was_shut_down));
    let count =
        u16::try_from(said.notes.len()).expect("a node has at most SHARDS_MAX groups and the meta group");
    out.extend_from_slice(&count.to_be_bytes());
    for (group, note) in &said.notes {
        out.extend_from_slice(&group.0.to_be_bytes());
        out.extend_from_slice(&note.next_index.to_be_bytes());
        out.extend_from_slice(&note.vote.0.to_be_bytes());
        out.extend_from_slice(&note.vote.1.to_be_bytes());
        out.push(u8::from(note.vote.2));
    }
    let sum = checksum(out);
    out.extend_from_slice(&sum.to_be_bytes());
}

fn read_slot(file: &File, slot: u64, slot_bytes: usize) -> Option<Said> {
    let mut bytes = vec![0; slot_bytes];
    file.read_exact_at(&mut bytes, slot * slot_bytes as u64).ok()?;
    decode(&bytes)
}

fn decode(bytes: &[u8]) -> Option<Said> {
    let (number, rest) = bytes.strip_prefix(&MAGIC)?.split_first_chunk::<8>()?;
    let (was_shut_down, rest) = rest.split_first()?;
    let (count, rest) = rest.split_first_chunk::<2>()?;
    let count = usize::from(u16::from_be_bytes(*count));
    let (sum, _) = rest.get(count * NOTE_BYTES..)?.split_first_chunk::<CHECKSUM_BYTES>()?;
    if checksum(bytes.get(..HEADER_BYTES + count * NOTE_BYTES)?) != u64::from_be_bytes(*sum) {
        return None;
    }
    let notes = rest.chunks_exact(NOTE_BYTES).take(count).filter_map(decode_note).collect();
    Some(Said { number: u64::from_be_bytes(*number), was_shut_down: *was_shut_down == 1, notes })
}

fn decode_note(bytes: &[u8]) -> Option<(GroupId, Note)> {
    let (group, rest) = bytes.split_first_chunk::<2>()?;
    let (next_index, rest) = rest.split_first_chunk::<8>()?;
    let (term, rest) = rest.split_first_chunk::<8>()?;
    let (node, rest) = rest.split_first_chunk::<8>()?;
    let vote = (u64::from_be_bytes(*term), u64::from_be_bytes(*node), rest.first() == Some(&1));
    Some((GroupId(u16::from_be_bytes(*group)), Note { next_index: u64::from_be_bytes(*next_index), vote }))
}

/// FNV-1a: enough to tell a torn note, and frozen in ten lines.
fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use expect_test::expect;
    use proptest::prelude::*;

    use super::{FILE, Note, Said, Witness, decode, encode};
    use crate::storage::keys::GroupId;

    #[test]
    fn notes_are_frozen() {
        let notes = BTreeMap::from([(GroupId(1), Note { next_index: 258, vote: (3, 1, true) })]);
        let mut bytes = Vec::new();
        let said = Said { number: 7, was_shut_down: false, notes };
        encode(&said, &mut bytes);
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        expect!["73 74 65 61 64 77 74 31 00 00 00 00 00 00 00 07 00 00 01 00 01 00 00 00 00 00 00 01 02 00 00 00 00 00 00 00 03 00 00 00 00 00 00 00 01 01 38 d0 ef dc c3 8a d6 4f"].assert_eq(&hex.join(" "));
        assert_eq!(decode(&bytes), Some(said));
    }

    #[test]
    fn a_torn_note_leaves_the_one_before_it() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let open = || Witness::open(directory.path(), 2).expect("the witness opens");
        let mut witness = open();
        for next_index in [5, 6] {
            witness.change(GroupId(0)).next_index = next_index;
            witness.write().expect("it is written");
        }
        assert!(matches!(Witness::open(directory.path(), 2), Err(super::Error::Locked)));
        drop(witness);
        assert_eq!(open().notes()[&GroupId(0)].next_index, 6);
        assert!(!open().was_shut_down());
        let path = directory.path().join(FILE);
        let mut bytes = std::fs::read(&path).expect("the file is there");
        bytes[30] ^= 1; // slot 0 has the even, newer number
        std::fs::write(&path, bytes).expect("it is written");
        let mut witness = open();
        assert_eq!(witness.notes()[&GroupId(0)].next_index, 5);
        witness.write_last().expect("it is written");
        drop(witness);
        assert!(open().was_shut_down());
    }

    proptest! {
        #[test]
        fn decoding_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
            let _ = decode(&[super::MAGIC.as_slice(), &bytes].concat());
        }
    }
}
