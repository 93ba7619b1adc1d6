//! The bytes of an idempotency record and of its place in the order of age.

use bytes::Bytes;

use super::fields::{Reader, Writer};
use super::{CodecError, FORMAT};
use crate::object::idempotency::{Fingerprint, IdempotencyKey, Record, RecordSlot};
use crate::object::{Timestamp, Version};

mod tag {
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

pub(super) fn write_record(writer: &mut Writer, record: &Record) {
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

pub(super) fn write_slot(writer: &mut Writer, slot: &RecordSlot) {
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

fn read_record_key(text: &str) -> Result<IdempotencyKey, CodecError> {
    IdempotencyKey::parse(text).map_err(|_| CodecError::Damaged("not an idempotency key"))
}
