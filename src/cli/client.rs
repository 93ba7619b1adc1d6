//! The HTTP client of the commands: one server, one deadline, errors as the exit codes want them.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::failure::{Failure, Kind};

/// What may stand in a part of a path as it is.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A server, over HTTP.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    timeout: Duration,
}

/// What a server answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// JSON, or the text as a JSON string; null where there is no body.
    pub(super) body: Value,
}

/// What goes beside a write.
#[derive(Debug, Default, clap::Args)]
pub(super) struct WriteHeaders {
    /// Take effect once, however often the command is repeated with this key
    #[arg(long, value_name = "KEY")]
    pub(super) idempotency_key: Option<String>,
    /// Only if the object is at this version; 0: only if it does not exist
    #[arg(long, value_name = "VERSION")]
    pub(super) if_match: Option<u64>,
}

impl Client {
    pub(super) fn new(server: &str, timeout: Duration) -> Result<Self, Failure> {
        let base = server.trim_end_matches('/').to_owned();
        if base.starts_with("https://") {
            return Err(Failure::usage(format!(
                "{server}: TLS is not supported yet; give an http:// address"
            )));
        }
        let host = base.strip_prefix("http://").unwrap_or_default();
        if host.is_empty() || host.contains(['/', '?', '#', ' ']) {
            return Err(Failure::usage(format!("`{server}` is no server: give http://HOST:PORT")));
        }
        let http = crate::outgoing::plain()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("stead/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|problem| Failure::failed(format!("cannot make an HTTP client: {problem}")))?;
        Ok(Self { http, base, timeout })
    }

    /// The server's address, without a slash at the end.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// How long one answer is waited for.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.succeed(Method::GET, path, None, &WriteHeaders::default()).await
    }

    /// A request whose answer must be a success.
    pub(super) async fn succeed(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &WriteHeaders,
    ) -> Result<Value, Failure> {
        let answer = self.send(method, path, body, headers).await?;
        if answer.status.is_success() { Ok(answer.body) } else { Err(refused(&answer)) }
    }

    /// A request and whatever is answered.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &WriteHeaders,
    ) -> Result<Answer, Failure> {
        let safe = method == Method::GET;
        let exchanged = self.exchange(method, path, body, headers).await;
        exchanged.map_err(|problem| self.broken(&problem, safe))
    }

    /// Asks a server that may not be there. What goes wrong is told in a few words, for a sentence about it.
    pub(super) async fn probe(&self, path: &str) -> Result<Answer, String> {
        let exchanged = self.exchange(Method::GET, path, None, &WriteHeaders::default()).await;
        exchanged.map_err(|problem| {
            if problem.is_timeout() {
                format!("nothing within {} s", self.timeout.as_secs_f64())
            } else {
                innermost(&problem)
            }
        })
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &WriteHeaders,
    ) -> Result<Answer, reqwest::Error> {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).timeout(self.timeout);
        request = request.header("X-Request-Timeout", self.timeout.as_millis().to_string());
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(key) = &headers.idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        if let Some(version) = headers.if_match {
            request = request.header("If-Match", format!("\"{version}\""));
        }
        let response = request.send().await?;
        let status = response.status();
        let text = response.text().await?;
        let body = match text.as_str() {
            "" => Value::Null,
            text => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.trim_end().to_owned())),
        };
        Ok(Answer { status, body })
    }

    fn broken(&self, problem: &reqwest::Error, safe: bool) -> Failure {
        let base = &self.base;
        if problem.is_connect() {
            return Failure::unavailable(format!(
                "nothing answers at {base}: start a node with `stead serve`, or name another with --server ({})",
                innermost(problem)
            ));
        }
        if problem.is_builder() {
            return Failure::usage(format!("this cannot be sent: {}", innermost(problem)));
        }
        let seconds = self.timeout.as_secs_f64();
        let what = if problem.is_timeout() {
            format!("{base} did not answer within {seconds} s")
        } else {
            format!("the connection to {base} broke: {}", innermost(problem))
        };
        if safe {
            Failure::unavailable(what)
        } else {
            Failure::failed(format!(
                "{what}. Whether it took effect is not known: look, or repeat it with the same --idempotency-key"
            ))
        }
    }
}

/// The failure that an answer stands for.
pub(super) fn refused(answer: &Answer) -> Failure {
    let kind = match answer.status.as_u16() {
        404 => Kind::NotFound,
        429 | 503 => Kind::Unavailable,
        _ => Kind::Failed,
    };
    let field = |name: &str| answer.body.get(name).and_then(Value::as_str);
    let message = match (field("code"), field("detail").or_else(|| field("title"))) {
        (Some(code), Some(detail)) => format!("{detail} ({code}){}", advice(field("retry"))),
        (Some(code), None) => format!("{code}{}", advice(field("retry"))),
        _ if answer.body.is_null() => format!("the server answered {} and nothing else", answer.status),
        _ => format!("the server answered {}: {}", answer.status, super::output::plain(&answer.body)),
    };
    Failure::new(kind, message)
}

fn advice(retry: Option<&str>) -> &'static str {
    match retry {
        Some("safe") => ". Nothing changed: try again",
        Some("unknown") => {
            ". It may have taken effect: look first, or repeat it with the same --idempotency-key"
        }
        _ => "",
    }
}

fn innermost(problem: &dyn std::error::Error) -> String {
    let mut innermost = problem;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// One part of a path, with what is not plain in it encoded.
pub(super) fn part(text: &str) -> String {
    utf8_percent_encode(text, PART).to_string()
}

/// A path with those parameters that are given.
pub(super) fn with_query(path: &str, parameters: &[(&str, Option<String>)]) -> String {
    let given: Vec<_> = parameters
        .iter()
        .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}={}", part(value))))
        .collect();
    if given.is_empty() { path.to_owned() } else { format!("{path}?{}", given.join("&")) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use expect_test::expect;
    use reqwest::StatusCode;
    use serde_json::json;

    use super::super::failure::Kind;
    use super::{Answer, Client, part, refused, with_query};

    #[test]
    fn parts_are_encoded() {
        assert_eq!(part("a b/c%é"), "a%20b%2Fc%25%C3%A9");
        assert_eq!(with_query("/x", &[("a", None), ("b", Some("1&2".into()))]), "/x?b=1%262");
        assert_eq!(with_query("/x", &[("a", None)]), "/x");
    }

    #[test]
    fn servers_are_checked() {
        for (server, good) in [
            ("http://127.0.0.1:8080", true),
            ("http://stead.example.net/", true),
            ("https://stead.example.net", false),
            ("127.0.0.1:8080", false),
            ("http://", false),
            ("http://a/b", false),
        ] {
            assert_eq!(Client::new(server, Duration::from_secs(1)).is_ok(), good, "{server}");
        }
    }

    #[test]
    fn refusals_say_what_to_do() {
        let check = |status: StatusCode, body, kind| {
            let failure = refused(&Answer { status, body });
            assert_eq!(failure.kind(), kind);
            failure.to_string()
        };
        let absent = json!({"code": "object_not_found", "detail": "there is no counter/x", "retry": "never"});
        expect!["there is no counter/x (object_not_found)"].assert_eq(&check(
            StatusCode::NOT_FOUND,
            absent,
            Kind::NotFound,
        ));
        let unknown = json!({"code": "outcome_unknown", "title": "Not known", "retry": "unknown"});
        expect![
            "Not known (outcome_unknown). It may have taken effect: look first, or repeat it with the same --idempotency-key"
        ]
        .assert_eq(&check(StatusCode::GATEWAY_TIMEOUT, unknown, Kind::Failed));
        let away = json!({"code": "unavailable", "detail": "no leader", "retry": "safe"});
        expect!["no leader (unavailable). Nothing changed: try again"].assert_eq(&check(
            StatusCode::SERVICE_UNAVAILABLE,
            away,
            Kind::Unavailable,
        ));
        expect!["the server answered 502 Bad Gateway: a proxy"].assert_eq(&check(
            StatusCode::BAD_GATEWAY,
            json!("a proxy"),
            Kind::Failed,
        ));
    }
}
