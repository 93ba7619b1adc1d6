//! The body of a request: bounded in size and time.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::BodyExt as _;

use crate::error::{Code, Error};
use crate::limits::BODY_MAX_BYTES;

/// Reads a whole body. Most come with the head, and are taken as they are.
pub(super) async fn read(headers: &HeaderMap, mut body: Body, longest: Duration) -> Result<Bytes, Error> {
    let too_large = || Error::new(Code::BodyTooLarge, format!("a body has at most {BODY_MAX_BYTES} bytes"));
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|bytes| bytes > BODY_MAX_BYTES) {
        return Err(too_large());
    }
    let whole = async {
        let (mut first, mut more) = (Bytes::new(), BytesMut::new());
        while let Some(frame) = body.frame().await {
            let broken = |_| Error::new(Code::InvalidRequest, "the body broke off or is malformed");
            let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
            if first.len() + more.len() + data.len() > BODY_MAX_BYTES {
                return Err(too_large());
            }
            if first.is_empty() && more.is_empty() {
                first = data;
            } else {
                more.extend_from_slice(&std::mem::take(&mut first));
                more.extend_from_slice(&data);
            }
        }
        Ok(if more.is_empty() { first } else { more.freeze() })
    };
    let late = |_| {
        Error::new(Code::RequestTimeout, format!("the body did not arrive within {} ms", longest.as_millis()))
    };
    tokio::time::timeout(longest, whole).await.map_err(late)?
}
