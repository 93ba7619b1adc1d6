//! Who is let in, who is not, and that both sides say why.

use std::sync::Arc;

use stead_cluster::network::tcp::{TcpNetwork, TcpOptions};
use stead_cluster::network::{JoinError, JoinRequest, Member};
use stead_cluster::{ClusterId, Network, NodeId};

use crate::node::{Node, member, options, secret, two};

/// Node 1 dials the other as node 2, and is refused with the reason on its side.
async fn check_refused(one: &Node, other: &Node, reason: &str) {
    one.knows(&[(NodeId(2), other.address().to_string())]);
    let state = one.sees(NodeId(2), "is refused", |state| state.refused.is_some()).await;
    let shown = state.refused.unwrap();
    assert!(shown.contains(reason), "{shown}");
    assert!(!state.connected);
}

async fn stranger(member: Member, text: &str) -> Node {
    Node::start_as(member, TcpOptions { secret: secret(text), ..options("127.0.0.1:0") }).await
}

#[tokio::test]
async fn another_secret_is_refused() {
    let two = Node::start(2).await;
    check_refused(&stranger(member(1, 1), "not the secret of these").await, &two, "join secret is another")
        .await;
    assert!(two.network.peers().borrow().is_empty(), "a stranger changes nothing");
}

#[tokio::test]
async fn another_cluster_is_refused() {
    let two = Node::start(2).await;
    let other = Member { cluster: ClusterId([7; 16]), ..member(1, 1) };
    let one = Node::start_as(other, options("127.0.0.1:0")).await;
    check_refused(&one, &two, "it is of the cluster 0707").await;
}

#[tokio::test]
async fn another_node_at_the_address_is_refused() {
    let (one, three) = (Node::start(1).await, Node::start(3).await);
    check_refused(&one, &three, "this address is node 3's").await;
}

#[tokio::test]
async fn who_is_not_admitted_is_refused_and_both_sides_show_why() {
    let (one, two) = (Node::start(1).await, Node::start(2).await);
    *two.notes.refused.lock() = Some("node 1 was removed".to_owned());
    check_refused(&one, &two, "node 1 was removed").await;
    let shown = two.sees(one.id, "is refused", |state| state.refused.is_some()).await;
    assert_eq!(shown.refused.as_deref(), Some("node 1 was removed"));
    *two.notes.refused.lock() = None;
    one.sees(two.id, "is connected", |state| state.connected && state.refused.is_none()).await;
}

#[tokio::test]
async fn a_copy_of_an_old_data_directory_is_refused() {
    let (one, two) = two().await;
    let newer = Node::start_as(member(2, 5), options("127.0.0.1:0")).await;
    newer.knows(&[(one.id, one.address().to_string())]);
    one.sees(two.id, "is newer", |state| state.epoch == 5 && state.ended == 4).await;
    let copy = Node::start_as(member(2, 3), options("127.0.0.1:0")).await;
    copy.knows(&[(one.id, one.address().to_string())]);
    let state = copy.sees(one.id, "refuses it", |state| state.refused.is_some()).await;
    assert!(state.refused.unwrap().contains("a newer process of node 2"));
}

fn join_request(token: &str) -> JoinRequest {
    JoinRequest {
        token: token.to_owned(),
        member: None,
        address: "127.0.0.1:1".to_owned(),
        peer_address: "127.0.0.1:2".to_owned(),
        zone: None,
        version: "1.2.3".to_owned(),
    }
}

async fn join(text: &str, address: String, token: &str) -> Result<NodeId, JoinError> {
    let options = TcpOptions { secret: secret(text), ..options("127.0.0.1:0") };
    let network: Arc<TcpNetwork> = TcpNetwork::bind(options).await.unwrap();
    network.join(address, join_request(token)).await.map(|joined| joined.node)
}

#[tokio::test]
async fn a_newcomer_is_let_in_or_told_why_not() {
    let one = Node::start(1).await;
    let at = one.address().to_string();
    let secret = crate::node::SECRET;
    assert_eq!(join(secret, at.clone(), "good").await, Ok(NodeId(7)));
    assert_eq!(join(secret, at.clone(), "bad").await, Err(JoinError::Refused("the token is bad".to_owned())));
    let wrong = join("not the secret of these", at, "good").await;
    assert!(
        matches!(&wrong, Err(JoinError::Refused(why)) if why.contains("join secret is another")),
        "{wrong:?}"
    );
    let nobody = join(secret, "127.0.0.1:1".to_owned(), "good").await;
    assert!(matches!(nobody, Err(JoinError::NotReached(_))), "{nobody:?}");
}
