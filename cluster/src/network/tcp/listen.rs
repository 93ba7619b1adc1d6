//! The connections that peers dial: accepted, shaken hands with, served.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use crate::map::ClusterId;
use crate::network::tcp::Shared;
use crate::network::tcp::connection::{FRAMES_WAITING_MAX, write};
use crate::network::tcp::dial::SHAKE_WITHIN;
use crate::network::tcp::frame::FrameReader;
use crate::network::tcp::handshake::{HANDSHAKE_MAX_BYTES, Hello, Purpose, Transcript};
use crate::network::tcp::serve::Service;
use crate::network::tcp::shake::{self, NotShaken, Own, say};
use crate::network::{Inbound, JoinError, JoinRequest, Member};

/// Connections that have not shaken hands yet; those beyond it wait to be accepted.
const STRANGERS_MAX: usize = 256;
/// How long somebody who asks to be let in may take to ask, and is waited for to be let in.
const JOIN_WITHIN: std::time::Duration = std::time::Duration::from_secs(15);

/// Accepts connections until the network stops.
pub(super) async fn accept(shared: Arc<Shared>, listener: TcpListener, inbound: Arc<dyn Inbound>) {
    let strangers = Arc::new(Semaphore::new(STRANGERS_MAX));
    loop {
        let Ok(place) = strangers.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => {
                let (shared_too, inbound) = (shared.clone(), inbound.clone());
                shared.tasks.spawn(async move {
                    if let Err(error) = serve(&shared_too, stream, from, inbound, place).await {
                        tracing::debug!(%from, %error, "a connection between nodes was not made");
                    }
                });
            }
            Err(error) => {
                // Out of descriptors, say: those that are open go on.
                tracing::warn!(%error, "a connection of a peer could not be accepted");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve(
    shared: &Arc<Shared>,
    stream: TcpStream,
    from: SocketAddr,
    inbound: Arc<dyn Inbound>,
    place: tokio::sync::OwnedSemaphorePermit,
) -> Result<(), NotShaken> {
    stream.set_nodelay(true)?;
    let at = stream.local_addr()?;
    let (source, mut sink) = stream.into_split();
    let mut frames = FrameReader::new(source, HANDSHAKE_MAX_BYTES);
    let member = shared.member();
    let own = Own { secret: shared.secret.bytes(), version: &shared.version, member: member.as_ref() };
    let judge = |hello: &Hello| judge(shared, member.map(|member| member.cluster), inbound.as_ref(), hello);
    let shaking = shake::listener(&own, (at, from), &mut frames, &mut sink, judge);
    let shaken = timeout(SHAKE_WITHIN, shaking).await;
    let shaken = shaken.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()));
    let (hello, peer) = shaken.inspect_err(|error| {
        if let NotShaken::Refused(reason) = error {
            shared.refuse_stranger(from, reason);
        }
    })?;
    drop(place);
    let Some(peer) = peer else { return Ok(join(shared, &inbound, frames, sink).await?) };
    frames.trust();
    shared.presence.shown(peer.node, peer.epoch);
    shared.dial_now(peer.node);
    shared.metrics.connections.add(1);
    let closed = shared.closing_of(peer.node);
    let standing = (hello.purpose == Purpose::Raft).then(|| shared.presence.stands(peer.node));
    let (outgoing, queued) = mpsc::channel(FRAMES_WAITING_MAX);
    let metrics = shared.metrics.clone();
    let writing = write(sink, queued, closed.clone(), move |bytes| metrics.bytes_sent.add(bytes as u64));
    let service = Service { peer: peer.node, inbound, frames: outgoing, tasks: shared.tasks.clone(), closed };
    let metrics = shared.metrics.clone();
    let serving = service.run(frames, move |frame| metrics.bytes_received.add(frame.payload.len() as u64));
    tokio::join!(writing, serving);
    drop(standing);
    Ok(())
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
    mut frames: FrameReader<OwnedReadHalf>,
    mut sink: OwnedWriteHalf,
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
