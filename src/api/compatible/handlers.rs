//! The worker's routes, one function each.

use std::fmt::Write;

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::request::Parts;
use sha2::{Digest, Sha256};
use utoipa::OpenApi;

use super::super::ask::{take_caller, tenant_of};
use super::super::describe::{
    CompatibleEntry, CompatiblePath, CompatibleRefusal, CompatibleResult, CompatibleState, CompatibleWritten,
    NewState, NewValue, Success,
};
use super::super::worker::{CLASS, mapped_params, method_of, result_text};
use super::super::{ApiState, body, headers, reply, socket};
use super::fault::Fault;
use crate::caller::Caller;
use crate::error::{Code, Error};
use crate::object::{ClassName, Key, ObjectAddress, ObjectName, parse_json};
use crate::runtime::{self, Action, Answer, Outcome};

/// The description of the worker's routes.
#[derive(OpenApi)]
#[openapi(paths(initialize, get_state, get_key, put_key, delete_key, call_method, open_socket, get_id))]
pub(in crate::api) struct Description;

/// A request of the worker's API.
pub(super) struct Incoming<'api> {
    api: &'api ApiState,
    caller: Caller,
    head: Parts,
}

impl<'api> Incoming<'api> {
    pub(super) fn of(api: &'api ApiState, mut head: Parts) -> Self {
        let caller = take_caller(&mut head);
        Self { api, caller, head }
    }

    fn address(&self, id: &str) -> Result<ObjectAddress, Error> {
        let class = ClassName::parse(CLASS).expect("the worker's class is a class");
        let name =
            ObjectName::parse(id).map_err(|error| Error::new(Code::InvalidRequest, error.to_string()))?;
        Ok(ObjectAddress::new(tenant_of(&self.caller)?, class, name))
    }

    async fn ask(&self, id: &str, action: Action) -> Result<Answer, Error> {
        let idempotency_key = headers::idempotency_key(&self.head.headers)?;
        let request = runtime::Request { action, idempotency_key, if_match: None, context: None };
        self.api.runtime().call(&self.caller, &self.address(id)?, request).await
    }

    async fn json(&self, body: Body, absent: body::Absent) -> Result<serde_json::Value, Fault> {
        let bytes = body::read(&self.head.headers, body, self.api.settings().body_timeout).await?;
        if bytes.is_empty() && absent == body::Absent::Empty {
            return Ok(serde_json::Value::Object(body::Fields::new()));
        }
        parse_json(&bytes).map_err(|_| Fault::Text(StatusCode::BAD_REQUEST, "Invalid JSON"))
    }
}

fn key_of(key: &str) -> Result<Key, Error> {
    Key::parse(key).map_err(|error| Error::new(Code::InvalidRequest, error.to_string()))
}

/// Puts every key of the body. The id is the whole rest of the path.
#[utoipa::path(post, path = "/initialize/{id}", tag = "compatible", operation_id = "compatible_initialize", params(CompatiblePath),
    request_body(content = NewState, content_type = "application/json"),
    responses((status = 200, body = Success), (status = "default", description = "Refused", body = String, content_type = "text/plain")))]
pub(super) async fn initialize(incoming: Incoming<'_>, body: Body, id: &str) -> Result<Response, Fault> {
    let serde_json::Value::Object(keys) = incoming.json(body, body::Absent::Refused).await? else {
        return Err(Fault::Text(StatusCode::BAD_REQUEST, "The initial state is a JSON object"));
    };
    let answer = incoming.ask(id, Action::Initialize { keys }).await?;
    Ok(done(&answer, r#"{"success":true}"#.to_owned()))
}

/// Reads the state.
#[utoipa::path(get, path = "/object/{id}/state", tag = "compatible", operation_id = "compatible_get_state", params(CompatiblePath),
    responses((status = 200, body = CompatibleState), (status = "default", description = "Refused", body = String, content_type = "text/plain")))]
pub(super) async fn get_state(incoming: Incoming<'_>, id: &str) -> Result<Response, Fault> {
    let answer = incoming.ask(id, Action::State).await?;
    let Outcome::State { entries, .. } = &answer.outcome else {
        unreachable!("a state is answered by a state")
    };
    let text = reply::Object::new().raw("data", &reply::state(entries)).end();
    Ok(done(&answer, text))
}

/// Reads a key.
#[utoipa::path(get, path = "/object/{id}/state/{key}", tag = "compatible", operation_id = "compatible_get_key",
    params(CompatiblePath, ("key" = String, Path, description = "The key, the whole rest of the path", min_length = 1)),
    responses((status = 200, body = CompatibleEntry), (status = "default", description = "Refused; 404 `Key not found`", body = String, content_type = "text/plain")))]
pub(super) async fn get_key(incoming: Incoming<'_>, id: &str, key: &str) -> Result<Response, Fault> {
    let answer = incoming.ask(id, Action::Get { key: key_of(key)? }).await?;
    let Outcome::Value(value) = &answer.outcome else { unreachable!("a key is answered by its value") };
    let value = value.as_ref().ok_or(Fault::Text(StatusCode::NOT_FOUND, "Key not found"))?;
    let text = reply::Object::new().text("key", key).raw("value", value.as_str()).end();
    Ok(done(&answer, text))
}

/// Puts a key.
#[utoipa::path(put, path = "/object/{id}/state/{key}", tag = "compatible", operation_id = "compatible_put_key",
    params(CompatiblePath, ("key" = String, Path, description = "The key, the whole rest of the path", min_length = 1)),
    request_body(content = NewValue, content_type = "application/json"),
    responses((status = 200, body = CompatibleWritten), (status = "default", description = "Refused; 400 `Missing value`", body = String, content_type = "text/plain")))]
pub(super) async fn put_key(
    incoming: Incoming<'_>,
    body: Body,
    id: &str,
    key: &str,
) -> Result<Response, Fault> {
    let missing = || Fault::Text(StatusCode::BAD_REQUEST, "Missing value");
    let serde_json::Value::Object(mut fields) = incoming.json(body, body::Absent::Refused).await? else {
        return Err(missing());
    };
    let value = fields.remove("value").ok_or_else(missing)?;
    let answer = incoming.ask(id, Action::Put { key: key_of(key)?, value }).await?;
    Ok(done(&answer, written_text(key)))
}

/// Deletes a key, whether or not it is there.
#[utoipa::path(delete, path = "/object/{id}/state/{key}", tag = "compatible", operation_id = "compatible_delete_key",
    params(CompatiblePath, ("key" = String, Path, description = "The key, the whole rest of the path", min_length = 1)),
    responses((status = 200, body = CompatibleWritten), (status = "default", description = "Refused", body = String, content_type = "text/plain")))]
pub(super) async fn delete_key(incoming: Incoming<'_>, id: &str, key: &str) -> Result<Response, Fault> {
    let answer =
        incoming.ask(id, Action::DeleteKey { key: key_of(key)?, absent: runtime::Absent::Fine }).await?;
    Ok(done(&answer, written_text(key)))
}

/// Calls a method, with or without its prefix `method_`. `/object/{id}/{method}` is the same.
#[utoipa::path(post, path = "/object/{id}/method/{method}", tag = "compatible", operation_id = "compatible_call_method",
    params(CompatiblePath, ("method" = String, Path, description = "The method", min_length = 1, example = "increment")),
    request_body(content = Object, content_type = "application/json"),
    responses((status = 200, body = CompatibleResult),
        (status = 404, description = "No such method", content((CompatibleRefusal = "application/json"), (String = "text/plain"))),
        (status = 409, description = "The version is not current + 1", body = CompatibleRefusal),
        (status = 500, description = "Refused", body = CompatibleRefusal),
        (status = "default", description = "Refused", content((CompatibleRefusal = "application/json"), (String = "text/plain")))))]
pub(super) async fn call_method(
    incoming: Incoming<'_>,
    body: Body,
    id: &str,
    method: &str,
) -> Result<Response, Fault> {
    let unknown = || Fault::Method(Error::new(Code::MethodNotFound, "Method not found"));
    let method = method_of(method).ok_or_else(unknown)?.to_owned();
    let serde_json::Value::Object(params) = incoming.json(body, body::Absent::Empty).await? else {
        return Err(Fault::Text(StatusCode::BAD_REQUEST, "Parameters are a JSON object"));
    };
    let params = mapped_params(&method, params);
    incoming.address(id)?;
    let answer = incoming.ask(id, Action::Call { method, params }).await.map_err(Fault::Method)?;
    let Outcome::Result(result) = &answer.outcome else { unreachable!("a call is answered by a result") };
    Ok(done(&answer, result_text(result)))
}

/// Opens a WebSocket on an object.
#[utoipa::path(get, path = "/object/{id}/websocket", tag = "compatible", operation_id = "compatible_websocket", params(CompatiblePath),
    responses((status = 101, description = "WebSocket"), (status = "default", description = "Not a WebSocket request", body = String, content_type = "text/plain")))]
pub(super) fn open_socket(mut incoming: Incoming<'_>, id: &str) -> Result<Response, Fault> {
    let address = incoming.address(id)?;
    let upgrade = socket::Upgrade::of(&mut incoming.head)?;
    Ok(socket::open(incoming.api, upgrade, socket::Opened::compatible(incoming.caller, address)))
}

/// A stable opaque id of a pair of names.
#[utoipa::path(get, path = "/namespace/{namespace}/id/{name}", tag = "compatible", operation_id = "compatible_get_id",
    params(("namespace" = String, Path, description = "The namespace", min_length = 1), ("name" = String, Path, description = "The name", min_length = 1)),
    responses((status = 200, description = "64 hex digits, a bare JSON string", body = String, content_type = "application/json"),
        (status = "default", description = "Refused", body = String, content_type = "text/plain")))]
pub(super) fn get_id(namespace: &str, name: &str) -> Response {
    let mut digest = Sha256::new();
    for part in [namespace, name] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    let mut text = String::from("\"");
    for byte in digest.finalize() {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
    }
    text.push('"');
    reply::json(StatusCode::OK, text)
}

fn done(answer: &Answer, text: String) -> Response {
    reply::at_version(reply::json(StatusCode::OK, text), answer.version)
}

/// The body of a write that went well, with its key.
fn written_text(key: &str) -> String {
    reply::Object::new().raw("success", "true").text("key", key).end()
}
