//! The turns of an active object: what each request does in one.
//!
//! A turn runs without waiting: it reads memory and local disk, and ends either in an answer that rests
//! on what was committed before, or in a commit that the activation hands to the shard. Memory is
//! changed here as if the commit were applied already; if it is not, the activation is dropped.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;

use super::active::Active;
use super::gate::Output;
use super::records;
use super::work::{Reply, Task};
use super::{Absent, Action, Answer, Outcome, Request, cursor, failure};
use crate::caller::Caller;
use crate::class::{Class, Difference, Parameters};
use crate::error::{Code, Error};
use crate::limits;
use crate::object::commit::{Cause, NewRecord};
use crate::object::idempotency::{Fingerprint, IdempotencyKey};
use crate::object::turn::Start;
use crate::object::upkeep::Upkeep;
use crate::object::{Commit, Effects, Meta, Page, Refusal, Timestamp, Turn, Update, Value, Version, codec};

/// What came of a turn.
pub(crate) enum Turned {
    /// An answer that rests on earlier commits only.
    Read(Result<Answer, Error>),
    /// The answer that an earlier call under the same key was given, or is to be.
    Repeat(Result<Answer, Error>),
    /// A commit, and the answer that rests on it.
    Commit {
        command: Bytes,
        update: Option<Arc<Update>>,
        /// The sooner of the object's timers, if the commit moved one.
        timer: Option<Timestamp>,
        answer: Answer,
    },
}

/// What a turn of the class is for.
enum Occasion<'a> {
    /// A caller's request, and what the class's module knows beside it.
    Request(Option<&'a Parameters>),
    Alarm,
}

/// The idempotency key of a call, and what it stands for.
type Once = Option<(IdempotencyKey, Fingerprint)>;

impl Active {
    /// Lets out what came of a turn, or holds it at the gate until its commit is applied.
    pub(crate) fn let_out(&mut self, turned: Turned, reply: Reply) {
        match turned {
            Turned::Read(answer) => {
                self.gate.after_reads(Output { update: None, timer: None, reply, answer });
            }
            Turned::Repeat(answer) => {
                self.gate.after_repeated(Output { update: None, timer: None, reply, answer });
            }
            Turned::Commit { command, update, timer, answer } => {
                let output = Output { update, timer, reply, answer: Ok(answer) };
                let Some(number) = self.gate.after_commit(output) else { return };
                let gate = self.gate.clone();
                let done = Box::new(move |verdict| gate.settle(number, &verdict));
                self.shard.propose(self.term, command, done);
            }
        }
    }

    /// Takes one turn.
    pub(crate) fn take(&mut self, task: Task, caller: &Caller) -> Turned {
        let now = Timestamp(self.parts.clock.now_ms());
        self.recent.forget_written(self.gate.settled(), self.shard.written());
        self.parts.metrics.turns.inc();
        let turned = match task {
            Task::Request(request) => self.request(request, caller, now),
            Task::Alarm { at } => self.alarm(at, caller, now),
            Task::Due { at } => self.due(at, caller, now),
        };
        match turned {
            Ok(Turned::Read(answer)) => Turned::Read(answer.and_then(|answer| self.still_leads(answer))),
            Ok(Turned::Repeat(answer)) => Turned::Repeat(answer.and_then(|answer| self.still_leads(answer))),
            Ok(commit) => commit,
            Err(error) => Turned::Read(Err(error)),
        }
    }

    /// An answer that was read, if this node leads still: the process may have been paused since it began.
    fn still_leads(&self, answer: Answer) -> Result<Answer, Error> {
        match self.shard.lead() {
            Ok(term) if term == self.term => Ok(answer),
            Ok(_) => Err(failure::rests_on_failed()),
            Err(refused) => Err(failure::not_leading(&refused)),
        }
    }

    fn request(&mut self, request: Request, caller: &Caller, now: Timestamp) -> Result<Turned, Error> {
        let Request { action, idempotency_key, if_match, context } = request;
        let once = idempotency_key
            .filter(|_| !action.is_repeatable())
            .map(|key| (key, records::fingerprint(&action)));
        if let Some((key, fingerprint)) = &once
            && let Some(record) = self.record(key)?
        {
            self.parts.metrics.calls_repeated.inc();
            return Ok(Turned::Repeat(records::replay(&record, fingerprint)));
        }
        let version = if self.meta.exists { self.meta.version } else { Version::ZERO };
        if let Some(wanted) = if_match.filter(|wanted| *wanted != version) {
            let detail = format!("the object is at version {version}, not {wanted}; read it and try again");
            return Err(Error::new(Code::VersionMismatch, detail));
        }
        match action {
            Action::Delete => self.delete(caller, now, once),
            Action::Updates { since, limit } => self.updates(since, limit).map(|outcome| self.read(outcome)),
            Action::Open { since } => self.open(since, caller, now).map(|outcome| self.read(outcome)),
            action if action.is_write() => self.write((action, context.as_deref()), caller, now, once),
            action => self.look(action, caller, now).map(|outcome| self.read(outcome)),
        }
    }

    /// An answer that changes nothing.
    fn read(&self, outcome: Outcome) -> Turned {
        Turned::Read(Ok(Answer { version: self.meta.version, outcome }))
    }

    /// What the class does in a turn.
    fn write(
        &mut self,
        (action, context): (Action, Option<&Parameters>),
        caller: &Caller,
        now: Timestamp,
        once: Once,
    ) -> Result<Turned, Error> {
        let created = !self.meta.exists;
        let method = method_of(&action);
        let ran = self.run(caller, now, Occasion::Request(context), |class, turn| match action {
            Action::Initialize { keys } => {
                turn.create();
                class.initialize(turn, keys)?;
                Ok(Outcome::Initialized { created })
            }
            Action::Call { method, params } => {
                class.call(turn, &method, params).map(|result| Outcome::Result(Value::from_json(result)))
            }
            Action::Put { key, value } => class.put(turn, &key, value).map(|()| Outcome::Put),
            Action::Edit { updates } => class.edit(turn, &updates).map(|()| Outcome::Edited),
            Action::DeleteKey { key, absent } => match class.delete(turn, &key) {
                Err(Refusal::KeyNotFound { .. }) if absent == Absent::Fine => {
                    Ok(Outcome::KeyDeleted { present: false })
                }
                deleted => deleted.map(|()| Outcome::KeyDeleted { present: true }),
            },
            other => unreachable!("{other:?} is not for the class to write"),
        });
        let (outcome, mut effects) = ran.map_err(failure::refused)?;
        if effects.is_read() {
            return Ok(self.read(outcome));
        }
        let binary = effects.binary.take();
        let cause = Cause { subject: caller.subject.clone(), method, time: now };
        let commit = Commit::of_turn(self.address.clone(), &self.meta, effects, cause);
        self.commit(commit, binary, outcome, once)
    }

    /// What the class shows in a turn.
    fn look(&mut self, action: Action, caller: &Caller, now: Timestamp) -> Result<Outcome, Error> {
        let (exists, updated_at) = (self.meta.exists, self.meta.updated_at);
        if !exists && matches!(action, Action::Ask { .. }) {
            return Err(absent());
        }
        let after = match &action {
            Action::Entries { cursor: Some(cursor), .. } => Some(cursor::decode(cursor)?),
            _ => None,
        };
        let ran = self.run(caller, now, Occasion::Request(None), |class, turn| match action {
            Action::State if !exists => Ok(Outcome::State { exists, entries: Vec::new(), updated_at }),
            Action::State => Ok(Outcome::State { exists, entries: class.state(turn)?, updated_at }),
            Action::Get { .. } if !exists => Ok(Outcome::Value(None)),
            Action::Get { key } => class.get(turn, &key).map(Outcome::Value),
            Action::Entries { prefix, limit, .. } => {
                let page =
                    Page { entries: if exists { limit } else { 0 }, bytes: limits::STATE_ANSWER_MAX_BYTES };
                let entries = class.entries(turn, &prefix, after.as_deref(), page)?;
                let cursor = match entries.last() {
                    // Only an empty answer is the end.
                    Some((last, _)) => {
                        let next =
                            class.entries(turn, &prefix, Some(last.as_str()), Page { entries: 1, ..page })?;
                        next.first().map(|_| cursor::encode(last.as_str()))
                    }
                    None => None,
                };
                Ok(Outcome::Entries { entries, cursor })
            }
            Action::Difference { known } => {
                let Difference { missing, known } = class.difference(turn, known.as_deref())?;
                Ok(Outcome::Difference { missing, known })
            }
            Action::Ask { question, params } => {
                class.ask(turn, &question, &params).map(|answer| Outcome::Result(Value::from_json(answer)))
            }
            other => unreachable!("{other:?} is not for the class to read"),
        });
        ran.map(|(outcome, _)| outcome).map_err(failure::refused)
    }

    /// Begins a subscription.
    fn open(&mut self, since: Option<Version>, caller: &Caller, now: Timestamp) -> Result<Outcome, Error> {
        if let Some(updates) = since.map(|since| self.missed(since)).transpose()?.flatten() {
            return Ok(Outcome::Resumed { updates });
        }
        match self.look(Action::State, caller, now) {
            Ok(Outcome::State { entries, .. }) => Ok(Outcome::Init { entries: Some(entries) }),
            Ok(other) => unreachable!("a state is answered by a state, not {other:?}"),
            Err(error) if error.code == Code::StateTooLarge => Ok(Outcome::Init { entries: None }),
            Err(error) => Err(error),
        }
    }

    fn delete(&mut self, caller: &Caller, now: Timestamp, once: Once) -> Result<Turned, Error> {
        if !self.meta.exists {
            return Err(absent());
        }
        let farewell = self.farewell(caller, now);
        let cause = Cause { subject: caller.subject.clone(), method: "delete".into(), time: now };
        let commit = Commit::of_deletion(self.address.clone(), &self.meta, cause);
        self.decoded = None;
        self.commit(commit, farewell, Outcome::Deleted, once)
    }

    /// What editors apply of the object's deletion, if anybody listens.
    fn farewell(&mut self, caller: &Caller, now: Timestamp) -> Option<Bytes> {
        if !self.parts.streams.has(&self.address) {
            return None;
        }
        match self.run(caller, now, Occasion::Request(None), Class::farewell) {
            Ok((farewell, _)) => farewell,
            Err(refusal) => {
                tracing::warn!(address = %self.address, %refusal, "editors are not told of a deletion");
                None
            }
        }
    }

    /// Rings the alarm, unless it has been taken back or moved since it was found due. What fails, by a
    /// refusal or a panic, is tried again later.
    fn alarm(&mut self, at: Timestamp, caller: &Caller, now: Timestamp) -> Result<Turned, Error> {
        if self.meta.alarm.is_none_or(|alarm| alarm.at != at) {
            return Ok(self.read(Outcome::Put));
        }
        let cause = Cause { subject: caller.subject.clone(), method: "alarm".into(), time: now };
        let ring = || self.run(caller, now, Occasion::Alarm, Class::alarm);
        let rung = catch_unwind(AssertUnwindSafe(ring));
        let why = match rung {
            Ok(Ok(((), mut effects))) => {
                self.parts.metrics.alarms_fired.inc();
                let binary = effects.binary.take();
                let commit = Commit::of_turn(self.address.clone(), &self.meta, effects, cause);
                return self.commit(commit, binary, Outcome::Put, None);
            }
            Ok(Err(refusal)) => refusal.to_string(),
            Err(_) => "the class panicked".to_owned(),
        };
        self.parts.metrics.alarms_failed.inc();
        let commit = Commit::of_failed_alarm(self.address.clone(), &self.meta, cause, rand::random());
        if let Some(next) = commit.meta.alarm {
            tracing::warn!(address = %self.address, why, next = %next.at, attempts = next.attempts, "an alarm failed");
        } else {
            self.parts.metrics.alarms_abandoned.inc();
            tracing::error!(address = %self.address, why, "an alarm failed for the last time; it is kept as failed");
        }
        self.commit(commit, None, Outcome::Put, None)
    }

    /// The runtime's own care: old idempotency records and tombstones go.
    fn due(&mut self, at: Timestamp, caller: &Caller, now: Timestamp) -> Result<Turned, Error> {
        if self.meta.due != Some(at) {
            return Ok(self.read(Outcome::Put));
        }
        let mut upkeep = Upkeep::plan(&self.meta, &self.oldest_records()?, now);
        if upkeep.forgets_object && self.parts.streams.has(&self.address) {
            // Its next version would be 1 again, under the eyes of those who saw a later one.
            upkeep.forgets_object = false;
            upkeep.due = Some(now.plus_ms(limits::RECORD_KEPT_MS));
        }
        let cause = Cause { subject: caller.subject.clone(), method: "upkeep".into(), time: now };
        let commit = Commit::of_upkeep(self.address.clone(), &self.meta, upkeep, cause);
        self.commit(commit, None, Outcome::Put, None)
    }

    /// Runs the class on a write buffer. A refusal drops it; a panic drops the activation.
    fn run<T>(
        &mut self,
        caller: &Caller,
        now: Timestamp,
        occasion: Occasion<'_>,
        event: impl FnOnce(&dyn Class, &mut Turn<'_>) -> Result<T, Refusal>,
    ) -> Result<(T, Effects), Refusal> {
        let start = Start {
            address: &self.address,
            caller,
            now,
            seed: rand::random(),
            meta: &self.meta,
            storage: &self.keys,
            decoded: self.decoded.take(),
            context: None,
        };
        let mut turn = match occasion {
            Occasion::Request(context) => Turn::new(Start { context, ..start }),
            Occasion::Alarm => Turn::for_alarm(start),
        };
        match event(&*self.class, &mut turn) {
            Ok(value) => {
                let mut effects = turn.finish();
                self.decoded = effects.decoded.take();
                Ok((value, effects))
            }
            Err(refusal) => {
                self.decoded = turn.abandon();
                Err(refusal)
            }
        }
    }

    /// Changes memory as the commit will change the state, and gives the commit to be handed over. `binary` goes to
    /// the subscribers only.
    fn commit(
        &mut self,
        mut commit: Commit,
        binary: Option<Bytes>,
        outcome: Outcome,
        once: Once,
    ) -> Result<Turned, Error> {
        let now = commit.time;
        let answer = Answer { version: commit.meta.version, outcome };
        if let Some((key, fingerprint)) = once {
            let reply = records::encode(&answer);
            // A refusal here comes after the class has run: what it keeps in memory is ahead.
            let decoded = self.decoded.take();
            let dropped = self.make_room(&key, reply.len(), now)?;
            self.decoded = decoded;
            commit.add_record(NewRecord { key, fingerprint, reply }, dropped);
        }
        let mut history = match self.history.take() {
            Some(history) => history,
            None => self.load_history()?,
        };
        let update = commit.enter_history(&mut history).map(Arc::new);
        self.history = Some(history);
        let timer = commit.alarm_move().to.into_iter().chain(commit.due_move().to).min();
        let command = Bytes::from(codec::encode_commit(&commit));
        self.commits += 1;
        self.recent.add(self.commits, update.as_ref(), commit.record.as_ref());
        self.keys.apply(&commit.ops, commit.meta.generation);
        self.meta = commit.meta;
        if commit.forgets_object {
            self.meta = Meta::default();
            self.history = None;
        }
        let mut update = update.filter(|_| self.parts.streams.has(&self.address));
        if binary.is_some() {
            update = update.map(|update| Arc::new(Update { binary, ..Update::clone(&update) }));
        }
        Ok(Turned::Commit { command, update, timer, answer })
    }
}

fn absent() -> Error {
    Error::new(Code::ObjectNotFound, "there is no such object")
}

fn method_of(action: &Action) -> Arc<str> {
    match action {
        Action::Initialize { .. } => "initialize".into(),
        Action::Put { .. } => "put".into(),
        Action::DeleteKey { .. } | Action::Delete => "delete".into(),
        Action::Call { method, .. } => method.as_str().into(),
        Action::Edit { .. } => "edit".into(),
        _ => "read".into(),
    }
}
