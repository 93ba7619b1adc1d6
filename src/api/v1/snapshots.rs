//! Snapshots of the whole cluster: listed, and saved.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;

use super::super::ApiState;
use super::super::body::{self, Absent};
use super::super::describe::{SnapshotBody, SnapshotErrors};
use super::operate::{Begun, begun, invalid};
use crate::error::Error;
use crate::operate::SnapshotList;

/// Lists the snapshots that this node keeps.
#[utoipa::path(get, path = "/v1/snapshots", tag = "cluster", operation_id = "list_snapshots",
    responses((status = 200, body = SnapshotList), SnapshotErrors))]
pub(super) async fn list(State(api): State<ApiState>) -> Result<Response, Error> {
    Ok(Json(api.operate().snapshots().await?).into_response())
}

/// Saves the whole cluster into a file of this node.
#[utoipa::path(post, path = "/v1/snapshots", tag = "cluster", operation_id = "save_snapshot",
    request_body = SnapshotBody, responses((status = 202, body = Begun), SnapshotErrors))]
pub(super) async fn save(State(api): State<ApiState>, request: Request) -> Result<Response, Error> {
    let (head, body) = request.into_parts();
    let bytes = body::read(&head.headers, body, api.settings().body_timeout).await?;
    let name = match body::object(&bytes, Absent::Empty)?.remove("name") {
        None => None,
        Some(Value::String(name)) => Some(name),
        Some(_) => return Err(invalid("name is the name of the snapshot")),
    };
    Ok(begun(api.operate().save_snapshot(name)?))
}
