//! The two halves of a connection between nodes.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// What is read from.
pub(super) type Source = Box<dyn AsyncRead + Send + Unpin>;
/// What is written to.
pub(super) type Sink = Box<dyn AsyncWrite + Send + Unpin>;

pub(super) fn dialled(stream: TcpStream) -> io::Result<(Source, Sink)> {
    plain(stream)
}

pub(super) fn accepted(stream: TcpStream) -> io::Result<(Source, Sink)> {
    plain(stream)
}

fn plain(stream: TcpStream) -> io::Result<(Source, Sink)> {
    // A heartbeat must not wait for a frame that would fill its packet.
    stream.set_nodelay(true)?;
    let (source, sink) = stream.into_split();
    Ok((Box::new(source), Box::new(sink)))
}
