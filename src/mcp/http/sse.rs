//! The transport of 2024-11-05: one stream for everything that the server says, whose first event names the address that
//! the client sends its messages to. They may come to another node: the answers go through the session's log.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::stream::{self, StreamExt as _};
use http::StatusCode;
use rmcp::model::ErrorCode;
use serde_json::{Map, Value as Json, json};

use crate::class::mcp_session::STANDING;
use crate::error::{Code, Error};
use crate::mcp::ask::Ask;
use crate::mcp::done::{self, Done, error_of};
use crate::mcp::events::{self, Event};
use crate::mcp::legacy;
use crate::mcp::message::{self, Body, Malformed, Request as Rpc};
use crate::mcp::record::Record;
use crate::mcp::response::{self, accepted, failed, no_session, refused};
use crate::mcp::revision::Era;
use crate::mcp::session::{self, Follow, Refused, Session, SessionAsks};
use crate::mcp::{Mcp, reply};

const VERSION: &str = "2024-11-05";

/// `GET /mcp/sse`.
pub(super) async fn open(State(mcp): State<Mcp>, request: Request) -> Response {
    let ask = Ask::of_head(request);
    match begin(&mcp, &ask).await {
        Ok(response) | Err(response) => response,
    }
}

async fn begin(mcp: &Mcp, ask: &Ask) -> Result<Response, Response> {
    let place = mcp.place().map_err(|full| failed(&full))?;
    let client = session::kept_client(&Map::new());
    let record = mcp.begin_session(&ask.caller, VERSION, &client).await.map_err(|error| failed(&error))?;
    let ends = Ends { mcp: mcp.clone(), record: record.clone() };
    let session = mcp.session(&ask.caller, record.name()).await.map_err(|error| failed(&error))?;
    let session = session.ok_or_else(no_session)?;
    let follow =
        Follow::open(mcp, &ask.caller, &session, STANDING, None).await.map_err(|refusal| match refusal {
            Refused::Failed(error) => failed(&error),
            Refused::Gone => no_session(),
        })?;
    let endpoint = format!("/mcp/messages?sessionId={}", record.name());
    let first = Event { kind: Some("endpoint"), ..Event::passing(endpoint) };
    // The session is the connection's, and ends with it.
    let rest = legacy::followed(follow).map(move |event| {
        let _ = &ends;
        Event { id: None, ..event }
    });
    Ok(events::answer(stream::iter([first]).chain(rest).boxed(), Some(place)))
}

/// Ends a session when its stream does.
struct Ends {
    mcp: Mcp,
    record: Record,
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.mcp.known().forget(self.record.name());
        let record = self.record.clone();
        self.mcp.spawn(async move {
            if let Err(error) = record.delete().await {
                tracing::debug!(session = record.name(), %error, "a session whose stream is over was not deleted");
            }
        });
    }
}

/// `POST /mcp/messages?sessionId=…`: taken here, answered on the stream.
pub(super) async fn posted(State(mcp): State<Mcp>, request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let id = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("sessionId=").or_else(|| pair.strip_prefix("session_id=")));
    let Some(id) = id else {
        return refused(StatusCode::BAD_REQUEST, ErrorCode::INVALID_REQUEST, "the query has no sessionId");
    };
    let ask = match Ask::whole(&mcp, request).await {
        Ok(ask) => ask,
        Err(error) => return failed(&error),
    };
    let session = match mcp.session(&ask.caller, id).await {
        Ok(Some(session)) => Arc::new(session),
        Ok(None) => return no_session(),
        Err(error) => return failed(&error),
    };
    let messages = match message::parse(&ask.body) {
        Ok(Body::One(message)) => vec![message],
        Ok(Body::Many(messages)) => messages,
        Err(malformed) => vec![Err(malformed)],
    };
    for message in messages {
        let incoming = match message {
            Ok(incoming) => incoming,
            Err(Malformed { id, error }) => {
                return response::json(
                    StatusCode::BAD_REQUEST,
                    reply::error(id.as_ref(), &error, Era::Legacy),
                );
            }
        };
        let taken = match legacy::on_stream(&mcp, &ask, &session, incoming).await {
            Ok(None) => continue,
            Ok(Some((request, Some(done)))) => say(&session, &request.id, &done).await,
            Ok(Some((request, None))) => run(&mcp, &ask, &session, request).await,
            Err(error) => Err(error),
        };
        if let Err(error) = taken {
            return failed(&error);
        }
    }
    accepted()
}

/// Runs a request, whose answer goes to the stream.
async fn run(mcp: &Mcp, ask: &Ask, session: &Arc<Session>, request: Rpc) -> Result<(), Error> {
    if !mcp.has_room() {
        return Err(Error::new(Code::Overloaded, "the node runs too many requests; come back after a pause"));
    }
    let id = request.id.clone();
    match legacy::start(mcp, ask, Some(session), request, true) {
        Ok((running, asks)) => {
            let asks = asks.unwrap_or_else(|| Arc::new(SessionAsks::new(running.exchange.outbox.clone())));
            mcp.spawn(session::run(mcp.clone(), session.clone(), running, asks, None));
            Ok(())
        }
        Err(failure) => say(session, &id, &Err(error_of(failure, Era::Legacy))).await,
    }
}

async fn say(session: &Session, id: &Json, done: &Done) -> Result<(), Error> {
    let text = done::message(id, done, Era::Legacy);
    let message: Json = serde_json::from_str(&text).unwrap_or(Json::Null);
    session.record.insist("append", json!({ "stream": STANDING, "messages": [message] })).await.map(drop)
}
