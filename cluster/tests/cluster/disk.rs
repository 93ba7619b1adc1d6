//! What the disk is asked, and what happens when it fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use stead_cluster::{Verdict, Why};
use tokio::sync::mpsc;

use crate::harness::{DEADLINE, Node, directory, options};
use crate::several::until;

/// Entries of the map's log once a node alone has come to rest: a blank one and its own membership, its
/// registration, and where the shards are placed.
const MAP_ENTRIES: u64 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_comes_before_each_answer_and_is_shared() {
    let directory = directory();
    let node = Node::start(directory.path()).await;
    let at_rest = || node.cluster.meta().status().applied.is_some_and(|applied| applied >= MAP_ENTRIES);
    until("the shards are placed", at_rest).await;
    let before = node.disk.synced.load(Ordering::SeqCst);
    let verdict = node.put(0, "k", "v").await;
    assert!(matches!(verdict, Verdict::Applied { .. }));
    assert_eq!(node.disk.synced.load(Ordering::SeqCst), before + 1, "one command alone, one flush");

    let (sender, mut verdicts) = mpsc::channel(3_000);
    let flushed_at_once = node.disk.synced.load(Ordering::SeqCst);
    let unflushed = Arc::new(AtomicU64::new(0));
    for number in 0..3_000_u32 {
        let shard = node.shard(u16::try_from(number % 3).unwrap());
        let (sender, unflushed, disk) = (sender.clone(), unflushed.clone(), node.disk.clone());
        let done = move |verdict| {
            if disk.synced.load(Ordering::SeqCst) == flushed_at_once {
                unflushed.fetch_add(1, Ordering::SeqCst);
            }
            sender.try_send(verdict).unwrap();
        };
        shard.propose(shard.lead().unwrap(), Bytes::from(format!("k{number}=v")), Box::new(done));
    }
    for _ in 0..3_000 {
        let verdict = tokio::time::timeout(DEADLINE, verdicts.recv()).await.unwrap().unwrap();
        assert!(matches!(verdict, Verdict::Applied { .. }), "{verdict:?}");
    }
    assert_eq!(unflushed.load(Ordering::SeqCst), 0);
    let metrics = node.cluster.metrics();
    assert!(metrics.fsyncs.get() < 500, "{} flushes for 3,000 commands", metrics.fsyncs.get());
    assert!(metrics.commands_applied.get() >= 3_001);
    assert_eq!(metrics.commands_waiting.get(), 0);
    node.cluster.shutdown().await;
}

#[tokio::test]
async fn nothing_is_confirmed_after_a_failed_write_and_a_restart_recovers() {
    let directory = directory();
    let node = Node::start(directory.path()).await;
    node.put(0, "before", "v").await;
    assert_eq!(node.get(0, "before").await.as_deref(), Some("v"));
    node.disk.is_full.store(true, Ordering::SeqCst);
    let verdict = node.put(0, "during", "v").await;
    assert!(matches!(verdict, Verdict::Unknown(_)), "{verdict:?}");
    assert!(node.cluster.storage_health().unwrap_err().contains("no space left"));

    // The disk is well again, but nobody knows what reached it.
    node.disk.is_full.store(false, Ordering::SeqCst);
    for shard in 0..3 {
        let verdict = node.put(shard, "after", "v").await;
        assert!(matches!(verdict, Verdict::NotProposed(Why::Stopped(_))), "{verdict:?}");
        assert!(node.shard(shard).lead().unwrap_err().stopped.is_some());
    }
    let status = node.cluster.status();
    assert_eq!(status.problems.len(), 1);
    assert_eq!(status.problems[0].code, "disk_failed");
    let before = node.shard(0).reader().get(stead_cluster::Space::State, b"before").unwrap();
    assert_eq!(before.as_deref(), Some(b"v".as_slice()), "what was written can still be read");
    node.cluster.shutdown().await;

    let node = Node::start(directory.path()).await;
    assert_eq!(node.get(0, "before").await.as_deref(), Some("v"));
    assert_eq!(node.get(0, "after").await, None);
    assert!(matches!(node.put(0, "after", "v").await, Verdict::Applied { .. }));
    node.cluster.shutdown().await;
}

#[tokio::test]
async fn a_directory_in_use_or_of_another_cluster_is_refused() {
    let directory = directory();
    let node = Node::start(directory.path()).await;
    let error = Node::with(options(directory.path())).await.err().unwrap().to_string();
    assert!(error.contains("in use by another process"), "{error}");
    node.cluster.shutdown().await;
    let other = stead_cluster::Options { shards: 4, ..options(directory.path()) };
    let error = Node::with(other).await.err().unwrap().to_string();
    assert!(error.contains("was made with 3 shards, the options say 4"), "{error}");
    let node = Node::start(directory.path()).await;
    node.cluster.shutdown().await;
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_ever_on_a_reader() {
    let directory = directory();
    let node = Node::start(directory.path()).await;
    node.put(0, "k", "v").await;
    let reader = node.shard(0).reader();
    let (node, shut) = (node, Duration::from_secs(3));
    tokio::time::timeout(shut, node.cluster.shutdown()).await.unwrap();
    assert!(reader.get(stead_cluster::Space::State, b"k").is_err(), "a reader alone holds nothing open");
    Node::start(directory.path()).await.cluster.shutdown().await;
}
