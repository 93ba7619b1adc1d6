//! What operators do: shards, drains, removals, moves, and how far they have come.

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::body::{self, Absent, Fields};
use super::super::describe::{MoveBody, OperateErrors, RebalanceBody, RemoveQuery, TransferBody};
use super::super::query::Query;
use super::super::{ApiState, reply};
use crate::error::{Code, Error};
use crate::operate::{MoveView, Operation, ShardView};

/// The shards of the cluster.
#[derive(Serialize, ToSchema)]
pub(super) struct ShardList {
    shards: Vec<ShardView>,
}

/// What was begun.
#[derive(Serialize, ToSchema)]
pub(super) struct Begun {
    /// The operation's number; `GET /v1/operations/{id}` on the same node tells how far it has come.
    operation: u64,
}

/// What a rebalance moves, or would move.
#[derive(Serialize, ToSchema)]
pub(super) struct MoveList {
    moves: Vec<MoveView>,
}

/// Lists the shards, as their leaders know them.
#[utoipa::path(get, path = "/v1/shards", tag = "cluster", operation_id = "list_shards",
    responses((status = 200, body = ShardList), OperateErrors))]
pub(super) async fn shards(State(api): State<ApiState>) -> Json<ShardList> {
    Json(ShardList { shards: api.operate().shards().await })
}

/// Shows one shard.
#[utoipa::path(get, path = "/v1/shards/{id}", tag = "cluster", operation_id = "get_shard",
    params(("id" = u16, Path, description = "The shard's number")),
    responses((status = 200, body = ShardView), OperateErrors))]
pub(super) async fn shard(State(api): State<ApiState>, Path(id): Path<String>) -> Result<Response, Error> {
    Ok(Json(api.operate().shard(number(&id, "shard")?).await?).into_response())
}

/// Has a node lead nothing from now on.
#[utoipa::path(post, path = "/v1/nodes/{id}/drain", tag = "cluster", operation_id = "drain_node",
    params(("id" = u64, Path, description = "The node's number")),
    responses((status = 202, body = Begun), OperateErrors))]
pub(super) async fn drain(State(api): State<ApiState>, Path(id): Path<String>) -> Result<Response, Error> {
    Ok(begun(api.operate().drain(number(&id, "node")?).await?))
}

/// Has a node lead again what it is to lead.
#[utoipa::path(post, path = "/v1/nodes/{id}/undrain", tag = "cluster", operation_id = "undrain_node",
    params(("id" = u64, Path, description = "The node's number")),
    responses((status = 202, body = Begun), OperateErrors))]
pub(super) async fn undrain(State(api): State<ApiState>, Path(id): Path<String>) -> Result<Response, Error> {
    Ok(begun(api.operate().undrain(number(&id, "node")?).await?))
}

/// Has a node leave for good: its replicas go to others first.
#[utoipa::path(delete, path = "/v1/nodes/{id}", tag = "cluster", operation_id = "remove_node",
    params(("id" = u64, Path, description = "The node's number"), RemoveQuery),
    responses((status = 202, body = Begun), OperateErrors))]
pub(super) async fn remove(
    State(api): State<ApiState>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Error> {
    let is_fewer_allowed = Query::parse(request.uri().query())?.flag("allow_fewer")?;
    Ok(begun(api.operate().remove(number(&id, "node")?, is_fewer_allowed).await?))
}

/// Moves a shard's replica from one node to another.
#[utoipa::path(post, path = "/v1/shards/{id}/move", tag = "cluster", operation_id = "move_shard",
    params(("id" = u16, Path, description = "The shard's number")), request_body = MoveBody,
    responses((status = 202, body = Begun), OperateErrors))]
pub(super) async fn move_replica(
    State(api): State<ApiState>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Error> {
    let fields = fields(&api, request).await?;
    let (from, to) = (node(&fields, "from")?, node(&fields, "to")?);
    Ok(begun(api.operate().move_replica(number(&id, "shard")?, from, to).await?))
}

/// Has a shard led by one of its replicas.
#[utoipa::path(post, path = "/v1/shards/{id}/transfer", tag = "cluster", operation_id = "transfer_shard",
    params(("id" = u16, Path, description = "The shard's number")), request_body = TransferBody,
    responses((status = 202, body = Begun), OperateErrors))]
pub(super) async fn transfer(
    State(api): State<ApiState>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Error> {
    let to = node(&fields(&api, request).await?, "to")?;
    Ok(begun(api.operate().transfer(number(&id, "shard")?, to).await?))
}

/// Spreads replicas and leaders evenly, or only says what that would move.
#[utoipa::path(post, path = "/v1/shards/rebalance", tag = "cluster", operation_id = "rebalance_shards",
    request_body = RebalanceBody, responses((status = 200, body = MoveList), OperateErrors))]
pub(super) async fn rebalance(State(api): State<ApiState>, request: Request) -> Result<Response, Error> {
    let fields = fields(&api, request).await?;
    let is_dry_run = match fields.get("dry_run") {
        None => false,
        Some(serde_json::Value::Bool(is_dry_run)) => *is_dry_run,
        Some(_) => return Err(invalid("dry_run is true or false")),
    };
    Ok(Json(MoveList { moves: api.operate().rebalance(is_dry_run).await? }).into_response())
}

/// Tells how far an operation has come that was begun on this node.
#[utoipa::path(get, path = "/v1/operations/{id}", tag = "cluster", operation_id = "get_operation",
    params(("id" = u64, Path, description = "The operation's number")),
    responses((status = 200, body = Operation), OperateErrors))]
pub(super) async fn operation(
    State(api): State<ApiState>,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    Ok(Json(api.operate().operation(number(&id, "operation")?)?).into_response())
}

pub(super) fn begun(operation: u64) -> Response {
    let text = reply::Object::new().number("operation", operation).end();
    reply::json(StatusCode::ACCEPTED, text)
}

/// A number in a path; what is none names nothing.
fn number<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, Error> {
    text.parse().map_err(|_| Error::new(Code::NotFound, format!("there is no {what} {text}")))
}

async fn fields(api: &ApiState, request: Request) -> Result<Fields, Error> {
    let (head, body) = request.into_parts();
    let bytes = body::read(&head.headers, body, api.settings().body_timeout).await?;
    body::object(&bytes, Absent::Refused)
}

fn node(fields: &Fields, name: &str) -> Result<u64, Error> {
    let node = fields.get(name).and_then(serde_json::Value::as_u64);
    node.ok_or_else(|| invalid(&format!("{name} is the number of a node")))
}

pub(super) fn invalid(detail: &str) -> Error {
    Error::new(Code::InvalidRequest, detail.to_owned())
}
