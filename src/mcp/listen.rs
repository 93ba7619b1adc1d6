//! `subscriptions/listen` of the newest revision: a stream of what changes, for as long as the client holds it. Nothing of
//! it is kept: a client that loses it asks again, and reads what it watches.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::response::Response;
use futures_util::stream::{self, BoxStream, SelectAll, StreamExt as _};
use serde_json::{Map, Value as Json, json};
use tokio::sync::watch;

use super::ask::Ask;
use super::catalog::generations::{Generations, changed, list_changes};
use super::events::{self, Event};
use super::record::Record;
use super::revision::Era;
use super::{Failure, Mcp, reply, task};
use crate::limits::MCP_SESSION_SUBSCRIPTIONS_MAX;
use crate::live;

const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

/// What a client may want to be told of the lists, and the notification that tells it.
const LISTS: [(&str, &str); 3] = [
    ("toolsListChanged", "notifications/tools/list_changed"),
    ("promptsListChanged", "notifications/prompts/list_changed"),
    ("resourcesListChanged", "notifications/resources/list_changed"),
];

/// What a client listens to.
struct Listening {
    mcp: Mcp,
    /// The id of the request, which is that of the subscription.
    id: Json,
    /// The notifications of lists that it wants.
    wanted: Vec<&'static str>,
    lists: Vec<watch::Receiver<Generations>>,
    told: Generations,
    changes: SelectAll<BoxStream<'static, Change>>,
    waiting: VecDeque<String>,
    over: bool,
}

/// Something that changed.
enum Change {
    Resource(Arc<str>),
    /// A task, which is read when that is told.
    Task(Record),
}

/// Opens the stream.
pub(super) async fn open(
    mcp: &Mcp,
    ask: &Ask,
    id: Json,
    params: &Map<String, Json>,
) -> Result<Response, Failure> {
    if !ask.takes.events {
        return Err(Failure::invalid_params(
            "subscriptions/listen is answered by text/event-stream; Accept does not take it",
        ));
    }
    let Some(Json::Object(wanted)) = params.get("notifications") else {
        return Err(Failure::invalid_params(
            "subscriptions/listen has the parameter notifications, an object",
        ));
    };
    let place = mcp.place()?;
    let is_wanted = |name: &str| wanted.get(name).and_then(Json::as_bool) == Some(true);
    let lists = LISTS.iter().filter(|(name, _)| is_wanted(name));
    let mut listening = Listening {
        mcp: mcp.clone(),
        id,
        wanted: lists.map(|(_, method)| *method).collect(),
        // Before the client is told that it listens, so that nothing falls between.
        lists: mcp.catalog().changing(),
        told: mcp.catalog().generations(),
        changes: SelectAll::new(),
        waiting: VecDeque::new(),
        over: false,
    };
    let agreed = listening.agree(ask, wanted).await?;
    listening.say("notifications/subscriptions/acknowledged", json!({ "notifications": agreed }));
    let said =
        stream::unfold(listening, |mut listening| async move { Some((listening.next().await?, listening)) });
    Ok(events::answer(said.boxed(), Some(place)))
}

impl Listening {
    /// Takes up what the client wants and can have; gives that back.
    async fn agree(&mut self, ask: &Ask, wanted: &Map<String, Json>) -> Result<Json, Failure> {
        let mut agreed = Map::new();
        for (name, _) in LISTS.iter().filter(|(_, method)| self.wanted.contains(method)) {
            agreed.insert((*name).to_owned(), true.into());
        }
        let uris = texts(wanted, "resourceSubscriptions")?;
        let mut followed = Vec::new();
        for uri in uris {
            match self.mcp.catalog().follow(&ask.caller, &uri, None).await {
                Ok(resource) => {
                    let name: Arc<str> = uri.as_str().into();
                    let changes = resource.changes.map(move |_| Change::Resource(name.clone()));
                    self.changes.push(changes.boxed());
                    followed.push(uri);
                }
                // What cannot be followed is left out of what is agreed.
                Err(failure) => tracing::debug!(uri, ?failure, "a resource cannot be followed"),
            }
        }
        if wanted.contains_key("resourceSubscriptions") {
            agreed.insert("resourceSubscriptions".to_owned(), json!(followed));
        }
        let mut tasks = Vec::new();
        for id in texts(wanted, "taskIds")? {
            if let Some((record, watch)) = task::follow(&self.mcp, &ask.caller, &id).await? {
                self.changes.push(task_changes(record, watch));
                tasks.push(id);
            }
        }
        if wanted.contains_key("taskIds") {
            agreed.insert("taskIds".to_owned(), json!(tasks));
        }
        Ok(Json::Object(agreed))
    }

    fn say(&mut self, method: &str, params: Json) {
        let mut params = match params {
            Json::Object(params) => params,
            _ => Map::new(),
        };
        params.insert("_meta".to_owned(), json!({ SUBSCRIPTION_ID: self.id }));
        self.waiting.push_back(json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string());
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(text) = self.waiting.pop_front() {
                return Some(Event::passing(text));
            }
            if self.over {
                return None;
            }
            tokio::select! {
                biased;
                () = self.mcp.hub().closed() => {
                    self.over = true;
                    let mut end = reply::Result::default();
                    end.meta.insert(SUBSCRIPTION_ID.to_owned(), self.id.clone());
                    let text = reply::result(&self.id, &end, Era::Modern);
                    return Some(Event::passing(text));
                }
                Some(change) = self.changes.next(), if !self.changes.is_empty() => self.tell(change).await,
                () = changed(&mut self.lists) => {
                    let now = self.mcp.catalog().generations();
                    let told = std::mem::replace(&mut self.told, now);
                    for method in list_changes(told, now) {
                        if self.wanted.contains(&method) {
                            self.say(method, json!({}));
                        }
                    }
                }
            }
        }
    }

    async fn tell(&mut self, change: Change) {
        match change {
            Change::Resource(uri) => self.say("notifications/resources/updated", json!({ "uri": &*uri })),
            Change::Task(record) => {
                if let Ok((shown, _)) = record.ask("task", json!({})).await {
                    self.say("notifications/tasks", shown);
                }
            }
        }
    }
}

/// Each change of a task, until it is over.
fn task_changes(record: Record, watch: live::Subscription) -> BoxStream<'static, Change> {
    stream::unfold(watch, move |mut watch| {
        let record = record.clone();
        async move {
            loop {
                match watch.next().await {
                    live::Event::Update(_) | live::Event::Reset(_) => {
                        return Some((Change::Task(record), watch));
                    }
                    live::Event::TooSlow { .. } | live::Event::GoingAway { .. } => return None,
                    live::Event::Presence(_) | live::Event::Signal(_) => {}
                }
            }
        }
    })
    .boxed()
}

/// Texts of a list, as many as may be.
fn texts(wanted: &Map<String, Json>, name: &str) -> Result<Vec<String>, Failure> {
    let wrong = || Failure::invalid_params(format!("{name} is a list of texts"));
    let listed = match wanted.get(name) {
        None | Some(Json::Null) => return Ok(Vec::new()),
        Some(Json::Array(listed)) => listed,
        Some(_) => return Err(wrong()),
    };
    if listed.len() > MCP_SESSION_SUBSCRIPTIONS_MAX {
        return Err(Failure::invalid_params(format!(
            "{name} has at most {MCP_SESSION_SUBSCRIPTIONS_MAX} entries"
        )));
    }
    listed.iter().map(|text| text.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
}
