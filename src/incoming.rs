//! What HTTP brings, on every surface alike: a body, bounded in size and time.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body_util::BodyExt as _;

use crate::error::{Code, Error};
use crate::limits::BODY_MAX_BYTES;

/// Reads a whole body. Most come with the head, and are taken as they are.
pub(crate) async fn body(headers: &HeaderMap, mut body: Body, longest: Duration) -> Result<Bytes, Error> {
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
        let read = body(&HeaderMap::new(), chunks(sizes), Duration::from_secs(5)).await;
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
        let read = body(&HeaderMap::new(), never, Duration::from_millis(1)).await;
        assert_eq!(read.map_err(|error| error.code), Err(Code::RequestTimeout));
    }
}
