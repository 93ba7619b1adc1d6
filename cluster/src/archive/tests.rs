use std::io::Cursor;

use expect_test::expect;
use proptest::prelude::*;

use super::{ArchiveError, Manifest, Part, Reading, inspect};
use crate::archive::format::{FORMAT, HEAD_BYTES};
use crate::archive::writing::Writing;

/// A chunk with one row.
const CHUNK: &[u8] = &[1, 0, 0, 0, 0, 1, b'k', 0, 0, 0, 1, b'v'];

fn manifest(shards: u16) -> Manifest {
    let (cluster, version) = ("c1".to_owned(), "0.1.0".to_owned());
    Manifest { cluster, made_at_ms: 1_000, version, shards, replication_factor: 3 }
}

/// The bytes of an archive of two shards, of which the second is empty.
fn archive() -> Vec<u8> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("a.snapshot");
    let mut writing = Writing::create(path.clone(), &manifest(2)).expect("it begins");
    writing.data(CHUNK).expect("it is written");
    writing.end_shard(7, 9).expect("it is written");
    writing.end_shard(2, 1).expect("it is written");
    let saved = writing.finish().expect("it ends");
    let bytes = std::fs::read(&path).expect("it is there");
    assert_eq!((saved.bytes, saved.rows), (bytes.len() as u64, 1));
    let contents = inspect(&path).expect("it is whole");
    assert_eq!((contents.bytes, contents.sha256), (saved.bytes, saved.sha256));
    assert_eq!(std::fs::read_dir(directory.path()).expect("it is there").count(), 1);
    bytes
}

fn read(bytes: Vec<u8>) -> Result<Vec<u64>, ArchiveError> {
    let mut reading = Reading::new(Box::new(Cursor::new(bytes)))?;
    let mut rows = Vec::new();
    loop {
        match reading.next()? {
            Part::Chunk { .. } => {}
            Part::ShardEnd(end) => rows.push(end.rows),
            Part::FileEnd { .. } => return Ok(rows),
        }
    }
}

fn check(bytes: &[u8], expected: &str) {
    assert_eq!(read(bytes.to_vec()).expect_err("it is not whole").to_string(), expected);
}

#[test]
fn archives_are_frozen() {
    let hex: Vec<String> = archive().chunks(32).map(crate::archive::writing::hexadecimal).collect();
    expect![[r"
        7374656164736e700001000000567b22636c7573746572223a226331222c226d
        6164655f61745f6d73223a313030302c2276657273696f6e223a22302e312e30
        222c22736861726473223a322c227265706c69636174696f6e5f666163746f72
        223a337dbd950fbf0100000000000c8e3e3a3e0100000000016b000000017602
        000000000020fcd4531200000000000000070000000000000009000000000000
        0001000000000000000c02000100000020d8d5d1db0000000000000002000000
        00000000010000000000000000000000000000000003ffff00000020e9657ea6
        21490225773ccc15a0de9bcaf6e0347d93b25c2b37a2a78ec9cbd44f41fffa2d"]]
    .assert_eq(&hex.join("\n"));
}

#[test]
fn what_is_wrong_is_said() {
    let whole = archive();
    assert_eq!(read(whole.clone()).expect("it is whole"), [1, 0]);
    check(b"", "it is not a snapshot of a cluster");
    check(b"PK\x03\x04 something else", "it is not a snapshot of a cluster");
    let mut newer = whole.clone();
    newer[9] = 1 + u8::try_from(FORMAT).expect("it is 1");
    check(
        &newer,
        "it has format 2, which this program does not know: take the program that made it, or a newer one",
    );
    let length = |head: &[u8]| usize::from(head[13]);
    let frames = HEAD_BYTES + length(&whole) + 4;
    check(&whole[..frames + 5], "it ends at byte 109, in the middle of shard 0 of 2: it was cut short");
    let mut flipped = whole.clone();
    flipped[frames + 11 + 6] ^= 1;
    check(&flipped, "it is damaged at byte 104: shard 0 of 2: a checksum does not fit");
    // The first shard as a whole.
    let mut missing = whole.clone();
    missing.drain(frames..frames + 11 + CHUNK.len() + 11 + 32);
    check(&missing, "it is damaged at byte 104: shard 0 of 2: a part of it is missing");
    // The rows of the first shard.
    let mut missing = whole.clone();
    missing.drain(frames..frames + 11 + CHUNK.len());
    check(&missing, "it is damaged at byte 104: shard 0 of 2: not all of its rows are there");
    let end = whole.len() - 43;
    check(&whole[..end], "it ends at byte 213, in the middle of the sum at its end: it was cut short");
    check(&[whole.as_slice(), b"x"].concat(), "it is damaged at byte 256: there is something behind its end");
}

#[test]
fn a_shard_begun_again_leaves_nothing_behind() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("a.snapshot");
    let mut writing = Writing::create(path.clone(), &manifest(2)).expect("it begins");
    writing.data(CHUNK).expect("it is written");
    for _ in 0..3 {
        writing.data(CHUNK).expect("it is written");
        writing.begin_again().expect("it is taken back");
    }
    writing.data(CHUNK).expect("it is written");
    writing.end_shard(7, 9).expect("it is written");
    writing.end_shard(2, 1).expect("it is written");
    writing.finish().expect("it ends");
    assert_eq!(std::fs::read(&path).expect("it is there"), archive());
}

#[test]
fn an_unfinished_file_goes_with_whoever_wrote_it() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("a.snapshot");
    let count = || std::fs::read_dir(directory.path()).expect("it is there").count();
    let writing = Writing::create(path.clone(), &manifest(2)).expect("it begins");
    assert!(Writing::create(path.clone(), &manifest(2)).is_err(), "somebody writes it");
    let other = Writing::create(directory.path().join("b.snapshot"), &manifest(2)).expect("it begins");
    assert_eq!(count(), 2, "what is being written is left alone");
    drop((writing, other));
    assert_eq!(count(), 0);
    // What a killed process leaves.
    std::fs::write(directory.path().join(".x.snapshot.unfinished"), b"half").expect("it is written");
    drop(Writing::create(path.clone(), &manifest(2)).expect("it begins"));
    assert_eq!(count(), 0);
    std::fs::write(&path, b"").expect("it is written");
    assert!(Writing::create(path, &manifest(2)).is_err(), "nothing is overwritten");
}

proptest! {
    #[test]
    fn any_cut_and_any_changed_byte_is_noticed(cut in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), by in 1_u8..) {
        let whole = archive();
        prop_assert!(read(whole[..cut.index(whole.len())].to_vec()).is_err());
        let mut changed = whole;
        let at = at.index(changed.len());
        changed[at] ^= by;
        prop_assert!(read(changed).is_err(), "byte {} changed by {}", at, by);
    }

    #[test]
    fn reading_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let whole = archive();
        let _ = read(bytes.clone());
        let frames = HEAD_BYTES + usize::from(whole[13]) + 4;
        let _ = read([&whole[..frames], &bytes].concat());
    }
}
