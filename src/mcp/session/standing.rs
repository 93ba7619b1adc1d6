//! A stream of a session that a client comes for: the standing one, or one that it lost.
//!
//! Whatever it sends comes from the session's log. The standing stream also fills that log: whoever holds it watches what
//! the session is subscribed to. The newest holder wins, for an older connection may be dead without anybody knowing.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::stream::{self, AbortHandle, BoxStream, SelectAll, StreamExt as _};
use serde_json::{Map, Value as Json, json};
use tokio::sync::watch;

use super::Session;
use crate::caller::Caller;
use crate::class::mcp_session::{STANDING, number_of, subscribed_uri};
use crate::error::Error;
use crate::live::{self, Opening, Subscription};
use crate::mcp::catalog::generations::{Generations, changed, list_changes};
use crate::mcp::events::Event;
use crate::mcp::record::{Record, field};
use crate::mcp::{Failure, Mcp};
use crate::object::{Key, Value};

/// Why a client does not get a stream.
#[derive(Debug)]
pub(in crate::mcp) enum Refused {
    /// The session has no such stream, or not the events after that one any more.
    Gone,
    /// The session cannot be read.
    Failed(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// A stream that a client follows.
pub(in crate::mcp) struct Follow {
    mcp: Mcp,
    caller: Caller,
    record: Record,
    stream: String,
    /// The last event that was sent or is older than what the client wants.
    cursor: u64,
    waiting: VecDeque<(u64, String)>,
    watch: Subscription,
    over: bool,
    holding: Option<Holding>,
}

/// What the holder of the standing stream watches.
struct Holding {
    holder: String,
    followed: SelectAll<BoxStream<'static, (Arc<str>, u64)>>,
    handles: HashMap<Arc<str>, AbortHandle>,
    lists: Vec<watch::Receiver<Generations>>,
    told: Generations,
}

impl Follow {
    /// Takes up a stream behind an event of it; the standing one if none is named.
    pub(in crate::mcp) async fn open(
        mcp: &Mcp,
        caller: &Caller,
        session: &Session,
        stream: &str,
        after: Option<u64>,
    ) -> Result<Self, Refused> {
        let record = session.record.clone();
        let holder = (stream == STANDING).then(Record::fresh_name);
        if let Some(holder) = &holder {
            record.call("hold", json!({ "holder": holder })).await?;
        }
        // A client that never had an event of the standing stream wants those from here on.
        let asked = json!({ "stream": stream, "after": after.unwrap_or(0) });
        let (found, version) = record.ask("events", asked).await?;
        let has_lost = after.is_some() && *field(&found, "lost") == true;
        if has_lost || (*field(&found, "known") == false && stream != STANDING) {
            return Err(Refused::Gone);
        }
        let mut follow = Self {
            mcp: mcp.clone(),
            caller: caller.clone(),
            watch: record.watch(version).await?,
            record,
            stream: stream.to_owned(),
            cursor: after.unwrap_or(0),
            waiting: VecDeque::new(),
            over: false,
            holding: None,
        };
        let read = events_of(&found);
        if after.is_none() && stream == STANDING {
            follow.cursor = read.last().map_or(0, |(number, _)| *number);
        } else {
            follow.waiting.extend(read);
        }
        follow.over = *field(&found, "done") == true;
        if let Some(holder) = holder {
            follow.hold(holder).await?;
        }
        Ok(follow)
    }

    async fn hold(&mut self, holder: String) -> Result<(), Refused> {
        self.holding = Some(Holding {
            holder,
            followed: SelectAll::new(),
            handles: HashMap::new(),
            lists: self.mcp.catalog().changing(),
            told: self.mcp.catalog().generations(),
        });
        let (subscribed, _) = self.record.ask("subscriptions", json!({})).await?;
        for (uri, told) in subscribed.as_object().into_iter().flatten() {
            self.follow(uri, told.as_u64()).await;
        }
        Ok(())
    }

    /// Follows a resource from the version that the client was told of.
    async fn follow(&mut self, uri: &str, since: Option<u64>) {
        let Some(holding) = &mut self.holding else { return };
        if holding.handles.contains_key(uri) {
            return;
        }
        let uri: Arc<str> = uri.into();
        match self.mcp.catalog().follow(&self.caller, &uri, since).await {
            Ok(followed) => {
                let name = uri.clone();
                let named = followed.changes.map(move |version| (name.clone(), version));
                let (named, handle) = stream::abortable(named);
                holding.followed.push(named.boxed());
                holding.handles.insert(uri, handle);
            }
            Err(failure) => tracing::warn!(%uri, ?failure, "a resource cannot be followed for a session"),
        }
    }

    /// The next event; none when the stream is over, or the client should come back for the rest.
    pub(in crate::mcp) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((number, text)) = self.waiting.pop_front() {
                if number > self.cursor {
                    self.cursor = number;
                    return Some(Event::kept(&self.stream, number, text));
                }
                continue;
            }
            if self.over {
                return None;
            }
            let happened = self.happens().await;
            if let Err(failure) = self.absorb(happened).await {
                tracing::warn!(session = self.record.name(), ?failure, "a stream of a session cannot go on");
                return None;
            }
        }
    }

    async fn happens(&mut self) -> Happened {
        let Some(holding) = &mut self.holding else { return Happened::Session(self.watch.next().await) };
        tokio::select! {
            biased;
            event = self.watch.next() => Happened::Session(event),
            Some(change) = holding.followed.next(), if !holding.followed.is_empty() => {
                // Changes that are there already are told with it.
                let mut changes = vec![change];
                while let Some(Some(more)) = holding.followed.next().now_or_never() {
                    changes.push(more);
                }
                Happened::Resources(changes)
            }
            () = changed(&mut holding.lists) => Happened::Lists,
        }
    }

    async fn absorb(&mut self, happened: Happened) -> Result<(), Failure> {
        match happened {
            Happened::Session(live::Event::Update(update)) if update.deleted_object => self.over = true,
            Happened::Session(live::Event::Update(update)) if update.too_large => self.read_again().await?,
            Happened::Session(live::Event::Update(update)) => {
                self.keys(&update.changes, &update.deleted).await;
            }
            Happened::Session(live::Event::Reset(Opening::Init { state: Some(state), .. })) => {
                self.keys(&state, &[]).await;
            }
            Happened::Session(live::Event::Reset(_)) => self.read_again().await?,
            Happened::Session(live::Event::TooSlow { .. } | live::Event::GoingAway { .. }) => {
                self.over = true;
            }
            Happened::Session(_) => {}
            Happened::Resources(changes) => self.tell_resources(changes).await?,
            Happened::Lists => self.tell_lists().await?,
        }
        Ok(())
    }

    async fn read_again(&mut self) -> Result<(), Failure> {
        let asked = json!({ "stream": self.stream, "after": self.cursor });
        let (found, _) = self.record.ask("events", asked).await?;
        self.waiting.extend(events_of(&found));
        self.over |= *field(&found, "done") == true;
        Ok(())
    }

    /// What new keys of the session mean for this stream.
    async fn keys(&mut self, changed: &[(Key, Value)], deleted: &[Key]) {
        for (key, value) in changed {
            let key = key.as_str();
            if let Some(number) = number_of(key) {
                let event = value.to_json();
                if *field(&event, "stream") == *self.stream {
                    self.waiting.push_back((number, field(&event, "message").to_string()));
                }
            } else if let Some(uri) = subscribed_uri(key) {
                self.follow(uri, value.to_json().as_u64()).await;
            } else if key == "session" {
                let holder = field(&value.to_json(), "holder").as_str().map(str::to_owned);
                self.over |= self.holding.as_ref().is_some_and(|own| holder.as_ref() != Some(&own.holder));
            } else if key.strip_prefix("stream/") == Some(&*self.stream) && self.holding.is_none() {
                self.over |= *field(&value.to_json(), "done") == true;
            }
        }
        for uri in deleted.iter().filter_map(|key| subscribed_uri(key.as_str())) {
            if let Some(handle) = self.holding.as_mut().and_then(|holding| holding.handles.remove(uri)) {
                handle.abort();
            }
        }
    }

    async fn tell_resources(&mut self, changes: Vec<(Arc<str>, u64)>) -> Result<(), Failure> {
        let Some(holding) = &self.holding else { return Ok(()) };
        let mut noted = Map::new();
        for (uri, version) in changes.into_iter().filter(|(uri, _)| holding.handles.contains_key(uri)) {
            noted.insert(uri.to_string(), version.into());
        }
        let told = noted.keys().map(|uri| {
            json!({ "jsonrpc": "2.0", "method": "notifications/resources/updated", "params": { "uri": uri } })
        });
        self.append(told.collect(), noted.clone()).await
    }

    async fn tell_lists(&mut self) -> Result<(), Failure> {
        let now = self.mcp.catalog().generations();
        let Some(holding) = &mut self.holding else { return Ok(()) };
        let told = std::mem::replace(&mut holding.told, now);
        self.append(
            list_changes(told, now).map(|method| json!({ "jsonrpc": "2.0", "method": method })).collect(),
            Map::new(),
        )
        .await
    }

    /// Into the log; from there it comes back to whoever holds the stream.
    async fn append(&mut self, messages: Vec<Json>, noted: Map<String, Json>) -> Result<(), Failure> {
        if messages.is_empty() {
            return Ok(());
        }
        let params = json!({ "stream": STANDING, "messages": messages, "noted": noted });
        self.record.insist("append", params).await?;
        Ok(())
    }
}

enum Happened {
    Session(live::Event),
    Resources(Vec<(Arc<str>, u64)>),
    Lists,
}

fn events_of(found: &Json) -> Vec<(u64, String)> {
    let events = field(found, "events").as_array().into_iter().flatten();
    events.filter_map(|event| Some((event.get(0)?.as_u64()?, event.get(1)?.to_string()))).collect()
}
