//! Entries, heartbeats and votes: in order, many at once, and never behind a large body.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use openraft::{Entry, EntryPayload, LogId};
use stead_cluster::network::{
    AppendRequest, AppendResponse, Commands, Desk, GroupId, Lane, PeerLink, Vote, VoteRequest,
};
use stead_cluster::{Network, NodeId, ShardId};

use crate::node::{Node, PATIENT, two, until};

fn link(from: &Node, to: &Node) -> Box<dyn PeerLink> {
    let peer = stead_cluster::network::Peer::default();
    from.network.link(GroupId::from(ShardId(1)), to.id, &peer, Lane::Log)
}

fn request(index: u64, bytes: usize) -> AppendRequest {
    let log_id = |index| LogId::new_term_index(1, index);
    AppendRequest {
        vote: Vote::new_committed(1, NodeId(1)),
        prev_log_id: Some(log_id(index - 1)),
        entries: vec![Entry { log_id: log_id(index), payload: EntryPayload::Normal(commands(bytes)) }],
        leader_commit: None,
    }
}

/// One command of so many bytes, as an entry carries it.
fn commands(bytes: usize) -> Commands {
    let mut packed = u32::try_from(bytes).unwrap().to_be_bytes().to_vec();
    packed.resize(4 + bytes, 9);
    serde_json::from_value(serde_json::json!([1, packed])).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_arrive_in_the_order_they_were_sent_and_answers_likewise() {
    let (one, two) = two().await;
    let mut link = link(&one, &two);
    let requests = futures_util::stream::iter(
        (1..=3_000).zip((0..900).cycle()).map(|(index, bytes)| request(index, bytes)),
    );
    let answers: Vec<_> = link.append(requests.boxed(), PATIENT).collect().await;
    assert_eq!(answers.len(), 3_000);
    for (answer, index) in answers.into_iter().zip(1..) {
        assert_eq!(answer.unwrap(), Ok(Some(LogId::new_term_index(1, index))));
    }
    assert_eq!(*two.notes.appended.lock(), (1..=3_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn many_requests_are_on_their_way_before_the_first_is_answered() {
    let (one, two) = two().await;
    two.notes.appends.forget_permits(usize::MAX);
    let mut link = link(&one, &two);
    let requests = futures_util::stream::iter((1..=20).map(|index| request(index, 10)));
    let mut answers = link.append(requests.boxed(), PATIENT);
    let arrived = until("sixteen arrive", || async { two.notes.appended.lock().len() == 16 });
    let first = async { answers.next().await };
    tokio::select! {
        () = arrived => {}
        answer = first => panic!("nothing was answered, and yet there is {answer:?}"),
    }
    assert_eq!(*two.notes.appended.lock(), (1..=16).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_largest_entry_comes_through() {
    let (one, two) = two().await;
    let answer = link(&one, &two).append_one(request(1, 16 * 1024 * 1024), PATIENT).await;
    assert_eq!(answer.unwrap(), AppendResponse::Success);
}

#[tokio::test]
async fn votes_are_answered_and_what_is_not_taken_says_why() {
    let (one, two) = two().await;
    let ask = || VoteRequest::new(Vote::new(4, NodeId(1)), None);
    let granted = link(&one, &two).vote(ask(), PATIENT).await.unwrap();
    assert!(granted.vote_granted && granted.vote == Vote::new(4, NodeId(1)));
    let refused = link(&one, &two).pre_vote(ask(), PATIENT).await.err().unwrap().to_string();
    assert!(refused.contains("the group is not here"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_do_not_wait_behind_large_bodies() {
    let (one, two) = two().await;
    let body = Bytes::from(vec![1; 32 * 1024 * 1024]);
    let (mut answered, mut slowest) = (0, Duration::ZERO);
    let large = async {
        for _ in 0..4 {
            one.network.ask(two.id, Desk::Application, body.clone(), PATIENT).await.unwrap();
        }
    };
    let small = async {
        let mut link = link(&one, &two);
        loop {
            let begun = Instant::now();
            link.append_one(request(1, 0), PATIENT).await.unwrap();
            (answered, slowest) = (answered + 1, slowest.max(begun.elapsed()));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::select! { () = large => {}, () = small => {} }
    println!("{answered} heartbeats beside 256 MiB, the slowest took {slowest:?}");
    // Eight bodies pass, four each way: behind each of them no more than one would have been answered.
    assert!(answered > 16, "{answered} heartbeats were answered");
}
