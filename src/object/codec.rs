//! The bytes of a commit, a meta, a record, a value, an update. Frozen: they are in logs and on disks.
//!
//! A record of tagged fields: a version byte, then for each field its tag, the length of its content and
//! the content. A field that has its default is left out. A tag or a version that this program does not
//! know is an error and never skipped: the shard stops there until a newer program reads it.

mod commit;
mod fields;
mod meta;
mod record;
mod stored;
#[cfg(test)]
mod tests;
mod update;

pub use commit::{decode_commit, encode_commit, read_commit_object};
pub use meta::{decode_meta, encode_meta};
pub use record::{decode_record, decode_slot, encode_record, encode_slot};
pub use stored::{decode_stored, encode_stored};
pub use update::{decode_history, encode_history};

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
