//! How large a document may become, whoever makes it larger.
//!
//! A text is measured in UTF-16 units while it is edited, the whole in bytes where it is kept. A unit takes at least a
//! byte there, so a text of more units than the bytes that there may be is refused before it is written.

use crate::limits::DOCUMENT_MAX_BYTES;
use crate::object::Refusal;

/// Refuses what is larger than a document may be.
pub(super) fn check(size: usize) -> Result<(), Refusal> {
    if size <= DOCUMENT_MAX_BYTES {
        return Ok(());
    }
    Err(Refusal::TooLarge { detail: format!("a document has at most {DOCUMENT_MAX_BYTES} bytes") })
}
