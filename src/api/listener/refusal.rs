//! What hyper refuses before there is a request, answered as everything else is.
//!
//! hyper answers a head that it cannot parse by itself, with a status and nothing more. That answer is
//! taken out of the stream of bytes here, and a problem is written in its place. It is told apart by
//! its form: a head alone, without the request id that every answer of ours has.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::api::front::fresh_request_id;
use crate::api::problem::{PROBLEM_JSON, Problem};
use crate::error::{Code, Error};

/// Longest head that can be hyper's own, in bytes.
const BARE_MAX_BYTES: usize = 256;
/// What a client sends first that takes HTTP/2 for granted.
const HTTP_2: &[u8] = b"PRI * HTTP/2.0";
/// What of a refused request is read and thrown away, so that no reset overtakes the answer, in bytes.
const THROWN_AWAY_MAX_BYTES: usize = 1024 * 1024;

/// A connection's bytes, with hyper's own answers taken out.
pub(super) struct Watched {
    stream: TokioIo<TcpStream>,
    refused: Option<u16>,
}

impl Watched {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream: TokioIo::new(stream), refused: None }
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut TokioIo<TcpStream>> {
        Pin::new(&mut self.get_mut().stream)
    }

    /// Answers what hyper refused, and closes.
    pub(super) async fn answer(self, timed_out: bool, unread: &Bytes) {
        let error = match self.refused {
            // Nothing came: an idle connection just ends.
            None if unread.starts_with(HTTP_2) => {
                Error::new(Code::InvalidRequest, "this server speaks HTTP/1.1, not HTTP/2")
            }
            None if !timed_out || unread.is_empty() => return,
            None => Error::new(Code::RequestTimeout, "the headers did not arrive in time"),
            Some(414) => too_long(),
            // The first line alone filled the room that there is for a head.
            Some(431) if !unread.contains(&b'\n') && !unread.is_empty() => too_long(),
            Some(431) => Error::new(Code::HeadersTooLarge, "the headers are too many or too large"),
            Some(_) => Error::new(Code::InvalidRequest, "this is not HTTP/1.1 as RFC 9112 has it"),
        };
        let mut stream = self.stream.into_inner();
        if stream.write_all(text_of(&error).as_bytes()).await.is_err() || stream.shutdown().await.is_err() {
            return;
        }
        let mut thrown_away = [0; 4096];
        let mut left = THROWN_AWAY_MAX_BYTES;
        while let Ok(read @ 1..) = stream.read(&mut thrown_away).await {
            match left.checked_sub(read) {
                Some(less) => left = less,
                None => return,
            }
        }
    }
}

fn too_long() -> Error {
    Error::new(Code::UriTooLong, "the path and query are too long")
}

fn text_of(error: &Error) -> String {
    let body = serde_json::to_string(&Problem::of(error)).expect("texts and numbers have a form in JSON");
    let reason = crate::api::problem::status(error.code);
    format!(
        "HTTP/1.1 {reason}\r\ncontent-type: {PROBLEM_JSON}\r\nx-request-id: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        fresh_request_id(),
        body.len(),
    )
}

/// The status of an answer that hyper made by itself.
fn bare_status(bytes: &[u8]) -> Option<u16> {
    if bytes.len() > BARE_MAX_BYTES {
        return None;
    }
    let head = std::str::from_utf8(bytes).ok()?.strip_suffix("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let refusal = (400..500).contains(&status) && !head.to_ascii_lowercase().contains("x-request-id");
    refusal.then_some(status)
}

impl Read for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(context, buffer)
    }
}

impl Write for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(status) = bare_status(bytes) {
            self.refused = Some(status);
            return Poll::Ready(Ok(bytes.len()));
        }
        self.stream().poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = slices
            && let Some(status) = bare_status(only)
        {
            self.refused = Some(status);
            return Poll::Ready(Ok(only.len()));
        }
        self.stream().poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.refused.is_some() {
            // The answer in its place is still to come.
            return Poll::Ready(Ok(()));
        }
        self.stream().poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hypers_own_answers_are_taken_out() {
        let bare = "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\ndate: x\r\n\r\n";
        assert_eq!(bare_status(bare.as_bytes()), Some(431));
        for other in [
            "HTTP/1.1 404 Not Found\r\nx-request-id: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\n\r\nbody",
            "{}",
            "",
        ] {
            assert_eq!(bare_status(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn a_refusal_is_an_answer() {
        let text = text_of(&too_long());
        assert!(
            text.starts_with("HTTP/1.1 414 URI Too Long\r\ncontent-type: application/problem+json\r\n"),
            "{text}"
        );
        assert!(text.ends_with(r#""code":"uri_too_long","retry":"never"}"#), "{text}");
    }
}
