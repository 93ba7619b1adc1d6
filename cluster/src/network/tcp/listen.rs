//! The connections that peers dial: accepted, shaken hands with, served.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use crate::map::ClusterId;
use crate::network::tcp::Shared;
use crate::network::tcp::connection::Ended;
use crate::network::tcp::dial::SHAKE_WITHIN;
use crate::network::tcp::frame::FrameReader;
use crate::network::tcp::handshake::{HANDSHAKE_MAX_BYTES, Hello, Purpose, Transcript};
use crate::network::tcp::queue::queue;
use crate::network::tcp::serve::Service;
use crate::network::tcp::shake::{self, NotShaken, Own, say};
use crate::network::tcp::socket::{self, Sink, Source};
use crate::network::tcp::writer::write;
use crate::network::{Inbound, JoinError, JoinRequest, Member};

/// Connections that have not shaken hands yet; those beyond it wait to be accepted.
const STRANGERS_MAX: usize = 256;
/// How long somebody who asks to be let in may take to ask, and is waited for to be let in.
const JOIN_WITHIN: Duration = Duration::from_secs(15);
/// The pause after a connection could not be accepted: out of descriptors, say; those that are open go on.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Accepts connections until the network stops.
pub(super) async fn accept(shared: Arc<Shared>, listener: TcpListener, inbound: Arc<dyn Inbound>) {
    let strangers = Arc::new(Semaphore::new(STRANGERS_MAX));
    loop {
        let accepting = async {
            let place = strangers.clone().acquire_owned().await.expect("it is never closed");
            listener.accept().await.map(|(stream, from)| (stream, from, place))
        };
        let accepted = tokio::select! {
            biased;
            () = shared.leaving.cancelled() => return,
            accepted = accepting => accepted,
        };
        match accepted {
            Ok((stream, from, place)) => {
                let (shared_too, inbound) = (shared.clone(), inbound.clone());
                shared.tasks.spawn(async move {
                    if let Err(error) = serve(&shared_too, stream, from, inbound, place).await {
                        tracing::debug!(%from, %error, "a connection between nodes was not made");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection of a peer could not be accepted");
                sleep(AGAIN_AFTER).await;
            }
        }
    }
}

async fn serve(
    shared: &Arc<Shared>,
    stream: TcpStream,
    from: SocketAddr,
    inbound: Arc<dyn Inbound>,
    place: OwnedSemaphorePermit,
) -> Result<(), NotShaken> {
    let (frames, sink, hello, peer) = shake_hands(shared, stream, from, inbound.as_ref()).await?;
    drop(place);
    match peer {
        Some(peer) => serve_peer(shared, peer, hello.purpose, frames, sink, inbound).await,
        None => join(shared, &inbound, frames, sink).await?,
    }
    Ok(())
}

type Halves = (FrameReader<Source>, Sink, Hello, Option<Member>);

async fn shake_hands(
    shared: &Shared,
    stream: TcpStream,
    from: SocketAddr,
    inbound: &dyn Inbound,
) -> Result<Halves, NotShaken> {
    let at = stream.local_addr()?;
    let member = shared.member();
    let own = Own { secret: shared.secret.bytes(), version: &shared.version, member: member.as_ref() };
    let judge = |hello: &Hello| judge(shared, member.map(|member| member.cluster), inbound, hello);
    let shaking = async {
        let (source, mut sink) = socket::accepted(stream, shared.tls.as_ref()).await?;
        let mut frames = FrameReader::new(source, HANDSHAKE_MAX_BYTES);
        let (hello, peer) = shake::listener(&own, (at, from), &mut frames, &mut sink, judge).await?;
        Ok((frames, sink, hello, peer))
    };
    let late = |_| NotShaken::Io(std::io::ErrorKind::TimedOut.into());
    let shaken = tokio::select! {
        biased;
        () = shared.stop.cancelled() => Err(NotShaken::Io(std::io::ErrorKind::Interrupted.into())),
        shaken = timeout(SHAKE_WITHIN, shaking) => shaken.map_err(late)?,
    };
    shaken.map_err(NotShaken::explained).inspect_err(|error| {
        if let NotShaken::Refused(reason) = error {
            shared.refuse_stranger(from, reason);
        }
    })
}

/// Serves a peer until its connection ends.
async fn serve_peer(
    shared: &Shared,
    peer: Member,
    purpose: Purpose,
    mut frames: FrameReader<Source>,
    sink: Sink,
    inbound: Arc<dyn Inbound>,
) {
    frames.trust();
    shared.presence.shown(peer.node, peer.epoch);
    shared.dial_now(peer.node);
    shared.metrics.connections.add(1);
    let closed = shared.gone(peer.node).child_token();
    let standing = (purpose == Purpose::Raft).then(|| shared.presence.stands(peer.node));
    let (outgoing, queued) = queue();
    let (heard, metrics) = (frames.heard(), &shared.metrics);
    let writing = write(sink, queued, closed.clone(), &heard, |bytes| metrics.bytes_sent.add(bytes as u64));
    let (tasks, leaving) = (shared.tasks.clone(), shared.leaving.clone());
    let service = Service { peer: peer.node, inbound, outgoing, tasks, leaving, closed };
    let _served = shared.served.token();
    let serving = async {
        let ended = service.run(frames, |frame| metrics.bytes_received.add(frame.payload.len() as u64)).await;
        drop(standing);
        if ended == Ended::ByPeer {
            shared.may_have_ended(peer.node, peer.epoch).await;
        }
    };
    tokio::join!(writing, serving);
}

/// Whether who has proved the secret is welcome; who it is.
fn judge(
    shared: &Shared,
    own: Option<ClusterId>,
    inbound: &dyn Inbound,
    hello: &Hello,
) -> Result<Option<Member>, String> {
    let Some(claim) = &hello.member else {
        return if hello.purpose == Purpose::Join {
            Ok(None)
        } else {
            Err("it does not say who it is".to_owned())
        };
    };
    let peer = claim.member()?;
    if Some(peer.cluster) != own {
        return Err(format!(
            "it is of the cluster {}, this is the cluster {}",
            peer.cluster,
            own.map(|own| own.to_string()).unwrap_or_default()
        ));
    }
    if shared.presence.is_outdated(peer.node, peer.epoch) {
        return Err(format!(
            "a newer process of node {} has been here: two processes run on copies of one data directory; end one of \
             them, and start it with an empty data directory",
            peer.node
        ));
    }
    inbound.admit(&peer).inspect_err(|reason| shared.presence.refused(peer.node, reason))?;
    Ok(if hello.purpose == Purpose::Join { None } else { Some(peer) })
}

/// Somebody asks to be let in.
async fn join(
    shared: &Shared,
    inbound: &Arc<dyn Inbound>,
    mut frames: FrameReader<Source>,
    mut sink: Sink,
) -> std::io::Result<()> {
    let joining = async {
        let asked = frames.next_bytes().await?.ok_or(std::io::ErrorKind::UnexpectedEof)?;
        let request: JoinRequest = super::handshake::decode(&asked)?;
        tracing::info!(address = %request.peer_address, "a node asks to join");
        let joined = inbound.join(request).await;
        if let Err(JoinError::Refused(reason)) = &joined {
            tracing::warn!(reason, "a node was not let in");
        }
        say(&joined, &mut Transcript::new(shared.secret.bytes()), &mut sink).await
    };
    timeout(JOIN_WITHIN, joining).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}
