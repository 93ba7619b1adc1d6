//! A copy of a replica's data on its way to another replica, in chunks.
//!
//! For openraft a snapshot is metadata; the data behind it is a `RocksDB` snapshot, read piece by piece as the
//! receiver takes it. The receiver writes the pieces beside its old data under a new incarnation, and one put
//! makes them its data. Until then a crash leaves the old data as it was.

use std::sync::Arc;

use bytes::{BufMut, Bytes};
use tokio::sync::mpsc;

use crate::machine::Space;
use crate::metrics::Counter;
use crate::storage::ReadError;
use crate::storage::codec::Applied;
use crate::storage::keys::{self, Column, GroupId, Incarnation};
use crate::storage::reader::{Pinned, Rows};
use crate::storage::staging::Staged;
use crate::storage::state::column_of;
use crate::storage::writer::Row;

/// About how many bytes a chunk has.
const CHUNK_BYTES: usize = 256 * 1024;
/// The version every chunk begins with.
const VERSION: u8 = 1;
/// The spaces of a snapshot in the order they are sent, with the byte that names them in a chunk.
const SPACES: [(Space, u8); 2] = [(Space::State, 0), (Space::Alarms, 1)];
/// In the place of a space: the row that says which entry of its proposer was applied last, key term, value
/// number.
const SEQUENCE: u8 = 2;
/// Chunks that may wait between the network and the disk of a receiver.
const CHUNKS_WAITING_MAX: usize = 4;

/// The data of a replica: one's own, what a peer sends, or what a peer has sent.
pub struct ShardSnapshot {
    source: Source,
    counter: Option<Arc<Counter>>,
}

enum Source {
    Own(Box<Own>),
    Peer(mpsc::Receiver<Result<Bytes, ReadError>>),
    Staged(Staged),
}

struct Own {
    group: GroupId,
    incarnation: Incarnation,
    sequence: Option<(u64, u64)>,
    pinned: Pinned,
    space: usize,
    rows: Option<Rows>,
}

impl ShardSnapshot {
    /// The data of a moment, with what was applied in it.
    pub(crate) fn own(group: GroupId, applied: &Applied, pinned: Pinned) -> Self {
        let sequence = Some((applied.sequence_term, applied.sequence));
        let own = Own { group, incarnation: applied.incarnation, sequence, pinned, space: 0, rows: None };
        Self { source: Source::Own(Box::new(own)), counter: None }
    }

    /// What a peer sends, and where to put its chunks. An error in the place of a chunk, or no end, aborts.
    #[must_use]
    pub fn from_peer() -> (mpsc::Sender<Result<Bytes, ReadError>>, Self) {
        let (sender, receiver) = mpsc::channel(CHUNKS_WAITING_MAX);
        (sender, Self { source: Source::Peer(receiver), counter: None })
    }

    /// What a peer has sent.
    pub(crate) fn staged(staged: Staged) -> Self {
        Self { source: Source::Staged(staged), counter: None }
    }

    /// The same, with its bytes counted as they go by.
    pub(crate) fn counted(self, counter: Arc<Counter>) -> Self {
        Self { counter: Some(counter), ..self }
    }

    /// What a peer has sent, unless it is still to be received.
    pub(crate) fn into_staged(self) -> Result<Staged, Self> {
        match self.source {
            Source::Staged(staged) => Ok(staged),
            source @ (Source::Own(_) | Source::Peer(_)) => Err(Self { source, counter: self.counter }),
        }
    }

    /// The next chunk; none at the end.
    ///
    /// # Errors
    ///
    /// When the disk can not be read, or the peer's could not.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        let chunk = self.source.next().await?;
        if let (Some(chunk), Some(counter)) = (&chunk, &self.counter) {
            counter.add(chunk.len() as u64);
        }
        Ok(chunk)
    }
}

impl Source {
    async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        match self {
            Source::Own(own) => own.next(),
            // The last chunk is an empty one: a sender that is only dropped has not sent everything.
            Source::Peer(chunks) => match chunks.recv().await {
                Some(chunk) => chunk.map(|chunk| (!chunk.is_empty()).then_some(chunk)),
                None => Err(ReadError("the peer stopped sending its snapshot".to_owned())),
            },
            Source::Staged(_) => Err(ReadError("a received snapshot is installed, not sent on".to_owned())),
        }
    }
}

impl Own {
    fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        let mut chunk = vec![VERSION];
        if let Some((term, sequence)) = self.sequence.take() {
            push_row(SEQUENCE, &term.to_be_bytes(), &sequence.to_be_bytes(), &mut chunk);
        }
        while let Some((space, name)) = SPACES.get(self.space).copied() {
            let column = column_of(self.group, space);
            let rows = self
                .rows
                .get_or_insert_with(|| open_rows(&self.pinned, column, self.group, self.incarnation));
            rows.with(|rows| {
                while let Some((key, value)) = rows.item() {
                    let prefix = keys::prefix(self.group, self.incarnation).len();
                    push_row(name, key.get(prefix..).unwrap_or_default(), value, &mut chunk);
                    rows.next();
                    if chunk.len() >= CHUNK_BYTES {
                        return Ok(());
                    }
                }
                rows.status()
            })?;
            if chunk.len() >= CHUNK_BYTES {
                break;
            }
            (self.space, self.rows) = (self.space + 1, None);
        }
        Ok((chunk.len() > 1).then(|| chunk.into()))
    }
}

fn open_rows(pinned: &Pinned, column: Column, group: GroupId, incarnation: Incarnation) -> Rows {
    let (from, to) = (keys::prefix(group, incarnation), keys::prefix(group, incarnation + 1));
    let mut rows = pinned.rows(column, &from, &to);
    rows.with(|rows| {
        rows.seek_to_first();
    });
    rows
}

fn push_row(space: u8, key: &[u8], value: &[u8], chunk: &mut Vec<u8>) {
    chunk.put_u8(space);
    for part in [key, value] {
        chunk.put_u32(
            u32::try_from(part.len())
                .expect("keys and values are smaller than entries, and those than 2 GiB"),
        );
        chunk.put_slice(part);
    }
}

/// What a chunk holds.
pub(crate) struct Chunk {
    /// Term and number of the proposer's entry that was applied last, in the first chunk.
    pub(crate) sequence: Option<(u64, u64)>,
    pub(crate) rows: Vec<Row>,
}

/// What a chunk holds, its rows under an incarnation of this replica. None when the chunk is damaged.
pub(crate) fn parse(chunk: &[u8], group: GroupId, incarnation: Incarnation) -> Option<Chunk> {
    let mut rest = chunk.strip_prefix(&[VERSION])?;
    let (mut sequence, mut rows) = (None, Vec::new());
    while let Some((name, behind)) = rest.split_first() {
        let (key, behind) = split_part(behind)?;
        let (value, behind) = split_part(behind)?;
        if *name == SEQUENCE {
            sequence =
                Some((u64::from_be_bytes(key.try_into().ok()?), u64::from_be_bytes(value.try_into().ok()?)));
        } else {
            let (space, _) = SPACES.iter().find(|(_, known)| known == name)?;
            rows.push(Row::Put(
                column_of(group, *space),
                keys::data(group, incarnation, key),
                value.to_vec(),
            ));
        }
        rest = behind;
    }
    Some(Chunk { sequence, rows })
}

/// How many rows a chunk holds; none when it is damaged.
pub(crate) fn count_rows(chunk: &[u8]) -> Option<u64> {
    let (mut rest, mut rows) = (chunk.strip_prefix(&[VERSION])?, 0);
    while let Some((name, behind)) = rest.split_first() {
        let (key, behind) = split_part(behind)?;
        let (value, behind) = split_part(behind)?;
        match *name {
            SEQUENCE if key.len() == 8 && value.len() == 8 => {}
            name if SPACES.iter().any(|(_, known)| *known == name) => rows += 1,
            _ => return None,
        }
        rest = behind;
    }
    Some(rows)
}

fn split_part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::*;

    use super::{GroupId, SEQUENCE, VERSION, count_rows, parse, push_row};

    #[test]
    fn chunks_are_frozen() {
        let mut chunk = vec![VERSION];
        push_row(SEQUENCE, &3_u64.to_be_bytes(), &4_u64.to_be_bytes(), &mut chunk);
        push_row(0, b"k", b"vw", &mut chunk);
        push_row(1, b"", b"", &mut chunk);
        let hex: Vec<String> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
        expect!["01 02 00 00 00 08 00 00 00 00 00 00 00 03 00 00 00 08 00 00 00 00 00 00 00 04 00 00 00 00 01 6b 00 00 00 02 76 77 01 00 00 00 00 00 00 00 00"].assert_eq(&hex.join(" "));
        let parsed = parse(&chunk, GroupId(1), 2).expect("it is whole");
        assert_eq!((parsed.sequence, parsed.rows.len()), (Some((3, 4)), 2));
        assert_eq!(count_rows(&chunk), Some(2));
    }

    proptest! {
        #[test]
        fn decoding_never_panics(mut bytes in prop::collection::vec(any::<u8>(), 1..60)) {
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            let parsed = parse(&bytes, GroupId(1), 1);
            prop_assert_eq!(parsed.map(|chunk| chunk.rows.len() as u64), count_rows(&bytes));
        }
    }
}
