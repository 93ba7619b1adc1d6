//! Objects: listed, read, initialised, deleted, called, found.

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;

use super::super::ask::{self, Ask};
use super::super::body::{self, Absent};
use super::super::describe::{
    ClassPath, ListErrors, LocationAnswer, MethodAnswer, MethodPath, NewState, ObjectAnswer, ObjectList,
    ObjectPath, PageQuery, ReadErrors, RequestHeaders, WriteErrors, WriteHeaders, Written,
};
use super::super::query::Query;
use super::super::{ApiState, headers, reply};
use crate::error::{Code, Error};
use crate::object::{ObjectAddress, Version};
use crate::runtime::{Action, ListQuery, Outcome};

/// Lists the objects of a class, in the byte order of their names. Not a snapshot.
#[utoipa::path(get, path = "/v1/objects/{class}", tag = "objects", operation_id = "list_objects",
    params(ClassPath, PageQuery), responses((status = 200, body = ObjectList), ListErrors))]
pub(super) async fn list(State(api): State<ApiState>, request: Request) -> Result<Response, Error> {
    let (mut head, _) = request.into_parts();
    let caller = ask::take_caller(&mut head);
    let class = ask::class_in(&head)?;
    let page = Query::parse(head.uri.query())?.page()?;
    let query = ListQuery { prefix: page.prefix, limit: page.limit, cursor: page.cursor };
    let page = api.runtime().list(&caller, &class, query).await?;
    let rows = page.objects.iter().map(|object| {
        reply::Object::new()
            .text("class", class.as_str())
            .text("name", &object.name)
            .number("version", object.version)
            .text("updated_at", &object.updated_at.to_string())
            .end()
    });
    let text = reply::Object::new()
        .raw("objects", &reply::array(rows))
        .text_or_null("cursor", page.cursor.as_deref())
        .end();
    Ok(reply::json(StatusCode::OK, text))
}

/// Reads an object's whole state.
#[utoipa::path(get, path = "/v1/objects/{class}/{name}", tag = "objects", operation_id = "get_object",
    params(ObjectPath, RequestHeaders),
    responses((status = 200, body = ObjectAnswer, headers(
        ("ETag" = String, description = "The version, for If-Match"), ("X-Stead-Version" = u64, description = "The version"))), ReadErrors))]
pub(super) async fn get(State(api): State<ApiState>, request: Request) -> Result<Response, Error> {
    let (head, _) = request.into_parts();
    let mut ask = Ask::of(head)?;
    let answer = ask.answer(&api, Action::State).await?;
    let Outcome::State { exists, entries, updated_at } = answer.outcome else {
        unreachable!("a state is answered by a state")
    };
    if !exists {
        return Err(absent(&ask.address));
    }
    let text = addressed(&ask.address)
        .number("version", answer.version)
        .raw("state", &reply::state(&entries))
        .text("updated_at", &updated_at.to_string())
        .end();
    Ok(reply::tagged(reply::at_version(reply::json(StatusCode::OK, text), answer.version), answer.version))
}

/// Initialises an object: puts every key of the body.
#[utoipa::path(put, path = "/v1/objects/{class}/{name}", tag = "objects", operation_id = "initialize_object",
    params(ObjectPath, RequestHeaders, WriteHeaders), request_body(content = NewState, content_type = "application/json"),
    responses((status = 200, description = "It existed", body = Written), (status = 201, description = "It was made", body = Written), WriteErrors))]
pub(super) async fn initialize(State(api): State<ApiState>, request: Request) -> Result<Response, Error> {
    let (head, body) = request.into_parts();
    let mut ask = Ask::of(head)?;
    headers::json_content(&ask.head.headers)?;
    let bytes = body::read(&ask.head.headers, body, api.settings().body_timeout).await?;
    let keys = body::object(&bytes, Absent::Refused)?;
    let answer = ask.answer(&api, Action::Initialize { keys }).await?;
    let Outcome::Initialized { created } = answer.outcome else {
        unreachable!("initialise is answered by initialised")
    };
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let text = addressed(&ask.address).number("version", answer.version).end();
    Ok(reply::at_version(reply::json(status, text), answer.version))
}

/// Deletes an object: its state, alarm and history. The name used again counts on from its last version.
#[utoipa::path(delete, path = "/v1/objects/{class}/{name}", tag = "objects", operation_id = "delete_object",
    params(ObjectPath, RequestHeaders, WriteHeaders), responses((status = 204, description = "It is gone"), WriteErrors))]
pub(super) async fn delete(State(api): State<ApiState>, request: Request) -> Result<Response, Error> {
    let (head, _) = request.into_parts();
    let mut ask = Ask::of(head)?;
    let answer = ask.answer(&api, Action::Delete).await?;
    Ok(reply::at_version(reply::empty(StatusCode::NO_CONTENT), answer.version))
}

/// Calls a method. The body holds its parameters; an absent one is `{}`.
#[utoipa::path(post, path = "/v1/objects/{class}/{name}/methods/{method}", tag = "objects", operation_id = "call_method",
    params(ObjectPath, MethodPath, RequestHeaders, WriteHeaders),
    request_body(content = Object, content_type = "application/json"),
    responses((status = 200, body = MethodAnswer), WriteErrors))]
pub(super) async fn call(State(api): State<ApiState>, request: Request) -> Result<Response, Error> {
    let (head, body) = request.into_parts();
    let mut ask = Ask::of(head)?;
    headers::json_content(&ask.head.headers)?;
    let method = ask.method()?;
    let bytes = body::read(&ask.head.headers, body, api.settings().body_timeout).await?;
    let params = body::object(&bytes, Absent::Empty)?;
    let answer = ask.answer(&api, Action::Call { method, params }).await?;
    let Outcome::Result(result) = answer.outcome else { unreachable!("a call is answered by a result") };
    Ok(reply::at_version(
        reply::json(StatusCode::OK, result_text(result.as_str(), answer.version)),
        answer.version,
    ))
}

/// Finds the shard, leader and replicas of an object, be it there or not.
#[utoipa::path(get, path = "/v1/objects/{class}/{name}/location", tag = "objects", operation_id = "locate_object",
    params(ObjectPath), responses((status = 200, body = LocationAnswer), ListErrors))]
pub(super) async fn location(State(api): State<ApiState>, request: Request) -> Result<Response, Error> {
    let (head, _) = request.into_parts();
    let ask = Ask::of(head)?;
    let found = api.runtime().location(&ask.caller, &ask.address)?;
    let leader = found.leader.map_or_else(|| "null".to_owned(), |node| node.to_string());
    let replicas = reply::array(found.replicas.iter().map(u64::to_string));
    let text = reply::Object::new()
        .text("id", &found.id)
        .number("slot", found.slot)
        .number("shard", found.shard)
        .raw("leader", &leader)
        .raw("replicas", &replicas)
        .end();
    Ok(reply::json(StatusCode::OK, text))
}

fn addressed(address: &ObjectAddress) -> reply::Object {
    reply::Object::new().text("class", address.class().as_str()).text("name", address.name().as_str())
}

fn result_text(result: &str, version: Version) -> String {
    reply::Object::new().raw("result", result).number("version", version).end()
}

fn absent(address: &ObjectAddress) -> Error {
    let detail = format!("there is no {} named {:?}", address.class(), address.name().as_str());
    Error::new(Code::ObjectNotFound, detail)
}
