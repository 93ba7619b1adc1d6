//! The handshake as it is carried out on a socket: what `handshake` says, sent and received.

use std::io;
use std::net::SocketAddr;

use bytes::{BufMut, BytesMut};
use rand::RngExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::layout::NodeId;
use crate::network::Member;
use crate::network::tcp::frame::FrameReader;
use crate::network::tcp::handshake::{
    Challenge, Claim, Hello, PROTOCOL, PROTOCOL_MIN, Proof, Purpose, Side, Transcript, Verdict, Welcome,
    decode, encode, hex,
};
use crate::network::tcp::tls;

/// Why two nodes did not come together.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotShaken {
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl NotShaken {
    /// Bytes or a certificate that will not do are a refusal: trying again as it is does not help.
    pub(super) fn explained(self) -> Self {
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                Self::Refused(tls::reason(&error).unwrap_or_else(|| error.to_string()))
            }
            other => other,
        }
    }
}

/// What this side brings to a handshake.
pub(super) struct Own<'a> {
    pub(super) secret: &'a [u8],
    pub(super) version: &'a str,
    pub(super) member: Option<&'a Member>,
}

/// Whom the dialler met.
pub(super) struct Met {
    pub(super) member: Member,
    /// The version of its program.
    pub(super) version: String,
    /// The address dialled is the peer's own socket, with nobody in between.
    pub(super) is_own_socket: bool,
}

/// Shakes hands as the one who dialled.
pub(super) async fn dialler<R: AsyncRead + Unpin>(
    own: &Own<'_>,
    purpose: Purpose,
    to: Option<NodeId>,
    (dialled, from): (SocketAddr, SocketAddr),
    reader: &mut FrameReader<R>,
    sink: &mut (impl AsyncWrite + Unpin),
) -> Result<Met, NotShaken> {
    let mut transcript = Transcript::new(own.secret);
    let hello = Hello {
        stead: "stead".to_owned(),
        protocol: (PROTOCOL_MIN, PROTOCOL),
        version: own.version.to_owned(),
        purpose,
        member: own.member.map(Claim::of),
        to,
        nonce: nonce(),
    };
    say(&hello, &mut transcript, sink).await?;
    let challenge: Challenge = match hear_or_refused(&mut transcript, reader).await? {
        Ok(challenge) => challenge,
        Err(reason) => return Err(NotShaken::Refused(reason)),
    };
    if !(PROTOCOL_MIN..=PROTOCOL).contains(&challenge.protocol) {
        return Err(NotShaken::Refused(format!(
            "it chose the protocol {}, which was not offered",
            challenge.protocol
        )));
    }
    say(&Proof { proof: transcript.proof(Side::Dialler) }, &mut transcript, sink).await?;
    match hear(&mut Transcript::new(own.secret), reader).await? {
        Verdict::Refused { reason } => Err(NotShaken::Refused(reason)),
        Verdict::Welcome { welcome, proof } => {
            transcript.add(&encode(&welcome));
            if !transcript.due(Side::Listener).is(&proof) {
                return Err(NotShaken::Refused("it does not have the cluster's join secret".to_owned()));
            }
            let member = welcome.claim.member().map_err(NotShaken::Refused)?;
            let is_own_socket = is_same(welcome.at, dialled) && is_same(welcome.from, from);
            Ok(Met { member, version: welcome.version, is_own_socket })
        }
    }
}

/// Whether two addresses are one, be the one written as IPv4 in IPv6.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    (one.ip().to_canonical(), one.port()) == (other.ip().to_canonical(), other.port())
}

/// Shakes hands as the one who was dialled. `judge` says whether who has proved the secret is welcome.
pub(super) async fn listener<R: AsyncRead + Unpin>(
    own: &Own<'_>,
    (at, from): (SocketAddr, SocketAddr),
    reader: &mut FrameReader<R>,
    sink: &mut (impl AsyncWrite + Unpin),
    judge: impl FnOnce(&Hello) -> Result<Option<Member>, String>,
) -> Result<(Hello, Option<Member>), NotShaken> {
    let mut transcript = Transcript::new(own.secret);
    let hello: Hello = hear(&mut transcript, reader).await?;
    let (oldest, newest) = hello.protocol;
    if hello.stead != "stead" || newest < PROTOCOL_MIN || oldest > PROTOCOL {
        let reason = format!(
            "version {} speaks protocols {oldest} to {newest}, version {} speaks {PROTOCOL_MIN} to {PROTOCOL}; bring both to the same version",
            hello.version, own.version
        );
        return refuse(reason, &mut transcript, sink).await;
    }
    let challenge = Challenge { protocol: PROTOCOL.min(newest), nonce: nonce() };
    say(&challenge, &mut transcript, sink).await?;
    let due = transcript.due(Side::Dialler);
    let proof: Proof = hear(&mut transcript, reader).await?;
    if !due.is(&proof.proof) {
        let reason = "the join secret is another than this cluster's".to_owned();
        return refuse(reason, &mut transcript, sink).await;
    }
    let Some(member) = own.member else {
        return refuse("this node is still starting".to_owned(), &mut transcript, sink).await;
    };
    if hello.to.is_some_and(|to| to != member.node) {
        let reason = format!("this address is node {}'s", member.node);
        return refuse(reason, &mut transcript, sink).await;
    }
    match judge(&hello) {
        Err(reason) => refuse(reason, &mut transcript, sink).await,
        Ok(peer) => {
            let welcome = Welcome { claim: Claim::of(member), version: own.version.to_owned(), from, at };
            transcript.add(&encode(&welcome));
            let proof = transcript.proof(Side::Listener);
            say(&Verdict::Welcome { welcome, proof }, &mut transcript, sink).await?;
            Ok((hello, peer))
        }
    }
}

async fn refuse<T>(
    reason: String,
    transcript: &mut Transcript<'_>,
    sink: &mut (impl AsyncWrite + Unpin),
) -> Result<T, NotShaken> {
    say(&Verdict::Refused { reason: reason.clone() }, transcript, sink).await?;
    // The other side reads why before it sees the end.
    sink.shutdown().await?;
    Err(NotShaken::Refused(reason))
}

fn nonce() -> String {
    let mut bytes = [0_u8; 16];
    rand::rng().fill(&mut bytes);
    hex(&bytes)
}

/// Sends one message of a handshake, or of joining.
pub(super) async fn say(
    message: &impl Serialize,
    transcript: &mut Transcript<'_>,
    sink: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let message = encode(message);
    transcript.add(&message);
    let mut out = BytesMut::with_capacity(4 + message.len());
    out.put_u32(u32::try_from(message.len()).expect("a message of a handshake is short"));
    out.put_slice(&message);
    sink.write_all(&out).await?;
    sink.flush().await
}

async fn hear<T: DeserializeOwned, R: AsyncRead + Unpin>(
    transcript: &mut Transcript<'_>,
    reader: &mut FrameReader<R>,
) -> io::Result<T> {
    let message = reader.next_bytes().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    transcript.add(&message);
    decode(&message)
}

async fn hear_or_refused<R: AsyncRead + Unpin>(
    transcript: &mut Transcript<'_>,
    reader: &mut FrameReader<R>,
) -> io::Result<Result<Challenge, String>> {
    let message: serde_json::Value = {
        let bytes = reader.next_bytes().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        transcript.add(&bytes);
        decode(&bytes)?
    };
    if let Ok(Verdict::Refused { reason }) = serde_json::from_value(message.clone()) {
        return Ok(Err(reason));
    }
    serde_json::from_value(message)
        .map(Ok)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "no handshake of a peer"))
}
