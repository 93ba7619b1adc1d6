//! Answers: JSON written by hand around values that are JSON text already.

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, ETAG};
use http::{HeaderName, HeaderValue, StatusCode};

use super::headers::STEAD_VERSION;
pub(super) use crate::object::text::{Fields as Object, array};
use crate::object::value::write_string;
use crate::object::{Key, ObjectAddress, Value, Version};

static VERSION_HEADER: HeaderName = HeaderName::from_static(STEAD_VERSION);

/// An answer in JSON.
pub(super) fn json(status: StatusCode, body: String) -> Response {
    typed(status, HeaderValue::from_static("application/json"), body.into())
}

/// An answer in plain text.
pub(super) fn text(status: StatusCode, body: impl Into<Body>) -> Response {
    typed(status, HeaderValue::from_static("text/plain; charset=utf-8"), body.into())
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// An answer of some media type.
pub(super) fn typed(status: StatusCode, media_type: HeaderValue, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}

/// Adds the object's version after the turn.
pub(super) fn at_version(mut response: Response, version: Version) -> Response {
    response.headers_mut().insert(VERSION_HEADER.clone(), HeaderValue::from(version.0));
    response
}

/// Adds the version as the tag that `If-Match` takes.
pub(super) fn tagged(mut response: Response, version: Version) -> Response {
    let tag = HeaderValue::from_str(&format!("\"{version}\"")).expect("digits in quotes make a header");
    response.headers_mut().insert(ETAG, tag);
    response
}

/// The field that names an object in frames and updates: `"object":"class/name"`.
pub(super) fn object_field(address: &ObjectAddress) -> String {
    let mut text = String::from("\"object\":");
    write_string(&format!("{}/{}", address.class(), address.name()), &mut text);
    text
}

/// The JSON object of a state.
pub(super) fn state(entries: &[(Key, Value)]) -> String {
    crate::object::value::object_text(entries.iter().map(|(key, value)| (key, value)))
}
