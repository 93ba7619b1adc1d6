//! The network between real nodes, over TCP.
//!
//! Each node dials every other with two connections: one for Raft, one for calls, streams and snapshots, so that a
//! large body never delays a heartbeat. On a connection only its dialler asks, and only the other answers; so two
//! nodes have two of each kind, and neither has to agree with the other on who dials.
//!
//! - `frame`, `wire`, `handshake`: every byte, frozen. `shake`: the handshake carried out.
//! - `socket`: the two halves of a connection. `writer`: what waits on it, written.
//! - `dial`: the connections to one peer, made and kept up. `connection`: asking on one of them.
//! - `queue`: what waits to be written. `listen`: those that peers dial. `serve`: answering on one of them.
//! - `link`: the messages of one group. `presence`: what is known of other processes. `end`: when one
//!   of them has surely ended. `heard`: when a connection was last heard of.
//! - `secret`: what members share. `tls`: their certificates, if they have any.

mod connection;
mod dial;
mod end;
mod frame;
mod handshake;
mod heard;
mod link;
mod listen;
mod presence;
mod queue;
pub mod secret;
mod serve;
mod shake;
mod socket;
pub mod tls;
mod wire;
mod writer;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::layout::NodeId;
use crate::metrics::Counter;
use crate::network::tcp::dial::Peer;
use crate::network::tcp::handshake::{Purpose, Transcript};
use crate::network::tcp::presence::Presence;
use crate::network::tcp::secret::JoinSecret;
use crate::network::tcp::shake::NotShaken;
use crate::network::tcp::tls::Tls;
use crate::network::tcp::wire::Ask;
use crate::network::{
    AskError, Desk, GroupId, Inbound, JoinError, JoinRequest, Joined, Lane, Member, Network, PeerLink,
    PeerStates,
};
use crate::raft;

/// How long somebody who asks to be let in waits for the answer.
const JOIN_WITHIN: Duration = Duration::from_secs(15);
/// Strangers fill no log: a warning about one at most so often.
const STRANGERS_LOGGED_EVERY: Duration = Duration::from_secs(1);
/// How long a stop waits for peers to take their last answers and go.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);
/// How long a stop waits for connections to end.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// What a [`TcpNetwork`] is made with.
#[derive(Debug, Clone)]
pub struct TcpOptions {
    /// Where peers are served.
    pub listen: SocketAddr,
    /// What the members share.
    pub secret: JoinSecret,
    /// The version of the program, for peers to see.
    pub version: String,
    /// Encrypts the links; then it does so on every node.
    pub tls: Option<Tls>,
}

/// What the links of a node count.
#[derive(Debug, Default)]
pub struct LinkMetrics {
    /// Connections that shook hands, dialled or accepted.
    pub connections: Counter,
    /// Bytes written to peers.
    pub bytes_sent: Counter,
    /// Bytes of payload read from peers.
    pub bytes_received: Counter,
    /// Requests sent to peers.
    pub requests: Counter,
    /// Requests that could not be sent, or whose answer did not come.
    pub requests_failed: Counter,
}

/// The network of a node.
pub struct TcpNetwork {
    shared: Arc<Shared>,
    listener: Mutex<Option<TcpListener>>,
    address: SocketAddr,
}

/// A stranger that was refused, for the log.
struct Refused {
    from: IpAddr,
    reason: String,
    at: Instant,
}

/// What all connections share.
struct Shared {
    secret: JoinSecret,
    version: String,
    tls: Option<Tls>,
    member: OnceLock<Member>,
    presence: Presence,
    peers: Mutex<BTreeMap<NodeId, Arc<Peer>>>,
    /// What closes the connections with a node, whoever dialled them, once it is none of the cluster's.
    gone: Mutex<BTreeMap<NodeId, CancellationToken>>,
    metrics: Arc<LinkMetrics>,
    begun: Instant,
    refused_last: Mutex<Option<Refused>>,
    tasks: TaskTracker,
    /// Connections that peers dialled and are served on.
    served: TaskTracker,
    /// This node is about to stop: it takes no connection and is asked nothing more.
    leaving: CancellationToken,
    stop: CancellationToken,
}

impl TcpNetwork {
    /// Binds the listener; connections wait in its backlog until [`Network::start`].
    ///
    /// # Errors
    ///
    /// When the address can not be had.
    pub async fn bind(options: TcpOptions) -> std::io::Result<Arc<Self>> {
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            secret: options.secret,
            version: options.version,
            tls: options.tls,
            member: OnceLock::new(),
            presence: Presence::new(),
            peers: Mutex::default(),
            gone: Mutex::default(),
            metrics: Arc::default(),
            begun: Instant::now(),
            refused_last: Mutex::default(),
            tasks: TaskTracker::new(),
            served: TaskTracker::new(),
            leaving: CancellationToken::new(),
            stop: CancellationToken::new(),
        });
        Ok(Arc::new(Self { shared, listener: Mutex::new(Some(listener)), address }))
    }

    /// Where it listens; the real port, where 0 was asked for.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// What its links count.
    #[must_use]
    pub fn metrics(&self) -> Arc<LinkMetrics> {
        self.shared.metrics.clone()
    }
}

impl Shared {
    fn member(&self) -> Option<Member> {
        self.member.get().copied()
    }

    /// Microseconds since the network was made: the number of a ping, and so its answer's age.
    fn micros(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn peer(&self, node: NodeId) -> Option<Arc<Peer>> {
        self.peers.lock().get(&node).cloned()
    }

    /// A peer that has just dialled this node is there.
    fn dial_now(&self, node: NodeId) {
        if let Some(peer) = self.peer(node) {
            peer.wake.notify_waiters();
        }
    }

    fn gone(&self, node: NodeId) -> CancellationToken {
        self.gone.lock().entry(node).or_insert_with(|| self.stop.child_token()).clone()
    }

    /// A node is none of the cluster's any more.
    fn forget(&self, node: NodeId) {
        if let Some(gone) = self.gone.lock().remove(&node) {
            gone.cancel();
        }
        self.presence.forget(node);
    }

    /// Logs why somebody was refused, once and not at each of its tries.
    fn refuse_stranger(&self, from: SocketAddr, reason: &str) {
        let mut last = self.refused_last.lock();
        let is_known = last.as_ref().is_some_and(|last| {
            last.at.elapsed() < STRANGERS_LOGGED_EVERY || (last.from == from.ip() && last.reason == reason)
        });
        if is_known {
            tracing::debug!(%from, reason, "a peer was refused");
        } else {
            tracing::warn!(%from, reason, "a peer was refused");
            *last = Some(Refused { from: from.ip(), reason: reason.to_owned(), at: Instant::now() });
        }
    }

    /// Asks a node on one of its connections.
    fn ask(
        &self,
        node: NodeId,
        purpose: Purpose,
        request: Bytes,
        within: Duration,
    ) -> impl Future<Output = Result<Bytes, AskError>> + Send + use<> {
        self.metrics.requests.add(1);
        let connection = self.peer(node).and_then(|peer| peer.connection(purpose));
        let asked = connection.map(|connection| connection.request(request, within));
        let metrics = self.metrics.clone();
        async move {
            let answered = match asked {
                Some(asked) => asked.await,
                None => Err(AskError::NotSent(format!("there is no connection to node {node}"))),
            };
            if answered.is_err() {
                metrics.requests_failed.add(1);
            }
            answered
        }
    }
}

impl Network for TcpNetwork {
    fn start(&self, me: Member, inbound: Arc<dyn Inbound>) {
        assert!(self.shared.member.set(me).is_ok(), "a network is started once");
        let listener = self.listener.lock().take().expect("it is taken by the one start");
        self.shared.tasks.spawn(listen::accept(self.shared.clone(), listener, inbound));
        // Those that `know` was told of before it was known who dials them.
        let peers: Vec<Arc<Peer>> = self.shared.peers.lock().values().cloned().collect();
        self.shared.peers.lock().remove(&me.node);
        peers.into_iter().filter(|peer| peer.node != me.node).for_each(|peer| self.dial(&peer));
    }

    fn know(&self, addresses: BTreeMap<NodeId, String>) {
        let own = self.shared.member().map(|own| own.node);
        let mut peers = self.shared.peers.lock();
        peers.retain(|node, _| {
            let is_known = addresses.contains_key(node);
            if !is_known {
                self.shared.forget(*node);
            }
            is_known
        });
        for (node, address) in addresses {
            if Some(node) == own || address.is_empty() {
                continue;
            }
            if let Some(peer) = peers.get(&node) {
                peer.moved(&address);
                continue;
            }
            let peer = Arc::new(Peer::new(node, address, self.shared.gone(node)));
            peers.insert(node, peer.clone());
            if own.is_some() {
                self.dial(&peer);
            }
        }
    }

    fn join(&self, address: String, request: JoinRequest) -> BoxFuture<'static, Result<Joined, JoinError>> {
        let shared = self.shared.clone();
        async move {
            let joining = join(&shared, &address, &request);
            let joined = tokio::time::timeout(JOIN_WITHIN, joining).await;
            joined.unwrap_or_else(|_| Err(JoinError::NotReached(format!("{address} did not answer in time"))))
        }
        .boxed()
    }

    fn link(&self, group: GroupId, node: NodeId, _peer: &raft::Peer, _lane: Lane) -> Box<dyn PeerLink> {
        Box::new(link::TcpLink { shared: self.shared.clone(), group, node })
    }

    fn ask(
        &self,
        node: NodeId,
        desk: Desk,
        request: Bytes,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<Bytes, AskError>> {
        self.shared.ask(node, Purpose::Calls, Ask::Answer(desk).encode(&request), timeout).boxed()
    }

    fn stream(&self, node: NodeId, request: Bytes) -> BoxStream<'static, Bytes> {
        let connection = self.shared.peer(node).and_then(|peer| peer.connection(Purpose::Calls));
        match connection {
            Some(connection) => connection.stream(Ask::Stream.encode(&request)).boxed(),
            None => futures_util::stream::empty().boxed(),
        }
    }

    fn peers(&self) -> watch::Receiver<PeerStates> {
        self.shared.presence.watch()
    }

    fn stop(&self) -> BoxFuture<'static, ()> {
        let shared = self.shared.clone();
        shared.leaving.cancel();
        shared.tasks.close();
        shared.served.close();
        // Whoever connects from now on is refused, and so knows that this process has ended or is about to.
        self.listener.lock().take();
        async move {
            // What peers have asked is answered, so that nothing of theirs is of unknown outcome.
            let _ = tokio::time::timeout(LEAVE_WITHIN, shared.served.wait()).await;
            shared.stop.cancel();
            if tokio::time::timeout(STOP_WITHIN, shared.tasks.wait()).await.is_err() {
                tracing::warn!("some connections to other nodes did not end in time");
            }
        }
        .boxed()
    }
}

impl TcpNetwork {
    fn dial(&self, peer: &Arc<Peer>) {
        for purpose in [Purpose::Raft, Purpose::Calls] {
            self.shared.tasks.spawn(dial::keep_up(self.shared.clone(), peer.clone(), purpose));
        }
    }
}

async fn join(shared: &Shared, address: &str, request: &JoinRequest) -> Result<Joined, JoinError> {
    let not_reached = |error: &dyn std::fmt::Display| JoinError::NotReached(error.to_string());
    let shaken = dial::shake_hands(shared, Purpose::Join, None, address).await;
    let (mut frames, mut sink, ..) = shaken.map_err(|error| match error {
        NotShaken::Refused(reason) => JoinError::Refused(reason),
        NotShaken::Io(error) => not_reached(&error),
    })?;
    let mut transcript = Transcript::new(shared.secret.bytes());
    shake::say(request, &mut transcript, &mut sink).await.map_err(|error| not_reached(&error))?;
    let answer = frames.next_bytes().await.map_err(|error| not_reached(&error))?;
    let answer = answer.ok_or_else(|| not_reached(&"it closed the connection"))?;
    handshake::decode::<Result<Joined, JoinError>>(&answer).map_err(|error| not_reached(&error))?
}
