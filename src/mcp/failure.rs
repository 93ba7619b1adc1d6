//! Why a request of a client is not answered by a result, and the one place where the public error becomes one of JSON-RPC.

use rmcp::model::{ErrorCode, ErrorData};
use serde_json::json;

use crate::error::{Code, Error};

/// Why there is no result.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// An error of JSON-RPC, as it is sent.
    Rpc(ErrorData),
    /// The client must answer something first. Only [`super::Exchange::ask`] makes it; whoever gets it passes it on.
    InputRequired,
    /// The client has taken its request back, and nobody waits.
    Cancelled,
}

impl Failure {
    /// The parameters of the request are wrong.
    pub fn invalid_params(message: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self::Rpc(ErrorData::invalid_params(message, None))
    }

    /// Something within the server failed.
    pub fn internal(message: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self::Rpc(ErrorData::internal_error(message, None))
    }

    /// There is no resource of that address. The revisions have different codes for it; this is the older one, which
    /// the dispatch turns into the newer.
    pub fn no_resource(uri: &str) -> Self {
        Self::Rpc(ErrorData::resource_not_found("Resource not found", Some(json!({ "uri": uri }))))
    }
}

impl From<ErrorData> for Failure {
    fn from(error: ErrorData) -> Self {
        Self::Rpc(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Rpc(rpc_error(&error))
    }
}

/// The public error as one of JSON-RPC: what the caller can mend is `invalid params`, all else `internal error`; which
/// it is exactly, and whether a retry helps, stands in `data`.
pub(super) fn rpc_error(error: &Error) -> ErrorData {
    let code = match error.code {
        Code::InvalidRequest | Code::InvalidParameters | Code::BodyTooLarge => ErrorCode::INVALID_PARAMS,
        code if code.status() == 404 => ErrorCode::INVALID_PARAMS,
        Code::UnsupportedMediaType | Code::RequestTimeout => ErrorCode::INVALID_REQUEST,
        _ => ErrorCode::INTERNAL_ERROR,
    };
    let data = json!({ "code": error.code.as_str(), "retry": error.retry });
    ErrorData::new(code, error.detail.clone(), Some(data))
}
