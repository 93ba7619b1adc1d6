//! The connections this node dials to one peer: made, kept up, made again.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rand::RngExt;
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::layout::NodeId;
use crate::network::Member;
use crate::network::tcp::Shared;
use crate::network::tcp::connection::{Connection, Ended};
use crate::network::tcp::end::OwnSocket;
use crate::network::tcp::frame::{Frame, FrameReader, Kind};
use crate::network::tcp::handshake::{HANDSHAKE_MAX_BYTES, Purpose};
use crate::network::tcp::heard::PING_EVERY;
use crate::network::tcp::shake::{self, Met, NotShaken, Own};
use crate::network::tcp::socket::{self, Sink, Source};
use crate::network::tcp::writer::write;

/// The first pause before a peer is dialled again; each next one is twice as long.
const AGAIN_FIRST: Duration = Duration::from_millis(20);
/// The longest pause.
const AGAIN_MAX: Duration = Duration::from_secs(1);
/// How long connecting and shaking hands may take, each.
pub(super) const SHAKE_WITHIN: Duration = Duration::from_secs(3);

/// One other node, and the connections to it.
pub(super) struct Peer {
    pub(super) node: NodeId,
    address: Mutex<String>,
    raft: Mutex<Option<Arc<Connection>>>,
    calls: Mutex<Option<Arc<Connection>>>,
    /// Where a process of it was met on its own socket, last.
    pub(super) own_socket: Mutex<Option<OwnSocket>>,
    /// Dial now: the address is another, or the peer has just dialled this node.
    pub(super) wake: Notify,
    pub(super) gone: CancellationToken,
}

impl Peer {
    pub(super) fn new(node: NodeId, address: String, gone: CancellationToken) -> Self {
        let (raft, calls, own_socket) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { node, address: Mutex::new(address), raft, calls, own_socket, wake: Notify::new(), gone }
    }

    /// The connection for a purpose, if it stands.
    pub(super) fn connection(&self, purpose: Purpose) -> Option<Arc<Connection>> {
        self.slot(purpose).lock().clone().filter(|connection| !connection.is_closed())
    }

    fn slot(&self, purpose: Purpose) -> &Mutex<Option<Arc<Connection>>> {
        if purpose == Purpose::Raft { &self.raft } else { &self.calls }
    }

    /// It is reached at another address from now on.
    pub(super) fn moved(&self, address: &str) {
        let is_new = {
            let mut known = self.address.lock();
            let is_new = *known != address;
            address.clone_into(&mut known);
            is_new
        };
        if is_new {
            self.wake.notify_waiters();
        }
    }
}

/// Keeps a connection of one purpose up, for as long as the peer is one.
pub(super) async fn keep_up(shared: Arc<Shared>, peer: Arc<Peer>, purpose: Purpose) {
    let mut pause = AGAIN_FIRST;
    loop {
        let woken = peer.wake.notified();
        let address = peer.address.lock().clone();
        let begun = Instant::now();
        tokio::select! {
            biased;
            () = peer.gone.cancelled() => return,
            ended = run(&shared, &peer, purpose, &address) => if let Err(error) = ended {
                match &error {
                    NotShaken::Refused(reason) => shared.presence.refused(peer.node, reason),
                    NotShaken::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                        shared.presence.is_silent(peer.node);
                    }
                    NotShaken::Io(_) => {}
                }
                tracing::debug!(peer = %peer.node, address, ?purpose, %error, "a peer was not reached");
            },
        }
        if begun.elapsed() > AGAIN_MAX {
            pause = AGAIN_FIRST;
        }
        let jitter = rand::rng().random_range(0.5..1.0);
        tokio::select! {
            biased;
            () = peer.gone.cancelled() => return,
            () = woken => pause = AGAIN_FIRST,
            () = sleep(pause.mul_f64(jitter)) => pause = (pause * 2).min(AGAIN_MAX),
        }
    }
}

/// Dials, shakes hands, and lives as long as the connection.
async fn run(
    shared: &Arc<Shared>,
    peer: &Arc<Peer>,
    purpose: Purpose,
    address: &str,
) -> Result<(), NotShaken> {
    let (mut frames, sink, met, dialled) = shake_hands(shared, purpose, Some(peer.node), address).await?;
    check_met(shared, peer.node, &met, address)?;
    frames.trust();
    shared.presence.shown(peer.node, met.member.epoch);
    let own_socket = OwnSocket { address: dialled, epoch: met.member.epoch };
    *peer.own_socket.lock() = met.is_own_socket.then_some(own_socket);
    let closed = peer.gone.child_token();
    let (connection, queued) = Connection::new(closed.clone());
    *peer.slot(purpose).lock() = Some(connection.clone());
    let standing = (purpose == Purpose::Raft).then(|| shared.presence.stands(peer.node));
    shared.metrics.connections.add(1);
    tracing::info!(peer = %peer.node, address, ?purpose, version = met.version, "a connection to a node stands");

    let (heard, metrics) = (frames.heard(), &shared.metrics);
    let writing = write(sink, queued, closed, &heard, |bytes| metrics.bytes_sent.add(bytes as u64));
    let reading = connection.read(frames, |frame| {
        metrics.bytes_received.add(frame.payload.len() as u64);
        if frame.kind == Kind::Pong {
            shared.presence.round_trip(peer.node, shared.micros().saturating_sub(frame.id));
        }
    });
    let living = async {
        let ended = tokio::select! {
            biased;
            ended = reading => ended,
            () = ping(shared, &connection) => Ended::Here,
            () = heard.silence() => Ended::Here,
        };
        connection.close();
        peer.slot(purpose).lock().take();
        tracing::info!(peer = %peer.node, ?purpose, ?ended, "a connection to a node has ended");
        drop(standing);
        if ended == Ended::ByPeer {
            shared.may_have_ended(peer.node, met.member.epoch).await;
        }
    };
    // What is sure is said at once, whether the writer has noticed or not.
    tokio::join!(writing, living);
    Ok(())
}

/// Whether whom the dialler met is whom it meant.
fn check_met(shared: &Shared, meant: NodeId, met: &Met, address: &str) -> Result<(), NotShaken> {
    let Member { cluster, node, epoch } = met.member;
    if node != meant || Some(cluster) != shared.member().map(|own| own.cluster) {
        return Err(NotShaken::Refused(format!("{address} is node {node} of the cluster {cluster}")));
    }
    if shared.presence.is_outdated(node, epoch) {
        return Err(NotShaken::Refused(format!(
            "{address} is an older process of node {node} than one already met"
        )));
    }
    Ok(())
}

async fn ping(shared: &Shared, connection: &Connection) {
    loop {
        connection.send(Frame::bare(Kind::Ping, shared.micros()));
        sleep(PING_EVERY).await;
    }
}

pub(super) type Halves = (FrameReader<Source>, Sink, Met, SocketAddr);

/// Connects to an address and shakes hands there.
pub(super) async fn shake_hands(
    shared: &Shared,
    purpose: Purpose,
    to: Option<NodeId>,
    address: &str,
) -> Result<Halves, NotShaken> {
    let late = |_| NotShaken::Io(io::ErrorKind::TimedOut.into());
    let (stream, dialled) = timeout(SHAKE_WITHIN, connect(address)).await.map_err(late)??;
    let from = stream.local_addr()?;
    let shaking = async {
        let (source, mut sink) = socket::dialled(stream, shared.tls.as_ref(), address).await?;
        let mut frames = FrameReader::new(source, HANDSHAKE_MAX_BYTES);
        let member = shared.member();
        let own = Own { secret: shared.secret.bytes(), version: &shared.version, member: member.as_ref() };
        let met = shake::dialler(&own, purpose, to, (dialled, from), &mut frames, &mut sink).await?;
        Ok((frames, sink, met, dialled))
    };
    timeout(SHAKE_WITHIN, shaking).await.map_err(late)?.map_err(NotShaken::explained)
}

async fn connect(address: &str) -> io::Result<(TcpStream, SocketAddr)> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host(address).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok((stream, address)),
            Err(error) => last = error,
        }
    }
    Err(last)
}
