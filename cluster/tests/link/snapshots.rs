//! Snapshots: whole, at the receiver's pace, and never half of one taken for a whole.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use stead_cluster::network::{
    GroupId, Lane, NotReached, Peer, PeerLink, ShardSnapshot, Snapshot, SnapshotResponse, Vote,
};
use stead_cluster::{Network, NodeId, ShardId};

use crate::node::{Node, PATIENT, reach, two, until};

const CHUNK_BYTES: usize = 256 * 1024;

fn link(from: &Node, to: &Node) -> Box<dyn PeerLink> {
    from.network.link(GroupId::from(ShardId(1)), to.id, &Peer::default(), Lane::Snapshot)
}

/// Sends so many chunks and then the end, if it is to have one, until `cancel`.
async fn send(
    from: &Node,
    to: &Node,
    chunks: usize,
    has_end: bool,
    cancel: impl Future<Output = ()> + Send + 'static,
) -> Result<SnapshotResponse, NotReached> {
    let (sender, data) = ShardSnapshot::from_peer();
    let snapshot = Snapshot { meta: openraft::SnapshotMeta::default(), snapshot: data };
    let feed = async move {
        for _ in 0..chunks {
            if sender.send(Ok(Bytes::from(vec![3; CHUNK_BYTES]))).await.is_err() {
                return;
            }
        }
        if has_end {
            let _ = sender.send(Ok(Bytes::new())).await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    let mut link = link(from, to);
    let vote = Vote::new_committed(3, NodeId(1));
    let sending = link.snapshot(vote, snapshot, cancel.boxed(), PATIENT);
    tokio::select! {
        sent = sending => sent,
        () = async { feed.await; std::future::pending().await } => unreachable!(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_comes_whole_while_calls_are_answered() {
    let (one, two) = two().await;
    let sending = send(&one, &two, 256, true, std::future::pending());
    let (sent, ()) = tokio::join!(sending, reach(&one, &two));
    assert_eq!(sent.unwrap().vote, Vote::new_committed(3, NodeId(1)));
    assert_eq!(*two.notes.snapshots.lock(), [Ok(256 * CHUNK_BYTES)]);
}

#[tokio::test]
async fn an_empty_snapshot_comes_through() {
    let (one, two) = two().await;
    send(&one, &two, 0, true, std::future::pending()).await.unwrap();
    assert_eq!(*two.notes.snapshots.lock(), [Ok(0)]);
}

/// The receiver learns that the rest will not come.
async fn check_broken_off(two: &Node) {
    until("the receiver is told", || async { !two.notes.snapshots.lock().is_empty() || two.held() == 0 })
        .await;
    assert!(two.notes.snapshots.lock().iter().all(Result::is_err), "half a snapshot was taken for a whole");
}

#[tokio::test]
async fn a_snapshot_that_is_cancelled_is_broken_off() {
    let (one, two) = two().await;
    let cancel = tokio::time::sleep(Duration::from_millis(100));
    let sent = send(&one, &two, 9, false, cancel).await;
    assert!(sent.is_err(), "{sent:?}");
    check_broken_off(&two).await;
    reach(&one, &two).await;
}

#[tokio::test]
async fn a_snapshot_is_broken_off_when_its_sender_stops() {
    let (one, two) = two().await;
    let sending = send(&one, &two, 9, false, std::future::pending());
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        one.network.stop().await;
    };
    let (sent, ()) = tokio::join!(sending, stopping);
    assert!(sent.is_err(), "{sent:?}");
    check_broken_off(&two).await;
}
