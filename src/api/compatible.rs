//! The API of the original worker, for clients that were written for it.
//!
//! It answers as the worker did: path parts are names as they stand, content types do not matter,
//! errors are text or `{"success":false,…}`, and every 2xx has a JSON body. It parses its own paths and
//! is the router's fallback, for a state key may contain slashes.

mod fault;
mod handlers;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::ALLOW;
use http::{HeaderValue, Method, StatusCode};

use super::path::{self, Compatible};
use super::{ApiState, reply};
use crate::error::{Code, Error};

pub(super) use handlers::Description;

use handlers::Incoming;

/// First parts of paths that the native surfaces own or reserve; all else is the worker's 404.
const NATIVE: [&str; 17] = [
    "v1",
    "mcp",
    "socket",
    "oauth",
    "login",
    "logout",
    "apps",
    "hooks",
    "health",
    "ready",
    "livez",
    "metrics",
    "stats",
    "openapi.json",
    ".well-known",
    "",
    "*",
];

/// Answers what no native route took.
pub(super) async fn fallback(State(api): State<ApiState>, request: Request) -> Response {
    let uri = request.uri().clone();
    let Some(path) = Compatible::parse(uri.path()) else {
        return nowhere(uri.path());
    };
    if !path.takes(request.method().as_str()) {
        let mut response = reply::text(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(path.allow()));
        return response;
    }
    let method = request.method().clone();
    let (head, body) = request.into_parts();
    let incoming = Incoming::of(&api, head);
    let answered = match path {
        Compatible::Initialize { id } => handlers::initialize(incoming, body, id).await,
        Compatible::State { id } => handlers::get_state(incoming, id).await,
        Compatible::Key { id, key } if method == Method::GET => handlers::get_key(incoming, id, key).await,
        Compatible::Key { id, key } if method == Method::PUT => {
            handlers::put_key(incoming, body, id, key).await
        }
        Compatible::Key { id, key } => handlers::delete_key(incoming, id, key).await,
        Compatible::Method { id, method } => handlers::call_method(incoming, body, id, method).await,
        Compatible::Socket { id } => handlers::open_socket(incoming, id),
        Compatible::Namespace { namespace, name } => Ok(handlers::get_id(namespace, name)),
    };
    answered.unwrap_or_else(IntoResponse::into_response)
}

fn nowhere(path: &str) -> Response {
    if NATIVE.contains(&path::part(path, 0)) {
        return Error::new(Code::NotFound, format!("there is nothing at {path:?}")).into_response();
    }
    reply::text(StatusCode::NOT_FOUND, "Not found")
}
