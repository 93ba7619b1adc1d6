//! What a log keeps.

use std::time::Duration;

use stead_cluster::{Options, Verdict};

use crate::harness::{DEADLINE, Node, directory, options};

async fn purged_beyond(node: &Node, index: u64) -> u64 {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        if let Some(purged) = node.shard(0).status().purged.filter(|purged| *purged >= index) {
            return purged;
        }
        assert!(tokio::time::Instant::now() < deadline, "{:?}", node.shard(0).status());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_log_is_purged_down_to_what_is_kept_and_read_again_at_the_next_start() {
    let directory = directory();
    let keeping = || Options {
        log_kept_entries: 40,
        log_cached_entries: 10,
        heartbeat: Duration::from_millis(20),
        ..options(directory.path())
    };
    let node = Node::with(keeping()).await.unwrap();
    for number in 0..200 {
        assert!(matches!(node.put(0, &format!("k{number}"), "v").await, Verdict::Applied { .. }));
    }
    let purged = purged_beyond(&node, 150).await;
    let last = node.shard(0).status().last_log.unwrap();
    assert!(last - purged >= 40, "{last} - {purged}");
    assert!(node.cluster.metrics().log_purges.get() > 0);
    node.cluster.shutdown().await;

    let node = Node::with(keeping()).await.unwrap();
    assert_eq!(node.cluster.status().problems, []);
    assert_eq!(node.get(0, "k3").await.as_deref(), Some("v"));
    assert!(matches!(node.put(0, "more", "v").await, Verdict::Applied { .. }));
    node.cluster.shutdown().await;
}

#[tokio::test]
async fn a_log_is_purged_by_its_bytes_too() {
    let directory = directory();
    let keeping = Options {
        log_kept_bytes: 2 * 1024 * 1024,
        heartbeat: Duration::from_millis(20),
        ..options(directory.path())
    };
    let node = Node::with(keeping).await.unwrap();
    let value = "v".repeat(100_000);
    for number in 0..60 {
        assert!(matches!(node.put(0, &format!("k{number}"), &value).await, Verdict::Applied { .. }));
    }
    let purged = purged_beyond(&node, 30).await;
    assert!(node.shard(0).status().last_log.unwrap() - purged >= 20, "two megabytes are kept");
    node.cluster.shutdown().await;
}
