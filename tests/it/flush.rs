//! Nothing is acknowledged before it is flushed.
//!
//! A kill keeps the page cache, so it cannot show a missing flush. Here the server runs with
//! `forget.c` preloaded, a disk that forgets what was not flushed: when the process has been killed,
//! every write that no completed flush covers is taken back, or left half done. A disk that lies about
//! its flushes is tried too: the test must see that, or it proves nothing.

use std::collections::BTreeMap;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use crate::harness::node::Settings;
use crate::harness::{Node, seed};
use crate::workload::Workload;

const ROUNDS: usize = 12;

/// A node on a disk that forgets.
pub(crate) struct ForgetfulDisk {
    library: PathBuf,
    journal: PathBuf,
    lies: bool,
}

/// One record of the journal; see `forget.c`.
#[derive(Debug)]
struct Record {
    kind: u8,
    inode: u64,
    offset: u64,
    length: u64,
    old_size: u64,
    old: Vec<u8>,
}

/// Compiles a library of ours that a node can have preloaded.
pub(crate) fn preloaded(source: &str, library: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(source);
    let compiled = Command::new("cc")
        .args(["-O2", "-shared", "-fPIC", "-o"])
        .arg(library)
        .arg(source)
        .arg("-ldl")
        .output()
        .expect("cc is here, or RocksDB would not have been built");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
}

impl ForgetfulDisk {
    /// A node with the library preloaded, started on an empty data directory.
    pub(crate) fn start(lies: bool) -> (Self, Node) {
        let mut node = Node::start_with(Settings::default());
        node.kill9();
        std::fs::remove_dir_all(node.data()).expect("the data of the first start can go");
        let disk =
            Self { library: node.home().join("forget.so"), journal: node.home().join("journal"), lies };
        preloaded("forget.c", &disk.library);
        disk.mount(&mut node);
        node.start_again();
        (disk, node)
    }

    fn mount(&self, node: &mut Node) {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut environment = vec![
            ("LD_PRELOAD".to_owned(), text(&self.library)),
            ("FORGET_JOURNAL".to_owned(), text(&self.journal)),
            ("FORGET_DIR".to_owned(), text(&node.data())),
        ];
        if self.lies {
            environment.push(("FORGET_LIES".to_owned(), "1".to_owned()));
        }
        node.set_environment(environment);
    }

    /// Writes to log files and flushes of them noted so far.
    fn counts(&self, node: &Node) -> (usize, usize) {
        let paths = paths_by_inode(&node.data());
        let is_log = |inode| {
            paths.get(&inode).is_some_and(|path: &PathBuf| path.extension().is_some_and(|e| e == "log"))
        };
        let records = self.records();
        let count =
            |kind| records.iter().filter(|record| record.kind == kind && is_log(record.inode)).count();
        (count(b'W'), count(b'S'))
    }

    /// Kills the node and loses power: what was written and not flushed is gone. With `torn`, the
    /// first write that a file lost was half done. Says how many writes were lost.
    pub(crate) fn lose_power(&self, node: &mut Node, torn: Option<&mut StdRng>) -> usize {
        node.kill9();
        let lost = take_back(&self.records(), &paths_by_inode(&node.data()), torn);
        std::fs::remove_file(&self.journal).expect("the journal is there");
        lost
    }

    fn records(&self) -> Vec<Record> {
        let bytes = std::fs::read(&self.journal).unwrap_or_default();
        let (mut rest, mut records) = (bytes.as_slice(), Vec::new());
        while let Some((head, after)) = rest.split_at_checked(48) {
            let field = |at: usize| u64::from_ne_bytes(head[at * 8..][..8].try_into().expect("eight bytes"));
            let kept = usize::try_from(field(5)).expect("it was in memory");
            let Some((old, after)) = after.split_at_checked(kept) else { break };
            rest = after;
            records.push(Record {
                kind: u8::try_from(field(0)).expect("a letter"),
                inode: field(1),
                offset: field(2),
                length: field(3),
                old_size: field(4),
                old: old.to_vec(),
            });
        }
        records
    }
}

/// Takes back, newest first, every write that no later flush of its file covers.
fn take_back(records: &[Record], paths: &BTreeMap<u64, PathBuf>, mut torn: Option<&mut StdRng>) -> usize {
    let mut covered: BTreeMap<u64, u64> = BTreeMap::new(); // by file: records a flush covers
    let mut lost: Vec<&Record> = Vec::new(); // newest first
    for (at, record) in records.iter().enumerate().rev() {
        match record.kind {
            b'S' => {
                let most = covered.entry(record.inode).or_default();
                *most = (*most).max(record.length);
            }
            b'D' => drop(covered.insert(record.inode, u64::MAX)),
            _ if covered.get(&record.inode).is_some_and(|covered| (at as u64) < *covered) => {}
            _ => lost.push(record),
        }
    }
    for (at, record) in lost.iter().enumerate() {
        let Some(path) = paths.get(&record.inode) else { continue };
        let is_first = !lost[at + 1..].iter().any(|older| older.inode == record.inode);
        match torn.as_deref_mut() {
            Some(random) if is_first && record.kind == b'W' && record.length > 1 => {
                let mut bytes = read_at(path, record.offset, record.length);
                undo(path, record);
                bytes.truncate(random.random_range(1..record.length.try_into().expect("it was in memory")));
                write_at(path, record.offset, &bytes);
            }
            _ => undo(path, record),
        }
    }
    lost.iter().filter(|record| paths.contains_key(&record.inode)).count()
}

fn undo(path: &Path, record: &Record) {
    let file = std::fs::OpenOptions::new().write(true).open(path).expect("the file is there");
    if record.kind == b'W' {
        write_at(path, record.offset, &record.old);
    }
    if record.offset + record.length > record.old_size {
        file.set_len(record.old_size).expect("a file can be cut");
    }
}

fn read_at(path: &Path, offset: u64, length: u64) -> Vec<u8> {
    let bytes = std::fs::read(path).expect("the file is there");
    let from = usize::try_from(offset).expect("it fits").min(bytes.len());
    let to = usize::try_from(offset + length).expect("it fits").min(bytes.len());
    bytes[from..to].to_vec()
}

fn write_at(path: &Path, offset: u64, bytes: &[u8]) {
    let mut file = std::fs::OpenOptions::new().write(true).open(path).expect("the file is there");
    file.seek(SeekFrom::Start(offset)).expect("a file can be sought");
    file.write_all(bytes).expect("a file can be written");
}

fn paths_by_inode(directory: &Path) -> BTreeMap<u64, PathBuf> {
    let mut paths = BTreeMap::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => paths.extend(paths_by_inode(&path)),
            Ok(metadata) => drop(paths.insert(metadata.ino(), path)),
            Err(_) => {}
        }
    }
    paths
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_precedes_every_answer() {
    let (disk, node) = ForgetfulDisk::start(false);
    let mut connection = node.connect().await;
    for number in 1..=60_u64 {
        let before = disk.counts(&node);
        let answer =
            connection.request("POST", "/v1/objects/counter/flush/methods/increment", &[], b"").await;
        let answer = answer.expect("the node answers").expect(200);
        let after = disk.counts(&node);
        assert_eq!(answer.version(), number);
        assert!(
            after.0 > before.0 && after.1 > before.1,
            "version {number} was answered with {before:?} log writes and flushes before and {after:?} after"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_forgets_loses_nothing_acknowledged() {
    let seed = seed("flush");
    let mut random = StdRng::seed_from_u64(seed);
    let (disk, mut node) = ForgetfulDisk::start(false);
    let mut workload = Workload::new("flush", 8, 4, seed);
    let mut lost = 0;
    for round in 0..ROUNDS {
        let running = workload.start(node.address());
        tokio::time::sleep(Duration::from_millis(random.random_range(50..500))).await; // the moment of the cut
        lost += disk.lose_power(&mut node, None);
        workload = running.ended().await;
        node.start_again();
        let losses = workload.losses(&node).await;
        assert!(losses.is_empty(), "round {round}, SEED={seed}: {losses:#?}");
    }
    workload = workload.settle(node.address()).await;
    workload.audit(&node).await;
    println!("flush: {} acknowledged, {lost} unflushed writes forgotten", workload.acknowledged().count());
    assert!(lost > 0, "nothing was ever unflushed: the disk does not forget");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_lies_is_found_out() {
    let (disk, mut node) = ForgetfulDisk::start(true);
    let path = "/v1/objects/counter/lied-to/methods/increment";
    for _ in 0..50 {
        node.post(path, &json!({})).await.expect(200);
    }
    disk.lose_power(&mut node, None);
    if node.try_start().is_ok() {
        let answer = node.get("/v1/objects/counter/lied-to").await;
        assert_eq!(answer.status, 404, "writes survived that were taken back: {}", answer.text());
    }
}
