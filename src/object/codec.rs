//! The bytes of a commit, a meta, a record, a value. Frozen: they are in logs and on disks.
//!
//! A record of tagged fields: a version byte, then for each field its tag, the length of its content and
//! the content. A field that has its default is left out. A tag or a version that this program does not
//! know is an error and never skipped: the shard stops there until a newer program reads it.

mod fields;

use std::sync::Arc;

use bytes::Bytes;

use super::commit::{Base, Commit, Op};
use super::idempotency::{Fingerprint, IdempotencyKey, Record, RecordSlot};
use super::meta::{Alarm, AlarmFailure, Meta, RecordWindow};
use super::{Key, Space, Stored, StoredKey, Timestamp, Value, Version, keys};
use fields::{Reader, Writer};

/// The first byte of every record. Raised only when old programs must not read it at all.
const FORMAT: u8 = 1;

/// Why bytes do not decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// A newer program wrote it.
    #[error("format {0} is not known to this program; a newer one wrote it")]
    UnknownFormat(u8),
    /// A newer program wrote it.
    #[error("field {0} is not known to this program; a newer one wrote it")]
    UnknownTag(u8),
    /// It ends too early, goes on too long, or has a content that cannot be.
    #[error("the bytes are damaged: {0}")]
    Damaged(&'static str),
    /// A value is not JSON.
    #[error("the bytes are damaged: not JSON")]
    NotJson,
}

mod commit_tag {
    pub(super) const ADDRESS: u8 = 1;
    pub(super) const BASE: u8 = 2;
    pub(super) const PUT: u8 = 3;
    pub(super) const DELETE: u8 = 4;
    pub(super) const CLEAR: u8 = 5;
    pub(super) const DELETES_OBJECT: u8 = 6;
    pub(super) const FORGETS_OBJECT: u8 = 7;
    pub(super) const META: u8 = 8;
    pub(super) const ALARM_BEFORE: u8 = 9;
    pub(super) const DUE_BEFORE: u8 = 10;
    pub(super) const RECORD: u8 = 11;
    pub(super) const DROPPED_RECORD: u8 = 12;
    pub(super) const HISTORY_TRIM: u8 = 13;
    pub(super) const SUBJECT: u8 = 14;
    pub(super) const METHOD: u8 = 15;
    pub(super) const TIME: u8 = 16;
    pub(super) const DELTA: u8 = 17;
}

/// The bytes of a commit.
#[must_use]
pub fn encode_commit(commit: &Commit) -> Vec<u8> {
    use commit_tag as tag;
    let mut writer = Writer::new(FORMAT);
    writer.bytes(tag::ADDRESS, &keys::object_start(&commit.address));
    writer.numbers(tag::BASE, &[commit.base.version.0, commit.base.sequence]);
    for op in &commit.ops {
        match op {
            Op::Put { key, value } => writer.nested(tag::PUT, |content| {
                content.sized(key.key.as_str().as_bytes());
                content.raw(&[key.space as u8]);
                write_stored(content, value);
            }),
            Op::Delete { key } => writer.nested(tag::DELETE, |content| {
                content.raw(&[key.space as u8]);
                content.raw(key.key.as_str().as_bytes());
            }),
            Op::Clear => writer.flag(tag::CLEAR, true),
        }
    }
    writer.flag(tag::DELETES_OBJECT, commit.deletes_object);
    writer.flag(tag::FORGETS_OBJECT, commit.forgets_object);
    writer.nested(tag::META, |content| write_meta(content, &commit.meta));
    writer.optional_number(tag::ALARM_BEFORE, commit.alarm_before.map(|time| time.0));
    writer.optional_number(tag::DUE_BEFORE, commit.due_before.map(|time| time.0));
    if let Some(record) = &commit.record {
        writer.nested(tag::RECORD, |content| write_record(content, record));
    }
    for slot in &commit.dropped_records {
        writer.nested(tag::DROPPED_RECORD, |content| write_slot(content, slot));
    }
    if commit.history_trim != (0..0) {
        writer.numbers(tag::HISTORY_TRIM, &[commit.history_trim.start, commit.history_trim.end]);
    }
    writer.bytes(tag::SUBJECT, commit.subject.as_bytes());
    writer.bytes(tag::METHOD, commit.method.as_bytes());
    writer.number(tag::TIME, commit.time.0);
    if let Some(delta) = &commit.delta {
        writer.bytes(tag::DELTA, delta.as_str().as_bytes());
    }
    writer.finish()
}

/// The commit that these bytes are.
///
/// # Errors
/// [`CodecError`]; the shard stops there.
pub fn decode_commit(bytes: &[u8]) -> Result<Commit, CodecError> {
    use commit_tag as tag;
    let mut reader = Reader::new(bytes, FORMAT)?;
    let mut address = None;
    let mut meta = None;
    let (mut base, mut ops, mut record, mut delta) = (Base::default(), Vec::new(), None, None);
    let (mut deletes_object, mut forgets_object, mut dropped_records) = (false, false, Vec::new());
    let (mut alarm_before, mut due_before, mut history_trim) = (None, None, 0..0);
    let (mut subject, mut method): (Arc<str>, Arc<str>) = ("".into(), "".into());
    let mut time = Timestamp::default();
    while let Some((tag, mut field)) = reader.field()? {
        match tag {
            tag::ADDRESS => address = Some(read_address(field.rest())?),
            tag::BASE => {
                let [version, sequence] = field.numbers()?;
                base = Base { version: Version(version), sequence };
            }
            tag::PUT => {
                let key = read_key(field.sized()?)?;
                let space = read_space(field.byte()?)?;
                ops.push(Op::Put { key: StoredKey { space, key }, value: decode_stored(field.rest())? });
            }
            tag::DELETE => {
                let space = read_space(field.byte()?)?;
                ops.push(Op::Delete { key: StoredKey { space, key: read_key(field.rest())? } });
            }
            tag::CLEAR => {
                field.flag()?;
                ops.push(Op::Clear);
            }
            tag::DELETES_OBJECT => deletes_object = field.flag()?,
            tag::FORGETS_OBJECT => forgets_object = field.flag()?,
            tag::META => meta = Some(decode_meta(field.rest())?),
            tag::ALARM_BEFORE => alarm_before = Some(Timestamp(field.number()?)),
            tag::DUE_BEFORE => due_before = Some(Timestamp(field.number()?)),
            tag::RECORD => record = Some(decode_record(field.rest())?),
            tag::DROPPED_RECORD => dropped_records.push(decode_slot(field.rest())?),
            tag::HISTORY_TRIM => {
                let [start, end] = field.numbers()?;
                history_trim = start..end;
            }
            tag::SUBJECT => subject = field.text()?.into(),
            tag::METHOD => method = field.text()?.into(),
            tag::TIME => time = Timestamp(field.number()?),
            tag::DELTA => delta = Some(Value::from_stored(field.text()?)?),
            unknown => return Err(CodecError::UnknownTag(unknown)),
        }
    }
    Ok(Commit {
        address: address.ok_or(CodecError::Damaged("a commit without an address"))?,
        base,
        ops,
        deletes_object,
        forgets_object,
        meta: meta.ok_or(CodecError::Damaged("a commit without a meta"))?,
        alarm_before,
        due_before,
        record,
        dropped_records,
        history_trim,
        subject,
        method,
        time,
        delta,
    })
}

mod meta_tag {
    pub(super) const VERSION: u8 = 1;
    pub(super) const SEQUENCE: u8 = 2;
    pub(super) const GENERATION: u8 = 3;
    pub(super) const EXISTS: u8 = 4;
    pub(super) const CREATED_AT: u8 = 5;
    pub(super) const UPDATED_AT: u8 = 6;
    pub(super) const KEYS: u8 = 7;
    pub(super) const BYTES: u8 = 8;
    pub(super) const ALARM: u8 = 9;
    pub(super) const ALARM_FAILED: u8 = 10;
    pub(super) const HISTORY: u8 = 11;
    pub(super) const RECORDS: u8 = 12;
    pub(super) const DUE: u8 = 13;
}

/// The bytes of a meta.
#[must_use]
pub fn encode_meta(meta: &Meta) -> Vec<u8> {
    let mut writer = Writer::empty();
    write_meta(&mut writer, meta);
    writer.finish()
}

fn write_meta(writer: &mut Writer, meta: &Meta) {
    use meta_tag as tag;
    writer.raw(&[FORMAT]);
    writer.number(tag::VERSION, meta.version.0);
    writer.number(tag::SEQUENCE, meta.sequence);
    writer.number(tag::GENERATION, u64::from(meta.generation));
    writer.flag(tag::EXISTS, meta.exists);
    writer.number(tag::CREATED_AT, meta.created_at.0);
    writer.number(tag::UPDATED_AT, meta.updated_at.0);
    writer.number(tag::KEYS, meta.keys);
    writer.number(tag::BYTES, meta.bytes);
    if let Some(alarm) = &meta.alarm {
        writer.numbers(tag::ALARM, &[alarm.at.0, u64::from(alarm.attempts)]);
    }
    if let Some(failure) = &meta.alarm_failed {
        writer.numbers(tag::ALARM_FAILED, &[failure.at.0, u64::from(failure.attempts)]);
    }
    if (meta.history_first, meta.history_bytes) != (0, 0) {
        writer.numbers(tag::HISTORY, &[meta.history_first, meta.history_bytes]);
    }
    if meta.records != RecordWindow::default() {
        writer.numbers(tag::RECORDS, &[meta.records.first, meta.records.next, meta.records.bytes]);
    }
    writer.optional_number(tag::DUE, meta.due.map(|time| time.0));
}

/// The meta that these bytes are.
///
/// # Errors
/// [`CodecError`].
pub fn decode_meta(bytes: &[u8]) -> Result<Meta, CodecError> {
    use meta_tag as tag;
    let mut reader = Reader::new(bytes, FORMAT)?;
    let mut meta = Meta::default();
    while let Some((tag, mut field)) = reader.field()? {
        match tag {
            tag::VERSION => meta.version = Version(field.number()?),
            tag::SEQUENCE => meta.sequence = field.number()?,
            tag::GENERATION => meta.generation = narrow(field.number()?)?,
            tag::EXISTS => meta.exists = field.flag()?,
            tag::CREATED_AT => meta.created_at = Timestamp(field.number()?),
            tag::UPDATED_AT => meta.updated_at = Timestamp(field.number()?),
            tag::KEYS => meta.keys = field.number()?,
            tag::BYTES => meta.bytes = field.number()?,
            tag::ALARM => {
                let [at, attempts] = field.numbers()?;
                meta.alarm = Some(Alarm { at: Timestamp(at), attempts: narrow(attempts)? });
            }
            tag::ALARM_FAILED => {
                let [at, attempts] = field.numbers()?;
                meta.alarm_failed = Some(AlarmFailure { at: Timestamp(at), attempts: narrow(attempts)? });
            }
            tag::HISTORY => [meta.history_first, meta.history_bytes] = field.numbers()?,
            tag::RECORDS => {
                let [first, next, bytes] = field.numbers()?;
                if next < first {
                    return Err(CodecError::Damaged("records that end before they begin"));
                }
                meta.records = RecordWindow { first, next, bytes };
            }
            tag::DUE => meta.due = Some(Timestamp(field.number()?)),
            unknown => return Err(CodecError::UnknownTag(unknown)),
        }
    }
    Ok(meta)
}

mod record_tag {
    pub(super) const KEY: u8 = 1;
    pub(super) const FINGERPRINT: u8 = 2;
    pub(super) const REPLY: u8 = 3;
    pub(super) const VERSION: u8 = 4;
    pub(super) const TIME: u8 = 5;
    pub(super) const SEQUENCE: u8 = 6;
    pub(super) const SIZE: u8 = 7;
}

/// The bytes of a record.
#[must_use]
pub fn encode_record(record: &Record) -> Vec<u8> {
    let mut writer = Writer::empty();
    write_record(&mut writer, record);
    writer.finish()
}

fn write_record(writer: &mut Writer, record: &Record) {
    use record_tag as tag;
    writer.raw(&[FORMAT]);
    writer.bytes(tag::KEY, record.key.as_str().as_bytes());
    writer.bytes(tag::FINGERPRINT, &record.fingerprint.0);
    writer.bytes(tag::REPLY, &record.reply);
    writer.number(tag::VERSION, record.version.0);
    writer.number(tag::TIME, record.time.0);
    writer.number(tag::SEQUENCE, record.sequence);
}

/// The record that these bytes are.
///
/// # Errors
/// [`CodecError`].
pub fn decode_record(bytes: &[u8]) -> Result<Record, CodecError> {
    use record_tag as tag;
    let mut reader = Reader::new(bytes, FORMAT)?;
    let (mut key, mut fingerprint, mut reply) = (None, None, Bytes::new());
    let (mut version, mut time, mut sequence) = (Version::ZERO, Timestamp::default(), 0);
    while let Some((tag, mut field)) = reader.field()? {
        match tag {
            tag::KEY => key = Some(read_record_key(field.text()?)?),
            tag::FINGERPRINT => {
                let bytes = field
                    .rest()
                    .try_into()
                    .map_err(|_| CodecError::Damaged("a fingerprint of another size"))?;
                fingerprint = Some(Fingerprint(bytes));
            }
            tag::REPLY => reply = Bytes::copy_from_slice(field.rest()),
            tag::VERSION => version = Version(field.number()?),
            tag::TIME => time = Timestamp(field.number()?),
            tag::SEQUENCE => sequence = field.number()?,
            unknown => return Err(CodecError::UnknownTag(unknown)),
        }
    }
    let missing = CodecError::Damaged("a record without a key or fingerprint");
    let (key, fingerprint) = (key.ok_or(missing)?, fingerprint.ok_or(missing)?);
    Ok(Record { key, fingerprint, reply, version, time, sequence })
}

/// The bytes of a record's place in the order of age.
#[must_use]
pub fn encode_slot(slot: &RecordSlot) -> Vec<u8> {
    let mut writer = Writer::empty();
    write_slot(&mut writer, slot);
    writer.finish()
}

fn write_slot(writer: &mut Writer, slot: &RecordSlot) {
    use record_tag as tag;
    writer.raw(&[FORMAT]);
    writer.bytes(tag::KEY, slot.key.as_str().as_bytes());
    writer.number(tag::TIME, slot.time.0);
    writer.number(tag::SEQUENCE, slot.sequence);
    writer.number(tag::SIZE, slot.size);
}

/// The place that these bytes are.
///
/// # Errors
/// [`CodecError`].
pub fn decode_slot(bytes: &[u8]) -> Result<RecordSlot, CodecError> {
    use record_tag as tag;
    let mut reader = Reader::new(bytes, FORMAT)?;
    let (mut key, mut time, mut sequence, mut size) = (None, Timestamp::default(), 0, 0);
    while let Some((tag, mut field)) = reader.field()? {
        match tag {
            tag::KEY => key = Some(read_record_key(field.text()?)?),
            tag::TIME => time = Timestamp(field.number()?),
            tag::SEQUENCE => sequence = field.number()?,
            tag::SIZE => size = field.number()?,
            unknown => return Err(CodecError::UnknownTag(unknown)),
        }
    }
    Ok(RecordSlot { key: key.ok_or(CodecError::Damaged("a record without a key"))?, time, sequence, size })
}

const ENCODING_JSON: u8 = 0;
const ENCODING_BINARY: u8 = 1;

/// The bytes of what lies under a key: an encoding byte and the content.
#[must_use]
pub fn encode_stored(stored: &Stored) -> Vec<u8> {
    let mut writer = Writer::empty();
    write_stored(&mut writer, stored);
    writer.finish()
}

fn write_stored(writer: &mut Writer, stored: &Stored) {
    match stored {
        Stored::Json(value) => {
            writer.raw(&[ENCODING_JSON]);
            writer.raw(value.as_str().as_bytes());
        }
        Stored::Binary(bytes) => {
            writer.raw(&[ENCODING_BINARY]);
            writer.raw(bytes);
        }
    }
}

/// What these bytes under a key are.
///
/// # Errors
/// [`CodecError`].
pub fn decode_stored(bytes: &[u8]) -> Result<Stored, CodecError> {
    match bytes.split_first() {
        Some((&ENCODING_JSON, text)) => Ok(Stored::Json(Value::from_stored(read_text(text)?)?)),
        Some((&ENCODING_BINARY, content)) => Ok(Stored::Binary(Bytes::copy_from_slice(content))),
        Some((&unknown, _)) => Err(CodecError::UnknownFormat(unknown)),
        None => Err(CodecError::Damaged("no encoding byte")),
    }
}

/// The bytes of a history entry: an encoding byte and the JSON text of [`super::Update::to_history_text`].
#[must_use]
pub fn encode_history(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() + 1);
    bytes.push(ENCODING_JSON);
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// The JSON text of a history entry.
///
/// # Errors
/// [`CodecError`].
pub fn decode_history(bytes: &[u8]) -> Result<&str, CodecError> {
    match bytes.split_first() {
        Some((&ENCODING_JSON, text)) => read_text(text),
        Some((&unknown, _)) => Err(CodecError::UnknownFormat(unknown)),
        None => Err(CodecError::Damaged("no encoding byte")),
    }
}

fn read_address(bytes: &[u8]) -> Result<super::ObjectAddress, CodecError> {
    match keys::take_address(bytes) {
        Ok((address, [])) => Ok(address),
        _ => Err(CodecError::Damaged("not an address")),
    }
}

fn read_key(bytes: &[u8]) -> Result<Key, CodecError> {
    Key::parse(read_text(bytes)?).map_err(|_| CodecError::Damaged("not a key"))
}

fn read_record_key(text: &str) -> Result<IdempotencyKey, CodecError> {
    IdempotencyKey::parse(text).map_err(|_| CodecError::Damaged("not an idempotency key"))
}

fn read_space(byte: u8) -> Result<Space, CodecError> {
    match byte {
        byte if byte == Space::Public as u8 => Ok(Space::Public),
        byte if byte == Space::Private as u8 => Ok(Space::Private),
        _ => Err(CodecError::Damaged("not a space of keys")),
    }
}

fn read_text(bytes: &[u8]) -> Result<&str, CodecError> {
    std::str::from_utf8(bytes).map_err(|_| CodecError::Damaged("not UTF-8"))
}

fn narrow<T: TryFrom<u64>>(number: u64) -> Result<T, CodecError> {
    T::try_from(number).map_err(|_| CodecError::Damaged("a number out of range"))
}

#[cfg(test)]
mod tests;
