//! The cluster and its nodes.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::ApiState;
use super::super::describe::AnyErrors;
use crate::runtime::{ClusterView, NodeView};

/// The nodes of the cluster.
#[derive(Serialize, ToSchema)]
pub(super) struct NodeList {
    nodes: Vec<NodeView>,
}

/// Shows the cluster, and what is wrong with it.
#[utoipa::path(get, path = "/v1/cluster", tag = "cluster", operation_id = "get_cluster",
    responses((status = 200, body = ClusterView), AnyErrors))]
pub(super) async fn show(State(api): State<ApiState>) -> Json<ClusterView> {
    Json(api.runtime().cluster().await)
}

/// Lists the nodes of the cluster.
#[utoipa::path(get, path = "/v1/nodes", tag = "cluster", operation_id = "list_nodes",
    responses((status = 200, body = NodeList), AnyErrors))]
pub(super) async fn nodes(State(api): State<ApiState>) -> Json<NodeList> {
    Json(NodeList { nodes: api.runtime().nodes().await })
}
