//! The bytes of what lies under a key: an encoding byte and the content.

use bytes::Bytes;

use super::CodecError;
use super::fields::{Writer, read_text};
use crate::object::{Stored, Value};

const ENCODING_JSON: u8 = 0;
const ENCODING_BINARY: u8 = 1;

/// The bytes of what lies under a key: an encoding byte and the content.
#[must_use]
pub fn encode_stored(stored: &Stored) -> Vec<u8> {
    let mut writer = Writer::empty();
    write_stored(&mut writer, stored);
    writer.finish()
}

pub(super) fn write_stored(writer: &mut Writer, stored: &Stored) {
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
