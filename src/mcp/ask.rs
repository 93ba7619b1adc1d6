//! What HTTP brings beside a message: who asks, the headers, the body as it came.

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http::HeaderMap;
use http::request::Parts;

use super::Mcp;
use super::headers::{self, Takes};
use crate::caller::Caller;
use crate::error::{Code, Error};
use crate::incoming;

/// What there is of a request beside its message.
pub(super) struct Ask {
    pub(super) headers: HeaderMap,
    pub(super) caller: Caller,
    pub(super) takes: Takes,
    pub(super) body: Bytes,
}

impl Ask {
    /// Of a request whose body is not read.
    pub(super) fn of_head(request: Request) -> Self {
        split(request).0
    }

    /// Of a request whose body is read.
    ///
    /// # Errors
    /// The body is declared to be no JSON, is too large, or does not arrive.
    pub(super) async fn whole(mcp: &Mcp, request: Request) -> Result<Self, Error> {
        let (mut ask, body) = split(request);
        if headers::is_other_content(&ask.headers) {
            return Err(Error::new(Code::UnsupportedMediaType, "send the body as application/json"));
        }
        ask.body = incoming::body(&ask.headers, body, mcp.body_timeout()).await?;
        Ok(ask)
    }
}

fn split(request: Request) -> (Ask, Body) {
    let (head, body) = request.into_parts();
    let Parts { headers, mut extensions, .. } = head;
    let caller = extensions.remove::<Caller>().expect("the front gives every request its caller");
    let takes = Takes::of(&headers);
    (Ask { headers, caller, takes, body: Bytes::new() }, body)
}
