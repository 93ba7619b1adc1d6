//! What a request asks for, before anything is done about it; and the body in which it asked.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::catalog::{Arguments, Source, Tool};
use super::headers::Mirrored;
use super::params::arguments;
use super::{Failure, Mcp};

/// What a request asks for, as far as it is known before it runs.
pub(super) enum Work {
    /// A tool is called.
    Tool { source: Arc<dyn Source>, tool: Arc<Tool>, mirrored: Arc<[Mirrored]>, arguments: Arguments },
    /// Anything else.
    Other { method: String, params: Map<String, Json> },
}

impl Work {
    /// Finds the tool of a call.
    pub(super) fn of(mcp: &Mcp, method: String, mut params: Map<String, Json>) -> Result<Self, Failure> {
        if method != "tools/call" {
            return Ok(Self::Other { method, params });
        }
        let Some(Json::String(name)) = params.remove("name") else {
            return Err(Failure::invalid_params("tools/call has the parameter name, a text"));
        };
        let arguments = arguments(&mut params)?;
        let listed = mcp.catalog().listed();
        let unknown = || mcp.catalog().why_not(&name);
        let named = listed.tool(&name).ok_or_else(unknown)?;
        let source = mcp.catalog().source(named.place).ok_or_else(unknown)?.clone();
        Ok(Self::Tool { source, tool: named.tool.clone(), mirrored: named.mirrored.clone(), arguments })
    }
}

/// The body that a request came in: read again in the rare case that its parameters are needed once more.
#[derive(Clone)]
pub(super) struct Origin {
    pub(super) method: String,
    pub(super) body: bytes::Bytes,
}

impl Origin {
    /// Its parameters, as they were before anything was taken out of them.
    pub(super) fn params(&self) -> Map<String, Json> {
        let parsed = crate::object::parse_json(&self.body).ok();
        let params = parsed.and_then(|mut body| body.get_mut("params").map(Json::take));
        match params {
            Some(Json::Object(params)) => params,
            _ => Map::new(),
        }
    }
}
