//! The versions of a document that are kept.

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value as Json, json};

use super::super::ask::Ask;
use super::super::describe::{
    NamedDocumentPath, ReadErrors, RequestHeaders, VersionAnswer, VersionList, VersionPath, VersionsQuery,
};
use super::super::query::{self, Query};
use super::super::{ApiState, path, reply};
use crate::error::Error;
use crate::runtime::{Action, Answer, Outcome};

/// Lists the versions of a document that can be read, newest first.
#[utoipa::path(get, path = "/v1/objects/document/{name}/versions", tag = "objects", operation_id = "list_versions",
    params(NamedDocumentPath, VersionsQuery, RequestHeaders), responses((status = 200, body = VersionList), ReadErrors))]
pub(super) async fn page(State(api): State<ApiState>, request: Request) -> Result<Response, Error> {
    let (head, _) = request.into_parts();
    let ask = Ask::of(head)?;
    let page = Query::parse(ask.head.uri.query())?.page()?;
    let before = page.cursor.map(|cursor| query::version(&cursor, "cursor")).transpose()?;
    let answer = asked(ask, &api, "versions", json!({ "limit": page.limit, "before": before })).await?;
    let Outcome::Result(found) = &answer.outcome else { unreachable!("a question is answered by a result") };
    let found = found.to_json();
    let cursor = found.get("cursor").and_then(Json::as_u64).map(|cursor| cursor.to_string());
    let text = reply::Object::new()
        .raw("versions", &found.get("versions").unwrap_or(&json!([])).to_string())
        .text_or_null("cursor", cursor.as_deref())
        .end();
    Ok(reply::at_version(reply::json(StatusCode::OK, text), answer.version))
}

/// Reads the text that a document had at a version: of the last 1,000, or the last one of an hour for 30 days.
#[utoipa::path(get, path = "/v1/objects/document/{name}/versions/{version}", tag = "objects", operation_id = "get_version",
    params(NamedDocumentPath, VersionPath, RequestHeaders), responses((status = 200, body = VersionAnswer), ReadErrors))]
pub(super) async fn get(State(api): State<ApiState>, request: Request) -> Result<Response, Error> {
    let (head, _) = request.into_parts();
    let ask = Ask::of(head)?;
    let version = query::version(path::part(ask.head.uri.path(), 5), "the last part of the path")?;
    let answer = asked(ask, &api, "version", json!({ "version": version })).await?;
    let Outcome::Result(found) = &answer.outcome else { unreachable!("a question is answered by a result") };
    Ok(reply::at_version(reply::json(StatusCode::OK, found.as_str().to_owned()), answer.version))
}

async fn asked(mut ask: Ask, api: &ApiState, question: &str, params: Json) -> Result<Answer, Error> {
    let params = match params {
        Json::Object(params) => params,
        _ => Map::new(),
    };
    ask.answer(api, Action::Ask { question: question.to_owned(), params }).await
}
