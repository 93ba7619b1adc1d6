//! The bytes of a commit.

use std::sync::Arc;

use super::fields::{Reader, Writer, read_text};
use super::meta::{decode_meta, write_meta};
use super::record::{decode_record, decode_slot, write_record, write_slot};
use super::stored::{decode_stored, write_stored};
use super::{CodecError, FORMAT};
use crate::object::commit::{Base, Commit};
use crate::object::storage::Op;
use crate::object::{Key, ObjectAddress, Space, StoredKey, Timestamp, Value, Version, keys};

mod tag {
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

/// What the keys of the object begin with that a commit is of: its address, without a look at anything else.
///
/// # Errors
/// [`CodecError`] if the bytes are no commit.
pub fn read_commit_object(bytes: &[u8]) -> Result<&[u8], CodecError> {
    let mut reader = Reader::new(bytes, FORMAT)?;
    while let Some((tag, field)) = reader.field()? {
        if tag == tag::ADDRESS {
            return Ok(field.rest());
        }
    }
    Err(CodecError::Damaged("a commit without an address"))
}

fn read_address(bytes: &[u8]) -> Result<ObjectAddress, CodecError> {
    match keys::take_address(bytes) {
        Ok((address, [])) => Ok(address),
        _ => Err(CodecError::Damaged("not an address")),
    }
}

fn read_key(bytes: &[u8]) -> Result<Key, CodecError> {
    Key::parse(read_text(bytes)?).map_err(|_| CodecError::Damaged("not a key"))
}

fn read_space(byte: u8) -> Result<Space, CodecError> {
    match byte {
        byte if byte == Space::Public as u8 => Ok(Space::Public),
        byte if byte == Space::Private as u8 => Ok(Space::Private),
        _ => Err(CodecError::Damaged("not a space of keys")),
    }
}
