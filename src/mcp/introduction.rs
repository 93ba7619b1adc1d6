//! What the server says of itself: to whoever begins a session, and to whoever asks in the newest revision.

use serde_json::{Value as Json, json};

use super::reply::{self, SERVER_INFO};
use super::revision::{self, Era};
use super::task;

/// What clients are told of the server, for their models.
const INSTRUCTIONS: &str = "Stead holds durable objects: read and change them with the object tools, watch them as \
resources stead://{class}/{name}. Changes to a company's systems are managed with the change tools.";

/// `server/discover`.
pub(super) fn discover() -> reply::Result {
    let versions: Vec<_> = revision::all().collect();
    let object = json!({
        "supportedVersions": versions, "capabilities": capabilities(Era::Modern), "instructions": INSTRUCTIONS,
    });
    let cache = Some(reply::Cache { ttl_ms: 3_600_000, scope: "public" });
    reply::Result { cache, ..reply::Result::of(&object) }
}

/// What `initialize` is answered.
pub(super) fn greeting(version: &str) -> reply::Result {
    let capabilities = capabilities(Era::Legacy);
    let mut fields =
        format!(r#""protocolVersion":"{version}","capabilities":{capabilities},"serverInfo":{SERVER_INFO}"#);
    fields.push_str(r#","instructions":"#);
    reply::push_text(&mut fields, INSTRUCTIONS);
    reply::Result::of_fields(fields)
}

/// What the server can do.
fn capabilities(era: Era) -> Json {
    let mut capabilities = json!({
        "tools": { "listChanged": true }, "resources": { "subscribe": true, "listChanged": true },
        "prompts": { "listChanged": true }, "logging": {}, "completions": {},
    });
    if let (Era::Modern, Some(capabilities)) = (era, capabilities.as_object_mut()) {
        capabilities.insert("extensions".to_owned(), json!({ task::EXTENSION: {} }));
    }
    capabilities
}
