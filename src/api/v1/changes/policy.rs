//! The policy of change management: read, put, and its history.

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use super::super::super::ask::take_caller;
use super::super::super::body::{self, Absent};
use super::super::super::describe::{
    ChangeReadErrors, ChangeWriteErrors, PolicyHeaders, TimeoutHeaders, WriteHeaders,
};
use super::super::super::{ApiState, headers, reply};
use crate::changeflow::PolicyVersion;
use crate::error::Error;

/// Reads the policy that holds: weights, levels, approvers, approvals, deadlines, windows, freezes, time zone.
#[utoipa::path(get, path = "/v1/changes/policy", tag = "changes", operation_id = "get_policy", params(TimeoutHeaders),
    responses((status = 200, description = "The policy, in the form that the configuration has", body = Object, content_type = "application/json",
        headers(("ETag" = String, description = "The version, for If-Match"))), ChangeReadErrors))]
pub(in crate::api::v1) async fn get(
    State(api): State<ApiState>,
    request: Request,
) -> Result<Response, Error> {
    let (mut head, _) = request.into_parts();
    let caller = take_caller(&mut head);
    Ok(shown(&api.changeflow().policy(&caller).await?))
}

/// Puts a policy in the place of the one that holds. It is looked at whole, and every node follows it.
#[utoipa::path(put, path = "/v1/changes/policy", tag = "changes", operation_id = "put_policy",
    params(TimeoutHeaders, PolicyHeaders, WriteHeaders), request_body(content = Object, content_type = "application/json"),
    responses((status = 200, description = "The policy that holds now", body = Object, content_type = "application/json",
        headers(("ETag" = String, description = "The version, for If-Match"))), ChangeWriteErrors))]
pub(in crate::api::v1) async fn put(
    State(api): State<ApiState>,
    request: Request,
) -> Result<Response, Error> {
    let (mut head, body) = request.into_parts();
    let caller = take_caller(&mut head);
    headers::json_content(&head.headers)?;
    let (if_match, key) = (headers::if_match(&head.headers)?, headers::idempotency_key(&head.headers)?);
    let bytes = body::read(&head.headers, body, api.settings().body_timeout).await?;
    let policy = body::object(&bytes, Absent::Refused)?;
    Ok(shown(&api.changeflow().put_policy(&caller, policy, if_match, key).await?))
}

/// Reads the versions of the policy that are kept, oldest first, with who put them and when.
#[utoipa::path(get, path = "/v1/changes/policy/history", tag = "changes", operation_id = "get_policy_history", params(TimeoutHeaders),
    responses((status = 200, description = "`versions`: each with `version`, `by`, `timestamp` and `policy`", body = Object, content_type = "application/json"),
        ChangeReadErrors))]
pub(in crate::api::v1) async fn history(
    State(api): State<ApiState>,
    request: Request,
) -> Result<Response, Error> {
    let (mut head, _) = request.into_parts();
    let caller = take_caller(&mut head);
    let versions = api.changeflow().policy_history(&caller).await?;
    Ok(reply::json(StatusCode::OK, json!({ "versions": versions }).to_string()))
}

fn shown(policy: &PolicyVersion) -> Response {
    let response = reply::json(StatusCode::OK, policy.policy.to_string());
    reply::tagged(reply::at_version(response, policy.version), policy.version)
}
