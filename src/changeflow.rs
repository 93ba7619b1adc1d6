//! Change management: tools over the class `change-request`, for MCP and REST alike.
//!
//! A turn of one change decides by its own state and what it is given; nothing is atomic across objects. What has to
//! happen across them, and what is read from many, happens here and nowhere else: making ids, looking at blockers,
//! reserving time, lists, reports, figures, and the policy that every turn is given.

mod arguments;
mod results;
pub(crate) mod schema;
mod tools;
mod vocabulary;

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use crate::caller::Caller;
use crate::error::{Code, Error};
use crate::object::idempotency::IdempotencyKey;

pub use tools::{Tool, find, tools};

/// The change management of a node. Cheap to clone.
#[derive(Clone)]
pub struct ChangeFlow(Arc<Inner>);

struct Inner {}

/// How a tool is called.
#[derive(Clone, Default)]
pub struct CallOptions {
    /// It takes effect once, however often it is called with this key.
    pub idempotency_key: Option<IdempotencyKey>,
    /// Told how far a long call has come.
    pub progress: Option<Arc<dyn Fn(Progress) + Send + Sync>>,
}

/// How far a call has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// What is done.
    pub done: u64,
    /// Of so much, where that is known.
    pub total: Option<u64>,
    /// What is being done.
    pub message: String,
}

/// Why a call has no result.
#[derive(Debug, Clone)]
pub enum Refused {
    /// The rules say no, and nothing has changed.
    Refusal {
        /// `{"success":false,"error":…}`, and what helps to do better.
        body: Json,
        /// `invalid_parameters` or `object_not_found`.
        code: Code,
    },
    /// It could not be done, or it is not known whether it was.
    Failed(Error),
}

impl Refused {
    /// The rules say no, for this reason.
    pub(crate) fn refusal(error: impl Into<String>) -> Self {
        let error: String = error.into();
        Self::Refusal { body: json!({ "success": false, "error": error }), code: Code::InvalidParameters }
    }

    /// The reason, in words.
    #[must_use]
    pub fn detail(&self) -> &str {
        match self {
            Self::Refusal { body, .. } => body.get("error").and_then(Json::as_str).unwrap_or_default(),
            Self::Failed(error) => &error.detail,
        }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl ChangeFlow {
    /// Calls a tool, by its name or an alias.
    ///
    /// # Errors
    ///
    /// [`Refused::Refusal`] where the rules or the arguments say no, [`Refused::Failed`] where it could not be done;
    /// an unknown tool fails with `not_found` and `Unknown tool: X`.
    pub async fn call(
        &self,
        caller: &Caller,
        tool: &str,
        arguments: Map<String, Json>,
        options: CallOptions,
    ) -> Result<Json, Refused> {
        let _ = (&self.0, caller, arguments, options);
        let _tool = find(tool).ok_or_else(|| Error::new(Code::NotFound, format!("Unknown tool: {tool}")))?;
        Err(Error::new(Code::Unavailable, "change management is being built").into())
    }
}

impl fmt::Debug for ChangeFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChangeFlow")
    }
}
