//! Resources that stand still, and one that is watched.

use std::time::Duration;

use futures_util::StreamExt as _;
use rmcp::model::{ReadResourceResult, Resource, ResourceTemplate};
use serde_json::{Value, json};
use stead::mcp::Followed;

use super::IMAGE;

/// The one that says again and again that it has changed.
const WATCHED: &str = "test://watched-resource";

pub(super) fn all() -> Vec<Resource> {
    let resources = json!([
        { "uri": "test://static-text", "name": "static-text", "description": "A text", "mimeType": "text/plain" },
        { "uri": "test://static-binary", "name": "static-binary", "description": "An image", "mimeType": "image/png" },
        { "uri": WATCHED, "name": "watched-resource", "description": "A text that changes", "mimeType": "text/plain" },
    ]);
    serde_json::from_value(resources).expect("resources of this file")
}

pub(super) fn templates() -> Vec<ResourceTemplate> {
    let templates = json!([{ "uriTemplate": "test://template/{id}/data", "name": "template",
        "description": "Data of an id", "mimeType": "application/json" }]);
    serde_json::from_value(templates).expect("templates of this file")
}

pub(super) fn read(uri: &str) -> Option<ReadResourceResult> {
    let contents = match uri {
        "test://static-text" => text(uri, "text/plain", "This is the content of the static text resource."),
        "test://static-binary" => json!({ "uri": uri, "mimeType": "image/png", "blob": IMAGE }),
        WATCHED => text(uri, "text/plain", "Watched resource content"),
        _ => {
            let id = uri.strip_prefix("test://template/")?.strip_suffix("/data")?;
            let data = json!({ "id": id, "templateTest": true, "data": format!("Data for ID: {id}") });
            text(uri, "application/json", &data.to_string())
        }
    };
    Some(serde_json::from_value(json!({ "contents": [contents] })).expect("contents of this file"))
}

fn text(uri: &str, kind: &str, text: &str) -> Value {
    json!({ "uri": uri, "mimeType": kind, "text": text })
}

/// The watched resource changes every three seconds.
pub(super) fn follow(uri: &str) -> Option<Followed> {
    read(uri)?;
    let ticks = futures_util::stream::unfold(0_u64, |version| async move {
        tokio::time::sleep(Duration::from_secs(3)).await;
        Some((version + 1, version + 1))
    });
    let changes = if uri == WATCHED { ticks.boxed() } else { futures_util::stream::pending().boxed() };
    Some(Followed { version: 0, changes })
}
