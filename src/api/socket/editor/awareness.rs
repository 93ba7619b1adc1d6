//! Who is where in a document, as one editor's socket knows it. Pure.
//!
//! Editors speak of clients, numbers of their own choice; each has a clock that rises with whatever it shows. What is
//! told again is passed over by its clock, which matters because editors repeat what they hear. A client belongs to
//! the socket that told of it first, and is gone when that socket is.
//!
//! To everybody else a client is a member `yjs-NUMBER` of those present at the object.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use super::message::{Malformed, Reader, write_number, write_sized};
use crate::object::{Value, parse_json};

/// Clients that one socket may speak for: a browser has one a page, and its pages may share a socket.
const OWN_MAX: usize = 64;
/// Clients that are gone whose clocks are remembered, so that late news of them are known to be old.
const GONE_MAX: usize = 1_024;
/// Entries of one message that are looked at.
const ENTRIES_MAX: u64 = 10_000;
/// Before a client's number in the id of the member that it is.
const MEMBER_PREFIX: &str = "yjs-";

/// What an editor's message changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::api) enum Change {
    /// A client is here, or shows something else.
    Enter { id: String, state: Value, clock: u64 },
    /// A client has left.
    Exit { id: String },
}

/// What is known of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Client {
    clock: u64,
    /// Nothing once it is gone.
    state: Option<Value>,
}

/// Everybody, as one socket knows them.
#[derive(Debug, Default)]
pub(in crate::api) struct Awareness {
    clients: BTreeMap<u64, Client>,
    own: BTreeSet<u64>,
    /// Those that are gone, the first first; some may be back.
    gone: VecDeque<u64>,
}

impl Awareness {
    /// Takes in a message of the editor; gives what it changes, which is what others are told.
    pub(in crate::api) fn receive(&mut self, message: &[u8]) -> Result<Vec<Change>, Malformed> {
        let mut reader = Reader::new(message);
        let count = reader.number()?;
        if count > ENTRIES_MAX {
            return Err(Malformed::TooMany);
        }
        let mut entries = Vec::new();
        for _ in 0..count {
            let (client, clock, state) = (reader.number()?, reader.number()?, reader.text()?);
            let state = parse_json(state.as_bytes()).map_err(|_| Malformed::NotJson)?;
            entries.push((client, clock, (!state.is_null()).then(|| Value::from_json(state))));
        }
        Ok(entries
            .into_iter()
            .filter_map(|(client, clock, state)| self.take_in(client, clock, state))
            .collect())
    }

    fn take_in(&mut self, client: u64, clock: u64, state: Option<Value>) -> Option<Change> {
        let known = self.clients.get(&client);
        let is_news = match known {
            None => state.is_some(),
            Some(known) => {
                known.clock < clock || (known.clock == clock && state.is_none() && known.state.is_some())
            }
        };
        let is_room = self.own.contains(&client) || self.own.len() < OWN_MAX;
        if !is_news || (state.is_some() && !is_room) {
            return None;
        }
        let id = format!("{MEMBER_PREFIX}{client}");
        if let Some(state) = state {
            self.own.insert(client);
            self.clients.insert(client, Client { clock, state: Some(state.clone()) });
            return Some(Change::Enter { id, state, clock });
        }
        self.own.remove(&client);
        self.bury(client, clock);
        Some(Change::Exit { id })
    }

    /// Takes in what others are doing; gives the message that tells the editor, if it does not know.
    pub(in crate::api) fn hear<'m>(
        &mut self,
        entered: impl IntoIterator<Item = (&'m str, &'m Value, u64)>,
        left: impl IntoIterator<Item = &'m str>,
    ) -> Option<Bytes> {
        let mut told = Vec::new();
        for id in left {
            let Some(client) = client_of(id) else { continue };
            let Some(known) = self.clients.get(&client).filter(|known| known.state.is_some()) else {
                continue;
            };
            let clock = known.clock;
            self.own.remove(&client);
            self.bury(client, clock);
            told.push(client);
        }
        for (id, state, clock) in entered {
            let Some(client) = client_of(id) else { continue };
            let is_news = self.clients.get(&client).is_none_or(|known| {
                // One that came back from elsewhere may show the same as before it left.
                known.clock < clock || (known.clock == clock && known.state.is_none())
            });
            if is_news {
                self.clients.insert(client, Client { clock, state: Some(state.clone()) });
                told.push(client);
            }
        }
        self.message(told)
    }

    /// The message that tells of all who are present.
    pub(in crate::api) fn everyone(&self) -> Option<Bytes> {
        let present = self.clients.iter().filter(|(_, client)| client.state.is_some());
        self.message(present.map(|(client, _)| *client).collect())
    }

    /// The message that tells the editor that its own is taken in. It waits for it: an editor that hears nothing for half a
    /// minute takes the connection for broken.
    pub(in crate::api) fn echo(&self, changes: &[Change]) -> Option<Bytes> {
        let id = |change: &Change| match change {
            Change::Enter { id, .. } | Change::Exit { id } => client_of(id),
        };
        self.message(changes.iter().filter_map(id).collect())
    }

    fn message(&self, clients: Vec<u64>) -> Option<Bytes> {
        if clients.is_empty() {
            return None;
        }
        let mut message = Vec::new();
        write_number(clients.len() as u64, &mut message);
        for client in clients {
            let known = self.clients.get(&client);
            write_number(client, &mut message);
            write_number(known.map_or(0, |known| known.clock), &mut message);
            let state = known.and_then(|known| known.state.as_ref()).map_or("null", Value::as_str);
            write_sized(state.as_bytes(), &mut message);
        }
        Some(message.into())
    }

    fn bury(&mut self, client: u64, clock: u64) {
        self.clients.insert(client, Client { clock, state: None });
        self.gone.push_back(client);
        if self.gone.len() > GONE_MAX
            && let Some(oldest) = self.gone.pop_front()
            && !self.gone.contains(&oldest)
            && self.clients.get(&oldest).is_some_and(|client| client.state.is_none())
        {
            self.clients.remove(&oldest);
        }
    }
}

/// The client that a member is; members of other kinds are none.
fn client_of(id: &str) -> Option<u64> {
    id.strip_prefix(MEMBER_PREFIX)?.parse().ok().filter(|client: &u64| *client < 1 << 53)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(entries: &[(u64, u64, &str)]) -> Vec<u8> {
        let mut message = Vec::new();
        write_number(entries.len() as u64, &mut message);
        for (client, clock, state) in entries {
            write_number(*client, &mut message);
            write_number(*clock, &mut message);
            write_sized(state.as_bytes(), &mut message);
        }
        message
    }

    fn shown(message: Option<Bytes>) -> Vec<(u64, u64, String)> {
        let Some(message) = message else { return Vec::new() };
        let mut reader = Reader::new(&message);
        let count = reader.number().expect("a count");
        let entry = |_| {
            let mut next = || reader.number().expect("a number");
            let (client, clock) = (next(), next());
            (client, clock, reader.text().expect("a state").to_owned())
        };
        (0..count).map(entry).collect()
    }

    fn enter(client: u64, clock: u64, state: serde_json::Value) -> Change {
        Change::Enter { id: format!("yjs-{client}"), state: Value::from_json(state), clock }
    }

    fn exit(client: u64) -> Change {
        Change::Exit { id: format!("yjs-{client}") }
    }

    #[test]
    fn newer_clocks_are_taken_in_and_echoes_are_not() {
        let mut awareness = Awareness::default();
        let mut check = |entries: &[(u64, u64, &str)], expected: &[Change]| {
            assert_eq!(awareness.receive(&message(entries)).as_deref(), Ok(expected), "{entries:?}");
        };
        check(&[(7, 0, r#"{"user":"a"}"#)], &[enter(7, 0, json!({"user": "a"}))]);
        check(&[(7, 0, r#"{"user":"a"}"#)], &[]);
        check(&[(7, 3, "{}"), (8, 1, "true")], &[enter(7, 3, json!({})), enter(8, 1, json!(true))]);
        check(&[(7, 2, r#"{"late":1}"#), (7, 2, "null")], &[]);
        // The end of a client has its last clock, or the next.
        check(&[(7, 3, "null"), (8, 2, "null")], &[exit(7), exit(8)]);
        check(&[(7, 3, "null"), (8, 2, "{}"), (9, 0, "null")], &[]);
        check(&[(7, 4, "{}")], &[enter(7, 4, json!({}))]);
    }

    #[test]
    fn others_are_told_once() {
        let mut awareness = Awareness::default();
        let state = Value::from_json(json!({"x": 1}));
        let told = awareness.hear([("yjs-5", &state, 2), ("0123456789abcdef", &state, 0)], []);
        assert_eq!(shown(told), [(5, 2, r#"{"x":1}"#.to_owned())]);
        assert_eq!(awareness.hear([("yjs-5", &state, 2), ("yjs-5", &state, 1)], []), None);
        // The editor repeats what it hears: nobody is told again.
        assert_eq!(awareness.receive(&message(&[(5, 2, r#"{"x":1}"#)])), Ok(Vec::new()));
        assert_eq!(shown(awareness.everyone()).len(), 1);
        let told = awareness.hear([], ["yjs-5", "yjs-6", "native"]);
        assert_eq!(shown(told), [(5, 2, "null".to_owned())]);
        assert_eq!(awareness.everyone(), None);
        assert_eq!(awareness.hear([], ["yjs-5"]), None);
        // It is back through another node, and shows the same.
        assert_eq!(shown(awareness.hear([("yjs-5", &state, 2)], [])).len(), 1);
    }

    #[test]
    fn an_editor_hears_its_own() {
        let mut awareness = Awareness::default();
        let changes = awareness.receive(&message(&[(7, 1, "{}"), (8, 1, "{}")])).expect("it is a message");
        assert_eq!(shown(awareness.echo(&changes)), [(7, 1, "{}".to_owned()), (8, 1, "{}".to_owned())]);
        let changes = awareness.receive(&message(&[(7, 1, "null")])).expect("it is a message");
        assert_eq!(shown(awareness.echo(&changes)), [(7, 1, "null".to_owned())]);
        // What comes back from the object is known.
        assert_eq!(awareness.hear([("yjs-8", &Value::from_json(json!({})), 1)], ["yjs-7"]), None);
    }

    #[test]
    fn everything_is_bounded() {
        let mut awareness = Awareness::default();
        let many: Vec<_> = (0..200).map(|client| (client, 1, "{}")).collect();
        let changes = awareness.receive(&message(&many)).expect("it is a message");
        assert_eq!(changes.len(), OWN_MAX);
        for client in 1_000..4_000 {
            let changes = awareness.receive(&message(&[(0, client, "{}"), (0, client, "null")]));
            assert_eq!(changes.map(|changes| changes.len()), Ok(2));
            awareness.receive(&message(&[(client, 1, "{}"), (client, 1, "null")])).expect("it is a message");
        }
        assert!(awareness.clients.len() <= GONE_MAX + OWN_MAX, "{}", awareness.clients.len());
        assert!(awareness.gone.len() <= GONE_MAX);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let mut awareness = Awareness::default();
        for (bytes, expected) in [
            (vec![], Malformed::Short),
            (vec![1], Malformed::Short),
            (vec![1, 7, 1, 3, b'{', b'}'], Malformed::Short),
            (vec![0xff, 0xff, 0x7f], Malformed::TooMany),
            (message(&[(7, 1, "{")]), Malformed::NotJson),
            (vec![1, 7, 1, 1, 0xff], Malformed::NotText),
        ] {
            assert_eq!(awareness.receive(&bytes), Err(expected), "{bytes:?}");
        }
        assert_eq!(awareness.receive(&[0]), Ok(Vec::new()));
        assert!(awareness.receive(&message(&[(7, 1, "{}"), (8, 1, "}")])).is_err());
        assert_eq!(awareness.everyone(), None, "all of a message, or none");
    }
}
