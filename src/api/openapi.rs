//! `/openapi.json`, made of the handlers.

use std::sync::LazyLock;

use axum::response::Response;
use http::StatusCode;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::describe::{AnyErrors, Frame, with_optional_bodies};
use super::{ApiState, compatible, console, health, reply, v1, yjs};

static TEXT: LazyLock<String> =
    LazyLock::new(|| openapi().to_json().expect("a description has a form in JSON"));

/// The routes that stand in the description, with their handlers.
pub(super) fn described_routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(Frame::openapi())
        .merge(console::routes())
        .routes(routes!(show))
        .merge(v1::routes())
        .merge(yjs::routes())
        .merge(health::routes())
}

/// The description of every route.
#[must_use]
pub fn openapi() -> OpenApi {
    let mut description = described_routes().into_openapi();
    description.merge(compatible::Description::openapi());
    with_optional_bodies(description)
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "server", operation_id = "get_openapi",
    responses((status = 200, description = "OpenAPI", body = Object, content_type = "application/json"), AnyErrors))]
async fn show() -> Response {
    reply::json(StatusCode::OK, TEXT.clone())
}
