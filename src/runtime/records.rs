//! Idempotency records of an active object: found, replayed, made room for.
//!
//! The form of a kept answer is frozen: it is replicated and stored.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use stead_cluster::Space;

use super::active::Active;
use super::storage::unreadable;

use super::{Action, Answer, Outcome, failure};
use crate::error::{Code, Error};
use crate::limits;
use crate::object::idempotency::{Fingerprint, IdempotencyKey, Record, RecordSlot, make_room, record_size};
use crate::object::{StorageError, Timestamp, Value, codec, keys};

/// What an idempotency key stands for: verb, method and parameters.
pub(super) fn fingerprint(action: &Action) -> Fingerprint {
    let text = |json: serde_json::Value| Value::from_json(json);
    match action {
        Action::Initialize { keys } => Fingerprint::of("initialize", "", text(keys.clone().into()).as_str()),
        Action::Call { method, params } => {
            Fingerprint::of("call", method, text(params.clone().into()).as_str())
        }
        Action::Put { key, value } => Fingerprint::of("put", key.as_str(), text(value.clone()).as_str()),
        Action::DeleteKey { key, .. } => Fingerprint::of("delete", key.as_str(), ""),
        Action::Delete => Fingerprint::of("delete", "", ""),
        // A read, or an edit, of which no record is kept.
        other => Fingerprint::of("read", &format!("{other:?}"), ""),
    }
}

/// A kept answer as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(tag = "o", rename_all = "snake_case", deny_unknown_fields)]
enum Kept {
    Initialized { created: bool },
    Result { value: serde_json::Value },
    Put,
    KeyDeleted { present: bool },
    Deleted,
}

/// The answer as it is kept.
pub(super) fn encode(answer: &Answer) -> Bytes {
    let kept = match &answer.outcome {
        Outcome::Initialized { created } => json!({"o": "initialized", "created": created}),
        Outcome::Result(value) => {
            return Bytes::from(format!(r#"{{"o":"result","value":{value}}}"#));
        }
        Outcome::Put => json!({"o": "put"}),
        Outcome::KeyDeleted { present } => json!({"o": "key_deleted", "present": present}),
        Outcome::Deleted => json!({"o": "deleted"}),
        other => unreachable!("{other:?} comes of a read, which leaves no record"),
    };
    Bytes::from(kept.to_string())
}

fn decode(reply: &[u8]) -> Result<Outcome, StorageError> {
    let json = crate::object::parse_json(reply).map_err(unreadable)?;
    Ok(match serde_json::from_value(json).map_err(unreadable)? {
        Kept::Initialized { created } => Outcome::Initialized { created },
        Kept::Result { value } => Outcome::Result(Value::from_json(value)),
        Kept::Put => Outcome::Put,
        Kept::KeyDeleted { present } => Outcome::KeyDeleted { present },
        Kept::Deleted => Outcome::Deleted,
    })
}

/// The first answer again, if the call is the same.
pub(super) fn replay(record: &Record, fingerprint: &Fingerprint) -> Result<Answer, Error> {
    if record.fingerprint != *fingerprint {
        return Err(Error::new(
            Code::IdempotencyKeyReused,
            "the idempotency key stands for another method or other parameters; use a new key for a new call",
        ));
    }
    let outcome = decode(&record.reply).map_err(|error| failure::unreadable(&error))?;
    Ok(Answer { version: record.version, outcome })
}

impl Active {
    /// The record of an idempotency key.
    pub(super) fn record(&self, key: &IdempotencyKey) -> Result<Option<Arc<Record>>, Error> {
        if let Some(record) = self.recent.record(key) {
            return Ok(Some(record));
        }
        if self.meta.records.count() == 0 {
            return Ok(None);
        }
        let row = self.shard.reader().get(Space::State, &keys::record_by_key(&self.address, key));
        let record = row.map_err(unreadable).and_then(|row| {
            row.map(|row| codec::decode_record(&row).map(Arc::new).map_err(unreadable)).transpose()
        });
        record.map_err(|error| failure::unreadable(&error))
    }

    /// Which of the oldest records go so that another fits.
    pub(super) fn make_room(
        &self,
        key: &IdempotencyKey,
        reply_bytes: usize,
        now: Timestamp,
    ) -> Result<Vec<RecordSlot>, Error> {
        let size = record_size(key, reply_bytes);
        if !self.meta.records.is_short_of_room(size) {
            return Ok(Vec::new());
        }
        make_room(&self.meta.records, size, &self.oldest_records()?, now)
            .map_err(|full| Error::new(Code::IdempotencyFull, full.to_string()))
    }

    /// The oldest records, as many as may be dropped at once and one more.
    pub(super) fn oldest_records(&self) -> Result<Vec<RecordSlot>, Error> {
        let first = self.meta.records.first;
        let rows = self.shard.reader().scan(Space::State, keys::record_range(&self.address, first..u64::MAX));
        let written = rows.take(limits::RECORDS_DROPPED_MAX + 1).map(|row| {
            let (_, row) = row.map_err(unreadable)?;
            codec::decode_slot(&row).map_err(unreadable)
        });
        let mut oldest: Vec<RecordSlot> =
            written.collect::<Result<_, _>>().map_err(|error| failure::unreadable(&error))?;
        let last = oldest.last().map_or(first, |slot| slot.sequence + 1);
        oldest.extend(self.recent.record_slots().filter(|slot| slot.sequence >= last).cloned());
        oldest.truncate(limits::RECORDS_DROPPED_MAX + 1);
        Ok(oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Version;

    /// Kept answers are stored for a day: their form must not change.
    #[test]
    fn kept_answers_are_frozen() {
        let cases = [
            (Outcome::Initialized { created: true }, r#"{"created":true,"o":"initialized"}"#),
            (Outcome::Result(Value::from_json(json!({"value": 3}))), r#"{"o":"result","value":{"value":3}}"#),
            (Outcome::Put, r#"{"o":"put"}"#),
            (Outcome::KeyDeleted { present: true }, r#"{"o":"key_deleted","present":true}"#),
            (Outcome::Deleted, r#"{"o":"deleted"}"#),
        ];
        for (outcome, text) in cases {
            let described = format!("{outcome:?}");
            let kept = encode(&Answer { version: Version(1), outcome });
            assert_eq!(kept, text.as_bytes());
            assert_eq!(format!("{:?}", decode(&kept).expect("it was encoded")), described);
        }
    }
}
