//! The responses of HTTP that carry what is answered, or why nothing is.

use axum::body::Body;
use axum::response::Response;
use futures_util::stream::{self, StreamExt as _};
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use rmcp::model::{ErrorCode, ErrorData};

use super::events::{self, Event};
use super::failure::rpc_error;
use super::headers::Takes;
use super::reply;
use super::revision::Era;
use crate::error::Error;

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
    let rpc = rpc_error(error);
    json(status, reply::error(None, &rpc, Era::Legacy))
}

/// An error of JSON-RPC that has no request.
pub(super) fn refused(status: StatusCode, code: ErrorCode, message: &'static str) -> Response {
    json(status, reply::error(None, &ErrorData::new(code, message, None), Era::Legacy))
}

/// The session that a request names is not there, or not its caller's.
pub(super) fn no_session() -> Response {
    refused(StatusCode::NOT_FOUND, ErrorCode(-32001), "Session not found")
}

/// The address does not take the method; these it takes.
pub(super) fn refuse_method(allow: &'static str) -> Response {
    let error = ErrorData::new(ErrorCode(-32000), "Method not allowed", None);
    let mut response = json(StatusCode::METHOD_NOT_ALLOWED, reply::error(None, &error, Era::Legacy));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}
