//! Keys of an object's state: paged through, read, put, deleted.

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;

use super::super::ask::Ask;
use super::super::body::{self, Absent};
use super::super::describe::{
    EntryPage, KeyAnswer, KeyPath, KeyWritten, NewValue, ObjectPath, PageQuery, ReadErrors, RequestHeaders,
    WriteErrors, WriteHeaders,
};
use super::super::query::Query;
use super::super::{ApiState, headers, reply};
use crate::error::{Code, Error};
use crate::runtime::{self, Action, Outcome};

/// Reads a page of an object's keys, in key order: for objects too large for one answer.
#[utoipa::path(get, path = "/v1/objects/{class}/{name}/state", tag = "objects", operation_id = "list_keys",
    params(ObjectPath, PageQuery, RequestHeaders), responses((status = 200, body = EntryPage), ReadErrors))]
pub(super) async fn page(State(api): State<ApiState>, request: Request) -> Result<Response, Error> {
    let (head, _) = request.into_parts();
    let mut ask = Ask::of(head)?;
    let page = Query::parse(ask.head.uri.query())?.page()?;
    let action = Action::Entries { prefix: page.prefix, limit: page.limit, cursor: page.cursor };
    let answer = ask.answer(&api, action).await?;
    let Outcome::Entries { entries, cursor } = answer.outcome else {
        unreachable!("entries are answered by entries")
    };
    let rows = entries.iter().map(|(key, value)| {
        reply::Object::new().text("key", key.as_str()).raw("value", value.as_str()).end()
    });
    let text = reply::Object::new()
        .raw("entries", &reply::array(rows))
        .text_or_null("cursor", cursor.as_deref())
        .number("version", answer.version)
        .end();
    Ok(reply::at_version(reply::json(StatusCode::OK, text), answer.version))
}

/// Reads one key.
#[utoipa::path(get, path = "/v1/objects/{class}/{name}/state/{key}", tag = "objects", operation_id = "get_key",
    params(ObjectPath, KeyPath, RequestHeaders), responses((status = 200, body = KeyAnswer), ReadErrors))]
pub(super) async fn get(State(api): State<ApiState>, request: Request) -> Result<Response, Error> {
    let (head, _) = request.into_parts();
    let mut ask = Ask::of(head)?;
    let key = ask.key()?;
    let answer = ask.answer(&api, Action::Get { key: key.clone() }).await?;
    let Outcome::Value(value) = answer.outcome else { unreachable!("a key is answered by its value") };
    let missing = || Error::new(Code::KeyNotFound, format!("there is no key {:?}", key.as_str()));
    let value = value.ok_or_else(missing)?;
    let text = reply::Object::new()
        .text("key", key.as_str())
        .raw("value", value.as_str())
        .number("version", answer.version)
        .end();
    Ok(reply::at_version(reply::json(StatusCode::OK, text), answer.version))
}

/// Puts one key; makes the object if it is not there.
#[utoipa::path(put, path = "/v1/objects/{class}/{name}/state/{key}", tag = "objects", operation_id = "put_key",
    params(ObjectPath, KeyPath, RequestHeaders, WriteHeaders), request_body(content = NewValue, content_type = "application/json"),
    responses((status = 200, body = KeyWritten), WriteErrors))]
pub(super) async fn put(State(api): State<ApiState>, request: Request) -> Result<Response, Error> {
    let (head, body) = request.into_parts();
    let mut ask = Ask::of(head)?;
    headers::json_content(&ask.head.headers)?;
    let key = ask.key()?;
    let bytes = body::read(&ask.head.headers, body, api.settings().body_timeout).await?;
    let missing = || Error::new(Code::InvalidRequest, "the body has the new value under \"value\"");
    let value = body::object(&bytes, Absent::Refused)?.remove("value").ok_or_else(missing)?;
    let answer = ask.answer(&api, Action::Put { key: key.clone(), value }).await?;
    let text = reply::Object::new().text("key", key.as_str()).number("version", answer.version).end();
    Ok(reply::at_version(reply::json(StatusCode::OK, text), answer.version))
}

/// Deletes one key.
#[utoipa::path(delete, path = "/v1/objects/{class}/{name}/state/{key}", tag = "objects", operation_id = "delete_key",
    params(ObjectPath, KeyPath, RequestHeaders, WriteHeaders), responses((status = 204, description = "It is gone"), WriteErrors))]
pub(super) async fn delete(State(api): State<ApiState>, request: Request) -> Result<Response, Error> {
    let (head, _) = request.into_parts();
    let mut ask = Ask::of(head)?;
    let key = ask.key()?;
    let answer = ask.answer(&api, Action::DeleteKey { key, absent: runtime::Absent::Refused }).await?;
    Ok(reply::at_version(reply::empty(StatusCode::NO_CONTENT), answer.version))
}
