//! What becomes of commands.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use stead_cluster::{Options, Space, Verdict, Why};
use tokio::sync::oneshot;

use crate::harness::{Node, directory, options, propose};

#[tokio::test]
async fn a_command_is_applied_and_outlives_a_restart() {
    let directory = directory();
    let node = Node::start(directory.path()).await;
    let verdict = node.put(1, "k", "v").await;
    assert!(matches!(verdict, Verdict::Applied { .. }), "{verdict:?}");
    assert_eq!(node.get(1, "k").await.as_deref(), Some("v"));
    assert_eq!(node.get(0, "k").await, None, "shards do not see one another");
    let id = node.cluster.id();
    node.cluster.shutdown().await;

    let node = Node::start(directory.path()).await;
    assert_eq!(node.get(1, "k").await.as_deref(), Some("v"));
    assert_eq!(node.cluster.id(), id);
    node.cluster.shutdown().await;
}

#[tokio::test]
async fn a_node_alone_leads_everything_and_is_in_the_map() {
    let directory = directory();
    let node =
        Node::with(Options { address: "here:1".to_owned(), ..options(directory.path()) }).await.unwrap();
    let status = node.cluster.status();
    assert_eq!(status.problems, []);
    assert_eq!(status.nodes.len(), 1);
    assert_eq!((status.nodes[0].address.as_str(), status.nodes[0].started_at_ms), ("here:1", 1_000));
    for shard in node.cluster.shards() {
        assert_eq!(shard.lead(), Ok(1));
        assert_eq!(*shard.leadership().borrow(), Some(1));
        assert_eq!(shard.status().leader, Some(node.cluster.node_id()));
    }
    node.cluster.shutdown().await;
    assert!(node.shard(0).lead().is_err(), "what is shut down leads nothing");
    let verdict = propose(node.shard(0), 1, "k=v".to_owned()).await;
    assert!(matches!(verdict, Verdict::NotProposed(Why::Stopped(_))), "{verdict:?}");
}

#[tokio::test]
async fn a_term_that_is_not_this_one_is_refused_and_harms_nobody() {
    let directory = directory();
    Node::start(directory.path()).await.cluster.shutdown().await;
    let node = Node::start(directory.path()).await;
    let term = node.shard(0).lead().unwrap();
    assert!(term > 1, "each start is a new term");
    for wrong in [0, 1, term - 1, term + 1, u64::MAX] {
        let verdict = propose(node.shard(0), wrong, "k=v".to_owned()).await;
        assert_eq!(verdict, Verdict::NotProposed(Why::NotLeading), "term {wrong}, not {term}");
    }
    assert_eq!(node.shard(0).lead(), Ok(term));
    assert!(matches!(node.put(0, "k", "v").await, Verdict::Applied { .. }));
    node.cluster.shutdown().await;
}

#[tokio::test]
async fn verdicts_come_in_the_order_of_the_proposals() {
    let directory = directory();
    let node = Node::start(directory.path()).await;
    let term = node.shard(2).lead().unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let (sender, all) = oneshot::channel();
    let mut sender = Some(sender);
    for number in 0..1_000 {
        let (told, last) = (told.clone(), if number == 999 { sender.take() } else { None });
        let done = move |verdict| {
            let Verdict::Applied { index } = verdict else { panic!("{verdict:?}") };
            told.lock().unwrap().push((index, number));
            if let Some(last) = last {
                last.send(()).unwrap();
            }
        };
        node.shard(2).propose(term, Bytes::from(format!("k{number}=v")), Box::new(done));
    }
    all.await.unwrap();
    let told = told.lock().unwrap().clone();
    assert_eq!(told.len(), 1_000);
    assert!(told.is_sorted(), "by index, and within it by proposal");
    let synced = node.cluster.metrics().fsyncs.get();
    assert!(synced < 200, "{synced} flushes for 1,000 commands");
    node.cluster.shutdown().await;
}

#[tokio::test]
async fn what_is_too_much_is_refused_at_once() {
    let directory = directory();
    let bounds = Options { entry_bytes_max: 100, proposals_waiting_max: 2, ..options(directory.path()) };
    let node = Node::with(bounds).await.unwrap();
    let verdict = node.put(0, "k", &"v".repeat(100)).await;
    assert_eq!(verdict, Verdict::NotProposed(Why::TooLarge { bytes: 102, max: 100 }));
    let term = node.shard(0).lead().unwrap();
    let refused = Arc::new(Mutex::new(0));
    for _ in 0..10 {
        let refused = refused.clone();
        let done = move |verdict| {
            if verdict == Verdict::NotProposed(Why::Overloaded) {
                *refused.lock().unwrap() += 1;
            }
        };
        node.shard(0).propose(term, Bytes::from_static(b"k=v"), Box::new(done));
    }
    assert!(*refused.lock().unwrap() >= 7, "one on its way, two wait");
    node.cluster.shutdown().await;
}

#[tokio::test]
async fn a_command_that_can_not_be_applied_stops_its_shard_alone() {
    let directory = directory();
    let node = Node::start(directory.path()).await;
    let verdict = node.put(0, "bad", "v").await;
    assert!(matches!(verdict, Verdict::Unknown(_)), "{verdict:?}");
    let stopped = node.shard(0).lead().unwrap_err().stopped.unwrap();
    assert!(stopped.contains("the key is bad"), "{stopped}");
    assert_eq!(node.cluster.status().problems[0].code, "shard_stopped");
    assert!(matches!(node.put(1, "k", "v").await, Verdict::Applied { .. }));
    assert_eq!(node.cluster.storage_health(), Ok(()));
    node.cluster.shutdown().await;
}

#[tokio::test]
async fn scans_go_both_ways_and_see_one_moment() {
    let directory = directory();
    let node = Node::start(directory.path()).await;
    for key in ["a", "b", "c", "d"] {
        node.put(0, key, "1").await;
    }
    node.get(0, "a").await;
    let reader = node.shard(0).reader();
    let moment = reader.snapshot();
    node.put(0, "bb", "2").await;
    node.get(0, "a").await;
    let range = || b"b".to_vec()..b"d".to_vec();
    let keys = |scan: stead_cluster::Scan| -> Vec<String> {
        scan.map(|row| String::from_utf8(row.unwrap().0).unwrap()).collect()
    };
    assert_eq!(keys(reader.scan(Space::State, range())), ["b", "bb", "c"]);
    assert_eq!(keys(reader.scan_back(Space::State, range())), ["c", "bb", "b"]);
    assert_eq!(keys(moment.scan(Space::State, range())), ["b", "c"]);
    assert_eq!(moment.get(Space::State, b"bb").unwrap(), None);
    let mut scan = reader.scan(Space::State, b"a".to_vec()..b"z".to_vec());
    scan.seek(b"bc");
    assert_eq!(scan.next().unwrap().unwrap().0, b"c");
    drop(scan);
    drop(moment);
    node.cluster.shutdown().await;
}
