//! Which hosts are this server's, and which pages may call it.
//!
//! A page in a browser must not reach an open loopback server. Two checks see to that, before any
//! routing: `Host` must name this server, so that a name rebound to 127.0.0.1 does not get in, and an
//! `Origin` must be this server's own or be allowed. Pure, for the fuzzer.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr};

/// The hosts and origins that are let in.
#[derive(Debug, Clone, Default)]
pub(super) struct Admission {
    hosts: HashSet<String>,
    origins: HashSet<String>,
    public: Option<String>,
}

/// What a request's `Origin` is to this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    /// The server's own pages.
    Own,
    /// Another origin that was allowed: its answers carry `Access-Control-*`.
    Allowed,
    /// Any other.
    Foreign,
}

impl Admission {
    /// Admits, beside loopback names and IP literals, the host of `--advertise`, of the public URL, and
    /// those allowed.
    pub(super) fn new(
        advertise: Option<&str>,
        public_url: Option<&str>,
        allowed_hosts: &[String],
        allowed_origins: &[String],
    ) -> Self {
        let public = public_url.and_then(normal_origin);
        let public_host = public.as_deref().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
        let hosts = allowed_hosts.iter().map(String::as_str).chain(advertise).chain(public_host);
        Self {
            hosts: hosts
                .map(|host| Authority::parse(host).map_or_else(|| host.to_ascii_lowercase(), Authority::host))
                .collect(),
            origins: allowed_origins.iter().filter_map(|origin| normal_origin(origin)).collect(),
            public,
        }
    }

    /// Whether a `Host` names this server.
    pub(super) fn admits_host(&self, host: &str) -> bool {
        let Some(authority) = Authority::parse(host) else { return false };
        authority.is_literal() || authority.is_loopback_name() || self.hosts.contains(&authority.host())
    }

    /// What an `Origin` is to the server asked as `scheme://host`.
    pub(super) fn relation(&self, origin: &str, scheme: &str, host: &str) -> Relation {
        let Some(origin) = normal_origin(origin) else { return Relation::Foreign };
        let asked = normal_origin(&format!("{scheme}://{host}"));
        if asked.as_ref() == Some(&origin) || self.public.as_ref() == Some(&origin) {
            Relation::Own
        } else if self.origins.contains(&origin) {
            Relation::Allowed
        } else {
            Relation::Foreign
        }
    }
}

/// `host[:port]`, checked.
#[derive(Debug, Clone, Copy)]
struct Authority<'text> {
    host: &'text str,
    port: Option<u16>,
}

impl<'text> Authority<'text> {
    fn parse(text: &'text str) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (inner, after) = rest.split_once(']')?;
                inner.parse::<Ipv6Addr>().ok()?;
                let host = text.get(..inner.len() + 2)?;
                match after {
                    "" => (host, None),
                    _ => (host, Some(after.strip_prefix(':')?)),
                }
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let plain = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte));
        if host.is_empty() || !plain {
            return None;
        }
        let port = match port {
            None | Some("") => None,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(digits.parse().ok()?),
            Some(_) => return None,
        };
        Some(Self { host, port })
    }

    /// The host in small letters, without the dot that may end it.
    fn host(self) -> String {
        self.host.strip_suffix('.').unwrap_or(self.host).to_ascii_lowercase()
    }

    fn is_literal(self) -> bool {
        self.host.starts_with('[') || self.host.parse::<IpAddr>().is_ok()
    }

    fn is_loopback_name(self) -> bool {
        let host = self.host.strip_suffix('.').unwrap_or(self.host);
        let end = host.len().saturating_sub("localhost".len());
        host.is_char_boundary(end)
            && host.get(end..).is_some_and(|tail| tail.eq_ignore_ascii_case("localhost"))
            && (end == 0 || host.get(..end).is_some_and(|head| head.ends_with('.')))
    }
}

/// An origin in one form: small letters, no default port, no path. `None` if it is none (`null` too).
fn normal_origin(text: &str) -> Option<String> {
    let text = text.strip_suffix('/').unwrap_or(text);
    let (scheme, authority) = text.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let authority = Authority::parse(authority)?;
    let standard = match scheme.as_str() {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    match authority.port {
        Some(port) if Some(port) != standard => Some(format!("{scheme}://{}:{port}", authority.host())),
        _ => Some(format!("{scheme}://{}", authority.host())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn admission() -> Admission {
        Admission::new(
            Some("node-1.internal"),
            Some("https://stead.example.com/"),
            &["Allowed.example".into()],
            &["https://app.example.com".into(), "http://localhost:5173".into()],
        )
    }

    #[test]
    fn hosts() {
        let table = [
            ("localhost", true),
            ("localhost:8080", true),
            ("LOCALHOST:8080", true),
            ("localhost.", true),
            ("app.localhost:1", true),
            ("127.0.0.1:8080", true),
            ("192.168.1.5", true),
            ("[::1]:8080", true),
            ("[::1]", true),
            ("node-1.internal:8080", true),
            ("stead.example.com", true),
            ("allowed.example:9", true),
            ("evil.com", false),
            ("localhost.evil.com", false),
            ("evillocalhost", false),
            ("127.0.0.1.evil.com", false),
            ("", false),
            (":8080", false),
            ("localhost:x", false),
            ("localhost:99999", false),
            ("user@localhost", false),
            ("[::1", false),
            ("[evil]", false),
            ("localhost/x", false),
        ];
        for (host, admitted) in table {
            assert_eq!(admission().admits_host(host), admitted, "{host}");
        }
    }

    #[test]
    fn origins() {
        let table = [
            ("http://localhost:8080", Relation::Own),
            ("HTTP://LocalHost:8080", Relation::Own),
            ("https://stead.example.com", Relation::Own),
            ("https://stead.example.com:443", Relation::Own),
            ("https://app.example.com", Relation::Allowed),
            ("http://localhost:5173", Relation::Allowed),
            ("http://localhost", Relation::Foreign),
            ("https://localhost:8080", Relation::Foreign),
            ("http://127.0.0.1:8080", Relation::Foreign),
            ("http://stead.example.com", Relation::Foreign),
            ("https://evil.com", Relation::Foreign),
            ("null", Relation::Foreign),
            ("", Relation::Foreign),
            ("file://", Relation::Foreign),
        ];
        for (origin, relation) in table {
            assert_eq!(admission().relation(origin, "http", "localhost:8080"), relation, "{origin}");
        }
        assert_eq!(admission().relation("http://localhost", "http", "localhost:80"), Relation::Own);
    }

    proptest! {
        #[test]
        fn no_header_panics(host in ".{0,40}", origin in ".{0,40}") {
            admission().admits_host(&host);
            admission().relation(&origin, "http", &host);
        }
    }
}
