//! The revision of 2026-07-28: no session, each request says all that it needs, in its body and once more in its headers.

use std::sync::Arc;

use axum::response::Response;
use http::StatusCode;
use parking_lot::Mutex;
use rmcp::model::{ClientCapabilities, ErrorCode, ErrorData, Implementation};
use serde_json::{Map, Value as Json, json};
use tokio_util::sync::CancellationToken;

use super::ask::Ask;
use super::done::{self, Done, error_of};
use super::exchange::{Asking, Client, Detach, Exchange, Level, Outbox, Rounds, patient};
use super::headers;
use super::message::Request;
use super::params::progress_token;
use super::response::{failed, single};
use super::revision::{self, Era};
use super::running::Running;
use super::stream::{self, Begun};
use super::work::{Origin, Work};
use super::{Failure, Mcp, Tasks, events, listen, reply, task};

const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const META_CLIENT: &str = "io.modelcontextprotocol/clientInfo";
const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const META_LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// Methods that end in another round where their client is asked something.
const IN_ROUNDS: [&str; 3] = ["tools/call", "prompts/get", "resources/read"];

/// Whether a request says itself that it is of this revision, whatever its headers say.
pub(super) fn is_marked(request: &Request) -> bool {
    let meta = request.params.get("_meta").and_then(Json::as_object);
    meta.is_some_and(|meta| meta.contains_key(META_VERSION))
        || matches!(&*request.method, "server/discover" | "subscriptions/listen")
}

/// Why a request is refused before it runs, and with which status.
struct Refused(StatusCode, ErrorData);

impl Refused {
    fn malformed(message: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self(StatusCode::BAD_REQUEST, ErrorData::invalid_params(message, None))
    }

    fn mismatch(detail: &str) -> Self {
        Self(StatusCode::BAD_REQUEST, ErrorData::header_mismatch(format!("Header mismatch: {detail}"), None))
    }

    fn version(requested: &str) -> Self {
        let supported: Vec<_> = revision::all().collect();
        let data = json!({ "supported": supported, "requested": requested });
        let code = ErrorCode::UNSUPPORTED_PROTOCOL_VERSION;
        Self(StatusCode::BAD_REQUEST, ErrorData::new(code, "Unsupported protocol version", Some(data)))
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        let error = error_of(failure, Era::Modern);
        Self(status_of(&error), error)
    }
}

/// What a request says of itself in `_meta`.
struct Said {
    client: Client,
    log_level: Option<Level>,
    progress_token: Option<Json>,
}

/// Answers one request.
pub(super) async fn answer(mcp: Mcp, ask: Ask, request: Request) -> Response {
    let id = request.id.clone();
    let takes = ask.takes;
    match begin(&mcp, ask, request).await {
        Ok(response) => response,
        Err(Refused(status, error)) => single(takes, status, reply::error(Some(&id), &error, Era::Modern)),
    }
}

async fn begin(mcp: &Mcp, ask: Ask, request: Request) -> Result<Response, Refused> {
    let Request { id, method, mut params } = request;
    let said = check(&ask, &method, &mut params)?;
    if method == "subscriptions/listen" {
        return Ok(listen::open(mcp, &ask, id, &params).await?);
    }
    let mut idempotency_meta = params.remove("_meta");
    let idempotency_meta = idempotency_meta.as_mut().and_then(Json::as_object_mut);
    let idempotency_key =
        headers::idempotency_key(&ask.headers, idempotency_meta.as_deref()).map_err(Refused::malformed)?;
    let asking = if IN_ROUNDS.contains(&&*method) {
        let bring = params.contains_key("inputResponses") || params.contains_key("requestState");
        let rounds = if bring {
            mcp.seal().open(mcp.runtime(), &ask.caller, &method, &mut params).await?
        } else {
            Rounds::default()
        };
        Asking::Rounds(Mutex::new(rounds))
    } else {
        Asking::Refused
    };
    let origin = Origin { method: method.clone(), body: ask.body.clone() };
    let work = Work::of(mcp, method, params)?;
    let (mut caller, mut may_detach) = (ask.caller.clone(), false);
    if let Work::Tool { tool, mirrored, arguments, .. } = &work {
        headers::compare_arguments(&ask.headers, mirrored, arguments)
            .map_err(|detail| Refused::mismatch(&detail))?;
        if tool.tasks != Tasks::Never {
            caller = patient(&caller);
            may_detach = task::knows_tasks(&said.client) && mcp.has_room();
        }
        if tool.tasks == Tasks::Required && !may_detach {
            return Err(task::needs_tasks().into());
        }
    }
    // Nothing is told to who takes no events.
    let told = ask.takes.events;
    let exchange = Exchange {
        caller,
        era: Era::Modern,
        client: Arc::new(said.client),
        idempotency_key,
        progress_token: said.progress_token.filter(|_| told),
        log_level: said.log_level.filter(|_| told),
        outbox: Arc::new(Outbox::default()),
        can_resume: false,
        asking,
        detach: Detach::new(may_detach),
        cancelled: CancellationToken::new(),
        extended: std::sync::OnceLock::new(),
    };
    let running = Running::start(mcp, exchange, id.clone(), work, origin);
    match stream::begin(mcp, running).await {
        Begun::Done(done) => {
            let status = status(&done);
            Ok(single(ask.takes, status, done::message(&id, &done, Era::Modern)))
        }
        Begun::Speaks(running) => match mcp.place() {
            Ok(place) => Ok(events::answer(stream::speak(mcp.clone(), running), Some(place))),
            Err(full) => Ok(failed(&full)),
        },
    }
}

/// Checks what every request of this revision has.
fn check(ask: &Ask, method: &str, params: &mut Map<String, Json>) -> Result<Said, Refused> {
    let header = headers::text(&ask.headers, headers::PROTOCOL_VERSION);
    let header = header.ok_or_else(|| Refused::mismatch("the header MCP-Protocol-Version is missing"))?;
    let meta = params.get("_meta").and_then(Json::as_object);
    let version = meta.and_then(|meta| meta.get(META_VERSION)).and_then(Json::as_str);
    if version.is_none() && !revision::all().any(|known| known == header) {
        return Err(Refused::version(header));
    }
    let missing = |name: &str| Refused::malformed(format!("Invalid params: _meta has no {name}"));
    let version = version.ok_or_else(|| missing(META_VERSION))?;
    let meta = meta.ok_or_else(|| missing(META_VERSION))?;
    let capabilities = meta.get(META_CAPABILITIES).filter(|capabilities| capabilities.is_object());
    let capabilities = capabilities.ok_or_else(|| missing(META_CAPABILITIES))?;
    if header != version {
        let detail =
            format!("MCP-Protocol-Version header value {header:?} does not match body value {version:?}");
        return Err(Refused::mismatch(&detail));
    }
    if version != revision::MODERN {
        return Err(Refused::version(version));
    }
    headers::compare(&ask.headers, method, params).map_err(|detail| Refused::mismatch(&detail))?;
    let capabilities: ClientCapabilities = serde_json::from_value(capabilities.clone())
        .map_err(|error| Refused::malformed(format!("{META_CAPABILITIES} does not fit: {error}")))?;
    let info: Option<Implementation> =
        meta.get(META_CLIENT).and_then(|info| serde_json::from_value(info.clone()).ok());
    let log_level = match meta.get(META_LOG_LEVEL) {
        None => None,
        Some(level) => Some(
            serde_json::from_value(level.clone())
                .map_err(|_| Refused::malformed(format!("{META_LOG_LEVEL} is no level of log messages")))?,
        ),
    };
    Ok(Said { client: Client { info, capabilities }, log_level, progress_token: progress_token(meta) })
}

/// The status that a finished request has.
fn status(done: &Done) -> StatusCode {
    done.as_ref().map_or_else(status_of, |_| StatusCode::OK)
}

fn status_of(error: &ErrorData) -> StatusCode {
    match error.code {
        ErrorCode::METHOD_NOT_FOUND => StatusCode::NOT_FOUND,
        ErrorCode::MISSING_REQUIRED_CLIENT_CAPABILITY
        | ErrorCode::HEADER_MISMATCH
        | ErrorCode::UNSUPPORTED_PROTOCOL_VERSION => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    }
}
