//! What machines ask of a node: is it alive, can it serve, how does it fare.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ask::take_caller;
use super::describe::AnyErrors;
use super::{ApiState, headers, reply};
use crate::caller::Caller;
use crate::error::{Code, Error};
use crate::runtime::Room;
use crate::telemetry::Metrics;

/// How long the figures of changes are waited for.
const FIGURES_WITHIN: Duration = Duration::from_secs(2);

/// The routes that machines ask.
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(health))
        .routes(routes!(ready))
        .routes(routes!(livez))
        .routes(routes!(metrics))
        .routes(routes!(stats))
}

/// How a node fares.
#[derive(Serialize, ToSchema)]
struct Health {
    /// `healthy` or `unhealthy`.
    #[schema(pattern = "^(healthy|unhealthy)$")]
    status: &'static str,
    #[schema(format = DateTime)]
    timestamp: String,
    version: &'static str,
    /// Seconds since the node was started.
    uptime: f64,
    checks: Checks,
    /// The checks that failed.
    failed: Vec<&'static str>,
}

/// Each check.
#[derive(Serialize, ToSchema)]
struct Checks {
    storage: Check,
    consensus: Check,
    memory: Check,
    disk: DiskCheck,
}

/// The check of the disk, and how much room there is.
#[derive(Serialize, ToSchema)]
struct DiskCheck {
    #[serde(flatten)]
    check: Check,
    /// Bytes that are free where the data directory lies.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    free_bytes: Option<u64>,
    /// Bytes it has in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    size_bytes: Option<u64>,
}

/// A check, and what is wrong.
#[derive(Serialize, ToSchema)]
struct Check {
    /// `ok` or `failed`.
    #[schema(pattern = "^(ok|failed)$")]
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    detail: Option<String>,
}

impl From<Result<(), String>> for Check {
    fn from(result: Result<(), String>) -> Self {
        match result {
            Ok(()) => Self { status: "ok", detail: None },
            Err(detail) => Self { status: "failed", detail: Some(detail) },
        }
    }
}

/// Checks the node: its storage, consensus, memory and disk.
#[utoipa::path(get, path = "/health", tag = "server", operation_id = "get_health",
    responses((status = 200, description = "Healthy", body = Health), (status = 503, description = "Unhealthy", body = Health), AnyErrors))]
async fn health(State(api): State<ApiState>) -> Response {
    let runtime = api.runtime();
    let checks = Checks {
        storage: runtime.storage().into(),
        consensus: runtime.consensus().into(),
        memory: runtime.memory().into(),
        disk: disk(runtime.disk_room(), runtime.disk()),
    };
    let named = [
        ("storage", &checks.storage),
        ("consensus", &checks.consensus),
        ("memory", &checks.memory),
        ("disk", &checks.disk.check),
    ];
    let failed: Vec<_> =
        named.iter().filter(|(_, check)| check.detail.is_some()).map(|(name, _)| *name).collect();
    let (code, status) = if failed.is_empty() {
        (StatusCode::OK, "healthy")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "unhealthy")
    };
    let health = Health {
        status,
        timestamp: api.now().to_string(),
        version: env!("CARGO_PKG_VERSION"),
        uptime: api.uptime().as_secs_f64(),
        checks,
        failed,
    };
    json(code, &health)
}

fn disk(room: Option<Room>, checked: Result<(), String>) -> DiskCheck {
    DiskCheck {
        check: checked.into(),
        free_bytes: room.map(|room| room.free_bytes),
        size_bytes: room.map(|room| room.size_bytes),
    }
}

/// The node's word on itself.
#[derive(Serialize, ToSchema)]
struct Word {
    status: &'static str,
}

/// Whether the node can serve: 503 before its first quorum, and once it is stopping.
#[utoipa::path(get, path = "/ready", tag = "server", operation_id = "get_ready",
    responses((status = 200, body = Word),
        (status = 503, description = "`unavailable`: not yet, or not any more", body = super::problem::Problem<'_>, content_type = "application/problem+json"), AnyErrors))]
async fn ready(State(api): State<ApiState>) -> Result<Response, Error> {
    if api.is_stopping() {
        return Err(Error::new(Code::Unavailable, "the node is stopping"));
    }
    api.runtime().ready().map_err(|why| Error::new(Code::Unavailable, why))?;
    Ok(json(StatusCode::OK, &Word { status: "ready" }))
}

/// Whether the process answers. Restart it when this fails, and for no other reason.
#[utoipa::path(get, path = "/livez", tag = "server", operation_id = "get_livez",
    responses((status = 200, body = Word), AnyErrors))]
async fn livez() -> Response {
    json(StatusCode::OK, &Word { status: "alive" })
}

/// The server's counts, for `Accept: application/json`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Numbers {
    worker: WorkerNumbers,
    /// `changes` and `compliance` of the dashboard, at most a few seconds old; empty while they cannot be computed.
    #[schema(value_type = Object)]
    change_management: serde_json::Map<String, serde_json::Value>,
}

/// The server's own counts.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct WorkerNumbers {
    version: &'static str,
    /// Seconds since the node was started.
    uptime: f64,
    requests: u64,
    errors: u64,
    /// Milliseconds.
    avg_response_time: f64,
}

/// The server's instruments: OpenMetrics text for Prometheus, or a few numbers for `Accept: application/json`.
#[utoipa::path(get, path = "/metrics", tag = "server", operation_id = "get_metrics",
    responses((status = 200, content((String = "application/openmetrics-text"), (Numbers = "application/json"))), AnyErrors))]
async fn metrics(State(api): State<ApiState>, request: Request) -> Response {
    let (mut head, _) = request.into_parts();
    if headers::accepts(&head.headers, "application/json") {
        let caller = take_caller(&mut head);
        let totals = api.metrics().totals();
        let worker = WorkerNumbers {
            version: env!("CARGO_PKG_VERSION"),
            uptime: api.uptime().as_secs_f64(),
            requests: totals.requests,
            errors: totals.errors,
            avg_response_time: totals.mean_response.as_secs_f64() * 1_000.0,
        };
        return json(StatusCode::OK, &Numbers { worker, change_management: figures(&api, &caller).await });
    }
    let text = api.metrics().encode();
    reply::typed(StatusCode::OK, HeaderValue::from_static(Metrics::CONTENT_TYPE), text.into())
}

/// What the dashboard shows of changes. Machines ask whatever the state of the cluster is, so nothing here fails.
async fn figures(api: &ApiState, caller: &Caller) -> serde_json::Map<String, serde_json::Value> {
    let board = tokio::time::timeout(FIGURES_WITHIN, api.changeflow().board(caller)).await;
    let board = board.ok().and_then(Result::ok).unwrap_or_default();
    let part = |name: &str| Some((name.to_owned(), board.get(name)?.clone()));
    ["changes", "compliance"].into_iter().filter_map(part).collect()
}

/// What the server has open and offers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Stats {
    /// Seconds since the node was started.
    uptime: f64,
    active_sessions: usize,
    registered_tools: usize,
    registered_resources: usize,
    registered_prompts: usize,
    #[schema(format = DateTime)]
    timestamp: String,
    active_objects: usize,
    sockets: usize,
    subscribers: usize,
}

/// Counts what the server has open and offers.
#[utoipa::path(get, path = "/stats", tag = "server", operation_id = "get_stats",
    responses((status = 200, body = Stats), AnyErrors))]
async fn stats(State(api): State<ApiState>) -> Response {
    let offer = api.metrics().offer();
    let stats = Stats {
        uptime: api.uptime().as_secs_f64(),
        active_sessions: offer.active_sessions,
        registered_tools: offer.tools,
        registered_resources: offer.resources,
        registered_prompts: offer.prompts,
        timestamp: api.now().to_string(),
        active_objects: api.runtime().active_objects(),
        sockets: api.sockets(),
        subscribers: api.hub().subscribers(),
    };
    json(StatusCode::OK, &stats)
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let text = serde_json::to_string(body).expect("texts and numbers have a form in JSON");
    let mut response = reply::json(status, text);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.into_response()
}
