//! Sessions of the older revisions: found, begun, used, ended. Each is an object, so any node serves its next request.

pub(super) mod known;
mod run;
mod standing;

use std::sync::Arc;

use rmcp::model::{ClientCapabilities, Implementation};
use serde_json::{Map, Value as Json, json};

use super::exchange::Level;
use super::record::{Record, field};
use super::{Client, Failure, Mcp};
use crate::caller::Caller;
use crate::error::Error;
use crate::object::Version;

pub(super) use run::{SessionAsks, run};
pub(super) use standing::{Follow, Refused};

/// The class that sessions are objects of.
const CLASS: &str = "mcp-session";
/// Idle so long, a session notes that it is used.
const TOUCH_AFTER_MS: u64 = 60 * 60 * 1_000;
/// A session, as a request of it finds it.
pub(super) struct Session {
    pub(super) record: Record,
    pub(super) version: String,
    pub(super) client: Arc<Client>,
    pub(super) level: Option<Level>,
    /// The version of the object that this was read at.
    pub(super) at: Version,
}

impl Mcp {
    /// Begins a session.
    pub(super) async fn begin_session(
        &self,
        caller: &Caller,
        version: &str,
        client: &Json,
    ) -> Result<Record, Error> {
        let record = self.record(caller, CLASS, &Record::fresh_name()).expect("hex digits are a name");
        record.call("begin", json!({ "version": version, "client": client })).await?;
        self.known().learn(record.name(), &Arc::new(client_of(client)));
        self.metrics().mcp_sessions.inc();
        Ok(record)
    }

    /// The session of that id, if there is one of this caller's.
    pub(super) async fn session(&self, caller: &Caller, id: &str) -> Result<Option<Session>, Error> {
        let Some(record) = self.record(caller, CLASS, id) else { return Ok(None) };
        let known = self.known().client(id);
        let (found, at) = match record.ask("session", json!({ "known": known.is_some() })).await {
            Ok(found) => found,
            Err(error) if error.code.status() == 404 => {
                self.known().forget(id);
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let client = known.unwrap_or_else(|| {
            let client = Arc::new(client_of(field(&found, "client")));
            self.known().learn(id, &client);
            client
        });
        if field(&found, "idle_ms").as_u64().unwrap_or_default() > TOUCH_AFTER_MS {
            record.call("touch", json!({})).await?;
        }
        let version = field(&found, "version").as_str().unwrap_or_default().to_owned();
        let level = serde_json::from_value(field(&found, "level").clone()).ok();
        Ok(Some(Session { record, version, client, level, at }))
    }

    /// Ends a session; false if there is none of this caller's.
    pub(super) async fn end_session(&self, caller: &Caller, id: &str) -> Result<bool, Error> {
        let Some(session) = self.session(caller, id).await? else { return Ok(false) };
        self.known().forget(id);
        match session.record.delete().await {
            Ok(()) => Ok(true),
            Err(error) if error.code.status() == 404 => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Session {
    /// `logging/setLevel`.
    pub(super) async fn set_level(&self, level: &str) -> Result<(), Failure> {
        let wrong = || Failure::invalid_params(format!("{level:?} is no level of log messages"));
        serde_json::from_value::<Level>(level.into()).map_err(|_| wrong())?;
        self.record.call("level", json!({ "level": level })).await?;
        Ok(())
    }

    /// `resources/subscribe`: what changes after the resource's version now is told.
    pub(super) async fn subscribe(&self, mcp: &Mcp, caller: &Caller, uri: &str) -> Result<(), Failure> {
        let followed = mcp.catalog().follow(caller, uri, None).await?;
        self.record.call("subscribe", json!({ "uri": uri, "version": followed.version })).await?;
        Ok(())
    }

    /// `resources/unsubscribe`.
    pub(super) async fn unsubscribe(&self, uri: &str) -> Result<(), Failure> {
        self.record.call("unsubscribe", json!({ "uri": uri })).await?;
        Ok(())
    }

    /// Whether its client takes an empty event at the beginning of a stream, and comes back for one that ended early.
    pub(super) fn takes_priming(&self) -> bool {
        *self.version >= *"2025-11-25"
    }
}

/// What a client says of itself in `initialize`, as the session keeps it.
pub(super) fn client_of(kept: &Json) -> Client {
    let info: Option<Implementation> = serde_json::from_value(field(kept, "info").clone()).ok();
    let capabilities: ClientCapabilities =
        serde_json::from_value(field(kept, "capabilities").clone()).unwrap_or_default();
    Client { info, capabilities }
}

/// The same, of the parameters of `initialize`.
pub(super) fn kept_client(params: &Map<String, Json>) -> Json {
    json!({
        "info": params.get("clientInfo").cloned().unwrap_or(Json::Null),
        "capabilities": params.get("capabilities").cloned().unwrap_or_else(|| json!({})),
    })
}
