//! The connections this node dials to one peer: made, kept up, made again.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rand::RngExt;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::layout::NodeId;
use crate::network::tcp::Shared;
use crate::network::tcp::connection::{Connection, Ended, write};
use crate::network::tcp::frame::{Frame, FrameReader, Kind};
use crate::network::tcp::handshake::{HANDSHAKE_MAX_BYTES, Purpose};
use crate::network::tcp::heard::Heard;
use crate::network::tcp::shake::{self, Met, NotShaken, Own};

/// The first pause before a peer is dialled again; each next one is twice as long.
const AGAIN_FIRST: Duration = Duration::from_millis(20);
/// The longest pause.
const AGAIN_MAX: Duration = Duration::from_secs(1);
/// How long connecting and shaking hands may take, each.
pub(super) const SHAKE_WITHIN: Duration = Duration::from_secs(3);
/// Between two pings on a connection.
const PING_EVERY: Duration = Duration::from_secs(1);
/// A connection on which nothing was heard for so long, though it was pinged, is given up.
const SILENCE_MAX: Duration = Duration::from_secs(4);
/// Tries to connect to a port whose process has closed its connection, and the pause between them: the port of a
/// process that dies may close a moment after the connection.
const PROBES: u32 = 10;
const PROBE_EVERY: Duration = Duration::from_millis(5);
/// How long one such try may take.
const PROBE_WITHIN: Duration = Duration::from_millis(100);

/// One other node, and the connections to it.
pub(super) struct Peer {
    pub(super) node: NodeId,
    address: Mutex<String>,
    raft: Mutex<Option<Arc<Connection>>>,
    calls: Mutex<Option<Arc<Connection>>>,
    /// Dial now: the address is another, or the peer has just dialled this node.
    pub(super) wake: Notify,
    pub(super) gone: CancellationToken,
}

impl Peer {
    pub(super) fn new(node: NodeId, address: String, gone: CancellationToken) -> Self {
        let address = Mutex::new(address);
        Self { node, address, raft: Mutex::default(), calls: Mutex::default(), wake: Notify::new(), gone }
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
                if let NotShaken::Refused(reason) = &error {
                    shared.presence.refused(peer.node, reason);
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
    let (mut frames, mut sink, met, dialled) = shake_hands(shared, purpose, Some(peer.node), address).await?;
    if met.member.node != peer.node || Some(met.member.cluster) != shared.member().map(|own| own.cluster) {
        return Err(NotShaken::Refused(format!(
            "{address} is node {} of the cluster {}",
            met.member.node, met.member.cluster
        )));
    }
    frames.trust();
    shared.presence.shown(peer.node, met.member.epoch);
    let closed = peer.gone.child_token();
    let (connection, outgoing) = Connection::new(closed.clone());
    *peer.slot(purpose).lock() = Some(connection.clone());
    let standing = (purpose == Purpose::Raft).then(|| shared.presence.stands(peer.node));
    shared.metrics.connections.add(1);

    let heard = Heard::now();
    let metrics = shared.metrics.clone();
    let writing =
        write(&mut sink, outgoing, closed.clone(), move |bytes| metrics.bytes_sent.add(bytes as u64));
    let reading = connection.read(frames, |frame| {
        heard.set();
        shared.metrics.bytes_received.add(frame.payload.len() as u64);
        if frame.kind == Kind::Pong {
            shared.presence.round_trip(peer.node, shared.micros().saturating_sub(frame.id));
        }
    });
    let pinging = ping(shared, &connection, &heard, purpose);
    let ((), ended) = tokio::join!(writing, async {
        tokio::select! {
            biased;
            ended = reading => ended,
            () = pinging => Ended::Here,
        }
    });
    connection.close();
    peer.slot(purpose).lock().take();
    if ended == Ended::ByPeer && met.is_own_socket && is_refused(dialled).await {
        shared.presence.has_ended(peer.node, met.member.epoch);
    }
    drop(standing);
    Ok(())
}

/// Pings; ends when nothing was heard for too long.
async fn ping(shared: &Shared, connection: &Connection, heard: &Heard, purpose: Purpose) {
    loop {
        if purpose == Purpose::Raft || heard.elapsed() > PING_EVERY {
            connection.send(Frame::bare(Kind::Ping, shared.micros()));
        }
        sleep(PING_EVERY).await;
        if heard.elapsed() > SILENCE_MAX {
            return;
        }
    }
}

/// Whether nothing listens at an address any more. Only a refusal says so: a timeout, or any other error, does not.
async fn is_refused(address: SocketAddr) -> bool {
    for _ in 0..PROBES {
        match timeout(PROBE_WITHIN, TcpStream::connect(address)).await {
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => return true,
            Ok(Ok(_)) => sleep(PROBE_EVERY).await,
            Ok(Err(_)) | Err(_) => return false,
        }
    }
    false
}

pub(super) type Halves = (FrameReader<OwnedReadHalf>, OwnedWriteHalf, Met, SocketAddr);

/// Connects to an address and shakes hands there.
pub(super) async fn shake_hands(
    shared: &Shared,
    purpose: Purpose,
    to: Option<NodeId>,
    address: &str,
) -> Result<Halves, NotShaken> {
    let late = || NotShaken::Io(io::ErrorKind::TimedOut.into());
    let connected = timeout(SHAKE_WITHIN, connect(address)).await.map_err(|_| late())??;
    let (stream, dialled) = connected;
    let from = stream.local_addr()?;
    let (source, mut sink) = stream.into_split();
    let mut frames = FrameReader::new(source, HANDSHAKE_MAX_BYTES);
    let member = shared.member();
    let own = Own { secret: shared.secret.bytes(), version: &shared.version, member: member.as_ref() };
    let shaking = shake::dialler(&own, purpose, to, (dialled, from), &mut frames, &mut sink);
    let met = timeout(SHAKE_WITHIN, shaking).await.map_err(|_| late())??;
    Ok((frames, sink, met, dialled))
}

async fn connect(address: &str) -> io::Result<(TcpStream, SocketAddr)> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host(address).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok((stream, address));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
