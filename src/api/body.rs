//! Request bodies: bounded in size and time, and JSON.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::BodyExt;
use serde_json::Map;

use crate::error::{Code, Error};
use crate::limits::BODY_MAX_BYTES;
use crate::object::parse_json;

/// The keys of a JSON object.
pub(super) type Fields = Map<String, serde_json::Value>;

/// Reads a whole body. Most come with the head, and are taken as they are.
pub(super) async fn read(headers: &HeaderMap, mut body: Body, longest: Duration) -> Result<Bytes, Error> {
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|bytes| bytes > BODY_MAX_BYTES) {
        return Err(too_large());
    }
    let whole = async {
        let mut first = Bytes::new();
        let mut more = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|_| Error::new(Code::InvalidRequest, "the body broke off or is malformed"))?;
            let Ok(data) = frame.into_data() else { continue };
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

fn too_large() -> Error {
    Error::new(Code::BodyTooLarge, format!("a body has at most {BODY_MAX_BYTES} bytes"))
}

/// What a body is that has no bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    /// `{}`.
    Empty,
    /// An error.
    Refused,
}

/// Parses a body that is a JSON object.
pub(super) fn object(bytes: &[u8], absent: Absent) -> Result<Fields, Error> {
    if bytes.is_empty() && absent == Absent::Empty {
        return Ok(Map::new());
    }
    match parse_json(bytes)
        .map_err(|error| Error::new(Code::InvalidRequest, format!("in the body: {error}")))?
    {
        serde_json::Value::Object(fields) => Ok(fields),
        _ => Err(Error::new(Code::InvalidRequest, "the body is a JSON object")),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn chunks(sizes: &[usize]) -> Body {
        let chunks: Vec<Result<Bytes, std::io::Error>> =
            sizes.iter().map(|size| Ok(Bytes::from(vec![b' '; *size]))).collect();
        Body::from_stream(stream::iter(chunks))
    }

    async fn check(sizes: &[usize], expected: Result<usize, Code>) {
        let read = read(&HeaderMap::new(), chunks(sizes), Duration::from_secs(5)).await;
        assert_eq!(read.map(|bytes| bytes.len()).map_err(|error| error.code), expected, "{sizes:?}");
    }

    #[tokio::test]
    async fn bodies_are_bounded() {
        check(&[], Ok(0)).await;
        check(&[3], Ok(3)).await;
        check(&[3, 0, 4, 5], Ok(12)).await;
        check(&[BODY_MAX_BYTES], Ok(BODY_MAX_BYTES)).await;
        check(&[BODY_MAX_BYTES, 1], Err(Code::BodyTooLarge)).await;
        check(&[1, BODY_MAX_BYTES], Err(Code::BodyTooLarge)).await;
    }

    #[tokio::test]
    async fn bodies_are_awaited_so_long() {
        let never = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let read = read(&HeaderMap::new(), never, Duration::from_millis(1)).await;
        assert_eq!(read.map_err(|error| error.code), Err(Code::RequestTimeout));
    }

    #[test]
    fn bodies_are_objects() {
        let check = |text: &str, absent| object(text.as_bytes(), absent).map(|fields| fields.len()).ok();
        assert_eq!(check("", Absent::Empty), Some(0));
        assert_eq!(check("", Absent::Refused), None);
        assert_eq!(check("{\"a\":1,\"a\":2}", Absent::Refused), Some(1));
        for wrong in [" ", "[]", "null", "{", "{}x", "\"a\""] {
            assert_eq!(check(wrong, Absent::Empty), None, "{wrong}");
        }
    }
}
