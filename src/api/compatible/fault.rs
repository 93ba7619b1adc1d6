//! The worker's errors: text, or `{"success":false,"error":…}` where a method was called.

use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::super::worker::message;
use super::super::{problem, reply};
use crate::error::{Code, Error};

/// Why a request of the worker's API has no 2xx.
#[derive(Debug)]
pub(super) enum Fault {
    /// A text that the worker's clients know.
    Text(StatusCode, &'static str),
    /// Anything else, its detail as text.
    Plain(Error),
    /// A method was refused, or did not run.
    Method(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Plain(error)
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        match self {
            Self::Text(status, text) => reply::text(status, text),
            Self::Plain(error) => {
                let body = match error.code {
                    Code::KeyNotFound => "Key not found".to_owned(),
                    _ => error.detail.to_string(),
                };
                let mut response = reply::text(plain_status(error.code), body);
                problem::add_headers(&mut response, &error);
                response
            }
            Self::Method(error) => {
                let body = reply::Object::new().raw("success", "false").text("error", &message(&error)).end();
                let mut response = reply::json(method_status(error.code), body);
                problem::add_headers(&mut response, &error);
                response
            }
        }
    }
}

fn plain_status(code: Code) -> StatusCode {
    match code {
        // The worker's clients know 400 for what the server does not take.
        Code::InvalidParameters => StatusCode::BAD_REQUEST,
        other => problem::status(other),
    }
}

fn method_status(code: Code) -> StatusCode {
    match code {
        // A refusal was an exception in the worker.
        Code::InvalidParameters | Code::KeyNotFound | Code::Forbidden => StatusCode::INTERNAL_SERVER_ERROR,
        other => problem::status(other),
    }
}
