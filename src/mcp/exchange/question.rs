//! Something that a client is asked, and whether it can be.

use rmcp::model::{ClientCapabilities, ErrorCode, ErrorData};
use serde_json::{Value as Json, json};

use crate::mcp::Failure;

/// Something that a client is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// `sampling/createMessage`, `elicitation/create` or `roots/list`.
    pub method: &'static str,
    /// Its parameters.
    pub params: Json,
}

impl Question {
    /// The client's model is to say something.
    #[must_use]
    pub fn sampling(params: Json) -> Self {
        Self { method: "sampling/createMessage", params }
    }

    /// The client's user is to fill in a form.
    #[must_use]
    pub fn elicitation(params: Json) -> Self {
        Self { method: "elicitation/create", params }
    }

    /// Which directories the client works in.
    #[must_use]
    pub fn roots() -> Self {
        Self { method: "roots/list", params: json!({}) }
    }

    /// Whether a client can answer it.
    #[must_use]
    pub fn fits(&self, capabilities: &ClientCapabilities) -> bool {
        match self.method {
            "sampling/createMessage" => capabilities.sampling.is_some(),
            "elicitation/create" => capabilities.elicitation.is_some(),
            "roots/list" => capabilities.roots.is_some(),
            _ => false,
        }
    }

    /// What a client would have to declare.
    pub(super) fn required(&self) -> Json {
        let name = self.method.split('/').next().unwrap_or_default();
        json!({ name: {} })
    }

    /// As it stands among the `inputRequests` of a result or task.
    pub(in crate::mcp) fn input(&self) -> Json {
        json!({ "method": self.method, "params": self.params })
    }
}

/// The client cannot do what the request needs.
pub(in crate::mcp) fn missing_capability(required: Json) -> Failure {
    Failure::Rpc(ErrorData::new(
        ErrorCode::MISSING_REQUIRED_CLIENT_CAPABILITY,
        "Missing required client capability",
        Some(json!({ "requiredCapabilities": required })),
    ))
}
