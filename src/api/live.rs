//! Watching one object: WebSocket, or Server-Sent Events for those who ask for them.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::header::CACHE_CONTROL;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use tokio::time::{Interval, interval_at};

use super::ask::{Ask, take_caller};
use super::describe::{ListErrors, LiveHeaders, LiveQuery, ObjectPath};
use super::query::{self, Query};
use super::socket::{self, Opened, PhoenixVersion, Upgrade, native_opening, native_presence_behind};
use super::{ApiState, Place, headers, reply};
use crate::error::{Code, Error};
use crate::live::{Event, LiveUpdate, Opening, Subscription};
use crate::object::{ObjectAddress, Version};
use crate::telemetry::Transport;

const EVENT_STREAM: &str = "text/event-stream";
const LAST_EVENT_ID: &str = "last-event-id";
/// A comment so often keeps proxies from closing an idle stream, and finds clients that are gone.
const COMMENT_EVERY: Duration = Duration::from_secs(15);

/// Watches an object: a WebSocket, or Server-Sent Events for `Accept: text/event-stream`.
#[utoipa::path(get, path = "/v1/objects/{class}/{name}/live", tag = "objects", operation_id = "watch_object",
    params(ObjectPath, LiveQuery, LiveHeaders),
    responses((status = 101, description = "WebSocket"),
        (status = 200, description = "Server-Sent Events: `event` is the frame's type, `id` its version, `data` the frame", body = String, content_type = "text/event-stream"),
        (status = 426, description = "`upgrade_required`: neither WebSocket nor Server-Sent Events asked for", body = super::problem::Problem<'_>, content_type = "application/problem+json"),
        ListErrors))]
pub(super) async fn open(State(api): State<ApiState>, request: Request) -> Result<Response, Error> {
    let (head, _) = request.into_parts();
    let mut ask = Ask::of(head)?;
    let since = since_of(&ask.head)?;
    if !Upgrade::wanted(&ask.head.headers) && headers::accepts(&ask.head.headers, EVENT_STREAM) {
        return events(&api, ask, since).await;
    }
    let upgrade = Upgrade::of(&mut ask.head)?;
    Ok(socket::open(&api, upgrade, Opened::native(ask.caller, ask.address, since)))
}

/// Watches many objects on one WebSocket: a client subscribes with frames, see the documentation of the live frames.
#[utoipa::path(get, path = "/v1/live", tag = "objects", operation_id = "watch_many",
    responses((status = 101, description = "WebSocket"),
        (status = 426, description = "`upgrade_required`: no WebSocket asked for", body = super::problem::Problem<'_>, content_type = "application/problem+json"),
        ListErrors))]
pub(super) async fn open_many(State(api): State<ApiState>, request: Request) -> Result<Response, Error> {
    let (mut head, _) = request.into_parts();
    let caller = take_caller(&mut head);
    let upgrade = Upgrade::of(&mut head)?;
    Ok(socket::open_many(&api, upgrade, caller))
}

/// The channels protocol of Phoenix, on topics `durable_object:{id}`, `object:{class}/{name}` and `feed:{class}`.
#[utoipa::path(get, path = "/socket/websocket", tag = "objects", operation_id = "phoenix_socket",
    params(("vsn" = Option<String>, Query, description = "Version of the protocol: 2.0.0 or 1.0.0, which is taken if none is named")),
    responses((status = 101, description = "WebSocket"),
        (status = 426, description = "`upgrade_required`: no WebSocket asked for", body = super::problem::Problem<'_>, content_type = "application/problem+json"),
        ListErrors))]
pub(super) async fn open_phoenix(State(api): State<ApiState>, request: Request) -> Result<Response, Error> {
    let (mut head, _) = request.into_parts();
    let caller = take_caller(&mut head);
    let mut asked = head.uri.query().into_iter().flat_map(|query| query.split('&'));
    let version =
        PhoenixVersion::parse(asked.find_map(|pair| pair.strip_prefix("vsn="))).ok_or_else(|| {
            Error::new(Code::InvalidRequest, "of the channels protocol, 2.0.0 and 1.0.0 are spoken")
        })?;
    let upgrade = Upgrade::of(&mut head)?;
    Ok(socket::open_phoenix(&api, upgrade, caller, version))
}

/// The last version seen. A stream that is opened again by a browser has the query of the first time,
/// so the header goes first.
fn since_of(head: &Parts) -> Result<Option<Version>, Error> {
    let since = Query::parse(head.uri.query())?.since()?;
    match headers::once(&head.headers, LAST_EVENT_ID)? {
        Some(id) => query::version(id, "Last-Event-ID").map(Some),
        None => Ok(since),
    }
}

async fn events(api: &ApiState, ask: Ask, since: Option<Version>) -> Result<Response, Error> {
    let full = || Error::new(Code::Overloaded, "the node has too many sockets; come back after a pause");
    let place = api.take_socket(Transport::events).ok_or_else(full)?;
    let mut subscription = api.hub().subscribe(&ask.caller, &ask.address, since).await?;
    let opening = subscription.take_opening();
    let opening = opening_text(&ask.address, &opening, subscription.id(), subscription.version());
    let comments = interval_at(tokio::time::Instant::now() + COMMENT_EVERY, COMMENT_EVERY);
    let events =
        Events { address: ask.address, subscription, comments, opening: Some(opening), _place: place };
    let body = Body::from_stream(stream::unfold(events, Events::next));
    let mut response = reply::typed(StatusCode::OK, HeaderValue::from_static(EVENT_STREAM), body);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// An object's updates as a stream of events.
struct Events {
    address: ObjectAddress,
    subscription: Subscription,
    comments: Interval,
    opening: Option<Bytes>,
    _place: Place,
}

impl Events {
    /// The next event's text; the stream ends where a socket would be closed, and the client comes back
    /// with the last id it saw.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if let Some(opening) = self.opening.take() {
            return Some((Ok(opening), self));
        }
        let event = tokio::select! {
            biased;
            event = self.subscription.next() => event,
            _ = self.comments.tick() => return Some((Ok(Bytes::from_static(b":\n\n")), self)),
        };
        let text = match event {
            Event::Update(update) => update_text(&update),
            Event::Presence(presence) => passing_text("presence", presence.native()),
            Event::Signal(signal) => passing_text("signal", signal.native()),
            Event::Reset(opening) => {
                let version = self.subscription.version();
                opening_text(&self.address, &opening, self.subscription.id(), version)
            }
            Event::TooSlow { .. } | Event::GoingAway { .. } => return None,
        };
        Some((Ok(text), self))
    }
}

/// Its id is the version passed so far: before the missed updates that is less than the object's.
fn opening_text(address: &ObjectAddress, opening: &Opening, own_id: &str, passed: Version) -> Bytes {
    let kind = match opening {
        Opening::Init { .. } => "init",
        Opening::Resumed { .. } => "resumed",
    };
    let mut text = event_text(kind, passed, &native_opening(address, opening, own_id)).to_vec();
    if let Some(presence) = native_presence_behind(opening) {
        text.extend_from_slice(&passing_text("presence", &presence));
    }
    text.into()
}

fn update_text(update: &LiveUpdate) -> Bytes {
    let kind = if update.deleted_object { "deleted" } else { "update" };
    event_text(kind, update.version, update.native())
}

/// An event that has no id, for nothing of it is kept.
fn passing_text(kind: &str, frame: &[u8]) -> Bytes {
    let mut text = format!("event: {kind}\ndata: ").into_bytes();
    text.extend_from_slice(frame);
    text.extend_from_slice(b"\n\n");
    text.into()
}

/// JSON text has no line breaks, so the data is one line.
fn event_text(kind: &str, version: Version, frame: &[u8]) -> Bytes {
    let mut text = format!("event: {kind}\nid: {version}\ndata: ").into_bytes();
    text.extend_from_slice(frame);
    text.extend_from_slice(b"\n\n");
    text.into()
}
