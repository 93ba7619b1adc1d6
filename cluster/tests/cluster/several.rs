//! Several nodes in one process, each with its own directory and a real network between them.

use std::sync::Arc;
use std::time::Duration;

use stead_cluster::network::tcp::secret::JoinSecret;
use stead_cluster::network::tcp::{TcpNetwork, TcpOptions};
use stead_cluster::{Cluster, Machine, NodeId, OpenError, Options, ShardId, Space, Verdict};
use tempfile::TempDir;

use crate::harness::{DEADLINE, NoTime, Notebook, directory, propose};

pub(crate) struct Member {
    pub(crate) cluster: Cluster,
    pub(crate) directory: TempDir,
}

fn secret(text: &str) -> JoinSecret {
    JoinSecret::new(text).unwrap()
}

async fn network(secret: JoinSecret) -> Arc<TcpNetwork> {
    let listen = "127.0.0.1:0".parse().unwrap();
    TcpNetwork::bind(TcpOptions { listen, secret, version: "test".to_owned(), tls: None }).await.unwrap()
}

async fn open_with(
    directory: &TempDir,
    join: Option<&str>,
    network: Arc<TcpNetwork>,
) -> Result<Cluster, OpenError> {
    let options = Options {
        data_dir: directory.path().to_owned(),
        shards: 3,
        peer_address: network.local_addr().to_string(),
        join: join.map(str::to_owned),
        join_within: Duration::from_secs(5),
        ..Options::default()
    };
    let machine = |_: ShardId| Box::new(Notebook::new()) as Box<dyn Machine>;
    Cluster::open(options, network, Arc::new(NoTime), machine).await
}

impl Member {
    pub(crate) async fn found() -> Self {
        Self::start(directory(), None).await
    }

    pub(crate) async fn start(directory: TempDir, join: Option<&str>) -> Self {
        let network = network(secret("a secret of this test")).await;
        let cluster = open_with(&directory, join, network).await.unwrap();
        Self { cluster, directory }
    }

    /// What opening a directory says.
    pub(crate) async fn try_start(directory: &TempDir) -> Result<Cluster, OpenError> {
        open_with(directory, None, network(secret("a secret of this test")).await).await
    }

    pub(crate) fn peer_address(&self) -> String {
        let status = self.cluster.status();
        let own = status.nodes.iter().find(|node| node.id == self.cluster.node_id()).unwrap();
        own.peer_address.clone()
    }

    /// Writes through whoever leads, as often as it takes.
    pub(crate) async fn put(members: &[&Self], shard: u16, key: &str, value: &str) {
        let until = std::time::Instant::now() + DEADLINE;
        loop {
            assert!(std::time::Instant::now() < until, "nobody took {key}={value} in time");
            for member in members {
                let shard = member.cluster.shard(ShardId(shard));
                let Ok(term) = shard.lead() else { continue };
                if matches!(propose(shard, term, format!("{key}={value}")).await, Verdict::Applied { .. }) {
                    return;
                }
            }
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub(crate) fn get(&self, shard: u16, key: &str) -> Option<String> {
        let value = self.cluster.shard(ShardId(shard)).reader().get(Space::State, key.as_bytes()).unwrap();
        value.map(|value| String::from_utf8(value).unwrap())
    }
}

pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let waited = tokio::time::timeout(DEADLINE, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what}: not in time");
}

/// Every shard has so many voters for good, as each of its leaders sees it, and somebody leads each.
pub(crate) fn is_spread(members: &[&Member], voters: usize) -> bool {
    (0..3).all(|shard| {
        members.iter().any(|member| {
            let shard = member.cluster.shard(ShardId(shard));
            let status = shard.status();
            let replicas = status.replicas;
            shard.lead().is_ok()
                && !status.is_changing
                && replicas.iter().filter(|replica| replica.is_voter).count() == voters
        })
    })
}

pub(crate) fn leaders(members: &[&Member]) -> Vec<usize> {
    members
        .iter()
        .map(|member| member.cluster.shards().iter().filter(|shard| shard.lead().is_ok()).count())
        .collect()
}

pub(crate) async fn three() -> [Member; 3] {
    let one = Member::found().await;
    let at = one.peer_address();
    let two = Member::start(directory(), Some(&at)).await;
    let three = Member::start(directory(), Some(&at)).await;
    until("three replicas of every shard", || is_spread(&[&one, &two, &three], 3)).await;
    [one, two, three]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_grows_to_three_and_what_was_written_is_everywhere() {
    let one = Member::found().await;
    for shard in 0..3 {
        Member::put(&[&one], shard, "before", "1").await;
    }
    let at = one.peer_address();
    let two = Member::start(directory(), Some(&at)).await;
    let three = Member::start(directory(), Some(&at)).await;
    assert_eq!([two.cluster.node_id(), three.cluster.node_id()], [NodeId(2), NodeId(3)]);
    assert_eq!(one.cluster.id(), three.cluster.id());
    let all = [&one, &two, &three];
    until("three replicas of every shard", || is_spread(&all, 3)).await;
    until("each leads one of three shards", || leaders(&all) == [1, 1, 1]).await;
    for shard in 0..3 {
        Member::put(&all, shard, "after", "2").await;
    }
    until("everything is everywhere", || {
        all.iter().all(|member| {
            (0..3).all(|shard| {
                member.get(shard, "before").as_deref() == Some("1")
                    && member.get(shard, "after").as_deref() == Some("2")
            })
        })
    })
    .await;
    for member in all {
        member.cluster.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_others_go_on_when_a_node_stops_and_it_catches_up_when_it_is_back() {
    let [one, two, three] = three().await;
    until("each leads one of three shards", || leaders(&[&one, &two, &three]) == [1, 1, 1]).await;
    let Member { cluster, directory } = two;
    cluster.shutdown().await;
    for shard in 0..3 {
        Member::put(&[&one, &three], shard, "meanwhile", "3").await;
    }
    let two = Member::start(directory, Some(&one.peer_address())).await;
    assert_eq!(two.cluster.node_id(), NodeId(2));
    until("it has caught up", || (0..3).all(|shard| two.get(shard, "meanwhile").as_deref() == Some("3")))
        .await;
    let all = [&one, &two, &three];
    until("it leads again what it is to lead", || leaders(&all) == [1, 1, 1]).await;
    for member in all {
        member.cluster.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_belong_is_refused_with_the_reason() {
    let one = Member::found().await;
    let at = one.peer_address();
    let stranger = network(secret("another secret than theirs")).await;
    let refused = open_with(&directory(), Some(&at), stranger).await.err().unwrap().to_string();
    assert!(refused.contains("join secret"), "{refused}");
    let other = Member::found().await;
    let Member { cluster, directory } = other;
    cluster.shutdown().await;
    let again = network(secret("a secret of this test")).await;
    let refused = open_with(&directory, Some(&at), again).await.err().unwrap().to_string();
    assert!(refused.contains("its data directory is of the cluster"), "{refused}");
    one.cluster.shutdown().await;
}
