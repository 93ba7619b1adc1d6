//! The updates that an object keeps.

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;

use super::super::ask::Ask;
use super::super::describe::{ObjectPath, ReadErrors, RequestHeaders, UpdatePage, UpdatesQuery};
use super::super::query::Query;
use super::super::{ApiState, reply};
use crate::error::Error;
use crate::object::Version;
use crate::runtime::{Action, Outcome};

/// Reads the updates after a version, as far as the history reaches.
#[utoipa::path(get, path = "/v1/objects/{class}/{name}/updates", tag = "objects", operation_id = "list_updates",
    params(ObjectPath, UpdatesQuery, RequestHeaders), responses((status = 200, body = UpdatePage), ReadErrors))]
pub(super) async fn page(State(api): State<ApiState>, request: Request) -> Result<Response, Error> {
    let (head, _) = request.into_parts();
    let mut ask = Ask::of(head)?;
    let query = Query::parse(ask.head.uri.query())?;
    let action = Action::Updates { since: query.since()?.unwrap_or(Version::ZERO), limit: query.limit()? };
    let answer = ask.answer(&api, action).await?;
    let Outcome::Updates { updates, complete } = answer.outcome else {
        unreachable!("updates are answered by updates")
    };
    let object = reply::object_field(&ask.address);
    // Each is an object of its own already, whose first field follows the brace.
    let updates =
        updates.iter().map(|update| format!("{{{object},{}", update.strip_prefix('{').unwrap_or(update)));
    let text = reply::Object::new()
        .raw("updates", &reply::array(updates))
        .number("version", answer.version)
        .number("complete", complete)
        .end();
    Ok(reply::at_version(reply::json(StatusCode::OK, text), answer.version))
}
