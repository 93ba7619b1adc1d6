//! The address of MCP: what comes in by POST, GET and DELETE, and to which era it belongs.

mod sse;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{any, get, post};
use http::{HeaderMap, Method, StatusCode};
use rmcp::model::ErrorData;

use super::ask::Ask;
use super::headers;
use super::message::{self, Incoming, Malformed};
use super::response::{accepted, failed, json, refuse_method};
use super::revision::{self, Era};
use super::{Mcp, legacy, modern, reply};

impl Mcp {
    /// Its routes, to be merged with those of other surfaces.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/mcp", any(endpoint))
            .route("/mcp/initialize", post(posted).fallback(only_post))
            .route("/mcp/sse", get(sse::open).fallback(only_get))
            .route("/mcp/messages", post(sse::posted).fallback(only_post))
            .with_state(self.clone())
    }
}

async fn endpoint(state: State<Mcp>, request: Request) -> Response {
    match *request.method() {
        Method::POST => posted(state, request).await,
        Method::GET => legacy::resume(state.0, Ask::of_head(request)).await,
        Method::DELETE => legacy::end(state.0, Ask::of_head(request)).await,
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
    let ask = match Ask::whole(&mcp, request).await {
        Ok(ask) => ask,
        Err(error) => return failed(&error),
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
