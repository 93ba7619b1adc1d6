//! The cursor of a class feed: how far a subscriber has come in the log of each shard. Opaque to clients, and frozen:
//! they keep it for as long as they like, and give it to any node.
//!
//! Its text is base64url without padding, of: a version byte; the first bytes of the cluster's identity; how many
//! shards there are; the index up to which everything of each was given; and, where it stands within an entry, whose
//! commands are of several objects, the shard's number and how many commands of its next entry were given too. All
//! numbers are LEB128, seven bits a byte, the lowest first.

use data_encoding::BASE64URL_NOPAD;

use crate::error::{Code, Error};

/// The version that a cursor begins with.
const VERSION: u8 = 1;
/// Bytes of the cluster's identity: indices of another cluster's logs mean nothing here.
const CLUSTER_BYTES: usize = 8;
/// More shards than any cluster has.
const SHARDS_MAX: u64 = 1 << 14;

/// Which cluster a cursor is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClusterTag([u8; CLUSTER_BYTES]);

impl ClusterTag {
    pub(super) fn of(identity: [u8; 16]) -> Self {
        Self(*identity.first_chunk().expect("an identity has more bytes"))
    }
}

/// How far a subscriber has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) cluster: ClusterTag,
    /// The index of each shard's log up to which everything was given.
    pub(super) reached: Vec<u64>,
    /// Within the entry behind that, in one shard, as many commands.
    pub(super) within: Option<Within>,
}

/// A place in the middle of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Within {
    pub(super) shard: usize,
    pub(super) commands: u32,
}

/// The text of a cursor.
pub(super) fn encode(cluster: ClusterTag, reached: &[u64], within: Option<Within>) -> String {
    let mut bytes = Vec::with_capacity(16 + reached.len() * 5);
    bytes.push(VERSION);
    bytes.extend_from_slice(&cluster.0);
    put(&mut bytes, reached.len() as u64);
    for index in reached {
        put(&mut bytes, *index);
    }
    if let Some(within) = within {
        put(&mut bytes, within.shard as u64);
        put(&mut bytes, u64::from(within.commands));
    }
    BASE64URL_NOPAD.encode(&bytes)
}

/// The cursor that a text is.
///
/// # Errors
///
/// `invalid_request` if it is none.
pub(super) fn decode(text: &str) -> Result<Cursor, Error> {
    let read = || {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let (&VERSION, rest) = bytes.split_first()? else { return None };
        let (cluster, mut rest) = rest.split_first_chunk::<CLUSTER_BYTES>()?;
        let shards = take(&mut rest).filter(|shards| *shards <= SHARDS_MAX)?;
        let reached = (0..shards).map(|_| take(&mut rest)).collect::<Option<Vec<_>>>()?;
        let within = if rest.is_empty() { None } else { Some(take_within(&mut rest, reached.len())?) };
        rest.is_empty().then_some(Cursor { cluster: ClusterTag(*cluster), reached, within })
    };
    read().ok_or_else(|| Error::new(Code::InvalidRequest, "the cursor is not one that this server gave"))
}

fn take_within(rest: &mut &[u8], shards: usize) -> Option<Within> {
    let shard = usize::try_from(take(rest)?).ok().filter(|shard| *shard < shards)?;
    Some(Within { shard, commands: u32::try_from(take(rest)?).ok()? })
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push((number & 0x7f) as u8);
}

fn take(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..u64::BITS).step_by(7) {
        let (&byte, behind) = rest.split_first()?;
        *rest = behind;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::{BASE64URL_NOPAD, ClusterTag, Cursor, Within, decode, encode};
    use crate::error::Code;

    fn check(cursor: &Cursor, expected: &Expect) {
        let text = encode(cursor.cluster, &cursor.reached, cursor.within);
        expected.assert_eq(&text);
        assert_eq!(decode(&text).as_ref(), Ok(cursor));
    }

    #[test]
    fn the_text_is_frozen() {
        let cluster = ClusterTag::of([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
        let whole = Cursor { cluster, reached: vec![0, 127, 128, u64::MAX], within: None };
        check(&whole, &expect!["AQECAwQFBgcIBAB_gAH___________8B"]);
        let within = Some(Within { shard: 2, commands: 300 });
        check(&Cursor { within, ..whole }, &expect!["AQECAwQFBgcIBAB_gAH___________8BAqwC"]);
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        let bytes: &[&[u8]] = &[
            &[],
            // Another version; no cluster; fewer shards than it says; more than there can be.
            &[2, 1, 2, 3, 4, 5, 6, 7, 8, 0],
            &[1, 1, 2, 3],
            &[1, 1, 2, 3, 4, 5, 6, 7, 8, 2, 5],
            &[1, 1, 2, 3, 4, 5, 6, 7, 8, 0xff, 0xff, 0xff, 0x0f],
            // Within a shard that is none; a place without commands; something behind it.
            &[1, 1, 2, 3, 4, 5, 6, 7, 8, 1, 5, 1, 1],
            &[1, 1, 2, 3, 4, 5, 6, 7, 8, 1, 5, 0],
            &[1, 1, 2, 3, 4, 5, 6, 7, 8, 1, 5, 0, 1, 1],
        ];
        let texts = bytes.iter().map(|bytes| BASE64URL_NOPAD.encode(bytes));
        for text in texts.chain(["é", "AQE=", "A", "not a cursor"].map(str::to_owned)) {
            let refused = decode(&text).expect_err("it is no cursor");
            assert_eq!(refused.code, Code::InvalidRequest, "{text}");
        }
    }

    proptest! {
        #[test]
        fn comes_back(
            identity: [u8; 16],
            reached in prop::collection::vec(any::<u64>(), 1..20),
            commands in prop::option::of(any::<u32>()),
        ) {
            let cluster = ClusterTag::of(identity);
            let within = commands.map(|commands| Within { shard: reached.len() - 1, commands });
            let cursor = Cursor { cluster, reached, within };
            prop_assert_eq!(decode(&encode(cluster, &cursor.reached, within)), Ok(cursor));
        }

        #[test]
        fn any_text_never_panics(text: String, bytes: Vec<u8>) {
            prop_assert!(decode(&text).is_err() || text.len() > 12);
            // What is one is the same one again.
            if let Ok(cursor) = decode(&BASE64URL_NOPAD.encode(&bytes)) {
                let again = encode(cursor.cluster, &cursor.reached, cursor.within);
                prop_assert_eq!(decode(&again), Ok(cursor));
            }
        }
    }
}
