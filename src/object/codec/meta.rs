//! The bytes of a meta.

use super::fields::{Reader, Writer};
use super::{CodecError, FORMAT};
use crate::object::idempotency::RecordWindow;
use crate::object::meta::{Alarm, AlarmFailure, Meta};
use crate::object::{Timestamp, Version};

mod tag {
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

pub(super) fn write_meta(writer: &mut Writer, meta: &Meta) {
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

fn narrow<T: TryFrom<u64>>(number: u64) -> Result<T, CodecError> {
    T::try_from(number).map_err(|_| CodecError::Damaged("a number out of range"))
}
