//! The two halves of a connection between nodes, with TLS or without.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite, split};
use tokio::net::TcpStream;

use crate::network::tcp::tls::Tls;

/// What is read from.
pub(super) type Source = Box<dyn AsyncRead + Send + Unpin>;
/// What is written to.
pub(super) type Sink = Box<dyn AsyncWrite + Send + Unpin>;

/// A connection this node has dialled.
pub(super) async fn dialled(
    stream: TcpStream,
    tls: Option<&Tls>,
    address: &str,
) -> io::Result<(Source, Sink)> {
    // A heartbeat must not wait for a frame that would fill its packet.
    stream.set_nodelay(true)?;
    Ok(match tls {
        Some(tls) => boxed(split(tls.dialled(stream, address).await?)),
        None => boxed(stream.into_split()),
    })
}

/// A connection a peer has dialled.
pub(super) async fn accepted(stream: TcpStream, tls: Option<&Tls>) -> io::Result<(Source, Sink)> {
    stream.set_nodelay(true)?;
    Ok(match tls {
        Some(tls) => boxed(split(tls.accepted(stream).await?)),
        None => boxed(stream.into_split()),
    })
}

fn boxed(
    (source, sink): (impl AsyncRead + Send + Unpin + 'static, impl AsyncWrite + Send + Unpin + 'static),
) -> (Source, Sink) {
    (Box::new(source), Box::new(sink))
}
