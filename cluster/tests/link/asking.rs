//! Questions and answers: what was surely not sent, what is lost, what nobody waits for any more.

use std::time::Duration;

use bytes::Bytes;
use stead_cluster::network::{AskError, Desk};
use stead_cluster::{Network, NodeId};

use crate::node::{Node, PATIENT, meet, member, options, reach, two, until};

const HANG: Bytes = Bytes::from_static(b"hang");

async fn ask(from: &Node, to: &Node, request: Bytes) -> Result<Bytes, AskError> {
    from.network.ask(to.id, Desk::Application, request, PATIENT).await
}

#[tokio::test]
async fn answers_come_back_to_their_questions() {
    let (one, two) = two().await;
    let asked = (0..500_u32).map(|number| {
        let (one, two) = (&one, &two);
        async move {
            let body = Bytes::from(number.to_string().repeat(1 + number as usize * 7));
            assert_eq!(ask(one, two, body.clone()).await, Ok(body.clone()));
            assert_eq!(ask(two, one, body.clone()).await, Ok(body));
        }
    });
    futures_util::future::join_all(asked).await;
    let metrics = one.network.metrics();
    assert!(metrics.requests.get() >= 500 && metrics.bytes_sent.get() > 500);
}

#[tokio::test]
async fn a_question_without_a_connection_is_surely_not_sent() {
    let one = Node::start(1).await;
    let unknown = one.network.ask(NodeId(9), Desk::Cluster, HANG, PATIENT).await;
    assert!(matches!(unknown, Err(AskError::NotSent(_))), "{unknown:?}");
}

#[tokio::test]
async fn a_question_that_is_too_large_is_surely_not_sent_and_harms_no_other() {
    let (one, two) = two().await;
    let large = ask(&one, &two, Bytes::from(vec![0; 65 * 1024 * 1024])).await;
    assert!(matches!(large, Err(AskError::NotSent(_))), "{large:?}");
    assert_eq!(ask(&one, &two, Bytes::from_static(b"small")).await, Ok(Bytes::from_static(b"small")));
}

#[tokio::test]
async fn a_body_of_the_largest_state_comes_through() {
    let (one, two) = two().await;
    let body = Bytes::from(vec![7; 32 * 1024 * 1024]);
    assert_eq!(ask(&one, &two, body.clone()).await.map(|answer| answer == body), Ok(true));
}

#[tokio::test]
async fn a_question_under_way_when_the_connection_breaks_is_lost() {
    let (one, two) = two().await;
    let asked = ask(&one, &two, HANG);
    let stopped = async {
        until("it is asked", || async { two.held() == 1 }).await;
        two.network.stop().await;
    };
    let (lost, ()) = tokio::join!(asked, stopped);
    assert!(matches!(lost, Err(AskError::Lost(_))), "{lost:?}");
    one.sees(two.id, "is gone", |state| !state.connected).await;
    let after = ask(&one, &two, HANG).await;
    assert!(matches!(after, Err(AskError::NotSent(_))), "{after:?}");
}

#[tokio::test]
async fn what_was_asked_before_a_node_stops_is_answered_and_nothing_more_is_asked() {
    let (one, two) = two().await;
    let before = two.asked();
    let asked = ask(&one, &two, Bytes::from_static(b"wait"));
    let stopping = async {
        until("it is asked", || async { two.asked() == before + 1 }).await;
        let stopping = two.network.stop();
        until("nothing more is asked", || async {
            matches!(ask(&one, &two, Bytes::new()).await, Err(AskError::NotSent(_)))
        })
        .await;
        two.notes.answers.add_permits(1);
        stopping.await;
    };
    let (answered, ()) = tokio::join!(asked, stopping);
    assert_eq!(answered, Ok(Bytes::from_static(b"wait")));
    one.sees(two.id, "has ended", |state| state.ended == 1 && !state.connected).await;
}

#[tokio::test]
async fn what_nobody_waits_for_is_given_up_on_the_other_side() {
    let (one, two) = two().await;
    let before = two.asked();
    let late = one.network.ask(two.id, Desk::Cluster, HANG, Duration::from_millis(50)).await;
    assert!(matches!(late, Err(AskError::Lost(_))), "{late:?}");
    two.lets_go(before).await;
    let dropped = tokio::time::timeout(Duration::from_millis(50), ask(&one, &two, HANG)).await;
    assert!(dropped.is_err());
    two.lets_go(before + 1).await;
}

#[tokio::test]
async fn one_question_too_many_is_refused_at_once_and_others_are_taken_afterwards() {
    let (one, two) = two().await;
    let hanging: Vec<_> = (0..4_096).map(|_| Box::pin(ask(&one, &two, HANG))).collect();
    let mut hanging = futures_util::future::join_all(hanging);
    tokio::select! {
        _ = &mut hanging => unreachable!("nobody answers"),
        () = until("as many hang as may", || async { two.held() == 4_096 }) => {}
    }
    let one_more = ask(&one, &two, HANG).await;
    assert!(matches!(one_more, Err(AskError::NotSent(_))), "{one_more:?}");
    drop(hanging);
    reach(&one, &two).await;
}

#[tokio::test]
async fn a_node_is_reached_again_after_it_was_started_again() {
    let (one, two) = two().await;
    let listen = two.address().to_string();
    two.network.stop().await;
    one.sees(two.id, "is gone", |state| !state.connected).await;
    let again = Node::start_as(member(2, 2), options(&listen)).await;
    meet(&one, &again).await;
    let state = one.state_of(two.id);
    assert_eq!((state.epoch, state.ended), (2, 1), "its first process has ended, its second runs");
}

#[tokio::test]
async fn a_node_that_moved_is_reached_where_it_is_now() {
    let (one, two) = two().await;
    two.network.stop().await;
    let moved = Node::start_as(member(2, 2), options("127.0.0.1:0")).await;
    meet(&one, &moved).await;
}

#[tokio::test]
async fn a_node_that_is_left_out_is_let_go_on_both_ways() {
    let (one, two) = two().await;
    *one.notes.refused.lock() = Some("it was removed".to_owned());
    one.knows(&[]);
    assert!(!one.network.peers().borrow().contains_key(&two.id));
    two.sees(one.id, "refuses it", |state| {
        !state.connected && state.refused.as_deref() == Some("it was removed")
    })
    .await;
}
