//! Answers: JSON written by hand around values that are JSON text already.

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, ETAG};
use http::{HeaderName, HeaderValue, StatusCode};

use super::headers::STEAD_VERSION;
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

/// Bytes of most answers, at most.
const USUAL_BYTES: usize = 256;

/// A JSON object under construction.
pub(super) struct Object(String);

impl Object {
    pub(super) fn new() -> Self {
        // Room for most answers, which thus are written without moving them.
        let mut text = String::with_capacity(USUAL_BYTES);
        text.push('{');
        Self(text)
    }

    /// A field whose value is JSON text already.
    pub(super) fn raw(mut self, name: &str, json: &str) -> Self {
        self.name(name);
        self.0.push_str(json);
        self
    }

    /// A field that is a text.
    pub(super) fn text(mut self, name: &str, text: &str) -> Self {
        self.name(name);
        write_string(text, &mut self.0);
        self
    }

    /// A field that is a number, a boolean, or anything else that writes itself as JSON does.
    pub(super) fn number(mut self, name: &str, number: impl std::fmt::Display) -> Self {
        use std::fmt::Write as _;
        self.name(name);
        write!(self.0, "{number}").expect("writing to a string does not fail");
        self
    }

    /// A field that is a text or `null`.
    pub(super) fn text_or_null(self, name: &str, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text(name, text),
            None => self.raw(name, "null"),
        }
    }

    pub(super) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push('"');
        // The names are ours: words that need no escapes.
        self.0.push_str(name);
        self.0.push_str("\":");
    }
}

/// A JSON array of texts that are JSON already.
pub(super) fn array(items: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut text = String::from("[");
    for item in items {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(item.as_ref());
    }
    text.push(']');
    text
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_json() {
        let text =
            Object::new().text("a", "x\"\n").number("b", 3).raw("c", "[1]").text_or_null("d", None).end();
        assert_eq!(text, r#"{"a":"x\"\n","b":3,"c":[1],"d":null}"#);
        assert_eq!(Object::new().end(), "{}");
        assert_eq!(array(["1", "{}"]), "[1,{}]");
    }
}
