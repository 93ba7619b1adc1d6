//! Nodes without a front, in one process, each with a directory of its own and a real network between them.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, json};
use stead_cluster::network::tcp::secret::JoinSecret;
use stead_cluster::network::tcp::{TcpNetwork, TcpOptions};
use stead_cluster::{Cluster, Shard, ShardId};
use tempfile::TempDir;

use crate::caller::{Caller, Standing};
use crate::class::Classes;
use crate::clock::Clock;
use crate::live::{FeedEvent, FeedSubscription, Hub};
use crate::object::idempotency::IdempotencyKey;
use crate::object::{ClassName, Key, ObjectAddress};
use crate::runtime::{Action, ObjectMachine, Options, Request, Runtime};
use crate::telemetry::Metrics;

/// How long anything awaited here may take at most.
const DEADLINE: Duration = Duration::from_secs(30);

pub(super) struct Node {
    pub(super) hub: Hub,
    pub(super) metrics: Metrics,
    pub(super) cluster: Cluster,
    runtime: Runtime,
    dir: TempDir,
}

pub(super) struct Setup {
    pub(super) log_kept_entries: u64,
    pub(super) max_subscribers: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self { log_kept_entries: 100_000, max_subscribers: 100 }
    }
}

impl Node {
    /// A node of a cluster of its own.
    pub(super) async fn found(setup: Setup) -> Self {
        Self::open(tempfile::tempdir().expect("a directory"), None, setup).await
    }

    pub(super) async fn open(dir: TempDir, join: Option<String>, setup: Setup) -> Self {
        let (clock, metrics) = (Arc::new(Clock::default()), Metrics::new());
        let secret = JoinSecret::new("the secret of these tests").expect("a secret");
        let listen = "127.0.0.1:0".parse().expect("an address");
        let network = TcpOptions { listen, secret, version: "test".to_owned(), tls: None };
        let network = TcpNetwork::bind(network).await.expect("a port");
        let options = stead_cluster::Options {
            data_dir: dir.path().join("data"),
            shards: 3,
            peer_address: network.local_addr().to_string(),
            join,
            log_kept_entries: setup.log_kept_entries,
            heartbeat: Duration::from_millis(50),
            ..Default::default()
        };
        let machine = |_| -> Box<dyn stead_cluster::Machine> { Box::new(ObjectMachine::new()) };
        let cluster = Cluster::open(options, network, clock.clone(), machine).await.expect("it opens");
        let options = Options {
            max_active_objects: NonZeroUsize::new(1_000).expect("it is not zero"),
            max_requests_waiting: 100_000,
            replication_factor: 3,
            passivation_idle: Duration::from_mins(1),
            data_dir: dir.path().to_owned(),
            disk_free_min_bytes: 0,
            request_deadline: Duration::from_secs(10),
        };
        let runtime = Runtime::start(cluster.clone(), Classes::builtin(), options, clock, metrics.clone());
        let runtime = runtime.await.expect("it starts");
        let within = Duration::from_secs(5);
        let hub = Hub::new(runtime.clone(), setup.max_subscribers, within, metrics.clone());
        Self { hub, metrics, cluster, runtime, dir }
    }

    /// Stops the node; its directory can be opened again. Each test ends with it: a process that exits while
    /// `RocksDB` works is aborted.
    pub(super) async fn stop(self) -> TempDir {
        self.hub.close();
        self.runtime.stop().await;
        self.cluster.shutdown().await;
        self.dir
    }

    pub(super) fn peer_address(&self) -> String {
        let status = self.cluster.status();
        let own = status.nodes.iter().find(|node| node.id == self.cluster.node_id());
        own.expect("a node knows itself").peer_address.clone()
    }

    pub(super) fn leads(&self) -> usize {
        self.cluster.shards().iter().filter(|shard| shard.lead().is_ok()).count()
    }

    pub(super) async fn feed(&self, cursor: Option<&str>) -> FeedSubscription {
        let class = ClassName::parse("counter").expect("a class");
        self.hub.feed(&caller(), &class, cursor).await.expect("a feed")
    }

    /// Increments a counter once, as often as it has to be tried.
    pub(super) async fn increment(&self, name: &str, key: &str) {
        let action = Action::Call { method: "increment".to_owned(), params: Map::new() };
        self.ask(&format!("counter/{name}"), action, key).await;
    }

    /// Puts so many bytes into an object of another class.
    pub(super) async fn put(&self, name: &str, bytes: usize, key: &str) {
        let value = json!("x".repeat(bytes));
        let action = Action::Put { key: Key::parse("a").expect("a key"), value };
        self.ask(&format!("object/{name}"), action, key).await;
    }

    async fn ask(&self, object: &str, action: Action, key: &str) {
        let (class, name) = object.split_once('/').expect("class/name");
        let address = ObjectAddress::parse("default", class, name).expect("an address");
        let idempotency_key = Some(IdempotencyKey::parse(key).expect("a key"));
        let request = Request { action, idempotency_key, if_match: None, context: None };
        let until = Instant::now() + DEADLINE;
        while let Err(error) = self.runtime.call(&caller(), &address, request.clone()).await {
            assert!(Instant::now() < until, "{error}");
        }
    }

    /// So many increments of each counter, all at once.
    pub(super) async fn increment_all(&self, counters: usize, times: usize, key: &str) {
        let calls = (0..counters * times).map(|call| {
            let (name, key) = (format!("c{}", call % counters), format!("{key}-{call}"));
            async move { self.increment(&name, &key).await }
        });
        futures_util::future::join_all(calls).await;
    }

    /// Waits until the log of each shard has lost everything up to what is applied now, writing to make it so.
    pub(super) async fn purge(&self, key: &str) {
        let applied: Vec<u64> = self.cluster.shards().iter().map(Shard::applied).collect();
        let mut round = 0;
        until("the logs are purged", async || {
            round += 1;
            let writes = (0..48).map(|object| async move {
                self.put(&format!("filler{object}"), 10, &format!("{key}-{round}-{object}")).await;
            });
            futures_util::future::join_all(writes).await;
            (0_u16..).zip(&applied).all(|(shard, applied)| {
                self.cluster.shard(ShardId(shard)).status().purged.is_some_and(|purged| purged > *applied)
            })
        })
        .await;
    }
}

/// Three nodes with every shard on each, of which each leads one.
pub(super) async fn three() -> [Node; 3] {
    let one = Node::found(Setup::default()).await;
    let at = Some(one.peer_address());
    let directory = || tempfile::tempdir().expect("a directory");
    let two = Node::open(directory(), at.clone(), Setup::default()).await;
    let three = Node::open(directory(), at, Setup::default()).await;
    let nodes = [one, two, three];
    until("each leads one of three shards", async || nodes.iter().all(|node| node.leads() == 1)).await;
    nodes
}

pub(super) fn caller() -> Caller {
    Caller {
        tenant: "default".into(),
        subject: "local".into(),
        roles: Arc::default(),
        address: None,
        request_id: "test".into(),
        traceparent: None,
        deadline: Instant::now() + Duration::from_secs(10),
        standing: Standing::Client,
    }
}

pub(super) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(DEADLINE, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "it never came: {what}");
}

/// What a subscriber has seen: each version of each counter once and in order, and nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen(pub(super) BTreeMap<String, u64>);

impl Seen {
    /// So many counters with so many versions.
    pub(super) fn all(counters: usize, versions: u64) -> Self {
        Self((0..counters).map(|counter| (format!("c{counter}"), versions)).collect())
    }

    /// Takes the next event in. The cursor behind it.
    pub(super) async fn next(&mut self, feed: &mut FeedSubscription) -> String {
        let event = tokio::time::timeout(DEADLINE, feed.next()).await;
        let update = match event {
            Ok(FeedEvent::Update(update)) => update,
            other => panic!("an update was to come after {self:?}, not {other:?}"),
        };
        assert_eq!(update.address().class().as_str(), "counter");
        let version = self.0.entry(update.address().name().as_str().to_owned()).or_default();
        *version += 1;
        assert_eq!(update.version.0, *version, "{} out of turn", update.address());
        assert_eq!(update.cursor(), feed.cursor());
        update.cursor().to_owned()
    }

    /// Takes in what comes until it is this.
    pub(super) async fn until(&mut self, feed: &mut FeedSubscription, expected: &Self) {
        while self != expected {
            self.next(feed).await;
        }
    }
}
