//! The bytes of an update as the history keeps it.

use super::fields::{Reader, Writer, read_text};
use super::{CodecError, FORMAT};
use crate::limits::HISTORY_MAX_BYTES;
use crate::object::{Key, Timestamp, Update, Value, Version};

mod tag {
    pub(super) const VERSION: u8 = 1;
    pub(super) const CHANGE: u8 = 2;
    pub(super) const DELETED: u8 = 3;
    pub(super) const CLEARED: u8 = 4;
    pub(super) const DELETED_OBJECT: u8 = 5;
    pub(super) const TOO_LARGE: u8 = 6;
    pub(super) const METHOD: u8 = 7;
    pub(super) const BY: u8 = 8;
    pub(super) const TIME: u8 = 9;
    pub(super) const DELTA: u8 = 10;
}

/// The bytes of a history entry. An update larger than the history says so and no more.
#[must_use]
pub fn encode_history(update: &Update) -> Vec<u8> {
    let bytes = encode(update);
    if bytes.len() as u64 > HISTORY_MAX_BYTES {
        encode(&Update::beyond_history(update.version))
    } else {
        bytes
    }
}

fn encode(update: &Update) -> Vec<u8> {
    let mut writer = Writer::new(FORMAT);
    writer.number(tag::VERSION, update.version.0);
    for (key, value) in &update.changes {
        writer.nested(tag::CHANGE, |content| {
            content.sized(key.as_str().as_bytes());
            content.raw(value.as_str().as_bytes());
        });
    }
    for key in &update.deleted {
        writer.bytes(tag::DELETED, key.as_str().as_bytes());
    }
    writer.flag(tag::CLEARED, update.cleared);
    writer.flag(tag::DELETED_OBJECT, update.deleted_object);
    writer.flag(tag::TOO_LARGE, update.too_large);
    writer.bytes(tag::METHOD, update.method.as_bytes());
    writer.bytes(tag::BY, update.by.as_bytes());
    writer.number(tag::TIME, update.timestamp.0);
    if let Some(delta) = &update.delta {
        writer.bytes(tag::DELTA, delta.as_str().as_bytes());
    }
    writer.finish()
}

/// The update that a history entry is.
///
/// # Errors
/// [`CodecError`].
pub fn decode_history(bytes: &[u8]) -> Result<Update, CodecError> {
    let mut reader = Reader::new(bytes, FORMAT)?;
    let mut update = Update { too_large: false, ..Update::beyond_history(Version::ZERO) };
    while let Some((tag, mut field)) = reader.field()? {
        match tag {
            tag::VERSION => update.version = Version(field.number()?),
            tag::CHANGE => {
                let key = read_key(field.sized()?)?;
                update.changes.push((key, Value::from_stored(field.text()?)?));
            }
            tag::DELETED => update.deleted.push(read_key(field.rest())?),
            tag::CLEARED => update.cleared = field.flag()?,
            tag::DELETED_OBJECT => update.deleted_object = field.flag()?,
            tag::TOO_LARGE => update.too_large = field.flag()?,
            tag::METHOD => update.method = field.text()?.into(),
            tag::BY => update.by = field.text()?.into(),
            tag::TIME => update.timestamp = Timestamp(field.number()?),
            tag::DELTA => update.delta = Some(Value::from_stored(field.text()?)?),
            unknown => return Err(CodecError::UnknownTag(unknown)),
        }
    }
    Ok(update)
}

fn read_key(bytes: &[u8]) -> Result<Key, CodecError> {
    Key::parse(read_text(bytes)?).map_err(|_| CodecError::Damaged("not a key"))
}
