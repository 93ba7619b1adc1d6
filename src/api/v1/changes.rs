//! Changes: the tools of change management under paths of their own.
//!
//! A handler puts the tool's arguments together from path, query and body, and makes one call; a refusal is a problem
//! with the tool's own words.

pub(super) mod policy;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::LOCATION;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use serde_json::{Map, Value as Json, json};

use super::super::ask::{self, take_caller};
use super::super::body::{self, Absent};
use super::super::describe::{
    ChangeAssessed, ChangeCommented, ChangeCreated, ChangeDecided, ChangeList, ChangeMoved, ChangeOverridden,
    ChangePath, ChangeReadErrors, ChangeScheduled, ChangeStatus, ChangeTrail, ChangeUpdate, ChangeUpdated,
    ChangeWriteErrors, ChangesQuery, ComplianceReport, DashboardQuery, MetricsDashboard, NewAssessment,
    NewChange, NewComment, NewDecision, NewOverride, NewSchedule, NewTransition, ReportQuery, TimeoutHeaders,
    TrailQuery, WriteHeaders,
};
use super::super::query::Query;
use super::super::{ApiState, headers, reply};
use crate::changeflow::{CallOptions, Refused};
use crate::error::Error;

/// Lists changes by state, kind, risk level or requestor. A page may be short although more follow.
#[utoipa::path(get, path = "/v1/changes", tag = "changes", operation_id = "list_changes",
    params(ChangesQuery, TimeoutHeaders), responses((status = 200, body = ChangeList), ChangeReadErrors))]
pub(super) async fn list(State(api): State<ApiState>, request: Request) -> Result<Response, Error> {
    let (head, _) = request.into_parts();
    let query = Query::parse(head.uri.query())?;
    let mut arguments = texts(&query, &["status", "type", "risk", "requestor", "cursor"]);
    arguments.insert("limit".to_owned(), json!(query.limit()?));
    read(&api, head, "list_changes", arguments).await
}

/// Creates a change.
#[utoipa::path(post, path = "/v1/changes", tag = "changes", operation_id = "create_change",
    params(TimeoutHeaders, WriteHeaders), request_body(content = NewChange, content_type = "application/json"),
    responses((status = 201, body = ChangeCreated, headers(("Location" = String, description = "Where the change is"))), ChangeWriteErrors))]
pub(super) async fn create(State(api): State<ApiState>, request: Request) -> Result<Response, Error> {
    let (head, body) = request.into_parts();
    write(&api, (head, body), "create_change_request", None).await
}

/// Shows a change.
#[utoipa::path(get, path = "/v1/changes/{id}", tag = "changes", operation_id = "get_change",
    params(ChangePath, TimeoutHeaders), responses((status = 200, body = ChangeStatus), ChangeReadErrors))]
pub(super) async fn get(State(api): State<ApiState>, request: Request) -> Result<Response, Error> {
    let (head, _) = request.into_parts();
    let arguments = Map::from_iter([("changeId".to_owned(), json!(id_in(&head)?))]);
    read(&api, head, "get_change_status", arguments).await
}

/// Updates fields of a change.
#[utoipa::path(patch, path = "/v1/changes/{id}", tag = "changes", operation_id = "update_change",
    params(ChangePath, TimeoutHeaders, WriteHeaders), request_body(content = ChangeUpdate, content_type = "application/json"),
    responses((status = 200, body = ChangeUpdated), ChangeWriteErrors))]
pub(super) async fn update(State(api): State<ApiState>, request: Request) -> Result<Response, Error> {
    let (head, body) = request.into_parts();
    let id = id_in(&head)?;
    write(&api, (head, body), "update_change", Some(id)).await
}

/// Records an approver's decision.
#[utoipa::path(post, path = "/v1/changes/{id}/decisions", tag = "changes", operation_id = "decide_on_change",
    params(ChangePath, TimeoutHeaders, WriteHeaders), request_body(content = NewDecision, content_type = "application/json"),
    responses((status = 200, body = ChangeDecided), ChangeWriteErrors))]
pub(super) async fn decide(State(api): State<ApiState>, request: Request) -> Result<Response, Error> {
    let (head, body) = request.into_parts();
    let id = id_in(&head)?;
    write(&api, (head, body), "approve_change", Some(id)).await
}

/// Assesses the risk of a change.
#[utoipa::path(post, path = "/v1/changes/{id}/assessments", tag = "changes", operation_id = "assess_change",
    params(ChangePath, TimeoutHeaders, WriteHeaders), request_body(content = NewAssessment, content_type = "application/json"),
    responses((status = 200, body = ChangeAssessed), ChangeWriteErrors))]
pub(super) async fn assess(State(api): State<ApiState>, request: Request) -> Result<Response, Error> {
    let (head, body) = request.into_parts();
    let id = id_in(&head)?;
    write(&api, (head, body), "assess_risk", Some(id)).await
}

/// Puts a change into a maintenance window. A refusal has `nextWindow`, the next that fits.
#[utoipa::path(post, path = "/v1/changes/{id}/schedule", tag = "changes", operation_id = "schedule_change",
    params(ChangePath, TimeoutHeaders, WriteHeaders), request_body(content = NewSchedule, content_type = "application/json"),
    responses((status = 200, body = ChangeScheduled), ChangeWriteErrors))]
pub(super) async fn schedule(State(api): State<ApiState>, request: Request) -> Result<Response, Error> {
    let (head, body) = request.into_parts();
    let id = id_in(&head)?;
    write(&api, (head, body), "schedule_change", Some(id)).await
}

/// Moves a change to another state.
#[utoipa::path(post, path = "/v1/changes/{id}/transitions", tag = "changes", operation_id = "transition_change",
    params(ChangePath, TimeoutHeaders, WriteHeaders), request_body(content = NewTransition, content_type = "application/json"),
    responses((status = 200, body = ChangeMoved), ChangeWriteErrors))]
pub(super) async fn transition(State(api): State<ApiState>, request: Request) -> Result<Response, Error> {
    let (head, body) = request.into_parts();
    let id = id_in(&head)?;
    write(&api, (head, body), "transition_change", Some(id)).await
}

/// Approves a change without approvals, in an emergency.
#[utoipa::path(post, path = "/v1/changes/{id}/override", tag = "changes", operation_id = "override_change",
    params(ChangePath, TimeoutHeaders, WriteHeaders), request_body(content = NewOverride, content_type = "application/json"),
    responses((status = 200, body = ChangeOverridden), ChangeWriteErrors))]
pub(super) async fn override_approvals(
    State(api): State<ApiState>,
    request: Request,
) -> Result<Response, Error> {
    let (head, body) = request.into_parts();
    let id = id_in(&head)?;
    write(&api, (head, body), "emergency_override", Some(id)).await
}

/// Comments on a change.
#[utoipa::path(post, path = "/v1/changes/{id}/comments", tag = "changes", operation_id = "comment_on_change",
    params(ChangePath, TimeoutHeaders, WriteHeaders), request_body(content = NewComment, content_type = "application/json"),
    responses((status = 200, body = ChangeCommented), ChangeWriteErrors))]
pub(super) async fn comment(State(api): State<ApiState>, request: Request) -> Result<Response, Error> {
    let (head, body) = request.into_parts();
    let id = id_in(&head)?;
    write(&api, (head, body), "add_comment", Some(id)).await
}

/// Reads the audit trail of a change, oldest first.
#[utoipa::path(get, path = "/v1/changes/{id}/audit", tag = "changes", operation_id = "get_audit_trail",
    params(ChangePath, TrailQuery, TimeoutHeaders), responses((status = 200, body = ChangeTrail), ChangeReadErrors))]
pub(super) async fn audit(State(api): State<ApiState>, request: Request) -> Result<Response, Error> {
    let (head, _) = request.into_parts();
    let query = Query::parse(head.uri.query())?;
    let mut arguments = texts(&query, &["cursor"]);
    arguments.insert("limit".to_owned(), json!(query.limit()?));
    arguments.insert("changeId".to_owned(), json!(id_in(&head)?));
    read(&api, head, "get_audit_trail", arguments).await
}

/// Computes a compliance report over all changes of a period. It reads each of them, and may take long.
#[utoipa::path(get, path = "/v1/changes/report", tag = "changes", operation_id = "get_compliance_report",
    params(ReportQuery, TimeoutHeaders), responses((status = 200, body = ComplianceReport), ChangeReadErrors))]
pub(super) async fn report(State(api): State<ApiState>, request: Request) -> Result<Response, Error> {
    let (head, _) = request.into_parts();
    let query = Query::parse(head.uri.query())?;
    let mut arguments = texts(&query, &["framework"]);
    arguments.extend(period(&query));
    read(&api, head, "compliance_report", arguments).await
}

/// Shows the figures of now, or of a period within the last 90 days.
#[utoipa::path(get, path = "/v1/changes/dashboard", tag = "changes", operation_id = "get_dashboard",
    params(DashboardQuery, TimeoutHeaders), responses((status = 200, body = MetricsDashboard), ChangeReadErrors))]
pub(super) async fn dashboard(State(api): State<ApiState>, request: Request) -> Result<Response, Error> {
    let (head, _) = request.into_parts();
    let arguments = period(&Query::parse(head.uri.query())?);
    read(&api, head, "metrics_dashboard", arguments.into_iter().collect()).await
}

/// The change in `/v1/changes/{id}…`.
fn id_in(head: &Parts) -> Result<String, Error> {
    ask::part(head, 2)
}

/// Parameters of a query that are texts; an empty one is none.
fn texts(query: &Query<'_>, names: &[&str]) -> Map<String, Json> {
    let given = names.iter().filter_map(|name| {
        let text = query.get(name).filter(|text| !text.is_empty())?;
        Some(((*name).to_owned(), json!(text)))
    });
    given.collect()
}

fn period(query: &Query<'_>) -> Option<(String, Json)> {
    let period = texts(query, &["start", "end"]);
    (!period.is_empty()).then(|| ("period".to_owned(), Json::Object(period)))
}

async fn read(
    api: &ApiState,
    mut head: Parts,
    tool: &str,
    arguments: Map<String, Json>,
) -> Result<Response, Error> {
    let caller = take_caller(&mut head);
    let answered = api.changeflow().call(&caller, tool, arguments, CallOptions::default()).await;
    Ok(answer(StatusCode::OK, answered))
}

async fn write(
    api: &ApiState,
    (mut head, body): (Parts, axum::body::Body),
    tool: &str,
    id: Option<String>,
) -> Result<Response, Error> {
    let caller = take_caller(&mut head);
    headers::json_content(&head.headers)?;
    let idempotency_key = headers::idempotency_key(&head.headers)?;
    let bytes = body::read(&head.headers, body, api.settings().body_timeout).await?;
    let mut arguments = body::object(&bytes, Absent::Empty)?;
    let status = if id.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    if let Some(id) = id {
        arguments.insert("changeId".to_owned(), Json::String(id));
    }
    let options = CallOptions { idempotency_key, progress: None };
    Ok(answer(status, api.changeflow().call(&caller, tool, arguments, options).await))
}

fn answer(status: StatusCode, answered: Result<Json, Refused>) -> Response {
    match answered {
        Ok(result) => {
            let mut response = reply::json(status, result.to_string());
            if status == StatusCode::CREATED
                && let Some(id) = result.get("changeId").and_then(Json::as_str)
                && let Ok(location) = HeaderValue::from_str(&format!("/v1/changes/{id}"))
            {
                response.headers_mut().insert(LOCATION, location);
            }
            response
        }
        Err(Refused::Failed(error)) => error.into_response(),
        Err(Refused::Refusal { body, code }) => {
            let detail = body.get("error").and_then(Json::as_str).unwrap_or_default().to_owned();
            let members = match body {
                Json::Object(members) => members,
                _ => Map::new(),
            };
            let more = members.into_iter().filter(|(name, _)| !matches!(name.as_str(), "success" | "error"));
            Error::new(code, detail).with_members(more)
        }
    }
}
