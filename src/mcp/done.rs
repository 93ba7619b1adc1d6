//! What a request came to: a result, or the error that its failure is sent as.

use rmcp::model::{ErrorCode, ErrorData};
use serde_json::{Value as Json, json};

use super::Failure;
use super::reply;
use super::revision::Era;

/// What a request came to.
pub(super) type Done = Result<reply::Result, ErrorData>;

/// The message that says what a request came to.
pub(super) fn message(id: &Json, done: &Done, era: Era) -> String {
    match done {
        Ok(result) => reply::result(id, result, era),
        Err(error) => reply::error(Some(id), error, era),
    }
}

/// The error that a failure is sent as.
pub(super) fn error_of(failure: Failure, era: Era) -> ErrorData {
    match failure {
        Failure::Rpc(error) => reply::fitted(error, era),
        Failure::Cancelled => ErrorData::new(ErrorCode::INTERNAL_ERROR, "the request was cancelled", None),
        Failure::InputRequired => {
            ErrorData::internal_error("what is asked of the client was not passed on", None)
        }
    }
}

/// The node ends before the request does.
pub(super) fn stopped() -> ErrorData {
    let data = json!({ "code": "outcome_unknown", "retry": "unknown" });
    ErrorData::new(
        ErrorCode::INTERNAL_ERROR,
        "the node that ran the request stops; whether it took effect is not known",
        Some(data),
    )
}
