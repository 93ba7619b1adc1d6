//! The class `mcp-session`: what an MCP client of the older revisions has standing, so that any node can serve it.
//!
//! Who began it, with what client and version; what it is subscribed to, and up to which version it was told; and the log
//! of the events that its streams have sent or are about to send. Events are numbered over the whole session, so an
//! event's number is unique in it and says where a stream goes on. The log is bounded: the oldest events go first,
//! and a stream remembers which of its own are gone.
//!
//! A request that answers with a stream runs on some node. As long as it runs, that node renews the stream's lease; when a
//! lease ends without that, the node is gone, and the alarm ends the stream with an error that says so.
//! The same alarm empties a session that nobody has used for long.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::limits::{
    MCP_ANSWER_MAX_BYTES, MCP_EVENT_MAX_BYTES, MCP_LEASE_MS, MCP_SESSION_EVENTS_MAX,
    MCP_SESSION_EVENTS_MAX_BYTES, MCP_SESSION_IDLE_MS, MCP_SESSION_STREAMS_MAX,
    MCP_SESSION_SUBSCRIPTIONS_MAX,
};
use crate::object::{Page, Refusal, Timestamp, Turn};

use super::parameters::{optional, required, text};
use super::{Access, Class, Parameters};

const SESSION: &str = "session";
const LOG: &str = "log";
/// The stream that belongs to no request.
pub const STANDING: &str = "s";

/// A session of an MCP client.
#[derive(Debug, Clone, Copy, Default)]
pub struct McpSession;

#[derive(Debug, Serialize, Deserialize)]
struct Session {
    subject: String,
    version: String,
    client: Json,
    level: Option<String>,
    used_at: Timestamp,
    /// Which connection has the standing stream.
    holder: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Log {
    first: u64,
    next: u64,
    bytes: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Stream {
    /// The id of the request that it answers.
    request: Json,
    done: bool,
    /// Until when its node is believed to run.
    lease: Timestamp,
    /// How many events it has had.
    count: u64,
    /// The last of its events that are gone.
    lost: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Event {
    stream: String,
    message: Json,
}

impl Class for McpSession {
    fn access(&self) -> Access {
        Access::Internal
    }

    fn call(&self, turn: &mut Turn<'_>, method: &str, parameters: Parameters) -> Result<Json, Refusal> {
        if method == "begin" {
            return begin(turn, &parameters);
        }
        let mut session = session(turn)?;
        match method {
            "touch" => {}
            "introduce" => {
                text(&parameters, "version")?.clone_into(&mut session.version);
                session.client = required(&parameters, "client")?.clone();
            }
            "level" => session.level = Some(text(&parameters, "level")?.to_owned()),
            "hold" => session.holder = Some(text(&parameters, "holder")?.to_owned()),
            "append" => return append(turn, &parameters),
            "renew" => return renew(turn, &parameters),
            "answer" => return answer(turn, &parameters),
            "cancel" => return cancel(turn, &parameters),
            "subscribe" => return subscribe(turn, &parameters),
            "unsubscribe" => {
                turn.delete(&subscription_key(text(&parameters, "uri")?))?;
                return Ok(json!({}));
            }
            _ => return Err(Refusal::MethodNotFound { method: method.to_owned() }),
        }
        session.used_at = turn.now();
        turn.put(SESSION, &session)?;
        arm(turn)?;
        Ok(json!({}))
    }

    fn ask(&self, turn: &mut Turn<'_>, question: &str, parameters: &Parameters) -> Result<Json, Refusal> {
        let session = session(turn)?;
        match question {
            "session" => {
                // Most nodes that ask know the client already.
                let is_known = optional(parameters, "known").and_then(Json::as_bool) == Some(true);
                let client = if is_known { Json::Null } else { session.client };
                Ok(json!({
                    "version": session.version, "client": client, "level": session.level,
                    "idle_ms": turn.now().since_ms(session.used_at),
                }))
            }
            "subscriptions" => {
                let page = Page { entries: MCP_SESSION_SUBSCRIPTIONS_MAX, bytes: 1024 * 1024 };
                let found = turn.list(SUBSCRIPTION, None, page)?;
                let named = found.iter().filter_map(|(key, value)| {
                    Some((key.as_str().strip_prefix(SUBSCRIPTION)?.to_owned(), value.to_json()))
                });
                Ok(Json::Object(named.collect()))
            }
            "events" => events(turn, parameters),
            _ => Err(Refusal::MethodNotFound { method: question.to_owned() }),
        }
    }

    fn alarm(&self, turn: &mut Turn<'_>) -> Result<(), Refusal> {
        let Some(session) = turn.get_as::<Session>(SESSION)? else { return Ok(()) };
        let now = turn.now();
        if session.used_at.plus_ms(MCP_SESSION_IDLE_MS) <= now {
            turn.clear();
            return Ok(());
        }
        let lost = streams(turn)?.into_iter().filter(|(_, stream)| !stream.done && stream.lease <= now);
        for (id, mut stream) in lost.collect::<Vec<_>>() {
            let error = json!({
                "jsonrpc": "2.0", "id": stream.request,
                "error": { "code": -32603, "message": "the node that ran the request is lost; whether it took effect is not known",
                    "data": { "code": "outcome_unknown", "retry": "unknown" } },
            });
            write(turn, &id, &mut stream, vec![error])?;
            stream.done = true;
            turn.put(&stream_key(&id), &stream)?;
        }
        arm(turn)
    }
}

fn begin(turn: &mut Turn<'_>, parameters: &Parameters) -> Result<Json, Refusal> {
    if turn.get(SESSION)?.is_some() {
        return Err(Refusal::Conflict { detail: "the session has begun already".to_owned() });
    }
    let session = Session {
        subject: turn.caller().subject.to_string(),
        version: text(parameters, "version")?.to_owned(),
        client: required(parameters, "client")?.clone(),
        level: None,
        used_at: turn.now(),
        holder: None,
    };
    turn.put(SESSION, &session)?;
    turn.put(LOG, &Log { first: 1, next: 1, bytes: 0 })?;
    arm(turn)?;
    Ok(json!({}))
}

/// The session, for the one who began it: to anybody else there is none.
fn session(turn: &Turn<'_>) -> Result<Session, Refusal> {
    let none = || Refusal::NotFound { detail: "there is no such session".to_owned() };
    let session = turn.get_as::<Session>(SESSION)?.ok_or_else(none)?;
    if *session.subject == *turn.caller().subject { Ok(session) } else { Err(none()) }
}

/// Appends messages to a stream. `from` is how many events of the stream the caller knows of: what is repeated after an
/// unknown outcome is appended once.
fn append(turn: &mut Turn<'_>, parameters: &Parameters) -> Result<Json, Refusal> {
    let id = text(parameters, "stream")?;
    let key = stream_key(id);
    let mut stream = match turn.get_as::<Stream>(&key)? {
        Some(stream) => stream,
        None => open(turn, id, optional(parameters, "request"))?,
    };
    let messages = required(parameters, "messages")?.as_array().cloned().unwrap_or_default();
    let known = optional(parameters, "from").and_then(Json::as_u64).unwrap_or(stream.count);
    let repeated = usize::try_from(stream.count.saturating_sub(known)).unwrap_or(usize::MAX);
    let fresh: Vec<Json> = messages.into_iter().skip(repeated).collect();
    let ids = optional(parameters, "asks").and_then(Json::as_array).cloned().unwrap_or_default();
    for ask in ids.iter().filter_map(Json::as_str) {
        turn.put(&ask_key(ask), id)?;
    }
    write(turn, id, &mut stream, fresh)?;
    let noted = optional(parameters, "noted").and_then(Json::as_object);
    for (uri, version) in noted.into_iter().flatten() {
        let key = subscription_key(uri);
        // Only what is subscribed to still.
        if turn.get(&key)?.is_some() {
            turn.put(&key, version)?;
        }
    }
    if optional(parameters, "done").and_then(Json::as_bool) == Some(true) {
        stream.done = true;
        forget_asks(turn, id)?;
    }
    stream.lease = turn.now().plus_ms(MCP_LEASE_MS);
    turn.put(&key, &stream)?;
    arm(turn)?;
    let next = turn.get_as::<Log>(LOG)?.unwrap_or_default().next;
    Ok(json!({ "last": next.saturating_sub(1), "count": stream.count }))
}

/// A new stream. The oldest that are done go first; those that run are as many as may.
fn open(turn: &mut Turn<'_>, id: &str, request: Option<&Json>) -> Result<Stream, Refusal> {
    let all = streams(turn)?;
    let running = all.iter().filter(|(_, stream)| !stream.done).count();
    if running >= MCP_SESSION_STREAMS_MAX && id != STANDING {
        let detail = format!("a session runs at most {MCP_SESSION_STREAMS_MAX} streams at once");
        return Err(Refusal::TooLarge { detail });
    }
    if all.len() >= 4 * MCP_SESSION_STREAMS_MAX {
        let done = all.iter().filter(|(_, stream)| stream.done).min_by_key(|(_, stream)| stream.lease);
        if let Some((oldest, _)) = done {
            turn.delete(&stream_key(oldest))?;
        }
    }
    let request = request.cloned().unwrap_or(Json::Null);
    // The standing stream has no request that somebody waits for, so no lease ends it.
    Ok(Stream { done: id == STANDING, request, lease: turn.now(), count: 0, lost: 0 })
}

/// Writes events at the log's end, and lets the oldest go that are beyond its bounds.
fn write(turn: &mut Turn<'_>, id: &str, stream: &mut Stream, messages: Vec<Json>) -> Result<(), Refusal> {
    let mut log = turn.get_as::<Log>(LOG)?.unwrap_or_default();
    for message in messages {
        let event = Event { stream: id.to_owned(), message: fitting(message) };
        let value = crate::object::Value::from_serialize(&event)
            .map_err(|error| Refusal::invalid(format!("the message has no form in JSON: {error}")))?;
        log.bytes += value.len() as u64;
        turn.put(&event_key(log.next), &value)?;
        log.next += 1;
        stream.count += 1;
    }
    while log.next - log.first > MCP_SESSION_EVENTS_MAX || log.bytes > MCP_SESSION_EVENTS_MAX_BYTES {
        let key = event_key(log.first);
        if let Some(value) = turn.get(&key)? {
            log.bytes = log.bytes.saturating_sub(value.len() as u64);
            let gone: Option<Event> = value.parse().ok();
            turn.delete(&key)?;
            match gone {
                Some(event) if event.stream == id => stream.lost = log.first,
                Some(event) => {
                    if let Some(mut other) = turn.get_as::<Stream>(&stream_key(&event.stream))? {
                        other.lost = log.first;
                        turn.put(&stream_key(&event.stream), &other)?;
                    }
                }
                None => {}
            }
        }
        log.first += 1;
    }
    turn.put(LOG, &log)
}

/// A message that is too large to be kept leaves word of that.
fn fitting(message: Json) -> Json {
    let bytes = message.to_string().len();
    if bytes <= MCP_EVENT_MAX_BYTES {
        return message;
    }
    let text = format!(
        "the answer has {bytes} bytes; one that is sent again has at most {MCP_EVENT_MAX_BYTES}: ask for less"
    );
    match message.get("id") {
        Some(id) => json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32603, "message": text } }),
        None => {
            json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": { "level": "warning", "data": text } })
        }
    }
}

fn renew(turn: &mut Turn<'_>, parameters: &Parameters) -> Result<Json, Refusal> {
    let key = stream_key(text(parameters, "stream")?);
    let lease = turn.now().plus_ms(MCP_LEASE_MS);
    match turn.get_as::<Stream>(&key)? {
        Some(stream) if !stream.done => turn.put(&key, &Stream { lease, ..stream })?,
        _ => return Err(Refusal::NotFound { detail: "the stream is over".to_owned() }),
    }
    arm(turn)?;
    Ok(json!({}))
}

/// The client's answer to a question of the server. One that nobody asked is dropped.
fn answer(turn: &mut Turn<'_>, parameters: &Parameters) -> Result<Json, Refusal> {
    let id = text(parameters, "id")?;
    if !turn.delete(&ask_key(id))? {
        return Ok(json!({ "asked": false }));
    }
    // Whoever waits for it sees it in the update; it is kept until the stream is over, for one that looks again.
    let answer = required(parameters, "answer")?;
    let bytes = answer.to_string().len();
    if bytes > MCP_ANSWER_MAX_BYTES {
        let message = format!("the client's answer has {bytes} bytes; it has at most {MCP_ANSWER_MAX_BYTES}");
        let error = json!({ "error": { "code": -32603, "message": message } });
        turn.put(&answer_key(id), &error)?;
    } else {
        turn.put(&answer_key(id), answer)?;
    }
    Ok(json!({ "asked": true }))
}

/// The client takes a request back. Whoever runs it sees it in the update.
fn cancel(turn: &mut Turn<'_>, parameters: &Parameters) -> Result<Json, Refusal> {
    let request = required(parameters, "request")?;
    let running = streams(turn)?.into_iter().find(|(_, stream)| !stream.done && stream.request == *request);
    if let Some((id, _)) = running {
        turn.put(&format!("cancel/{id}"), &true)?;
    }
    Ok(json!({}))
}

fn subscribe(turn: &mut Turn<'_>, parameters: &Parameters) -> Result<Json, Refusal> {
    let key = subscription_key(text(parameters, "uri")?);
    let page = Page { entries: MCP_SESSION_SUBSCRIPTIONS_MAX, bytes: usize::MAX };
    if turn.get(&key)?.is_none()
        && turn.list(SUBSCRIPTION, None, page)?.len() >= MCP_SESSION_SUBSCRIPTIONS_MAX
    {
        let detail = format!("a session has at most {MCP_SESSION_SUBSCRIPTIONS_MAX} subscriptions");
        return Err(Refusal::TooLarge { detail });
    }
    turn.put(&key, required(parameters, "version")?)?;
    Ok(json!({}))
}

/// Events of a stream after one of them; without a stream, that of the event.
fn events(turn: &Turn<'_>, parameters: &Parameters) -> Result<Json, Refusal> {
    const PAGE: Page = Page { entries: 256, bytes: 1024 * 1024 };
    let after = required(parameters, "after")?.as_u64().unwrap_or_default();
    let id = text(parameters, "stream")?;
    let Some(stream) = turn.get_as::<Stream>(&stream_key(id))? else {
        return Ok(
            json!({ "events": [], "done": id != STANDING, "lost": false, "known": false, "after": after }),
        );
    };
    let (mut found, mut at) = (Vec::new(), after);
    loop {
        let page = turn.list(EVENT, Some(&event_key(at)), PAGE)?;
        let Some((last, _)) = page.last() else { break };
        at = number_of(last.as_str()).unwrap_or(u64::MAX);
        let own = page.iter().filter_map(|(key, value)| {
            let event: Event = value.parse().ok()?;
            (event.stream == id).then(|| json!([number_of(key.as_str()), event.message]))
        });
        found.extend(own);
    }
    let done = stream.done && id != STANDING;
    Ok(
        json!({ "events": found, "done": done, "lost": after < stream.lost, "known": true, "after": at.max(after) }),
    )
}

/// The alarm rings when the first lease ends, or else when the session has been idle for long.
fn arm(turn: &mut Turn<'_>) -> Result<(), Refusal> {
    let Some(session) = turn.get_as::<Session>(SESSION)? else { return Ok(()) };
    let leases = streams(turn)?.into_values().filter(|stream| !stream.done).map(|stream| stream.lease);
    let idle = session.used_at.plus_ms(MCP_SESSION_IDLE_MS);
    let next = leases.chain([idle]).min().unwrap_or(idle);
    turn.set_alarm(next);
    Ok(())
}

fn streams(turn: &Turn<'_>) -> Result<BTreeMap<String, Stream>, Refusal> {
    let page = Page { entries: 8 * MCP_SESSION_STREAMS_MAX, bytes: usize::MAX };
    let found = turn.list(STREAM, None, page)?;
    let named = found.iter().filter_map(|(key, value)| {
        Some((key.as_str().strip_prefix(STREAM)?.to_owned(), value.parse().ok()?))
    });
    Ok(named.collect())
}

fn forget_asks(turn: &mut Turn<'_>, stream: &str) -> Result<(), Refusal> {
    let page = Page { entries: 1_024, bytes: usize::MAX };
    for (key, _) in turn.list(&ask_key(&format!("{stream}-")), None, page)? {
        turn.delete(key.as_str())?;
    }
    for (key, _) in turn.list(&answer_key(&format!("{stream}-")), None, page)? {
        turn.delete(key.as_str())?;
    }
    turn.delete(&format!("cancel/{stream}"))?;
    Ok(())
}

const STREAM: &str = "stream/";
const EVENT: &str = "event/";
const SUBSCRIPTION: &str = "subscription/";

fn stream_key(id: &str) -> String {
    format!("{STREAM}{id}")
}

fn event_key(number: u64) -> String {
    format!("{EVENT}{number:012}")
}

/// The number of an event, of its key.
#[must_use]
pub fn number_of(key: &str) -> Option<u64> {
    key.strip_prefix(EVENT)?.parse().ok()
}

fn subscription_key(uri: &str) -> String {
    format!("{SUBSCRIPTION}{uri}")
}

/// The address that a key subscribes to.
#[must_use]
pub fn subscribed_uri(key: &str) -> Option<&str> {
    key.strip_prefix(SUBSCRIPTION)
}

fn ask_key(id: &str) -> String {
    format!("ask/{id}")
}

fn answer_key(id: &str) -> String {
    format!("answer/{id}")
}

/// The question that a key has the answer of.
#[must_use]
pub fn answered_question(key: &str) -> Option<&str> {
    key.strip_prefix("answer/")
}

/// The stream that a key says is taken back.
#[must_use]
pub fn cancelled_stream(key: &str) -> Option<&str> {
    key.strip_prefix("cancel/")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::class::Rehearsal;

    fn begun() -> Rehearsal {
        let mut session = Rehearsal::new(McpSession);
        session.call("begin", json!({ "version": "2025-11-25", "client": {} })).unwrap();
        session
    }

    fn append(session: &mut Rehearsal, stream: &str, messages: Json) -> u64 {
        let appended =
            session.call("append", json!({ "stream": stream, "request": 7, "messages": messages }));
        appended.unwrap()["last"].as_u64().unwrap()
    }

    fn numbers(session: &mut Rehearsal, stream: &str, after: u64) -> (Vec<u64>, bool, bool) {
        let answer = session.ask("events", json!({ "stream": stream, "after": after })).unwrap();
        let events = answer["events"].as_array().unwrap().iter().map(|event| event[0].as_u64().unwrap());
        (events.collect(), answer["done"] == true, answer["lost"] == true)
    }

    #[test]
    fn a_session_is_there_for_its_principal_only() {
        let mut session = begun();
        append(&mut session, "a", json!([{"n": 1}]));
        session.set_caller("somebody else", "r1");
        for question in ["session", "subscriptions", "events"] {
            let refused = session.ask(question, json!({ "stream": "a", "after": 0 })).unwrap_err();
            assert_eq!(refused.to_string(), "there is no such session", "{question}");
        }
        for method in ["touch", "append", "answer", "subscribe", "cancel"] {
            let refused = session.call(method, json!({ "stream": "a", "messages": [] })).unwrap_err();
            assert_eq!(refused.to_string(), "there is no such session", "{method}");
        }
        session.set_caller("local", "r2");
        assert_eq!(numbers(&mut session, "a", 0), (vec![1], false, false));
    }

    #[test]
    fn streams_go_on_behind_any_of_their_events() {
        let mut session = begun();
        assert_eq!(append(&mut session, "a", json!([{"n": 1}, {"n": 2}])), 2);
        assert_eq!(append(&mut session, "b", json!([{"n": 3}])), 3);
        session.call("append", json!({ "stream": "a", "messages": [{"n": 4}], "done": true })).unwrap();
        assert_eq!(numbers(&mut session, "a", 0), (vec![1, 2, 4], true, false));
        assert_eq!(numbers(&mut session, "a", 2), (vec![4], true, false));
        assert_eq!(numbers(&mut session, "b", 0), (vec![3], false, false));
        assert_eq!(numbers(&mut session, STANDING, 0), (vec![], false, false));
    }

    #[test]
    fn what_is_repeated_is_appended_once() {
        let mut session = begun();
        let twice = json!({ "stream": "a", "request": 7, "from": 0, "messages": [{"n": 1}] });
        session.call("append", twice.clone()).unwrap();
        assert_eq!(session.call("append", twice).unwrap(), json!({ "last": 1, "count": 1 }));
        assert_eq!(numbers(&mut session, "a", 0).0, vec![1]);
    }

    #[test]
    fn the_log_is_bounded_and_says_what_is_gone() {
        let mut session = begun();
        append(&mut session, "a", json!([{"n": 0}]));
        for n in 0..MCP_SESSION_EVENTS_MAX + 5 {
            append(&mut session, "b", json!([{"n": n}]));
        }
        assert_eq!(numbers(&mut session, "a", 0), (vec![], false, true));
        assert_eq!(numbers(&mut session, "a", 1), (vec![], false, false));
        let (kept, _, lost) = numbers(&mut session, "b", 0);
        assert_eq!((kept.len() as u64, lost), (MCP_SESSION_EVENTS_MAX, true));
    }

    #[test]
    fn a_lost_node_ends_its_streams_with_an_error() {
        let mut session = begun();
        append(&mut session, "a", json!([{"n": 1}]));
        session.advance(Duration::from_millis(MCP_LEASE_MS / 2));
        session.call("renew", json!({ "stream": "a" })).unwrap();
        session.advance(Duration::from_millis(MCP_LEASE_MS / 2 + 1));
        session.ring().unwrap();
        assert_eq!(numbers(&mut session, "a", 1), (vec![], false, false));
        session.advance(Duration::from_millis(MCP_LEASE_MS));
        session.ring().unwrap();
        let answer = session.ask("events", json!({ "stream": "a", "after": 1 })).unwrap();
        assert_eq!(answer["events"][0][1]["id"], 7);
        assert_eq!(answer["events"][0][1]["error"]["data"]["code"], "outcome_unknown");
        assert_eq!(answer["done"], true);
        assert!(session.call("renew", json!({ "stream": "a" })).is_err());
    }

    #[test]
    fn answers_are_taken_once_and_only_if_asked_for() {
        let mut session = begun();
        let answer = |session: &mut Rehearsal, id: &str| {
            session.call("answer", json!({ "id": id, "answer": { "result": {} } })).unwrap()["asked"] == true
        };
        session
            .call("append", json!({ "stream": "a", "request": 7, "messages": [{}], "asks": ["a-1"] }))
            .unwrap();
        assert!(!answer(&mut session, "a-2"));
        assert!(answer(&mut session, "a-1"));
        assert!(!answer(&mut session, "a-1"));
        session.call("append", json!({ "stream": "a", "messages": [], "done": true })).unwrap();
        assert_eq!(session.get("answer/a-1").unwrap(), None);
    }

    #[test]
    fn an_idle_session_ends() {
        let mut session = begun();
        session.advance(Duration::from_millis(MCP_SESSION_IDLE_MS - 1));
        session.call("touch", json!({})).unwrap();
        session.advance(Duration::from_millis(MCP_SESSION_IDLE_MS - 1));
        session.ring().unwrap();
        session.ask("session", json!({})).unwrap();
        session.advance(Duration::from_millis(1));
        session.ring().unwrap();
        assert!(matches!(session.ask("session", json!({})), Err(Refusal::NotFound { .. })));
    }

    #[test]
    fn it_is_of_whoever_began_it() {
        let mut session = begun();
        session.act_as("somebody.else");
        assert!(matches!(session.ask("session", json!({})), Err(Refusal::NotFound { .. })));
        assert!(matches!(session.call("touch", json!({})), Err(Refusal::NotFound { .. })));
        assert!(matches!(
            session.ask("events", json!({ "stream": "a", "after": 0 })),
            Err(Refusal::NotFound { .. })
        ));
    }

    #[test]
    fn subscriptions_remember_what_was_told() {
        let mut session = begun();
        session.call("subscribe", json!({ "uri": "stead://object/a", "version": 3 })).unwrap();
        let noted = json!({ "stead://object/a": 5, "stead://object/b": 5 });
        session.call("append", json!({ "stream": STANDING, "messages": [{}], "noted": noted })).unwrap();
        let told = session.ask("subscriptions", json!({})).unwrap();
        assert_eq!(told, json!({ "stead://object/a": 5 }));
        session.call("unsubscribe", json!({ "uri": "stead://object/a" })).unwrap();
        assert_eq!(session.ask("subscriptions", json!({})).unwrap(), json!({}));
    }

    #[test]
    fn what_is_too_large_is_not_kept() {
        let mut session = begun();
        let large = "x".repeat(MCP_EVENT_MAX_BYTES);
        append(&mut session, "a", json!([{ "id": 7, "result": large }]));
        let answer = session.ask("events", json!({ "stream": "a", "after": 0 })).unwrap();
        assert_eq!(answer["events"][0][1]["id"], 7);
        assert!(answer["events"][0][1]["error"]["message"].as_str().unwrap().contains("ask for less"));
    }
}
