//! The class `document`: text shared by editors.

use serde_json::Value as Json;

use crate::object::{Refusal, Turn};

use super::{Class, Parameters};

/// A Yjs document whose shared text is `content`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Document;

impl Class for Document {
    fn call(&self, _turn: &mut Turn<'_>, method: &str, _parameters: Parameters) -> Result<Json, Refusal> {
        Err(Refusal::MethodNotFound { method: method.to_owned() })
    }
}
