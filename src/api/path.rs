//! Paths as they arrive: percent-decoding for the native API, raw parts for the worker-compatible one.
//!
//! Pure, for the fuzzer. Nothing here is lenient: a `%` that begins no escape and bytes that are no
//! UTF-8 are errors, so no two names are confused.

use std::borrow::Cow;

/// Why a part of an address does not decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Undecodable {
    /// A `%` without two hex digits behind it.
    #[error("a % is followed by two hex digits; send a % itself as %25")]
    Escape,
    /// The bytes are no text.
    #[error("the decoded bytes are not UTF-8")]
    Text,
}

/// Decodes the percent escapes of one part of a path.
pub(super) fn decode(part: &str) -> Result<Cow<'_, str>, Undecodable> {
    if !part.contains('%') {
        return Ok(Cow::Borrowed(part));
    }
    let mut decoded = Vec::with_capacity(part.len());
    let mut bytes = part.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = bytes.next().and_then(hex_digit).ok_or(Undecodable::Escape)?;
            let low = bytes.next().and_then(hex_digit).ok_or(Undecodable::Escape)?;
            decoded.push(high << 4 | low);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| Undecodable::Text)
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// The raw part at `index`, counted from 0 behind the first `/`.
pub(super) fn part(path: &str, index: usize) -> &str {
    path.split('/').nth(index + 1).unwrap_or_default()
}

/// A path of the worker-compatible API. Its parts are as they were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compatible<'path> {
    /// `/initialize/{id}`; the id is the whole rest.
    Initialize { id: &'path str },
    /// `/object/{id}/state`
    State { id: &'path str },
    /// `/object/{id}/state/{key}`; the key is the whole rest.
    Key { id: &'path str, key: &'path str },
    /// `/object/{id}/method/{method}` or `/object/{id}/{method}`
    Method { id: &'path str, method: &'path str },
    /// `/object/{id}/websocket`
    Socket { id: &'path str },
    /// `/namespace/{namespace}/id/{name}`
    Namespace { namespace: &'path str, name: &'path str },
}

impl<'path> Compatible<'path> {
    /// Parses a path; `None` is the API's 404.
    pub(super) fn parse(path: &'path str) -> Option<Self> {
        let path = without_token(path);
        if let Some(id) = path.strip_prefix("/initialize/") {
            return (!id.is_empty()).then_some(Self::Initialize { id });
        }
        if let Some(rest) = path.strip_prefix("/namespace/") {
            let (namespace, rest) = rest.split_once('/')?;
            let name = rest.strip_prefix("id/")?;
            let whole = !namespace.is_empty() && !name.is_empty() && !name.contains('/');
            return whole.then_some(Self::Namespace { namespace, name });
        }
        let (id, rest) = path.strip_prefix("/object/")?.split_once('/')?;
        if id.is_empty() {
            return None;
        }
        match rest {
            "state" => return Some(Self::State { id }),
            "websocket" | "websocket/" => return Some(Self::Socket { id }),
            _ => {}
        }
        if let Some(key) = rest.strip_prefix("state/") {
            return (!key.is_empty()).then_some(Self::Key { id, key });
        }
        let method = rest.strip_prefix("method/").unwrap_or(rest);
        let reserved = method.is_empty() || method.contains('/') || rest == "method";
        (!reserved).then_some(Self::Method { id, method })
    }

    /// The verbs that the path takes.
    pub(super) fn allow(&self) -> &'static str {
        match self {
            Self::Initialize { .. } | Self::Method { .. } => "POST",
            Self::State { .. } | Self::Socket { .. } | Self::Namespace { .. } => "GET",
            Self::Key { .. } => "GET, PUT, DELETE",
        }
    }

    /// Whether the path takes a verb.
    pub(super) fn takes(&self, verb: &str) -> bool {
        self.allow().split(", ").any(|allowed| allowed == verb)
    }
}

/// The path without `/k/{token}` before it.
fn without_token(path: &str) -> &str {
    let Some(rest) = path.strip_prefix("/k/") else { return path };
    match rest.find('/') {
        Some(end) if end > 0 => rest.get(end..).unwrap_or_default(),
        _ => path,
    }
}

/// The name of a method as a class knows it: without the prefix that the original's methods had. `None`
/// for what is never a method.
pub(super) fn method_name(method: &str) -> Option<&str> {
    let name = method.strip_prefix("method_").unwrap_or(method);
    (!matches!(name, "" | "state" | "method" | "websocket")).then_some(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parts_decode_strictly() {
        let table = [
            ("plain", Ok("plain")),
            ("a%2Fb", Ok("a/b")),
            ("a%2fb", Ok("a/b")),
            ("%E2%82%AC", Ok("€")),
            ("€", Ok("€")),
            ("a+b", Ok("a+b")),
            ("%25", Ok("%")),
            ("%", Err(Undecodable::Escape)),
            ("%4", Err(Undecodable::Escape)),
            ("%zz", Err(Undecodable::Escape)),
            ("%+1", Err(Undecodable::Escape)),
            ("%ff", Err(Undecodable::Text)),
            ("%E2%82", Err(Undecodable::Text)),
        ];
        for (part, expected) in table {
            assert_eq!(decode(part).as_deref(), expected.as_ref().copied(), "{part}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself(text in any::<String>()) {
            let encoded = percent_encoding::utf8_percent_encode(&text, percent_encoding::NON_ALPHANUMERIC).to_string();
            prop_assert_eq!(decode(&encoded).expect("it is encoded well"), text);
        }

        #[test]
        fn no_path_panics(path in ".{0,64}") {
            let _ = decode(&path).is_ok();
            let _ = Compatible::parse(&path).is_some();
        }
    }

    fn check(path: &str, expected: Option<Compatible<'_>>) {
        assert_eq!(Compatible::parse(path), expected, "{path}");
    }

    #[test]
    fn compatible_paths() {
        use Compatible::{Initialize, Key, Method, Namespace, Socket, State};
        check("/initialize/a", Some(Initialize { id: "a" }));
        check("/initialize/a/b%20c", Some(Initialize { id: "a/b%20c" }));
        check("/initialize/", None);
        check("/initialize", None);
        check("/object/a/state", Some(State { id: "a" }));
        check("/object/a/state/", None);
        check("/object/a/state/k", Some(Key { id: "a", key: "k" }));
        check("/object/a/state/k/l", Some(Key { id: "a", key: "k/l" }));
        check("/object/a/state/a%20b", Some(Key { id: "a", key: "a%20b" }));
        check("/object/a/method/m", Some(Method { id: "a", method: "m" }));
        check("/object/a/method/method_m", Some(Method { id: "a", method: "method_m" }));
        check("/object/a/m", Some(Method { id: "a", method: "m" }));
        check("/object/a/method", None);
        check("/object/a/method/", None);
        check("/object/a/method/m/n", None);
        check("/object/a/m/n", None);
        check("/object/a/", None);
        check("/object/a", None);
        check("/object//state", None);
        check("/object/a/websocket", Some(Socket { id: "a" }));
        check("/object/a/websocket/", Some(Socket { id: "a" }));
        check("/object/a/websocket/x", None);
        check("/namespace/n/id/x", Some(Namespace { namespace: "n", name: "x" }));
        check("/namespace/n/id/", None);
        check("/namespace/n/x", None);
        check("/k/token/object/a/state", Some(State { id: "a" }));
        check("/k/token/k/token/object/a/state", None);
        check("/k//object/a/state", None);
        check("/k/token", None);
        check("/elsewhere", None);
    }

    #[test]
    fn methods_lose_their_prefix_once() {
        assert_eq!(method_name("increment"), Some("increment"));
        assert_eq!(method_name("method_increment"), Some("increment"));
        assert_eq!(method_name("method_method_x"), Some("method_x"));
        for never in ["state", "method", "websocket", "method_state", "method_"] {
            assert_eq!(method_name(never), None, "{never}");
        }
    }
}
