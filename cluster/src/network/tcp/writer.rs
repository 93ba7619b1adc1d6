//! Writes what waits for one connection: as much in one write as has gathered, so that the heartbeats of all groups
//! travel together.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::network::tcp::connection::{Ended, ended_by};
use crate::network::tcp::heard::Heard;
use crate::network::tcp::queue::Queued;

/// Bytes gathered into one write; the payload of a larger frame is not copied but written from where it is.
const WRITE_BYTES: usize = 256 * 1024;
/// Frames taken from the queue at once.
const FRAMES_AT_ONCE: usize = 256;
/// How long a write may take no byte before the connection is given up: then the peer or the way to it is dead.
const WRITE_WITHIN: Duration = Duration::from_secs(5);

/// Writes frames as they come until the connection is closed, and then what still waits.
pub(super) async fn write(
    mut sink: impl AsyncWrite + Unpin,
    mut queued: mpsc::Receiver<Queued>,
    closed: CancellationToken,
    heard: &Heard,
    written: impl Fn(usize),
) {
    let mut next = Vec::new();
    loop {
        let count = tokio::select! {
            biased;
            count = queued.recv_many(&mut next, FRAMES_AT_ONCE) => count,
            () = closed.cancelled() => 0,
        };
        if count == 0 {
            break;
        }
        if let Err(error) = write_all(&mut next, &mut sink, heard, &written).await {
            // A peer that closed is for the reader to meet, who tells that from what this side did.
            if ended_by(&error) == Ended::Here {
                closed.cancel();
            }
            return;
        }
    }
    // The other side sees the end; if it cannot be told, it finds out.
    let _ = timeout(WRITE_WITHIN, sink.shutdown()).await;
}

async fn write_all(
    next: &mut Vec<Queued>,
    sink: &mut (impl AsyncWrite + Unpin),
    heard: &Heard,
    written: &impl Fn(usize),
) -> std::io::Result<()> {
    let mut out = BytesMut::new();
    for queued in next.drain(..) {
        let frame = queued.frame;
        if frame.payload.len() < WRITE_BYTES {
            frame.encode(&mut out);
        } else {
            frame.encode_head(&mut out);
            put(&mut out, sink, written).await?;
            // A ping waits behind a large payload, so the silence that follows is not the peer's.
            put(&mut frame.payload.clone(), sink, |bytes| {
                heard.set();
                written(bytes);
            })
            .await?;
        }
        if out.len() >= WRITE_BYTES {
            put(&mut out, sink, written).await?;
        }
    }
    put(&mut out, sink, written).await?;
    within(sink.flush()).await
}

async fn put(
    bytes: &mut impl Buf,
    sink: &mut (impl AsyncWrite + Unpin),
    written: impl Fn(usize),
) -> std::io::Result<()> {
    while bytes.has_remaining() {
        let count = within(sink.write_buf(bytes)).await?;
        if count == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        written(count);
    }
    Ok(())
}

async fn within<T>(writing: impl Future<Output = std::io::Result<T>>) -> std::io::Result<T> {
    timeout(WRITE_WITHIN, writing).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}
