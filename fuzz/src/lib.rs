//! The pure core and the pure part of the HTTP surface, taken by path: what the fuzz targets feed with bytes.

// The core's own tests and lints run in its own crate.
#![allow(dead_code, unused_imports, reason = "the targets use a part of the core")]

#[path = "../../src"]
mod stead {
    pub mod caller;
    pub mod class;
    pub mod error;
    pub mod limits;
    pub mod object;
}

pub use stead::{caller, class, error, limits, object};

/// What HTTP requests are parsed with, before anything of the network.
#[path = "../../src/api"]
pub mod api {
    mod headers;
    mod origin;
    mod path;
    mod query;

    /// The messages of editors, before anything of their socket.
    #[path = "socket/editor"]
    pub mod editor {
        mod awareness;
        mod message;

        use bytes::Bytes;

        /// Takes messages as one socket's.
        pub fn messages(messages: &[&[u8]]) {
            let mut awareness = awareness::Awareness::default();
            for bytes in messages {
                let Ok(message) = message::Message::decode(&Bytes::copy_from_slice(bytes)) else { continue };
                if message == message::Message::Other {
                    continue;
                }
                assert_eq!(message::Message::decode(&message.encode()).as_ref(), Ok(&message));
                if let message::Message::Awareness(news) = message
                    && let Ok(changes) = awareness.receive(&news)
                {
                    let echo = awareness.echo(&changes);
                    assert_eq!(echo.is_none(), changes.is_empty());
                    // What is said can be read, and says nothing new to who said it.
                    for said in echo.into_iter().chain(awareness.everyone()) {
                        let mut other = awareness::Awareness::default();
                        other.receive(&said).expect("what is said is a message");
                        assert_eq!(other.receive(&said), Ok(Vec::new()));
                    }
                }
            }
        }
    }

    use http::{HeaderMap, HeaderValue};

    /// Parses a path and a query as a request's.
    pub fn target(path: &str, query: &str) {
        let decoded = path::decode(path);
        if let Ok(decoded) = &decoded {
            assert!(decoded.len() <= path.len(), "decoding makes nothing longer");
            assert!(path.contains('%') || decoded == path, "what has no escape is as it was");
        }
        if let Some(route) = path::Compatible::parse(path) {
            assert!(route.allow().split(", ").all(|verb| route.takes(verb)));
        }
        if let Ok(query) = query::Query::parse(Some(query)) {
            if let Ok(page) = query.page() {
                assert!((1..=crate::limits::PAGE_MAX).contains(&page.limit));
            }
            drop(query.since());
        }
    }

    /// Parses the headers that mean something.
    pub fn headers(host: &str, origin: &str, value: &[u8]) {
        let admission =
            origin::Admission::new(None, Some("https://stead.example"), &[], &["https://app.example".into()]);
        if admission.admits_host(host) {
            let names = ["localhost", "stead.example"];
            let lower = host.to_ascii_lowercase();
            let literal = lower.starts_with('[')
                || lower.bytes().all(|byte| byte.is_ascii_digit() || b".:".contains(&byte));
            assert!(literal || names.iter().any(|name| lower.contains(name)), "{host} is a stranger");
        }
        let _ = admission.relation(origin, "http", host);
        let Ok(value) = HeaderValue::from_bytes(value) else { return };
        for name in
            ["if-match", "idempotency-key", "x-request-id", "x-request-timeout", "content-type", "accept"]
        {
            let headers: HeaderMap =
                [(http::HeaderName::from_static(name), value.clone())].into_iter().collect();
            let longest = std::time::Duration::from_secs(10);
            drop((
                headers::if_match(&headers),
                headers::idempotency_key(&headers),
                headers::json_content(&headers),
            ));
            assert!(
                headers::deadline_in(&headers, longest).is_ok_and(|within| within <= longest)
                    || name == "x-request-timeout"
            );
            assert!(headers::request_id(&headers).is_none_or(|id| (1..=128).contains(&id.len())));
            headers::accepts(&headers, "text/event-stream");
        }
    }
}

/// Cuts bytes into pieces, each with two bytes of length before it; the last may be shorter.
pub fn pieces(bytes: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut rest = bytes;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let (piece, after) = after.split_at(usize::from(u16::from_be_bytes(*length)).min(after.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}
