//! A node that notes what reaches it and answers what it is told to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use parking_lot::Mutex;
use stead_cluster::network::tcp::secret::JoinSecret;
use stead_cluster::network::tcp::{TcpNetwork, TcpOptions};
use stead_cluster::network::{
    AppendRequest, AppendResponse, Desk, GroupId, Inbound, JoinError, JoinRequest, Joined, Member, NotTaken,
    PeerState, Snapshot, SnapshotResponse, TransferRequest, TransferResponse, Vote, VoteRequest,
    VoteResponse,
};
use stead_cluster::{ClusterId, Network, NodeId};
use tokio::sync::Semaphore;

/// How long anything awaited here may take at most.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
/// For requests whose answer is to come.
pub(crate) const PATIENT: Duration = Duration::from_secs(20);

pub(crate) const SECRET: &str = "a secret of these tests";

/// What has reached a node.
pub(crate) struct Notes {
    /// Indices of the last entries of requests with entries, in the order they came.
    pub(crate) appended: Mutex<Vec<u64>>,
    /// Answers to requests with entries wait for a permit here.
    pub(crate) appends: Semaphore,
    /// Answers to the question `wait` wait for a permit here.
    pub(crate) answers: Semaphore,
    /// What each snapshot came to: its bytes, or why it broke off.
    pub(crate) snapshots: Mutex<Vec<Result<usize, String>>>,
    /// Questions and streams that came here, and those whose future or stream is still held.
    pub(crate) asked: AtomicUsize,
    pub(crate) held: Arc<AtomicUsize>,
    /// Whom it does not admit, with the reason.
    pub(crate) refused: Mutex<Option<String>>,
}

/// Counts while it is held.
struct Held(Arc<AtomicUsize>);

impl Held {
    fn new(notes: &Notes) -> Self {
        notes.held.fetch_add(1, Ordering::SeqCst);
        notes.asked.fetch_add(1, Ordering::SeqCst);
        Self(notes.held.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(crate) struct Node {
    pub(crate) network: Arc<TcpNetwork>,
    pub(crate) notes: Arc<Notes>,
    pub(crate) id: NodeId,
}

pub(crate) fn secret(text: &str) -> JoinSecret {
    JoinSecret::new(text).unwrap()
}

pub(crate) fn options(listen: &str) -> TcpOptions {
    TcpOptions {
        listen: listen.parse().unwrap(),
        secret: secret(SECRET),
        version: "1.2.3".to_owned(),
        tls: None,
    }
}

/// The cluster of most tests.
pub(crate) fn cluster() -> ClusterId {
    "00112233445566778899aabbccddeeff".parse().unwrap()
}

pub(crate) fn member(node: u64, epoch: u64) -> Member {
    Member { cluster: cluster(), node: NodeId(node), epoch }
}

impl Node {
    pub(crate) async fn start(node: u64) -> Self {
        Self::start_as(member(node, 1), options("127.0.0.1:0")).await
    }

    pub(crate) async fn start_as(member: Member, options: TcpOptions) -> Self {
        let network = TcpNetwork::bind(options).await.unwrap();
        let notes = Arc::new(Notes {
            appended: Mutex::default(),
            appends: Semaphore::new(Semaphore::MAX_PERMITS),
            answers: Semaphore::new(0),
            snapshots: Mutex::default(),
            asked: AtomicUsize::new(0),
            held: Arc::default(),
            refused: Mutex::default(),
        });
        network.start(member, Arc::new(Desks(notes.clone())));
        Self { network, notes, id: member.node }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.network.local_addr()
    }

    /// Tells it where others are.
    pub(crate) fn knows(&self, others: &[(NodeId, String)]) {
        self.network.know(others.iter().cloned().collect());
    }

    pub(crate) fn state_of(&self, other: NodeId) -> PeerState {
        self.network.peers().borrow().get(&other).cloned().unwrap_or_default()
    }

    /// Waits until what it knows of another node is so.
    pub(crate) async fn sees(
        &self,
        other: NodeId,
        what: &str,
        holds: impl Fn(&PeerState) -> bool,
    ) -> PeerState {
        let mut peers = self.network.peers();
        let seen =
            tokio::time::timeout(DEADLINE, peers.wait_for(|states| states.get(&other).is_some_and(&holds)))
                .await;
        let Ok(Ok(states)) = seen else {
            panic!(
                "node {} does not see in time that node {other} {what}: {:?}",
                self.id,
                self.state_of(other)
            )
        };
        states.get(&other).cloned().unwrap()
    }

    pub(crate) fn held(&self) -> usize {
        self.notes.held.load(Ordering::SeqCst)
    }

    pub(crate) fn asked(&self) -> usize {
        self.notes.asked.load(Ordering::SeqCst)
    }

    /// Waits until one more came than `before`, and none is held any more.
    pub(crate) async fn lets_go(&self, before: usize) {
        until("what came is let go", || async { self.asked() > before && self.held() == 0 }).await;
    }
}

/// Two nodes that are connected both ways.
pub(crate) async fn two() -> (Node, Node) {
    let (one, two) = (Node::start(1).await, Node::start(2).await);
    meet(&one, &two).await;
    (one, two)
}

pub(crate) async fn meet(one: &Node, two: &Node) {
    one.knows(&[(two.id, two.address().to_string())]);
    two.knows(&[(one.id, one.address().to_string())]);
    reach(one, two).await;
    reach(two, one).await;
}

/// Waits until one can ask the other.
pub(crate) async fn reach(one: &Node, two: &Node) {
    until("it can be asked", || async {
        let asked = one.network.ask(two.id, Desk::Cluster, Bytes::from_static(b"hello"), PATIENT).await;
        asked.is_ok_and(|answer| answer.as_ref() == b"hello")
    })
    .await;
    one.sees(two.id, "is connected", |state| state.connected && state.round_trip_us.is_some()).await;
}

/// Waits until something holds that tells nobody when it begins to.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let waiting = tokio::time::timeout(DEADLINE, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(waiting.await.is_ok(), "not in time: {what}");
}

struct Desks(Arc<Notes>);

impl Inbound for Desks {
    fn admit(&self, _: &Member) -> Result<(), String> {
        self.0.refused.lock().clone().map_or(Ok(()), Err)
    }

    fn join(&self, request: JoinRequest) -> BoxFuture<'static, Result<Joined, JoinError>> {
        let joined = Joined {
            cluster: cluster().to_string(),
            node: NodeId(7),
            shards: 3,
            replication_factor: 3,
            addresses: BTreeMap::from([(NodeId(7), request.peer_address)]),
        };
        let refused = request.token == "bad";
        async move {
            if refused { Err(JoinError::Refused("the token is bad".to_owned())) } else { Ok(joined) }
        }
        .boxed()
    }

    fn append(
        &self,
        _: GroupId,
        request: AppendRequest,
    ) -> BoxFuture<'static, Result<AppendResponse, NotTaken>> {
        let notes = self.0.clone();
        async move {
            notes.appended.lock().push(request.entries.last().map_or(0, |entry| entry.log_id.index));
            let _permit = notes.appends.acquire().await.unwrap();
            Ok(AppendResponse::Success)
        }
        .boxed()
    }

    fn vote(&self, _: GroupId, request: VoteRequest) -> BoxFuture<'static, Result<VoteResponse, NotTaken>> {
        async move { Ok(VoteResponse::new(request.vote, request.last_log_id, true)) }.boxed()
    }

    fn pre_vote(&self, _: GroupId, _: VoteRequest) -> BoxFuture<'static, Result<VoteResponse, NotTaken>> {
        async { Err(NotTaken("the group is not here".to_owned())) }.boxed()
    }

    fn transfer(
        &self,
        _: GroupId,
        _: TransferRequest,
    ) -> BoxFuture<'static, Result<TransferResponse, NotTaken>> {
        async { Err(NotTaken("the group is not here".to_owned())) }.boxed()
    }

    fn snapshot(
        &self,
        _: GroupId,
        vote: Vote,
        mut snapshot: Snapshot,
    ) -> BoxFuture<'static, Result<SnapshotResponse, NotTaken>> {
        let notes = self.0.clone();
        async move {
            let mut bytes = 0;
            let took = loop {
                match snapshot.snapshot.next().await {
                    Ok(Some(chunk)) => bytes += chunk.len(),
                    Ok(None) => break Ok(bytes),
                    Err(error) => break Err(error.to_string()),
                }
            };
            notes.snapshots.lock().push(took.clone());
            took.map(|_| SnapshotResponse::new(vote)).map_err(NotTaken)
        }
        .boxed()
    }

    fn answer(&self, _: NodeId, _: Desk, request: Bytes) -> BoxFuture<'static, Bytes> {
        let (notes, held) = (self.0.clone(), Held::new(&self.0));
        async move {
            let _held = held;
            match request.as_ref() {
                b"hang" => std::future::pending().await,
                b"wait" => notes.answers.acquire().await.unwrap().forget(),
                _ => {}
            }
            request
        }
        .boxed()
    }

    /// `size` or `size*count`: so many parts of so many bytes, without a count no end of them.
    fn stream(&self, _: NodeId, request: Bytes) -> BoxStream<'static, Bytes> {
        let held = Held::new(&self.0);
        let text = std::str::from_utf8(&request).unwrap();
        let (size, count) = text.split_once('*').unwrap_or((text, "18446744073709551615"));
        let (size, count): (usize, u64) = (size.parse().unwrap(), count.parse().unwrap());
        let mut sent = 0;
        futures_util::stream::poll_fn(move |_| {
            let _ = &held;
            sent += 1;
            std::task::Poll::Ready((sent <= count).then(|| {
                let mut part = sent.to_be_bytes().to_vec();
                part.resize(size.max(8), 0);
                part.into()
            }))
        })
        .boxed()
    }
}
