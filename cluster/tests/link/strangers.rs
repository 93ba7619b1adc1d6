//! Whatever a stranger sends to the port: it costs little, it stops nothing, it learns nothing.

use std::time::Duration;

use stead_cluster::Network;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::node::{DEADLINE, Node, meet};

/// Sends bytes and gives what comes back until the node closes the connection.
async fn send(node: &Node, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(node.address()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let reading = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await;
    // A reset is an end as well.
    let _ = reading.expect("the node closes the connection in time");
    answer
}

fn framed(message: &str) -> Vec<u8> {
    let mut bytes = u32::try_from(message.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(message.as_bytes());
    bytes
}

fn hello(protocol: &str) -> Vec<u8> {
    framed(&format!(
        r#"{{"stead":"stead","protocol":{protocol},"version":"9","purpose":"raft","member":null,"to":null,"nonce":"00"}}"#
    ))
}

#[tokio::test]
async fn rubbish_is_cut_off_without_an_answer() {
    let node = Node::start(1).await;
    let too_long = [&[0xff; 4][..], &[0; 64]].concat();
    for rubbish in [b"GET / HTTP/1.1\r\n\r\n".as_slice(), &too_long, &framed("{}"), &framed("no JSON")] {
        assert_eq!(send(&node, rubbish).await, b"", "{rubbish:?}");
    }
    meet(&node, &Node::start(2).await).await;
}

#[tokio::test]
async fn an_incompatible_version_is_refused_with_both_versions() {
    let node = Node::start(1).await;
    let answer = String::from_utf8(send(&node, &hello("[7,9]")).await).unwrap();
    assert!(answer.contains("version 9 speaks protocols 7 to 9, version 1.2.3 speaks 1 to 1"), "{answer}");
}

#[tokio::test]
async fn a_wrong_proof_learns_only_that_it_is_wrong() {
    let node = Node::start(1).await;
    let bytes = [hello("[1,1]"), framed(r#"{"proof":"00"}"#)].concat();
    let answer = String::from_utf8_lossy(&send(&node, &bytes).await).into_owned();
    assert!(answer.contains("the join secret is another"), "{answer}");
    assert!(
        !answer.contains("00112233") && !answer.contains("1.2.3") && !answer.contains("127.0.0.1"),
        "{answer}"
    );
}

#[tokio::test]
async fn half_a_handshake_is_cut_off_after_a_while() {
    let node = Node::start(1).await;
    let hello = hello("[1,1]");
    let half = hello.get(..20).unwrap();
    assert_eq!(send(&node, half).await, b"");
}

#[tokio::test]
async fn many_who_say_nothing_keep_nobody_out_for_long() {
    let node = Node::start(1).await;
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(TcpStream::connect(node.address()).await.unwrap());
    }
    meet(&node, &Node::start(2).await).await;
    drop(silent);
}

#[tokio::test]
async fn a_connection_that_breaks_while_it_shakes_hands_is_forgotten() {
    let node = Node::start(1).await;
    for _ in 0..50 {
        let mut stream = TcpStream::connect(node.address()).await.unwrap();
        stream.write_all(&hello("[1,1]")).await.unwrap();
        drop(stream);
    }
    meet(&node, &Node::start(2).await).await;
    tokio::time::timeout(Duration::from_secs(1), node.network.stop()).await.expect("it stops in time");
}
