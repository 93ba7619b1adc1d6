//! The address that Yjs editors connect to.

use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use super::ask::{take_caller, tenant_of};
use super::describe::{DocumentPath, ListErrors};
use super::socket::{self, Upgrade};
use super::{ApiState, path};
use crate::error::{Code, Error};
use crate::object::{ClassName, ObjectAddress, ObjectName};

/// Before the document's name.
const PREFIX: &str = "/v1/yjs/";
/// The class of what is edited.
const CLASS: &str = "document";

/// The description of the route. Its name may have slashes, which the router and the description write differently.
#[derive(OpenApi)]
#[openapi(paths(open))]
struct Description;

/// The route of editors.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(Description::openapi()).route("/v1/yjs/{*name}", get(open))
}

/// Edits a document with a Yjs editor: the y-websocket protocol, on a WebSocket.
#[utoipa::path(get, path = "/v1/yjs/{name}", tag = "objects", operation_id = "edit_document",
    params(DocumentPath),
    responses((status = 101, description = "WebSocket: binary messages of sync and awareness"),
        (status = 426, description = "`upgrade_required`: no WebSocket asked for", body = super::problem::Problem<'_>, content_type = "application/problem+json"),
        ListErrors))]
async fn open(State(api): State<ApiState>, request: Request) -> Result<Response, Error> {
    let (mut head, _) = request.into_parts();
    let caller = take_caller(&mut head);
    let invalid = |why: &dyn std::fmt::Display| Error::new(Code::InvalidRequest, why.to_string());
    let name = head.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let name = path::decode(name).map_err(|error| invalid(&format_args!("in the path: {error}")))?;
    let name = ObjectName::parse(&name).map_err(|error| invalid(&error))?;
    let class = ClassName::parse(CLASS).expect("the name of a class of ours is one");
    let address = ObjectAddress::new(tenant_of(&caller)?, class, name);
    let upgrade = Upgrade::of(&mut head)?;
    Ok(socket::open_editor(&api, upgrade, caller, address))
}
