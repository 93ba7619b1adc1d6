//! A turn: what a class sees while it handles one event of one object, and what comes out of it.
//!
//! A turn reads the committed keys and its own writes. It ends in [`Turn::finish`], whose effects become
//! one commit, or is dropped, and then nothing has happened. Limits are checked where a class writes.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use crate::caller::Caller;
use crate::limits::{OBJECT_MAX_BYTES, OBJECT_MAX_KEYS, VALUE_MAX_BYTES};

use super::alarm::AlarmChange;
use super::effects::{Decoded, Effects};
use super::random::Random;
use super::{
    Key, Meta, ObjectAddress, Page, Refusal, Space, Storage, Stored, Timestamp, Value, Version, WriteBuffer,
};

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
    /// What the class's module knows beside the parameters.
    pub context: Option<&'a Map<String, Json>>,
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
    binary: Option<Bytes>,
    decoded: Option<Decoded>,
    decoded_touched: bool,
    context: Option<&'a Map<String, Json>>,
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
            binary: None,
            decoded: start.decoded,
            decoded_touched: false,
            context: start.context,
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

    /// What the module that the class belongs to gave into the turn beside the parameters, if it is a call of its.
    #[must_use]
    pub fn context(&self) -> Option<&'a Map<String, Json>> {
        self.context
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

    /// Gives the editors among the subscribers what they apply of this turn. It is sent and not kept: who missed it
    /// asks the class for the difference.
    pub fn attach(&mut self, binary: impl Into<Bytes>) {
        self.binary = Some(binary.into());
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
            binary: self.binary,
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::class::{Class, Parameters, Rehearsal};
    use crate::object::{MemoryStorage, Op};

    /// A class whose methods are the turn's own.
    struct Bare;

    impl Class for Bare {
        fn call(&self, _: &mut Turn<'_>, _: &str, _: Parameters) -> Result<Json, Refusal> {
            Ok(Json::Null)
        }

        fn alarm(&self, turn: &mut Turn<'_>) -> Result<(), Refusal> {
            assert_eq!(turn.alarm(), None, "an alarm that rings is no longer set");
            if turn.get("fails")?.is_some() {
                Err(Refusal::invalid("it fails"))
            } else {
                turn.put("rang", &1)
            }
        }
    }

    fn play(
        object: &mut Rehearsal,
        event: impl FnOnce(&mut Turn<'_>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        object.turn("call", |_, turn| event(turn))
    }

    /// Keys and bytes as the meta counts them and as they are.
    fn check_counts(object: &Rehearsal) {
        let entries = [Space::Public, Space::Private].map(|space| {
            let storage: &MemoryStorage = object.storage();
            storage
                .entries(space)
                .fold((0, 0), |(keys, bytes), (key, value)| (keys + 1, bytes + bytes_of(key, value)))
        });
        let counted = (entries[0].0 + entries[1].0, entries[0].1 + entries[1].1);
        assert_eq!((object.meta().keys, object.meta().bytes), counted);
    }

    #[test]
    fn reads_see_writes_and_counts_follow() {
        let mut object = Rehearsal::new(Bare);
        play(&mut object, |turn| {
            turn.put("a", "one")?;
            turn.put("b", &[1, 2, 3])?;
            turn.put_binary("a", vec![0; 10])?;
            assert_eq!(turn.get("a")?.unwrap().as_str(), "\"one\"");
            assert_eq!(turn.get_as::<Vec<u8>>("b")?, Some(vec![1, 2, 3]));
            assert!(matches!(turn.get_as::<u8>("b"), Err(Refusal::InvalidParameters { .. })));
            assert_eq!(turn.get_binary("a")?.unwrap().len(), 10);
            assert_eq!(turn.list("", None, Page { entries: 9, bytes: 999 })?.len(), 2);
            assert_eq!(turn.list_binary("", Some("a"), Page { entries: 9, bytes: 999 })?.len(), 0);
            Ok(())
        })
        .unwrap();
        check_counts(&object);
        play(&mut object, |turn| {
            turn.put("a", "a longer one")?;
            assert!(turn.delete("b")?);
            assert!(!turn.delete("b")?);
            assert!(turn.delete_binary("a")?);
            assert!(!turn.delete_binary("none")?);
            Ok(())
        })
        .unwrap();
        check_counts(&object);
        play(&mut object, |turn| {
            turn.clear();
            assert_eq!(turn.get("a")?, None);
            assert!(!turn.delete("a")?);
            turn.put("c", &1)
        })
        .unwrap();
        check_counts(&object);
        assert_eq!((object.meta().generation, object.meta().keys), (1, 1));
        assert_eq!(object.state().unwrap(), json!({"c": 1}));
    }

    #[test]
    fn versions_count_changes_only() {
        let mut object = Rehearsal::new(Bare);
        let mut check =
            |event: fn(&mut Turn<'_>) -> Result<(), Refusal>, version: u64, sequence: u64, exists: bool| {
                play(&mut object, event).unwrap();
                let meta = object.meta();
                assert_eq!((meta.version.0, meta.sequence, meta.exists), (version, sequence, exists));
                assert_eq!(object.updates().len() as u64, version, "each version has its update");
            };
        check(|turn| turn.get("a").map(drop), 0, 0, false);
        check(|turn| turn.delete("a").map(drop), 0, 0, false);
        check(
            |turn| {
                turn.clear_alarm();
                Ok(())
            },
            0,
            0,
            false,
        );
        check(
            |turn| {
                turn.set_alarm(Timestamp(1));
                Ok(())
            },
            0,
            1,
            false,
        );
        check(
            |turn| {
                turn.create();
                Ok(())
            },
            1,
            2,
            true,
        );
        check(
            |turn| {
                turn.create();
                Ok(())
            },
            1,
            2,
            true,
        );
        check(|turn| turn.put("a", &1), 2, 3, true);
        check(|turn| turn.put("a", &1), 3, 4, true);
        check(|turn| turn.delete("a").map(drop), 4, 5, true);
        check(
            |turn| {
                turn.clear();
                Ok(())
            },
            5,
            6,
            true,
        );
    }

    #[test]
    fn a_deleted_object_goes_on_from_its_version() {
        let mut object = Rehearsal::new(Bare);
        play(&mut object, |turn| {
            turn.set_alarm(Timestamp(1));
            turn.put("a", &1)
        })
        .unwrap();
        object.delete_object().unwrap();
        let meta = object.meta().clone();
        assert_eq!(
            (meta.version, meta.exists, meta.keys, meta.bytes, meta.alarm),
            (Version(2), false, 0, 0, None)
        );
        assert_eq!((meta.generation, meta.history_first), (1, 2));
        assert!(meta.due.is_some(), "the tombstone ends one day");
        assert!(object.updates()[1].deleted_object);
        play(&mut object, |turn| {
            assert!(!turn.exists());
            assert_eq!(turn.next_version(), Version(3));
            turn.put("b", &1)
        })
        .unwrap();
        assert_eq!(
            (object.version(), object.meta().exists, object.meta().history_first),
            (Version(3), true, 2)
        );
        assert_eq!(object.state().unwrap(), json!({"b": 1}));
    }

    #[test]
    fn limits_are_kept() {
        let mut object = Rehearsal::new(Bare);
        let fits = "x".repeat(VALUE_MAX_BYTES - 2);
        play(&mut object, |turn| turn.put("a", &fits)).unwrap();
        let refusal = play(&mut object, |turn| turn.put("a", &format!("{fits}x"))).unwrap_err();
        assert!(matches!(refusal, Refusal::ValueTooLarge { bytes, .. } if bytes == VALUE_MAX_BYTES + 1));
        for key in ["", &"k".repeat(2_049)] {
            assert!(matches!(
                play(&mut object, |turn| turn.put(key, &1)),
                Err(Refusal::InvalidParameters { .. })
            ));
            play(&mut object, |turn| turn.get(key).map(|found| assert_eq!(found, None))).unwrap();
        }
        assert_eq!(object.version(), Version(1));
    }

    #[test]
    fn a_full_object_takes_no_more() {
        let address = ObjectAddress::parse("default", "bare", "one").unwrap();
        let mut storage = MemoryStorage::default();
        let key = crate::object::StoredKey { space: Space::Public, key: Key::parse("a").unwrap() };
        storage.apply(&[Op::Put { key, value: Stored::Json(Value::from(10_i64)) }]);
        let check = |keys, bytes, key: &str, value: &str, is_full| {
            let meta = Meta { exists: true, keys, bytes, ..Meta::default() };
            let caller = crate::caller::Caller {
                tenant: "default".into(),
                subject: "local".into(),
                roles: std::sync::Arc::new([]),
                address: None,
                request_id: "one".into(),
                traceparent: None,
                deadline: std::time::Instant::now(),
                standing: crate::caller::Standing::Client,
            };
            let mut turn = Turn::new(Start {
                address: &address,
                caller: &caller,
                now: Timestamp(1),
                seed: 1,
                meta: &meta,
                storage: &storage,
                decoded: None,
                context: None,
            });
            let found = turn.put(key, value);
            assert_eq!(
                found,
                if is_full { Err(Refusal::ObjectFull) } else { Ok(()) },
                "{keys} {bytes} {key}"
            );
        };
        check(OBJECT_MAX_KEYS - 1, 100, "b", "x", false);
        check(OBJECT_MAX_KEYS, 100, "b", "x", true);
        check(OBJECT_MAX_KEYS, 100, "a", "x", false);
        check(5, OBJECT_MAX_BYTES - 4, "b", "x", false);
        check(5, OBJECT_MAX_BYTES - 3, "b", "x", true);
        check(5, OBJECT_MAX_BYTES, "a", "", false);
        check(5, OBJECT_MAX_BYTES, "a", "longer", true);
    }

    #[test]
    fn a_refused_turn_leaves_nothing() {
        let mut object = Rehearsal::new(Bare);
        play(&mut object, |turn| turn.put("a", &1)).unwrap();
        let before = (object.storage().clone(), object.meta().clone());
        let refusal = play(&mut object, |turn| {
            turn.put("a", &2)?;
            turn.clear();
            turn.set_alarm(Timestamp(5));
            Err(Refusal::invalid("no"))
        });
        assert!(refusal.is_err());
        assert_eq!(before, (object.storage().clone(), object.meta().clone()));
    }

    #[test]
    fn what_is_decoded_is_kept_unless_a_refused_turn_may_have_changed_it() {
        let mut object = Rehearsal::new(Bare);
        let seen = |object: &mut Rehearsal| {
            let mut seen = None;
            play(object, |turn| {
                seen = turn.decoded::<u32>().copied();
                Ok(())
            })
            .unwrap();
            seen
        };
        let set = |turn: &mut Turn<'_>| turn.set_decoded(Box::new(7_u32));
        play(&mut object, |turn| {
            set(turn);
            Ok(())
        })
        .unwrap();
        assert_eq!(seen(&mut object), Some(7));
        play(&mut object, |_| Err(Refusal::invalid("no"))).unwrap_err();
        assert_eq!(seen(&mut object), Some(7), "a turn that did not touch it");
        play(&mut object, |turn| {
            *turn.decoded_mut::<u32>().unwrap() = 8;
            Err(Refusal::invalid("no"))
        })
        .unwrap_err();
        assert_eq!(seen(&mut object), None, "a turn that changed it");
        play(&mut object, |turn| {
            turn.put("a", &1)?;
            set(turn);
            Err(Refusal::invalid("no"))
        })
        .unwrap_err();
        assert_eq!(seen(&mut object), None, "one that is made of what was refused");
        play(&mut object, |turn| {
            set(turn);
            assert!(turn.take_decoded::<u32>().is_some());
            set(turn);
            Err(Refusal::invalid("no"))
        })
        .unwrap_err();
        assert_eq!(seen(&mut object), None, "one that was taken out");
    }

    #[test]
    fn an_alarm_rings_once_or_is_tried_six_times() {
        let mut object = Rehearsal::new(Bare);
        play(&mut object, |turn| {
            turn.set_alarm(Timestamp(9));
            assert_eq!(turn.alarm(), Some(Timestamp(9)));
            Ok(())
        })
        .unwrap();
        assert!(object.meta().alarm_is_due(Timestamp(9)) && !object.meta().alarm_is_due(Timestamp(8)));
        object.ring().unwrap();
        assert_eq!(object.meta().alarm, None);
        assert_eq!(object.state().unwrap(), json!({"rang": 1}));
        play(&mut object, |turn| {
            turn.set_alarm(Timestamp(9));
            turn.put("fails", &true)
        })
        .unwrap();
        let version = object.version();
        for attempt in 1..6 {
            object.ring().unwrap_err();
            assert_eq!(object.meta().alarm.unwrap().attempts, attempt);
        }
        object.ring().unwrap_err();
        assert_eq!(object.meta().alarm, None);
        assert_eq!(object.meta().alarm_failed.unwrap().attempts, 6);
        assert_eq!(object.version(), version, "a failed try takes no version");
        play(&mut object, |turn| {
            turn.set_alarm(Timestamp(9));
            Ok(())
        })
        .unwrap();
        assert_eq!(object.meta().alarm_failed, None);
    }
}
