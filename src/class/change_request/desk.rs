//! The desk: a change while a turn works on it. It is opened, worked on, and closed; closing writes what has changed,
//! sets the alarm, and nothing else does.

use serde::Deserialize as _;
use serde::de::value::MapDeserializer;
use serde_json::{Map, Value as Json};

use crate::object::{Refusal, Timestamp, Turn};

use super::audit::{self, Event, Record};
use super::change::{Change, Fields};
use super::{Policy, State};

/// Who records what nobody does: the same name as the runtime has in updates.
const NOBODY: &str = "stead";
const ID_LETTERS: &[u8; 36] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const ID_LENGTH: usize = 6;

/// What the module gives into a turn beside the parameters.
pub(super) struct Given {
    /// The policy that holds.
    pub(super) policy: Policy,
    /// Its version.
    pub(super) version: u64,
}

impl Given {
    /// Reads it from the turn's context.
    pub(super) fn read(turn: &Turn<'_>) -> Result<Self, Refusal> {
        let policy = turn.context().and_then(|context| context.get("policy")?.as_object());
        let policy = policy.ok_or_else(|| {
            Refusal::invalid("no policy was given: change requests are written through ChangeFlow")
        })?;
        let version = policy.get("version").and_then(Json::as_u64).unwrap_or(0);
        let parts = policy.iter().filter(|(name, _)| *name != "version");
        let parts = MapDeserializer::new(parts.map(|(name, value)| (name.as_str(), value)));
        let policy = Policy::deserialize(parts).map_err(|error: serde_json::Error| {
            Refusal::invalid(format!("the policy cannot be read: {error}"))
        })?;
        Ok(Self { policy, version })
    }
}

/// What is recorded of something that happened.
pub(super) struct Note {
    event: Event,
    who: Option<String>,
    moved: Option<(State, State)>,
    reason: Option<String>,
    more: Map<String, Json>,
}

impl Note {
    pub(super) fn of(event: Event) -> Self {
        Self { event, who: None, moved: None, reason: None, more: Map::new() }
    }

    /// Whom the call names.
    pub(super) fn by(self, who: &str) -> Self {
        Self { who: Some(who.to_owned()), ..self }
    }

    /// Why.
    pub(super) fn because(self, reason: Option<String>) -> Self {
        Self { reason, ..self }
    }

    /// What else belongs to it.
    pub(super) fn with(mut self, name: &str, value: impl Into<Json>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }
}

/// A change while a turn works on it.
pub(super) struct Desk<'d, 't> {
    pub(super) turn: &'d mut Turn<'t>,
    pub(super) change: Change,
    before: Fields,
    recorded: bool,
}

impl<'d, 't> Desk<'d, 't> {
    /// Takes up the change of this object.
    pub(super) fn open(turn: &'d mut Turn<'t>, given: &Given) -> Result<Self, Refusal> {
        let (change, before) = Change::load(turn)?;
        let mut desk = Self { turn, change, before, recorded: false };
        desk.change.policy_version = given.version;
        // What the alarm was to record and is late with comes before what happens now.
        desk.record_due()?;
        Ok(desk)
    }

    /// Takes up a change that is new.
    pub(super) fn with(turn: &'d mut Turn<'t>, change: Change) -> Self {
        Self { turn, change, before: Fields::new(), recorded: false }
    }

    /// Takes up the change of this object because its alarm rings.
    pub(super) fn open_for_alarm(turn: &'d mut Turn<'t>) -> Result<Self, Refusal> {
        let (change, before) = Change::load(turn)?;
        Ok(Self { turn, change, before, recorded: false })
    }

    /// The change's id.
    pub(super) fn id(&self) -> String {
        self.turn.address().name().as_str().to_owned()
    }

    /// The time of the turn.
    pub(super) fn now(&self) -> Timestamp {
        self.turn.now()
    }

    /// The caller's subject.
    pub(super) fn subject(&self) -> String {
        self.turn.caller().subject.to_string()
    }

    /// A new id: the prefix and six of A-Z and 0-9.
    pub(super) fn new_id(&mut self, prefix: &str) -> String {
        let mut random = self.turn.random();
        let mut id = format!("{prefix}-");
        for _ in 0..ID_LENGTH {
            let index = usize::try_from(random % ID_LETTERS.len() as u64).unwrap_or_default();
            id.extend(ID_LETTERS.get(index).map(|letter| char::from(*letter)));
            random /= ID_LETTERS.len() as u64;
        }
        id
    }

    /// Moves the change and records it.
    pub(super) fn advance(&mut self, to: State, note: Note) -> Result<(), Refusal> {
        let from = self.change.status;
        self.change.status = to;
        self.record(Note { moved: Some((from, to)), ..note })
    }

    /// Adds a record to the trail.
    pub(super) fn record(&mut self, note: Note) -> Result<(), Refusal> {
        let subject = self.subject();
        let given = self.turn.context().and_then(|context| context.get("requestId")?.as_str());
        let request_id = given.unwrap_or(&self.turn.caller().request_id).to_owned();
        let record = Record {
            seq: self.change.audit_count + 1,
            time: self.now().max(self.change.updated_at),
            event: note.event,
            who: note.who.unwrap_or_else(|| subject.clone()),
            subject,
            from: note.moved.map(|(from, _)| from),
            to: note.moved.map(|(_, to)| to),
            reason: note.reason,
            request_id,
            policy_version: self.change.policy_version,
            more: note.more,
        };
        self.change.audit_count = record.seq;
        self.change.updated_at = record.time;
        self.recorded = true;
        self.turn.put(&audit::key(record.seq), &record)
    }

    /// Records a deadline's warning and its breach, if their time has come.
    pub(super) fn record_due(&mut self) -> Result<(), Refusal> {
        let now = self.now();
        if !self.change.status.is_undecided() {
            return Ok(());
        }
        let Some(sla) = self.change.sla.as_mut() else { return Ok(()) };
        let deadline = sla.deadline;
        for event in sla.take_due(now) {
            self.record(Note::of(event).by(NOBODY).with("deadline", deadline.to_string()))?;
        }
        Ok(())
    }

    /// Ends the work on it.
    pub(super) fn close(self) -> Result<(), Refusal> {
        // Without a record nothing has happened to the change, and nothing of it is written.
        if self.recorded {
            self.change.store(self.turn, &self.before)?;
        }
        let next = self.change.sla.filter(|_| self.change.status.is_undecided()).and_then(|sla| sla.next());
        match next {
            Some(at) if self.turn.alarm() != Some(at) => self.turn.set_alarm(at),
            Some(_) => {}
            None => self.turn.clear_alarm(),
        }
        Ok(())
    }
}
