//! The revisions up to 2025-11-25: a handshake, then requests within its session. A bare request without either is
//! answered as well: curl sends those.

use std::sync::{Arc, OnceLock};

use axum::response::Response;
use futures_util::stream::{self, StreamExt as _};
use http::{HeaderValue, StatusCode};
use rmcp::model::{ErrorCode, ErrorData};
use serde_json::{Map, Value as Json, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::ask::Ask;
use super::done::{self, Done, error_of};
use super::exchange::{Asking, Asks, Client, Detach, Exchange, Level, Outbox, patient};
use super::message::{Incoming, Malformed, Request};
use super::response::{
    accepted, empty, failed, json as json_answer, no_session, refuse_method, refused, single,
};
use super::revision::{self, Era};
use super::running::Running;
use super::session::{self, Follow, Refused, Session, SessionAsks};
use super::stream::{self as bare, Begun};
use super::work::{Origin, Work};
use super::{Failure, Mcp, Tasks, events, headers, introduction, params, reply, task};
use crate::class::mcp_session::STANDING;
use crate::error::{Code, Error};
use crate::limits::MCP_OUTBOX_MAX;

/// The only revision whose bodies may be several messages.
const BATCHES: &str = "2025-03-26";

/// Answers one message.
pub(super) async fn answer(mcp: Mcp, ask: Ask, incoming: Incoming) -> Response {
    if let Incoming::Request(request) = &incoming
        && request.method == "initialize"
    {
        return initialize(&mcp, &ask, request).await;
    }
    let session = match session_of(&mcp, &ask).await {
        Ok(session) => session.map(Arc::new),
        Err(refusal) => return refusal,
    };
    match incoming {
        Incoming::Request(request) => match requested(&mcp, &ask, session, request).await {
            Ok(response) => response,
            Err(full) => full,
        },
        other => match noticed(session.as_deref(), other).await {
            Ok(()) => accepted(),
            Err(error) => failed(&error),
        },
    }
}

/// The session that a request names: none if it names none.
async fn session_of(mcp: &Mcp, ask: &Ask) -> Result<Option<Session>, Response> {
    let Some(id) = headers::text(&ask.headers, headers::SESSION_ID) else { return Ok(None) };
    match mcp.session(&ask.caller, id).await {
        Ok(Some(session)) => Ok(Some(session)),
        Ok(None) => Err(no_session()),
        Err(error) => Err(failed(&error)),
    }
}

async fn initialize(mcp: &Mcp, ask: &Ask, request: &Request) -> Response {
    let version = revision::agreed(request.params.get("protocolVersion").and_then(Json::as_str));
    let begun = mcp.begin_session(&ask.caller, version, &session::kept_client(&request.params)).await;
    let record = match begun {
        Ok(record) => record,
        Err(error) => return failed(&error),
    };
    let text = reply::result(&request.id, &introduction::greeting(version), Era::Legacy);
    let mut response = single(ask.takes, StatusCode::OK, text);
    let id = HeaderValue::from_str(record.name()).expect("hex digits make a header");
    response.headers_mut().insert(headers::SESSION_ID, id);
    response
}

/// A notification, or the client's answer to a question.
async fn noticed(session: Option<&Session>, incoming: Incoming) -> Result<(), Error> {
    // Without a session nobody waits for either.
    let Some(session) = session else { return Ok(()) };
    match incoming {
        Incoming::Answer { id: Json::String(id), answer } => {
            session.record.insist("answer", json!({ "id": id, "answer": answer })).await?;
        }
        Incoming::Notification { method, params } if method == "notifications/cancelled" => {
            if let Some(request) = params.get("requestId").filter(|id| !id.is_null()) {
                session.record.call("cancel", json!({ "request": request })).await?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// A request, within its session or bare.
async fn requested(
    mcp: &Mcp,
    ask: &Ask,
    session: Option<Arc<Session>>,
    request: Request,
) -> Result<Response, Response> {
    let id = request.id.clone();
    let done = |done: Done| single(ask.takes, StatusCode::OK, done::message(&id, &done, Era::Legacy));
    if let Some(answered) = of_session(mcp, ask, session.as_deref(), &request).await {
        return Ok(done(answered));
    }
    let (running, asks) = match start(mcp, ask, session.as_deref(), request, ask.takes.events) {
        Ok(started) => started,
        Err(failure) => return Ok(done(Err(error_of(failure, Era::Legacy)))),
    };
    let running = match bare::begin(mcp, running).await {
        Begun::Done(ended) => return Ok(done(ended)),
        Begun::Speaks(running) => running,
    };
    let place = mcp.place().map_err(|full| failed(&full))?;
    let Some(session) = session else {
        return Ok(events::answer(bare::speak(mcp.clone(), running), Some(place)));
    };
    if !mcp.has_room() {
        return Err(failed(&Error::new(
            Code::Overloaded,
            "the node runs too many requests; come back after a pause",
        )));
    }
    let asks = asks.unwrap_or_else(|| Arc::new(SessionAsks::new(running.exchange.outbox.clone())));
    let (sender, receiver) = mpsc::channel(MCP_OUTBOX_MAX);
    mcp.spawn(session::run(mcp.clone(), session, running, asks, Some(sender)));
    let sent =
        stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) });
    Ok(events::answer(sent.boxed(), Some(place)))
}

/// Runs a request; with the way in which it asks its client, if it can.
pub(super) fn start(
    mcp: &Mcp,
    ask: &Ask,
    session: Option<&Session>,
    request: Request,
    told: bool,
) -> Result<(Running, Option<Arc<SessionAsks>>), Failure> {
    let Request { id, method, mut params } = request;
    let meta = params.remove("_meta");
    let meta = meta.as_ref().and_then(Json::as_object);
    let idempotency_key = headers::idempotency_key(&ask.headers, meta).map_err(Failure::invalid_params)?;
    let progress_token = meta.and_then(params::progress_token).filter(|_| told);
    let origin = Origin { method: method.clone(), body: ask.body.clone() };
    let work = Work::of(mcp, method, params)?;
    let mut caller = ask.caller.clone();
    if let Work::Tool { tool, .. } = &work {
        match tool.tasks {
            Tasks::Never => {}
            Tasks::WhenLong => caller = patient(&caller),
            Tasks::Required => return Err(task::needs_tasks()),
        }
    }
    let client = session.map_or_else(|| Arc::new(Client::default()), |session| session.client.clone());
    let outbox = Arc::new(Outbox::default());
    let can_answer = told
        && (client.capabilities.sampling.is_some()
            || client.capabilities.elicitation.is_some()
            || client.capabilities.roots.is_some());
    let asks = (session.is_some() && can_answer).then(|| Arc::new(SessionAsks::new(outbox.clone())));
    let log_level = session.map(|session| session.level.unwrap_or(Level::Info)).filter(|_| told);
    let exchange = Exchange {
        caller,
        era: Era::Legacy,
        client,
        idempotency_key,
        progress_token,
        log_level,
        outbox,
        can_resume: told && session.is_some_and(Session::takes_priming),
        asking: asks.clone().map_or(Asking::Refused, |asks| Asking::Waits(asks as Arc<dyn Asks>)),
        detach: Detach::new(false),
        cancelled: CancellationToken::new(),
        extended: OnceLock::new(),
    };
    Ok((Running::start(mcp, exchange, id, work, origin), asks))
}

/// What a session answers itself; none for everything else.
async fn of_session(mcp: &Mcp, ask: &Ask, session: Option<&Session>, request: &Request) -> Option<Done> {
    let params = &request.params;
    let needs_session = || {
        let error = ErrorData::invalid_request(
            format!("{} needs a session: send initialize first", request.method),
            None,
        );
        Err(Failure::Rpc(error))
    };
    let answered = match &*request.method {
        // A bare request has no log messages, whatever its level.
        "logging/setLevel" => match (params::text(params, "level"), session) {
            (Ok(level), Some(session)) => session.set_level(level).await,
            (level, _) => level.map(drop),
        },
        "resources/subscribe" => match (params::text(params, "uri"), session) {
            (Ok(uri), Some(session)) => session.subscribe(mcp, &ask.caller, uri).await,
            (Ok(_), None) => needs_session(),
            (Err(failure), _) => Err(failure),
        },
        "resources/unsubscribe" => match (params::text(params, "uri"), session) {
            (Ok(uri), Some(session)) => session.unsubscribe(uri).await,
            (Ok(_), None) => needs_session(),
            (Err(failure), _) => Err(failure),
        },
        _ => return None,
    };
    Some(answered.map(|()| reply::Result::default()).map_err(|failure| error_of(failure, Era::Legacy)))
}

/// Answers several messages of one body, in their order, with one body.
pub(super) async fn batch(mcp: Mcp, ask: Ask, messages: Vec<Result<Incoming, Malformed>>) -> Response {
    let session = match session_of(&mcp, &ask).await {
        Ok(session) => session,
        Err(refusal) => return refusal,
    };
    let version = session.as_ref().map_or(BATCHES, |session| &session.version);
    let declared = headers::text(&ask.headers, headers::PROTOCOL_VERSION);
    if version != BATCHES || declared.is_some_and(|declared| declared != BATCHES) {
        return refused(
            StatusCode::BAD_REQUEST,
            ErrorCode::INVALID_REQUEST,
            "a body is one message in this revision",
        );
    }
    let mut answers = Vec::new();
    for message in messages {
        match message {
            Err(Malformed { id, error }) => answers.push(reply::error(id.as_ref(), &error, Era::Legacy)),
            Ok(Incoming::Request(request)) => {
                answers.push(batched(&mcp, &ask, session.as_ref(), request).await);
            }
            Ok(other) => {
                if let Err(error) = noticed(session.as_ref(), other).await {
                    return failed(&error);
                }
            }
        }
    }
    if answers.is_empty() {
        return accepted();
    }
    json_answer(StatusCode::OK, format!("[{}]", answers.join(",")))
}

/// One request among several: it can tell and ask nothing.
async fn batched(mcp: &Mcp, ask: &Ask, session: Option<&Session>, request: Request) -> String {
    let id = request.id.clone();
    if request.method == "initialize" {
        let error = ErrorData::invalid_request("initialize comes alone", None);
        return reply::error(Some(&id), &error, Era::Legacy);
    }
    if let Some(done) = of_session(mcp, ask, session, &request).await {
        return done::message(&id, &done, Era::Legacy);
    }
    let done = match start(mcp, ask, session, request, false) {
        Ok((mut running, _)) => running.done().await,
        Err(failure) => Err(error_of(failure, Era::Legacy)),
    };
    done::message(&id, &done, Era::Legacy)
}

/// `GET`: the standing stream of a session, or one that was lost.
pub(super) async fn resume(mcp: Mcp, ask: Ask) -> Response {
    if headers::text(&ask.headers, headers::SESSION_ID).is_none() {
        return refuse_method("POST");
    }
    if !ask.takes.events {
        return refused(
            StatusCode::NOT_ACCEPTABLE,
            ErrorCode::INVALID_REQUEST,
            "Not Acceptable: the answer to GET is text/event-stream",
        );
    }
    let session = match session_of(&mcp, &ask).await {
        Ok(Some(session)) => session,
        Ok(None) => return refuse_method("POST"),
        Err(refusal) => return refusal,
    };
    let place = match mcp.place() {
        Ok(place) => place,
        Err(full) => return failed(&full),
    };
    let from = match headers::text(&ask.headers, headers::LAST_EVENT_ID).map(events::parse_id) {
        None => (STANDING, None),
        Some(Some((stream, number))) => (stream, Some(number)),
        Some(None) => {
            return refused(
                StatusCode::BAD_REQUEST,
                ErrorCode::INVALID_REQUEST,
                "Last-Event-ID is not one of this session",
            );
        }
    };
    match Follow::open(&mcp, &ask.caller, &session, from.0, from.1).await {
        Ok(follow) => events::answer(followed(follow), Some(place)),
        Err(Refused::Gone) => refused(
            StatusCode::BAD_REQUEST,
            ErrorCode::INVALID_REQUEST,
            "what followed Last-Event-ID is not kept any more; begin a new session",
        ),
        Err(Refused::Failed(error)) => failed(&error),
    }
}

/// The events of a stream that a client follows.
pub(super) fn followed(follow: Follow) -> stream::BoxStream<'static, events::Event> {
    stream::unfold(follow, |mut follow| async move { Some((follow.next().await?, follow)) }).boxed()
}

/// `DELETE`: the session ends.
pub(super) async fn end(mcp: Mcp, ask: Ask) -> Response {
    let Some(id) = headers::text(&ask.headers, headers::SESSION_ID) else {
        return refused(
            StatusCode::BAD_REQUEST,
            ErrorCode::INVALID_REQUEST,
            "the header Mcp-Session-Id is missing",
        );
    };
    match mcp.end_session(&ask.caller, id).await {
        Ok(true) => empty(StatusCode::NO_CONTENT),
        Ok(false) => no_session(),
        Err(error) => failed(&error),
    }
}

/// `initialize` on a stream whose session has begun already.
pub(super) async fn introduce(
    session: &Session,
    params: &Map<String, Json>,
) -> Result<reply::Result, Failure> {
    let version = revision::agreed(params.get("protocolVersion").and_then(Json::as_str));
    let client = session::kept_client(params);
    session.record.call("introduce", json!({ "version": version, "client": client })).await?;
    Ok(introduction::greeting(version))
}

/// The notice or answer of a client on a stream, and what a session answers itself.
pub(super) async fn on_stream(
    mcp: &Mcp,
    ask: &Ask,
    session: &Session,
    incoming: Incoming,
) -> Result<Option<(Request, Option<Done>)>, Error> {
    match incoming {
        Incoming::Request(request) if request.method == "initialize" => {
            let done = introduce(session, &request.params).await;
            let done = done.map_err(|failure| error_of(failure, Era::Legacy));
            mcp.known().forget(session.record.name());
            Ok(Some((request, Some(done))))
        }
        Incoming::Request(request) => {
            let done = of_session(mcp, ask, Some(session), &request).await;
            Ok(Some((request, done)))
        }
        other => noticed(Some(session), other).await.map(|()| None),
    }
}
