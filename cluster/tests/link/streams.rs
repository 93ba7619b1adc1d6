//! Streams: whole, ended by either side, and ended when the reader does not keep up.

use bytes::Bytes;
use futures_util::StreamExt;
use stead_cluster::Network;

use crate::node::{reach, two, until};

fn number(part: &Bytes) -> u64 {
    u64::from_be_bytes(*part.first_chunk().unwrap())
}

#[tokio::test]
async fn a_stream_comes_whole_and_in_order() {
    let (one, two) = two().await;
    let parts: Vec<Bytes> = one.network.stream(two.id, Bytes::from_static(b"100*900")).collect().await;
    assert_eq!(parts.iter().map(number).collect::<Vec<_>>(), (1..=900).collect::<Vec<_>>());
    until("the stream is let go", || async { two.held() == 0 }).await;
}

#[tokio::test]
async fn dropping_a_stream_ends_it_on_the_other_side() {
    let (one, two) = two().await;
    let mut parts = one.network.stream(two.id, Bytes::from_static(b"10000"));
    assert_eq!(parts.next().await.as_ref().map(number), Some(1));
    drop(parts);
    until("the stream is let go", || async { two.held() == 0 }).await;
    reach(&one, &two).await;
}

/// What a reader that does not keep up has got: the beginning, without a gap, and then the end.
async fn check_slow_reader(request: &'static [u8], parts_max: usize) {
    let (one, two) = two().await;
    let before = two.asked();
    let parts = one.network.stream(two.id, Bytes::from_static(request));
    two.lets_go(before).await;
    reach(&one, &two).await;
    let numbers: Vec<u64> = parts.map(|part| number(&part)).collect().await;
    assert!(!numbers.is_empty() && numbers.len() <= parts_max, "{} parts", numbers.len());
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_does_not_keep_up_loses_the_stream_and_nothing_in_its_middle() {
    check_slow_reader(b"10", 1_024).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_parts_that_nobody_reads_are_bounded_by_their_bytes() {
    check_slow_reader(b"1000000", 17).await;
}

#[tokio::test]
async fn a_stream_ends_when_the_other_node_does() {
    let (one, two) = two().await;
    let mut parts = one.network.stream(two.id, Bytes::from_static(b"1000"));
    assert_eq!(parts.next().await.as_ref().map(number), Some(1));
    two.network.stop().await;
    while parts.next().await.is_some() {}
}

#[tokio::test]
async fn there_is_no_stream_from_a_node_that_is_not_connected() {
    let (one, two) = two().await;
    two.network.stop().await;
    one.sees(two.id, "is gone", |state| !state.connected).await;
    until("its calls are gone too", || async {
        one.network.stream(two.id, Bytes::from_static(b"10*1")).next().await.is_none()
    })
    .await;
}
