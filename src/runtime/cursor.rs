//! Cursors of pages: opaque to clients, the last row seen to us.

use std::fmt::Write;

use crate::error::{Code, Error};

/// The cursor for what comes after `last`.
pub(crate) fn encode(last: &str) -> String {
    last.bytes().fold(String::with_capacity(last.len() * 2), |mut digits, byte| {
        write!(digits, "{byte:02x}").expect("writing to a string does not fail");
        digits
    })
}

/// The row that a cursor stands for.
pub(crate) fn decode(cursor: &str) -> Result<String, Error> {
    let refused = || Error::new(Code::InvalidRequest, "the cursor is not one that this server gave");
    let digits = cursor.as_bytes();
    if digits.is_empty() || !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(refused());
    }
    let byte =
        |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{decode, encode};

    #[test]
    fn rubbish_is_refused() {
        for cursor in ["", "a", "zz", "c3", "C3 A9", "+1"] {
            assert!(decode(cursor).is_err(), "{cursor:?}");
        }
    }

    proptest! {
        #[test]
        fn comes_back(last in "\\PC{1,40}") {
            prop_assert_eq!(decode(&encode(&last)).ok(), Some(last));
        }
    }
}
