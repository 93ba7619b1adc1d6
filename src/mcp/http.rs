//! The address of MCP: what comes in by POST, GET and DELETE, and to which era it belongs.

mod body;
mod sse;

use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{any, get, post};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use http::header::{ALLOW, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use rmcp::model::{ErrorCode, ErrorData};

use super::events::{self, Event};
use super::headers::{self, Takes};
use super::message::{self, Incoming, Malformed};
use super::revision::{self, Era};
use super::{Mcp, legacy, modern, reply};
use crate::caller::Caller;
use crate::error::{Code, Error};
use crate::live::Place;
use crate::telemetry::Transport;

/// What there is of a request beside its message.
pub(super) struct Ask {
    pub(super) headers: HeaderMap,
    pub(super) caller: Caller,
    pub(super) takes: Takes,
    pub(super) body: Bytes,
}

pub(super) fn router(mcp: &Mcp) -> Router {
    Router::new()
        .route("/mcp", any(endpoint))
        .route("/mcp/initialize", post(posted).fallback(only_post))
        .route("/mcp/sse", get(sse::open).fallback(only_get))
        .route("/mcp/messages", post(sse::posted).fallback(only_post))
        .with_state(mcp.clone())
}

async fn endpoint(state: State<Mcp>, request: Request) -> Response {
    match *request.method() {
        Method::POST => posted(state, request).await,
        Method::GET => legacy::resume(state.0, split(request).0).await,
        Method::DELETE => legacy::end(state.0, split(request).0).await,
        _ => refuse_method("GET, POST, DELETE"),
    }
}

async fn only_post() -> Response {
    refuse_method("POST")
}

async fn only_get() -> Response {
    refuse_method("GET")
}

async fn posted(State(mcp): State<Mcp>, request: Request) -> Response {
    let ask = match take(&mcp, request).await {
        Ok(ask) => ask,
        Err(refusal) => return refusal,
    };
    if !(ask.takes.json || ask.takes.events) {
        let error = ErrorData::invalid_request(
            "Not Acceptable: answers are application/json or text/event-stream; Accept takes neither",
            None,
        );
        return json(StatusCode::NOT_ACCEPTABLE, reply::error(None, &error, Era::Legacy));
    }
    let era = era_of_headers(&ask.headers);
    match message::parse(&ask.body) {
        Err(Malformed { id, error }) | Ok(message::Body::One(Err(Malformed { id, error }))) => {
            json(StatusCode::BAD_REQUEST, reply::error(id.as_ref(), &error, era))
        }
        Ok(message::Body::One(Ok(incoming))) => one(mcp, ask, era, incoming).await,
        Ok(message::Body::Many(_)) if era == Era::Modern => {
            let error = ErrorData::invalid_request("a body is one message in this revision", None);
            json(StatusCode::BAD_REQUEST, reply::error(None, &error, era))
        }
        Ok(message::Body::Many(messages)) => legacy::batch(mcp, ask, messages).await,
    }
}

async fn one(mcp: Mcp, ask: Ask, era: Era, incoming: Incoming) -> Response {
    match incoming {
        Incoming::Request(request) if era == Era::Modern || modern::is_marked(&request) => {
            modern::answer(mcp, ask, request).await
        }
        // The newest revision has no notifications of clients over HTTP; one that is sent all the same is let go by.
        Incoming::Notification { .. } if era == Era::Modern => accepted(),
        Incoming::Answer { id, .. } if era == Era::Modern => {
            let error = ErrorData::invalid_request("this revision has no answers of clients", None);
            json(StatusCode::BAD_REQUEST, reply::error(Some(&id), &error, era))
        }
        incoming => legacy::answer(mcp, ask, incoming).await,
    }
}

/// A revision that has no handshake, or that nobody knows, is the newest's business.
fn era_of_headers(headers: &HeaderMap) -> Era {
    match headers::text(headers, headers::PROTOCOL_VERSION) {
        Some(version) if !revision::LEGACY.contains(&version) => Era::Modern,
        _ => Era::Legacy,
    }
}

fn split(request: Request) -> (Ask, Body) {
    let (head, body) = request.into_parts();
    let Parts { headers, mut extensions, .. } = head;
    let caller = extensions.remove::<Caller>().expect("the front gives every request its caller");
    let takes = Takes::of(&headers);
    (Ask { headers, caller, takes, body: Bytes::new() }, body)
}

/// The request with its body, or why it is not taken.
async fn take(mcp: &Mcp, request: Request) -> Result<Ask, Response> {
    let (mut ask, body) = split(request);
    if headers::is_other_content(&ask.headers) {
        return Err(failed(&Error::new(Code::UnsupportedMediaType, "send the body as application/json")));
    }
    ask.body = body::read(&ask.headers, body, mcp.body_timeout()).await.map_err(|error| failed(&error))?;
    Ok(ask)
}

/// An answer in JSON, or as the one event of a stream for clients that take nothing else.
pub(super) fn single(takes: Takes, status: StatusCode, text: String) -> Response {
    if takes.json {
        return json(status, text);
    }
    let mut response = events::answer(stream::iter([Event::passing(text)]).boxed(), None);
    *response.status_mut() = status;
    response
}

pub(super) fn json(status: StatusCode, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

pub(super) fn accepted() -> Response {
    empty(StatusCode::ACCEPTED)
}

pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// An error that is of HTTP, as an error of JSON-RPC with the status that HTTP has for it.
pub(super) fn failed(error: &Error) -> Response {
    let status = StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let rpc = super::failure::rpc_error(error);
    json(status, reply::error(None, &rpc, Era::Legacy))
}

/// An error of JSON-RPC that has no request.
pub(super) fn refused(status: StatusCode, code: ErrorCode, message: &'static str) -> Response {
    json(status, reply::error(None, &ErrorData::new(code, message, None), Era::Legacy))
}

pub(super) fn refuse_method(allow: &'static str) -> Response {
    let error = ErrorData::new(ErrorCode(-32000), "Method not allowed", None);
    let mut response = json(StatusCode::METHOD_NOT_ALLOWED, reply::error(None, &error, Era::Legacy));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

/// A place for a stream.
pub(super) fn place(mcp: &Mcp) -> Result<Place, Error> {
    let full = || Error::new(Code::Overloaded, "the node has too many streams; come back after a pause");
    mcp.sockets().take(Transport::mcp).ok_or_else(full)
}

/// The same caller for what may take long.
pub(super) fn patient(caller: &Caller) -> Caller {
    caller.until(Instant::now() + crate::limits::MCP_CALL_MAX)
}
