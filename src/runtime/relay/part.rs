//! What a stream between nodes carries, part by part. Frozen: a byte that says what follows, then that.
//!
//! A tag that a node does not know is of a newer one: it is passed over as if something had been lost, and the
//! gateway reads from the history what it may have missed.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use crate::object::Update;

mod tag {
    /// Nothing follows.
    pub(super) const STANDS: u8 = 0;
    /// The update as JSON.
    pub(super) const UPDATE: u8 = 1;
    /// The length of the JSON (32 bits, the high byte first), the update as JSON, what editors apply.
    pub(super) const UPDATE_WITH_BINARY: u8 = 2;
}

/// One part of a stream.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    /// The stream stands, and every update from now on will follow.
    Stands,
    /// The next update.
    Update(Arc<Update>),
}

impl Part {
    pub(super) fn encode(&self) -> Bytes {
        let Self::Update(update) = self else { return Bytes::from_static(&[tag::STANDS]) };
        let json = update.to_json_text();
        let binary = update.binary.as_ref();
        let mut part = BytesMut::with_capacity(1 + 4 + json.len() + binary.map_or(0, Bytes::len));
        if binary.is_some() {
            part.put_u8(tag::UPDATE_WITH_BINARY);
            part.put_u32(u32::try_from(json.len()).expect("an update is far below 4 GiB"));
        } else {
            part.put_u8(tag::UPDATE);
        }
        part.put_slice(json.as_bytes());
        part.put_slice(binary.map_or(&[], Bytes::as_ref));
        part.freeze()
    }

    /// The part; none if it can not be read here.
    pub(super) fn decode(part: &Bytes) -> Option<Self> {
        let (&tag, rest) = part.split_first()?;
        match tag {
            tag::STANDS => rest.is_empty().then_some(Self::Stands),
            tag::UPDATE => Some(Self::Update(Arc::new(parse(rest)?))),
            tag::UPDATE_WITH_BINARY => {
                let (length, rest) = rest.split_first_chunk()?;
                let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
                let (json, binary) = rest.split_at_checked(length)?;
                let binary = Some(part.slice_ref(binary));
                Some(Self::Update(Arc::new(Update { binary, ..parse(json)? })))
            }
            _ => None,
        }
    }
}

fn parse(json: &[u8]) -> Option<Update> {
    Update::parse(std::str::from_utf8(json).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DELETED: &str = r#"{"version":7,"deleted_object":true}"#;

    fn deleted(binary: Option<&'static [u8]>) -> Part {
        let update = Update::parse(DELETED).expect("it is an update");
        Part::Update(Arc::new(Update { binary: binary.map(Bytes::from_static), ..update }))
    }

    fn check(part: &Part, expected: &[u8]) {
        let encoded = part.encode();
        assert_eq!(encoded, expected);
        assert_eq!(Part::decode(&encoded).as_ref(), Some(part));
    }

    #[test]
    fn the_bytes_are_frozen() {
        check(&Part::Stands, &[0]);
        check(&deleted(None), &[b"\x01", DELETED.as_bytes()].concat());
        check(&deleted(Some(&[1, 2, 255])), &[b"\x02\0\0\0\x23", DELETED.as_bytes(), &[1, 2, 255]].concat());
        check(&deleted(Some(&[])), &[b"\x02\0\0\0\x23", DELETED.as_bytes()].concat());
    }

    #[test]
    fn what_is_no_part_is_not_read() {
        for bytes in [
            &b""[..],
            b"\0\0",
            b"\x01",
            b"\x01{}",
            b"\x02",
            b"\x02\0\0\0",
            b"\x02\0\0\0\x09{}",
            b"\x03{}",
            b"{}",
        ] {
            assert_eq!(Part::decode(&Bytes::from_static(bytes)), None, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_not(bytes in prop::collection::vec(any::<u8>(), 0..60), tag in 0_u8..4) {
            let _ = Part::decode(&bytes.clone().into());
            let _ = Part::decode(&[&[tag][..], &bytes].concat().into());
        }
    }
}
