//! Request headers that mean something to an object: parsed strictly, each at most once.

use std::time::Duration;

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE, IF_MATCH};

use super::query;
use crate::error::{Code, Error};
use crate::object::Version;
use crate::object::idempotency::IdempotencyKey;

/// A name for the request, in every line logged of it and in its answer.
pub(super) const REQUEST_ID: &str = "x-request-id";
/// The object's version after the turn.
pub(super) const STEAD_VERSION: &str = "x-stead-version";
const REQUEST_ID_MAX_BYTES: usize = 128;
const REQUEST_TIMEOUT: &str = "x-request-timeout";
const IDEMPOTENCY_KEY: &str = "idempotency-key";
const TRACEPARENT: &str = "traceparent";

/// The text of a header that may be given once.
pub(super) fn once<'headers>(
    headers: &'headers HeaderMap,
    name: &str,
) -> Result<Option<&'headers str>, Error> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Error::new(Code::InvalidRequest, format!("the header {name} is given more than once")));
    }
    let text = value
        .to_str()
        .map_err(|_| Error::new(Code::InvalidRequest, format!("the header {name} is visible ascii")))?;
    Ok(Some(text))
}

/// `Idempotency-Key`.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Error> {
    let Some(text) = once(headers, IDEMPOTENCY_KEY)? else { return Ok(None) };
    IdempotencyKey::parse(text).map(Some).map_err(|error| Error::new(Code::InvalidRequest, error.to_string()))
}

/// `If-Match: "V"`: one strong tag that is a version. `*`, lists and weak tags are refused, for none of
/// them says which version the caller has seen.
pub(super) fn if_match(headers: &HeaderMap) -> Result<Option<Version>, Error> {
    let Some(text) = once(headers, IF_MATCH.as_str())? else { return Ok(None) };
    let tag = text.trim().strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let wrong = || {
        Error::new(
            Code::InvalidRequest,
            "If-Match is one version in quotes, like \"3\"; \"0\" for an object that must not exist",
        )
    };
    query::version(tag.ok_or_else(wrong)?, "If-Match").map_err(|_| wrong()).map(Some)
}

/// The request's own id, if it has a usable one.
pub(super) fn request_id(headers: &HeaderMap) -> Option<&str> {
    let text = once(headers, REQUEST_ID).ok()??;
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    (visible && (1..=REQUEST_ID_MAX_BYTES).contains(&text.len())).then_some(text)
}

/// The trace that the request is a part of (W3C Trace Context, 3.2), if it names a usable one. What a later version
/// adds behind is left off.
pub(super) fn traceparent(headers: &HeaderMap) -> Option<&str> {
    const LENGTHS: [usize; 4] = [2, 32, 16, 2];
    const BYTES: usize = 55;
    let text = once(headers, TRACEPARENT).ok()??;
    let (trace, rest) = (text.get(..BYTES)?, text.get(BYTES..)?);
    let mut parts = trace.split('-');
    let is_hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    for (place, length) in LENGTHS.into_iter().enumerate() {
        let part = parts.next().filter(|part| part.len() == length && is_hex(part))?;
        let is_refused = match place {
            0 => part == "ff" || !(rest.is_empty() || part != "00" && rest.starts_with('-')),
            1 | 2 => is_zero(part),
            _ => false,
        };
        if is_refused {
            return None;
        }
    }
    parts.next().is_none().then_some(trace)
}

/// `X-Request-Timeout` in milliseconds; it shortens the deadline and never lengthens it.
pub(super) fn deadline_in(headers: &HeaderMap, longest: Duration) -> Result<Duration, Error> {
    let Some(text) = once(headers, REQUEST_TIMEOUT)? else { return Ok(longest) };
    let wrong =
        || Error::new(Code::InvalidRequest, "X-Request-Timeout is a whole number of milliseconds from 1");
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // More digits than fit are a time longer than ours.
    let timeout_ms = if digits { text.parse().unwrap_or(u64::MAX) } else { 0 };
    if timeout_ms == 0 { Err(wrong()) } else { Ok(longest.min(Duration::from_millis(timeout_ms))) }
}

/// Refuses a declared content type that is not JSON; none is fine, and so is an empty one.
pub(super) fn json_content(headers: &HeaderMap) -> Result<(), Error> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let Some(value) = types.next() else { return Ok(()) };
    let json = types.next().is_none() && (value.is_empty() || value.to_str().is_ok_and(is_json));
    if json {
        Ok(())
    } else {
        Err(Error::new(
            Code::UnsupportedMediaType,
            "send the body as application/json, or without a content type",
        ))
    }
}

fn is_json(text: &str) -> bool {
    let mut parts = text.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
    let json = kind == "application/json"
        || (kind.starts_with("application/")
            && kind.ends_with("+json")
            && kind.len() > "application/+json".len());
    // JSON is UTF-8; another charset is another content.
    let utf8 = parts.all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            let value = value.trim().trim_matches('"');
            value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("utf8")
        }
        _ => true,
    });
    json && utf8
}

/// Whether `Accept` names a media type (not by a wildcard).
pub(super) fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .any(|item| {
            let mut parts = item.split(';').map(str::trim);
            let named = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case(media_type));
            named && !parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        })
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(name: &str, values: &[&str]) -> HeaderMap {
        let name: HeaderName = name.parse().expect("a name of this table");
        let values = values
            .iter()
            .map(|value| HeaderValue::from_bytes(value.as_bytes()).expect("a value of this table"));
        values.map(|value| (name.clone(), value)).collect()
    }

    #[test]
    fn versions_to_match() {
        let check = |values: &[&str]| if_match(&headers("if-match", values)).ok();
        assert_eq!(check(&[]), Some(None));
        assert_eq!(check(&["\"0\""]), Some(Some(Version(0))));
        assert_eq!(check(&[" \"42\" "]), Some(Some(Version(42))));
        for wrong in ["42", "*", "W/\"42\"", "\"42\", \"43\"", "\"\"", "\"x\"", "\"-1\"", "\"", "\"42"] {
            assert_eq!(check(&[wrong]), None, "{wrong}");
        }
        assert_eq!(check(&["\"1\"", "\"2\""]), None);
    }

    #[test]
    fn content_types() {
        let check = |values: &[&str]| json_content(&headers("content-type", values)).is_ok();
        assert!(check(&[]));
        for json in [
            "",
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
            "application/problem+json",
        ] {
            assert!(check(&[json]), "{json}");
        }
        for other in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/json; charset=latin1",
            "application/jsonx",
            "text/json+x",
            "application/+json",
        ] {
            assert!(!check(&[other]), "{other}");
        }
        assert!(!check(&["application/json", "application/json"]));
    }

    #[test]
    fn deadlines_only_shorten() {
        let longest = Duration::from_secs(10);
        let check = |value: &str| deadline_in(&headers("x-request-timeout", &[value]), longest).ok();
        assert_eq!(check("1"), Some(Duration::from_millis(1)));
        assert_eq!(check("99999999999999999999999"), Some(longest));
        assert_eq!(check("20000"), Some(longest));
        for wrong in ["", "0", "-1", "1.5", "1s", "+1"] {
            assert_eq!(check(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn request_ids_are_taken_when_usable() {
        let check = |values: &[&str]| request_id(&headers("x-request-id", values)).map(str::to_owned);
        assert_eq!(check(&["abc-1"]).as_deref(), Some("abc-1"));
        assert_eq!(check(&[&"x".repeat(128)]).map(|id| id.len()), Some(128));
        for other in ["", "a b", "\u{e4}", &"x".repeat(129)] {
            assert_eq!(check(&[other]), None, "{other}");
        }
        assert_eq!(check(&["a", "b"]), None);
    }

    #[test]
    fn traces_are_taken_when_usable() {
        let check = |value: &str| traceparent(&headers("traceparent", &[value])).map(str::to_owned);
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(check(trace).as_deref(), Some(trace));
        let later = trace.replacen("00", "cc", 1);
        assert_eq!(check(&format!("{later}-what-will-be")), Some(later));
        for other in [
            "",
            "00",
            &trace.replacen("00", "ff", 1),
            &trace.to_uppercase(),
            &format!("{trace}-more"),
            &format!("{trace}0"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b-701",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-\u{e4}",
        ] {
            assert_eq!(check(other), None, "{other}");
        }
        assert_eq!(traceparent(&headers("traceparent", &[trace, trace])), None);
    }

    #[test]
    fn idempotency_keys() {
        let check = |value: &str| idempotency_key(&headers("idempotency-key", &[value])).is_ok();
        assert!(check("a") && check(&"x".repeat(255)));
        assert!(!check("") && !check("a b") && !check(&"x".repeat(256)) && !check("\u{e4}"));
    }

    #[test]
    fn accepted_types() {
        let check = |value: &str| accepts(&headers("accept", &[value]), "text/event-stream");
        assert!(check("text/event-stream") && check("application/json, Text/Event-Stream;q=0.5"));
        assert!(!check("*/*") && !check("text/event-stream;q=0") && !check(""));
    }
}
