//! Starts after a kill: what was confirmed is there, what was lost is noticed.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use stead_cluster::Verdict;
use tempfile::TempDir;

use crate::harness::{Node, copy_as_killed, directory};

/// A node that was killed after these many puts to shard 0, `k0` and on.
async fn killed_after(puts: usize) -> TempDir {
    let (living, killed) = (directory(), directory());
    let node = Node::start(living.path()).await;
    for number in 0..puts {
        let verdict = node.put(0, &format!("k{number}"), &format!("v{number}")).await;
        assert!(matches!(verdict, Verdict::Applied { .. }));
    }
    // The writes of the last one's apply, which nobody waits for, are the last that are written.
    node.get(0, "k0").await;
    copy_as_killed(living.path(), killed.path());
    node.cluster.shutdown().await;
    killed
}

/// The write-ahead log that was written last, and how many bytes of it are in use.
fn last_wal(directory: &Path) -> (PathBuf, Vec<u8>) {
    let files = std::fs::read_dir(directory.join("rocksdb")).unwrap().map(|entry| entry.unwrap().path());
    let wal =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "log")).max().unwrap();
    let bytes = std::fs::read(&wal).unwrap();
    (wal, bytes)
}

fn position(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes.windows(wanted.len()).position(|window| window == wanted).unwrap()
}

fn last_position(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes.windows(wanted.len()).rposition(|window| window == wanted).unwrap()
}

#[tokio::test]
async fn what_was_confirmed_outlives_a_kill() {
    let killed = killed_after(50).await;
    let begun = Instant::now();
    let node = Node::start(killed.path()).await;
    assert!(node.shard(0).lead().is_ok(), "an only voter leads at once");
    assert!(begun.elapsed() < Duration::from_secs(5));
    for number in 0..50 {
        assert_eq!(node.get(0, &format!("k{number}")).await, Some(format!("v{number}")));
    }
    assert_eq!(node.cluster.status().problems, []);
    assert!(!killed.path().join("wal-before-recovery").exists(), "nothing to keep");
    node.cluster.shutdown().await;
}

#[tokio::test]
async fn a_torn_last_record_is_survived() {
    let killed = killed_after(20).await;
    // A record of which only the beginning was written, as a kill or a power cut leaves it: nobody was told.
    let (wal, mut bytes) = last_wal(killed.path());
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    bytes.splice(used..used, [0x12, 0x34, 0x56, 0x78, 0x40, 0x00, 0x01, 0xaa, 0xbb]);
    std::fs::write(&wal, bytes).unwrap();
    let node = Node::start(killed.path()).await;
    assert_eq!(node.cluster.status().problems, []);
    assert_eq!(node.get(0, "k19").await.as_deref(), Some("v19"));
    assert!(matches!(node.put(0, "more", "v").await, Verdict::Applied { .. }));
    node.cluster.shutdown().await;
    let node = Node::start(killed.path()).await;
    assert_eq!(node.get(0, "more").await.as_deref(), Some("v"));
    node.cluster.shutdown().await;
}

#[tokio::test]
async fn a_missing_end_that_nobody_was_told_of_is_survived() {
    let killed = killed_after(20).await;
    // Behind the last entry lie only the writes of its apply, which nobody waits for.
    let (wal, mut bytes) = last_wal(killed.path());
    let applied = last_position(&bytes, b"v19");
    bytes.truncate(applied);
    std::fs::write(&wal, bytes).unwrap();
    let node = Node::start(killed.path()).await;
    assert_eq!(node.cluster.status().problems, []);
    assert_eq!(node.get(0, "k19").await.as_deref(), Some("v19"), "applied again from the log");
    node.cluster.shutdown().await;
}

#[tokio::test]
async fn damage_in_the_middle_is_noticed_and_stops_the_shard_for_good() {
    let killed = killed_after(50).await;
    let (wal, mut bytes) = last_wal(killed.path());
    let middle = position(&bytes, b"v25");
    bytes[middle] ^= 0xff;
    std::fs::write(&wal, bytes).unwrap();
    for start in ["the first", "the next"] {
        let node = Node::start(killed.path()).await;
        let stopped = node.shard(0).lead().unwrap_err().stopped.unwrap();
        assert!(stopped.contains("confirmed: the data directory is damaged"), "{start}: {stopped}");
        assert_eq!(node.cluster.status().problems.len(), 1, "{start}: the others lost nothing");
        assert!(matches!(node.put(1, "k", "v").await, Verdict::Applied { .. }));
        node.cluster.shutdown().await;
        let kept = std::fs::read(killed.path().join("wal-before-recovery").join(wal.file_name().unwrap()));
        position(&kept.unwrap(), b"v49");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_moment_a_kill_comes_the_confirmed_is_there() {
    let living = directory();
    let node = std::sync::Arc::new(Node::start(living.path()).await);
    let killed = directory();
    let mut confirmed = Vec::new();
    for round in 0..8 {
        let writers: Vec<_> = (0..3_u16)
            .map(|shard| {
                let node = node.clone();
                async move {
                    let mut numbers = Vec::new();
                    for number in 0..20 {
                        let key = format!("r{round}n{number}");
                        if matches!(node.put(shard, &key, "v").await, Verdict::Applied { .. }) {
                            numbers.push((shard, key));
                        }
                    }
                    numbers
                }
            })
            .collect();
        let done = futures_util::future::join_all(writers).await;
        confirmed.extend(done.into_iter().flatten());
        let copy = copy_as_killed(living.path(), &killed.path().join(round.to_string()));
        let restarted = Node::start(&copy).await;
        for (shard, key) in &confirmed {
            assert_eq!(restarted.get(*shard, key).await.as_deref(), Some("v"), "{key} of shard {shard}");
        }
        restarted.cluster.shutdown().await;
    }
    assert_eq!(confirmed.len(), 8 * 3 * 20);
    node.cluster.shutdown().await;
}
