//! Bodies that nobody wants are read nevertheless, so that the answer is.
//!
//! A request may be refused before its body was read. Closing the connection then resets it while the
//! client still writes, and the client never sees why it was refused. So what is left of a dropped body
//! is read and thrown away for a while, beside the answer.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use http::header::EXPECT;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

use crate::api::ApiState;

/// How much of an unwanted body is read, in bytes.
const LINGER_MAX_BYTES: usize = 16 * 1024 * 1024;
/// How long an unwanted body is read.
const LINGER: Duration = Duration::from_secs(5);

/// A request's body, read to its end by whoever.
pub(super) struct Lingering {
    body: Option<Incoming>,
    state: ApiState,
}

impl Lingering {
    /// The body of a request with these headers.
    pub(super) fn body(state: &ApiState, headers: &HeaderMap, body: Incoming) -> Body {
        // A client that waits to be asked for its body sends none once it has its answer.
        if body.is_end_stream() || headers.contains_key(EXPECT) {
            return Body::new(body);
        }
        Body::new(Self { body: Some(body), state: state.clone() })
    }
}

impl HttpBody for Lingering {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            self.state.spawn(async {
                // What is not read by then is not waited for.
                drop(tokio::time::timeout(LINGER, throw_away(body)).await);
            });
        }
    }
}

async fn throw_away(mut body: Incoming) {
    let mut left = LINGER_MAX_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let read = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(read) {
            Some(less) => left = less,
            None => return,
        }
    }
}
