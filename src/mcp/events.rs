//! Server-Sent Events: the text of an event, and a body that sends them and stays alive between.

use std::convert::Infallible;
use std::fmt::Write as _;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use tokio::time::{Interval, interval_at};

use crate::limits::MCP_COMMENT_EVERY;
use crate::live::Place;

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// What the client comes back with.
    pub(super) id: Option<String>,
    /// Its kind, if it is not a message.
    pub(super) kind: Option<&'static str>,
    /// After how long a client that loses the stream should come back, in milliseconds.
    pub(super) retry_ms: Option<u64>,
    /// One line, for JSON text has no line breaks.
    pub(super) data: String,
}

impl Event {
    /// A message that is kept nowhere.
    pub(super) fn passing(data: String) -> Self {
        Self { data, ..Self::default() }
    }

    /// A message that a client can come back behind.
    pub(super) fn kept(stream: &str, number: u64, data: String) -> Self {
        Self { id: Some(format!("{stream}-{number}")), ..Self::passing(data) }
    }

    /// The first event of a stream: empty, so that a client can come back before it has seen anything.
    pub(super) fn priming(stream: &str) -> Self {
        Self { retry_ms: Some(1_000), ..Self::kept(stream, 0, String::new()) }
    }

    fn text(&self) -> Bytes {
        let mut text = String::with_capacity(self.data.len() + 64);
        if self.data.is_empty() && self.kind.is_none() {
            // No kind: an empty message is one that no client hands on.
        } else {
            writeln!(text, "event: {}", self.kind.unwrap_or("message")).expect("a string takes all");
        }
        if let Some(id) = &self.id {
            writeln!(text, "id: {id}").expect("a string takes all");
        }
        if let Some(retry_ms) = self.retry_ms {
            writeln!(text, "retry: {retry_ms}").expect("a string takes all");
        }
        text.push_str("data: ");
        text.push_str(&self.data);
        text.push_str("\n\n");
        text.into()
    }
}

/// An answer that is a stream of events.
pub(super) fn answer(events: BoxStream<'static, Event>, place: Option<Place>) -> Response {
    let comments = interval_at(tokio::time::Instant::now() + MCP_COMMENT_EVERY, MCP_COMMENT_EVERY);
    let body = Body::from_stream(stream::unfold((events, comments, place), next));
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

type State = (BoxStream<'static, Event>, Interval, Option<Place>);

async fn next((mut events, mut comments, place): State) -> Option<(Result<Bytes, Infallible>, State)> {
    let text = tokio::select! {
        biased;
        event = events.next() => event?.text(),
        _ = comments.tick() => Bytes::from_static(b":\n\n"),
    };
    Some((Ok(text), (events, comments, place)))
}

/// The stream and number of an event's id.
pub(super) fn parse_id(id: &str) -> Option<(&str, u64)> {
    let (stream, number) = id.rsplit_once('-')?;
    Some((stream, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let check = |event: &Event, text: &str| assert_eq!(event.text(), text.as_bytes());
        check(&Event::passing("{}".to_owned()), "event: message\ndata: {}\n\n");
        check(&Event::kept("a", 7, "{}".to_owned()), "event: message\nid: a-7\ndata: {}\n\n");
        check(&Event::priming("a"), "id: a-0\nretry: 1000\ndata: \n\n");
        let endpoint = Event { kind: Some("endpoint"), ..Event::passing("/x".to_owned()) };
        check(&endpoint, "event: endpoint\ndata: /x\n\n");
    }

    #[test]
    fn ids() {
        assert_eq!(parse_id("a1-7"), Some(("a1", 7)));
        assert_eq!(parse_id("a1"), None);
        assert_eq!(parse_id("a-x"), None);
    }
}
