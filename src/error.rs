//! The public error: what every surface (HTTP, WebSocket, MCP, CLI) shows.
//!
//! A small closed set of codes, each with one status and one answer to "may I try again?". Modules
//! have their own error enums; they are mapped to this one once, in `runtime`, and from here once to
//! HTTP in `api`. The codes are stable: clients match on them.

use std::borrow::Cow;
use std::time::Duration;

/// Whether the same request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// It surely had no effect: send it again, after a pause.
    Safe,
    /// It may have had its effect: look first, or use an idempotency key.
    Unknown,
    /// Sending the same again gives the same answer.
    Never,
}

macro_rules! codes {
    ($($variant:ident $code:literal $status:literal $retry:ident $title:literal;)*) => {
        /// The stable codes of CONTRACT, each a word that clients match on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $title] $variant,)*
        }

        impl Code {
            /// Every code, for documentation and tests.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The stable snake_case word.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $code,)* }
            }

            /// The HTTP status that carries it.
            #[must_use]
            pub fn status(self) -> u16 {
                match self { $(Code::$variant => $status,)* }
            }

            /// Whether a retry helps.
            #[must_use]
            pub fn retry(self) -> Retry {
                match self { $(Code::$variant => Retry::$retry,)* }
            }

            /// A short human title, the same for every occurrence.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Code::$variant => $title,)* }
            }
        }
    };
}

codes! {
    InvalidRequest "invalid_request" 400 Never "The request is malformed";
    Unauthenticated "unauthenticated" 401 Never "The caller is not known";
    Forbidden "forbidden" 403 Never "The caller may not do this";
    OriginNotAllowed "origin_not_allowed" 403 Never "The page's origin is not allowed";
    NotFound "not_found" 404 Never "There is nothing at this path";
    ClassNotFound "class_not_found" 404 Never "There is no such class";
    ObjectNotFound "object_not_found" 404 Never "There is no such object";
    KeyNotFound "key_not_found" 404 Never "The object has no such key";
    MethodNotFound "method_not_found" 404 Never "The class has no such method";
    MethodNotAllowed "method_not_allowed" 405 Never "The path does not take this verb";
    RequestTimeout "request_timeout" 408 Safe "The request did not arrive in time";
    Conflict "conflict" 409 Never "The object has moved on";
    VersionMismatch "version_mismatch" 412 Never "The object is at another version";
    BodyTooLarge "body_too_large" 413 Never "The body or value is too large";
    StateTooLarge "state_too_large" 413 Never "The state is too large for one answer";
    UriTooLong "uri_too_long" 414 Never "The address is too long";
    UnsupportedMediaType "unsupported_media_type" 415 Never "The body must be JSON";
    HostNotAllowed "host_not_allowed" 421 Never "The host is not one of this server's";
    InvalidParameters "invalid_parameters" 422 Never "The class refused the call";
    IdempotencyKeyReused "idempotency_key_reused" 422 Never "The idempotency key stands for another call";
    UpgradeRequired "upgrade_required" 426 Never "This path speaks WebSocket or Server-Sent Events";
    RateLimited "rate_limited" 429 Safe "Too many requests";
    Overloaded "overloaded" 429 Safe "The object or node has too much to do";
    IdempotencyFull "idempotency_full" 429 Safe "Too many recent idempotency keys";
    HeadersTooLarge "headers_too_large" 431 Never "The headers are too large";
    Internal "internal" 500 Unknown "A bug in the server or the class";
    Unavailable "unavailable" 503 Safe "The object cannot be reached now";
    OutcomeUnknown "outcome_unknown" 504 Unknown "Whether it took effect is not known";
}

/// An error as clients see it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", code.as_str())]
pub struct Error {
    /// The stable code.
    pub code: Code,
    /// What happened here and what to do, in a sentence.
    pub detail: Cow<'static, str>,
    /// Whether the same request may be sent again; the code's own answer unless said otherwise.
    pub retry: Retry,
    /// When to come back, for the codes that carry `Retry-After`.
    pub retry_after: Option<Duration>,
    /// The verbs the path does take, for `method_not_allowed`.
    pub allow: Option<Cow<'static, str>>,
}

impl Error {
    /// An error with the code's own answer to a retry.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        let retry_after = (code.status() == 429).then_some(Duration::from_secs(1));
        Self { code, detail: detail.into(), retry: code.retry(), retry_after, allow: None }
    }

    /// The same error with another answer to a retry.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }
}
