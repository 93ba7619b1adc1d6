//! A turn: what a class sees while it handles one event of one object, and what comes out of it.
//!
//! A turn reads the committed keys and its own writes. It ends in [`Turn::finish`], whose effects become
//! one commit, or is dropped, and then nothing has happened. Limits are checked where a class writes.

use std::any::Any;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::caller::Caller;
use crate::limits::{OBJECT_MAX_BYTES, OBJECT_MAX_KEYS, VALUE_MAX_BYTES};

use super::alarm::AlarmChange;
use super::commit::Op;
use super::random::Random;
use super::{
    Key, Meta, ObjectAddress, Page, Refusal, Space, Storage, Stored, Timestamp, Value, Version, WriteBuffer,
};

/// A value that a class keeps in memory beside the keys, rebuilt when it is absent.
pub type Decoded = Box<dyn Any + Send>;

/// What the edge hands into a turn.
pub struct Start<'a> {
    /// The object.
    pub address: &'a ObjectAddress,
    /// Who asks.
    pub caller: &'a Caller,
    /// The time of the whole turn.
    pub now: Timestamp,
    /// Where the turn's random numbers come from.
    pub seed: u64,
    /// The object's meta before the turn.
    pub meta: &'a Meta,
    /// The object's keys before the turn.
    pub storage: &'a dyn Storage,
    /// What the class kept in memory after the last turn.
    pub decoded: Option<Decoded>,
}

/// One event of one object while it is handled.
pub struct Turn<'a> {
    address: &'a ObjectAddress,
    caller: &'a Caller,
    now: Timestamp,
    random: Random,
    meta: &'a Meta,
    buffer: WriteBuffer<'a>,
    keys: u64,
    bytes: u64,
    creates: bool,
    alarm: Option<AlarmChange>,
    delta: Option<Value>,
    decoded: Option<Decoded>,
    decoded_touched: bool,
}

/// What a turn did.
#[derive(Debug)]
pub struct Effects {
    /// What happens to the keys: a clear first, then each key once, in order.
    pub ops: Vec<Op>,
    /// Whether the turn makes the object even if it has no keys.
    pub creates: bool,
    /// What happens to the alarm.
    pub alarm: Option<AlarmChange>,
    /// What the class adds to the update.
    pub delta: Option<Value>,
    /// Keys of the object after the turn.
    pub keys: u64,
    /// Bytes of keys and values after the turn.
    pub bytes: u64,
    /// What the class keeps in memory for the next turn.
    pub decoded: Option<Decoded>,
}

impl Effects {
    /// Whether the commit takes a version and sends an update.
    #[must_use]
    pub fn changes_object(&self) -> bool {
        self.creates || !self.ops.is_empty()
    }

    /// Whether the committed keys of the object are dropped first.
    #[must_use]
    pub fn clears(&self) -> bool {
        matches!(self.ops.first(), Some(Op::Clear))
    }

    /// Whether there is anything to commit at all.
    #[must_use]
    pub fn is_read(&self) -> bool {
        !self.changes_object() && self.alarm.is_none()
    }
}

impl<'a> Turn<'a> {
    /// A turn on what the edge hands in.
    #[must_use]
    pub fn new(start: Start<'a>) -> Self {
        Self {
            address: start.address,
            caller: start.caller,
            now: start.now,
            random: Random::new(start.seed),
            meta: start.meta,
            buffer: WriteBuffer::new(start.storage),
            keys: start.meta.keys,
            bytes: start.meta.bytes,
            creates: false,
            alarm: None,
            delta: None,
            decoded: start.decoded,
            decoded_touched: false,
        }
    }

    /// The turn of an alarm: the alarm is no longer set, unless the class sets it again.
    #[must_use]
    pub fn for_alarm(start: Start<'a>) -> Self {
        Self { alarm: Some(AlarmChange::Cleared), ..Self::new(start) }
    }

    /// The object.
    #[must_use]
    pub fn address(&self) -> &'a ObjectAddress {
        self.address
    }

    /// Who asks.
    #[must_use]
    pub fn caller(&self) -> &'a Caller {
        self.caller
    }

    /// The time, the same throughout the turn.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// When the caller stops waiting.
    #[must_use]
    pub fn deadline(&self) -> std::time::Instant {
        self.caller.deadline
    }

    /// The next random number. For ids and jitter, not for secrets.
    pub fn random(&mut self) -> u64 {
        self.random.next()
    }

    /// The object's version before the turn.
    #[must_use]
    pub fn version(&self) -> Version {
        self.meta.version
    }

    /// The version that the turn takes if it changes anything.
    #[must_use]
    pub fn next_version(&self) -> Version {
        self.meta.version.next()
    }

    /// Whether the object existed before the turn.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.meta.exists
    }

    /// When the object was changed last before the turn; 1970 if never.
    #[must_use]
    pub fn updated_at(&self) -> Timestamp {
        self.meta.updated_at
    }

    /// Whether the turn has written anything so far.
    #[must_use]
    pub fn has_written(&self) -> bool {
        self.creates || !self.buffer.is_untouched()
    }

    /// Makes the object, if it does not exist, even if no key is put.
    pub fn create(&mut self) {
        self.creates |= !self.meta.exists;
    }

    /// The value under a key.
    ///
    /// # Errors
    /// [`Refusal::Storage`].
    pub fn get(&self, key: &str) -> Result<Option<Value>, Refusal> {
        Ok(self.buffer.get(Space::Public, key)?.and_then(Stored::into_json))
    }

    /// The value under a key as a type of the class's own.
    ///
    /// # Errors
    /// [`Refusal::InvalidParameters`] if the value has another shape, [`Refusal::Storage`].
    pub fn get_as<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Refusal> {
        let parse = |value: Value| {
            value
                .parse()
                .map_err(|error| Refusal::invalid(format!("the value under {key:?} does not fit: {error}")))
        };
        self.get(key)?.map(parse).transpose()
    }

    /// Puts what serializes to JSON under a key.
    ///
    /// # Errors
    /// As [`Turn::put_value`]; [`Refusal::InvalidParameters`] if it has no form in JSON.
    pub fn put<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<(), Refusal> {
        let value = Value::from_serialize(value).map_err(|error| {
            Refusal::invalid(format!("the value for {key:?} has no form in JSON: {error}"))
        })?;
        self.put_value(&parse_key(key)?, value)
    }

    /// Puts a value under a key.
    ///
    /// # Errors
    /// [`Refusal::ValueTooLarge`], [`Refusal::ObjectFull`], [`Refusal::Storage`].
    pub fn put_value(&mut self, key: &Key, value: Value) -> Result<(), Refusal> {
        self.write(Space::Public, key, Stored::Json(value))
    }

    /// Deletes a key; says whether it was present.
    ///
    /// # Errors
    /// [`Refusal::Storage`].
    pub fn delete(&mut self, key: &str) -> Result<bool, Refusal> {
        self.remove(Space::Public, key)
    }

    /// Deletes every key, the class's private ones too.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.keys = 0;
        self.bytes = 0;
    }

    /// Entries in key order that begin with `prefix` and come after `after`. Only an empty answer is the end.
    ///
    /// # Errors
    /// [`Refusal::Storage`].
    pub fn list(&self, prefix: &str, after: Option<&str>, page: Page) -> Result<Vec<(Key, Value)>, Refusal> {
        let found = self.buffer.scan(Space::Public, prefix, after, page)?;
        Ok(found.into_iter().filter_map(|(key, stored)| Some((key, stored.into_json()?))).collect())
    }

    /// The bytes under a private key.
    ///
    /// # Errors
    /// [`Refusal::Storage`].
    pub fn get_binary(&self, key: &str) -> Result<Option<Bytes>, Refusal> {
        Ok(self.buffer.get(Space::Private, key)?.and_then(Stored::into_binary))
    }

    /// Puts bytes under a private key, which no client sees.
    ///
    /// # Errors
    /// [`Refusal::InvalidParameters`] for a key that is none, [`Refusal::ObjectFull`], [`Refusal::Storage`].
    pub fn put_binary(&mut self, key: &str, bytes: impl Into<Bytes>) -> Result<(), Refusal> {
        self.write(Space::Private, &parse_key(key)?, Stored::Binary(bytes.into()))
    }

    /// Deletes a private key; says whether it was present.
    ///
    /// # Errors
    /// [`Refusal::Storage`].
    pub fn delete_binary(&mut self, key: &str) -> Result<bool, Refusal> {
        self.remove(Space::Private, key)
    }

    /// Private entries in key order, as [`Turn::list`].
    ///
    /// # Errors
    /// [`Refusal::Storage`].
    pub fn list_binary(
        &self,
        prefix: &str,
        after: Option<&str>,
        page: Page,
    ) -> Result<Vec<(Key, Bytes)>, Refusal> {
        let found = self.buffer.scan(Space::Private, prefix, after, page)?;
        Ok(found.into_iter().filter_map(|(key, stored)| Some((key, stored.into_binary()?))).collect())
    }

    /// Sets the object's one alarm, in place of an earlier one.
    pub fn set_alarm(&mut self, at: Timestamp) {
        self.alarm = Some(AlarmChange::Set(at));
    }

    /// Takes the alarm back.
    pub fn clear_alarm(&mut self) {
        if self.alarm().is_some() {
            self.alarm = Some(AlarmChange::Cleared);
        }
    }

    /// When the alarm rings.
    #[must_use]
    pub fn alarm(&self) -> Option<Timestamp> {
        match self.alarm {
            Some(AlarmChange::Set(at)) => Some(at),
            Some(AlarmChange::Cleared) => None,
            None => self.meta.alarm.map(|alarm| alarm.at),
        }
    }

    /// Adds `delta` to the update that subscribers get of this turn.
    pub fn delta(&mut self, delta: Value) {
        self.delta = Some(delta);
    }

    /// What the class kept in memory after the last turn, if it is there.
    #[must_use]
    pub fn decoded<T: 'static>(&self) -> Option<&T> {
        self.decoded.as_ref()?.downcast_ref()
    }

    /// The same to change it. A refusal after this drops it.
    pub fn decoded_mut<T: 'static>(&mut self) -> Option<&mut T> {
        self.decoded_touched = true;
        self.decoded.as_mut()?.downcast_mut()
    }

    /// Takes it out to change it; [`Turn::set_decoded`] puts it back. A refusal before or after that drops it.
    pub fn take_decoded<T: 'static>(&mut self) -> Option<Box<T>> {
        self.decoded_touched = true;
        self.decoded.take()?.downcast().ok()
    }

    /// Keeps a value in memory for the turns that follow. It must be what the keys say as the turn sees them,
    /// so that it can be rebuilt from them at any time.
    pub fn set_decoded(&mut self, decoded: Decoded) {
        self.decoded_touched |= self.has_written();
        self.decoded = Some(decoded);
    }

    /// Ends the turn well.
    #[must_use]
    pub fn finish(self) -> Effects {
        Effects {
            creates: self.creates || (!self.meta.exists && !self.buffer.is_untouched()),
            ops: self.buffer.into_ops(),
            alarm: self.alarm,
            delta: self.delta,
            keys: self.keys,
            bytes: self.bytes,
            decoded: self.decoded,
        }
    }

    /// Ends a turn that was refused. What the class keeps in memory is given back unless the turn may have
    /// changed it; then it is rebuilt from the keys.
    #[must_use]
    pub fn abandon(self) -> Option<Decoded> {
        if self.decoded_touched { None } else { self.decoded }
    }

    fn write(&mut self, space: Space, key: &Key, value: Stored) -> Result<(), Refusal> {
        if space == Space::Public && value.len() > VALUE_MAX_BYTES {
            return Err(Refusal::ValueTooLarge { key: key.clone(), bytes: value.len() });
        }
        let before = self.buffer.get(space, key.as_str())?;
        let (mut keys, mut bytes) = (self.keys, self.bytes);
        match before {
            Some(before) => bytes = bytes.saturating_sub(bytes_of(key, &before)),
            None => keys += 1,
        }
        bytes += bytes_of(key, &value);
        if keys > OBJECT_MAX_KEYS && keys > self.keys || bytes > OBJECT_MAX_BYTES && bytes > self.bytes {
            return Err(Refusal::ObjectFull);
        }
        (self.keys, self.bytes) = (keys, bytes);
        self.buffer.put(space, key.clone(), value);
        Ok(())
    }

    fn remove(&mut self, space: Space, key: &str) -> Result<bool, Refusal> {
        let Some(before) = self.buffer.get(space, key)? else { return Ok(false) };
        let key = parse_key(key)?;
        self.keys = self.keys.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes_of(&key, &before));
        self.buffer.delete(space, key);
        Ok(true)
    }
}

fn bytes_of(key: &Key, value: &Stored) -> u64 {
    (key.as_str().len() + value.len()) as u64
}

fn parse_key(key: &str) -> Result<Key, Refusal> {
    Key::parse(key).map_err(|error| Refusal::invalid(error.to_string()))
}
