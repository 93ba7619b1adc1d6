//! An object of a class in memory, without a server: to try a class and to test it.
//!
//! It goes through turns and commits as the runtime does, and every commit through its bytes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Map, Value as Json};

use crate::caller::{Caller, Standing};
use crate::object::commit::Cause;
use crate::object::effects::Decoded;
use crate::object::history::HistoryWindow;
use crate::object::turn::Start;
use crate::object::{
    Commit, Effects, MemoryStorage, Meta, ObjectAddress, Refusal, Tenant, Timestamp, Turn, Update, Version,
    codec,
};

use super::{Class, Difference, Parameters, parse_key};

/// One object of a class in memory. Time stands still unless it is moved on.
pub struct Rehearsal {
    class: Arc<dyn Class>,
    address: ObjectAddress,
    caller: Caller,
    now: Timestamp,
    seed: u64,
    meta: Meta,
    storage: MemoryStorage,
    window: HistoryWindow,
    updates: Vec<Update>,
    decoded: Option<Decoded>,
    context: Parameters,
}

impl Rehearsal {
    /// An object that was never written.
    pub fn new(class: impl Class) -> Self {
        let tenant = Tenant::standard();
        Self {
            class: Arc::new(class),
            caller: Caller {
                tenant: tenant.clone().into(),
                subject: "local".into(),
                roles: Arc::new([]),
                address: None,
                request_id: "rehearsal".into(),
                traceparent: None,
                deadline: Instant::now() + Duration::from_secs(10),
                standing: Standing::Client,
            },
            address: ObjectAddress::parse(tenant.as_str(), "rehearsal", "one").expect("the address is one"),
            now: Timestamp(1_795_226_196_224),
            seed: 0,
            meta: Meta::default(),
            storage: MemoryStorage::default(),
            window: HistoryWindow::default(),
            updates: Vec::new(),
            decoded: None,
            context: Parameters::new(),
        }
    }

    /// Who asks.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The same object under another name.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        let address = ObjectAddress::parse(self.address.tenant().as_str(), "rehearsal", name);
        Self { address: address.expect("the name is one"), ..self }
    }

    /// Who asks from here on, and in which request.
    pub fn set_caller(&mut self, subject: &str, request_id: &str) {
        self.caller.subject = subject.into();
        self.caller.request_id = request_id.into();
    }

    /// What the class's module gives into the turns from here on.
    pub fn set_context(&mut self, context: Json) {
        self.context = map(context);
    }

    /// Lets somebody else ask from here on.
    pub fn act_as(&mut self, subject: &str) {
        self.caller.subject = subject.into();
    }

    /// Calls a method; `parameters` that are no object count as none.
    pub fn call(&mut self, method: &str, parameters: Json) -> Result<Json, Refusal> {
        self.turn(method, |class, turn| class.call(turn, method, map(parameters)))
    }

    /// Initialises it with keys.
    pub fn initialize(&mut self, keys: Json) -> Result<(), Refusal> {
        self.turn("initialize", |class, turn| class.initialize(turn, map(keys)))
    }

    /// Puts a key.
    pub fn put(&mut self, key: &str, value: Json) -> Result<(), Refusal> {
        self.turn("put", |class, turn| class.put(turn, &parse_key(key)?, value))
    }

    /// Deletes a key.
    pub fn delete(&mut self, key: &str) -> Result<(), Refusal> {
        self.turn("delete", |class, turn| class.delete(turn, &parse_key(key)?))
    }

    /// Reads a key as clients see it.
    pub fn get(&mut self, key: &str) -> Result<Option<Json>, Refusal> {
        let value = self.turn("get", |class, turn| class.get(turn, &parse_key(key)?))?;
        Ok(value.map(|value| value.to_json()))
    }

    /// The state as clients see it.
    pub fn state(&mut self) -> Result<Json, Refusal> {
        let state = self.turn("get", Class::state)?;
        Ok(Json::Object(
            state.into_iter().map(|(key, value)| (key.as_str().to_owned(), value.to_json())).collect(),
        ))
    }

    /// Lets the alarm ring, whether or not it is due. A failure makes it ring again later.
    pub fn ring(&mut self) -> Result<(), Refusal> {
        #[expect(clippy::redundant_closure, reason = "the function itself is for one lifetime only")]
        let played = self.play(|start| Turn::for_alarm(start), Class::alarm);
        match played {
            Ok(((), effects)) => {
                self.commit_turn(effects, "alarm");
                Ok(())
            }
            Err(refusal) => {
                let (address, cause) = (self.address.clone(), self.cause("alarm"));
                self.commit(Commit::of_failed_alarm(address, &self.meta, cause, self.seed), None);
                Err(refusal)
            }
        }
    }

    /// Runs one event as a turn; commits what it did.
    pub fn turn<T>(
        &mut self,
        method: &str,
        event: impl FnOnce(&dyn Class, &mut Turn<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        #[expect(clippy::redundant_closure, reason = "the function itself is for one lifetime only")]
        let (result, effects) = self.play(|start| Turn::new(start), event)?;
        if !effects.is_read() {
            self.commit_turn(effects, method);
        }
        Ok(result)
    }

    /// Applies an editor's updates.
    pub fn edit(&mut self, updates: &[Bytes]) -> Result<(), Refusal> {
        self.turn("edit", |class, turn| class.edit(turn, updates))
    }

    /// What an editor lacks.
    pub fn difference(&mut self, known: Option<&[u8]>) -> Result<Difference, Refusal> {
        self.turn("get", |class, turn| class.difference(turn, known))
    }

    /// Asks the class about the object.
    pub fn ask(&mut self, question: &str, parameters: Json) -> Result<Json, Refusal> {
        self.turn("get", |class, turn| class.ask(turn, question, &map(parameters)))
    }

    fn play<T>(
        &mut self,
        begin: for<'a> fn(Start<'a>) -> Turn<'a>,
        event: impl FnOnce(&dyn Class, &mut Turn<'_>) -> Result<T, Refusal>,
    ) -> Result<(T, Effects), Refusal> {
        self.seed = self.seed.wrapping_add(1);
        let mut turn = begin(Start {
            address: &self.address,
            caller: &self.caller,
            now: self.now,
            seed: self.seed,
            meta: &self.meta,
            storage: &self.storage,
            decoded: self.decoded.take(),
            context: Some(&self.context),
        });
        match event(self.class.as_ref(), &mut turn) {
            Ok(result) => {
                let mut effects = turn.finish();
                self.decoded = effects.decoded.take();
                Ok((result, effects))
            }
            Err(refusal) => {
                self.decoded = turn.abandon();
                Err(refusal)
            }
        }
    }

    /// Deletes the object.
    pub fn delete_object(&mut self) -> Result<(), Refusal> {
        #[expect(clippy::redundant_closure, reason = "the function itself is for one lifetime only")]
        let (farewell, _) = self.play(|start| Turn::new(start), Class::farewell)?;
        let commit = Commit::of_deletion(self.address.clone(), &self.meta, self.cause("delete"));
        self.commit(commit, farewell);
        self.decoded = None;
        Ok(())
    }

    /// Moves the time on.
    pub fn advance(&mut self, duration: Duration) {
        self.now = self.now.plus(duration);
    }

    /// Puts the time to this, which may be earlier: so it is where another node's clock is behind.
    pub fn set_now(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Drops what the class keeps in memory, as passivation and a crash do.
    pub fn forget_decoded(&mut self) {
        self.decoded = None;
    }

    /// Its meta.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.meta.version
    }

    /// Its keys.
    #[must_use]
    pub fn storage(&self) -> &MemoryStorage {
        &self.storage
    }

    /// Every update since it began, oldest first.
    #[must_use]
    pub fn updates(&self) -> &[Update] {
        &self.updates
    }

    fn cause(&self, method: &str) -> Cause {
        Cause { subject: self.caller.subject.clone(), method: method.into(), time: self.now }
    }

    fn commit_turn(&mut self, mut effects: Effects, method: &str) {
        let binary = effects.binary.take();
        self.commit(Commit::of_turn(self.address.clone(), &self.meta, effects, self.cause(method)), binary);
    }

    fn commit(&mut self, mut commit: Commit, binary: Option<Bytes>) {
        let update = commit.enter_history(&mut self.window).map(|update| Update { binary, ..update });
        let bytes = codec::encode_commit(&commit);
        let decoded = codec::decode_commit(&bytes).expect("what was encoded decodes");
        assert_eq!(decoded, commit, "a commit comes out of its bytes as it went in");
        if decoded.deletes_object {
            self.storage = MemoryStorage::default();
        }
        self.storage.apply(&decoded.ops);
        self.meta = decoded.meta;
        self.updates.extend(update);
    }
}

impl std::fmt::Debug for Rehearsal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rehearsal")
            .field("meta", &self.meta)
            .field("storage", &self.storage)
            .finish_non_exhaustive()
    }
}

fn map(json: Json) -> Parameters {
    match json {
        Json::Object(map) => map,
        _ => Map::new(),
    }
}
