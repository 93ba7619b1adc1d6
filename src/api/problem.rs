//! The public error as HTTP: RFC 9457 `application/problem+json`.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{Code, Error, Retry};

/// The media type of an error.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// An error: RFC 9457, with a stable `code` to match on and whether to `retry`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Problem<'a> {
    /// Where the code is explained.
    #[serde(rename = "type")]
    #[schema(format = "uri-reference")]
    kind: String,
    /// The same for every occurrence of the code.
    title: &'a str,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What happened here, and what to do.
    detail: &'a str,
    /// A stable word to match on.
    #[schema(pattern = "^[a-z_]+$")]
    code: &'a str,
    /// `safe`: it surely did not happen, send it again; `unknown`: it may have happened, look first;
    /// `never`: the same again gives the same.
    #[schema(value_type = String, pattern = "^(safe|unknown|never)$")]
    retry: Retry,
}

/// Where a code is explained: its place on the page that the server itself serves.
pub(super) fn page_of(code: Code) -> String {
    format!("/#{}", code.as_str())
}

impl<'a> Problem<'a> {
    pub(super) fn of(error: &'a Error) -> Self {
        Self {
            kind: page_of(error.code),
            title: error.code.title(),
            status: error.code.status(),
            detail: &error.detail,
            code: error.code.as_str(),
            retry: error.retry,
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&Problem::of(&self)).expect("texts and numbers have a form in JSON");
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status(self.code);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        add_headers(&mut response, &self);
        response
    }
}

impl Error {
    /// The answer that tells the error, and what else helps to do better.
    pub(super) fn with_members(
        self,
        members: impl IntoIterator<Item = (String, serde_json::Value)>,
    ) -> Response {
        let mut problem = serde_json::to_value(Problem::of(&self)).expect("a problem has a form in JSON");
        if let Some(fields) = problem.as_object_mut() {
            for (name, value) in members {
                fields.entry(name).or_insert(value);
            }
        }
        let mut response = self.into_response();
        *response.body_mut() = Body::from(problem.to_string());
        response
    }
}

/// The status of a code.
pub(super) fn status(code: Code) -> StatusCode {
    StatusCode::from_u16(code.status()).expect("every code has a status that exists")
}

/// The headers that belong to an error, whatever the form of its body.
pub(super) fn add_headers(response: &mut Response, error: &Error) {
    let headers = response.headers_mut();
    if let Some(pause) = error.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(pause.as_secs().max(1)));
    }
    if let Some(allow) = error.allow.as_deref().and_then(|allow| HeaderValue::from_str(allow).ok()) {
        headers.insert(ALLOW, allow);
    }
    if error.code == Code::UpgradeRequired {
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_status_that_exists() {
        for code in Code::ALL {
            assert!(status(*code).is_client_error() || status(*code).is_server_error(), "{code:?}");
        }
    }

    #[test]
    fn a_problem_has_exactly_its_fields() {
        let error = Error::new(Code::Overloaded, "come back");
        let text = serde_json::to_string(&Problem::of(&error)).expect("it has a form in JSON");
        expect_test::expect![[r#"{"type":"/#overloaded","title":"The object or node has too much to do","status":429,"detail":"come back","code":"overloaded","retry":"safe"}"#]]
            .assert_eq(&text);
        let response = error.into_response();
        assert_eq!(response.headers().get(RETRY_AFTER), Some(&HeaderValue::from_static("1")));
    }
}
