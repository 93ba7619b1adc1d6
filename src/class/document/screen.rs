//! Looks through an update in Yjs's encoding (version 1) before the Yjs library decodes it.
//!
//! The library decodes nested values by recursion, sets aside room for as many items as an update claims to have,
//! and links blocks by address while it fits an update into what it has: hostile bytes could end the process or
//! worse. This walk bounds the first two, and lets through only what the library fits in safely: each client once,
//! beginning where the document ends or before, without a gap. It knows the shape of an update and nothing of its
//! meaning.

use std::collections::BTreeSet;

use crate::limits::JSON_MAX_DEPTH;

/// Client ids have 53 bits: what a number in JavaScript holds.
pub(super) const CLIENT_ID_BITS: u32 = 53;

/// Why an update is not let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Screened {
    #[error("it ends too early or claims more than it has")]
    Short,
    #[error("it goes on after its end")]
    Long,
    #[error("it nests values more than {JSON_MAX_DEPTH} deep")]
    TooDeep,
    #[error("it has a client id, clock or length out of range")]
    OutOfRange,
    #[error("it has something that is not known")]
    Unknown,
    #[error("it has a client twice")]
    Twice,
    #[error("it lacks what came before it")]
    Gap,
}

/// What an update that is let through has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Passed {
    /// The clock of each of its clients once it is applied, unless the document is further already.
    pub(super) clocks: Vec<(u64, u32)>,
    /// Whether it deletes anything.
    pub(super) deletes: bool,
}

/// Lets an update through or says why not. `known` gives the clock that the document has of a client.
pub(super) fn screen(update: &[u8], known: impl Fn(u64) -> u32) -> Result<Passed, Screened> {
    let mut walk = Walk { rest: update };
    let mut clients = BTreeSet::new();
    let mut clocks = Vec::new();
    for _ in 0..walk.count()? {
        let blocks = walk.count()?;
        let client = walk.client()?;
        let mut clock = walk.clock()?;
        if !clients.insert(client) {
            return Err(Screened::Twice);
        }
        if clock > known(client) {
            return Err(Screened::Gap);
        }
        for _ in 0..blocks {
            clock = clock.checked_add(walk.block()?).ok_or(Screened::OutOfRange)?;
        }
        clocks.push((client, clock));
    }
    clients.clear();
    let deletions = walk.count()?;
    for _ in 0..deletions {
        if !clients.insert(walk.client()?) {
            return Err(Screened::Twice);
        }
        for _ in 0..walk.count()? {
            walk.clock()?.checked_add(walk.clock()?).ok_or(Screened::OutOfRange)?;
        }
    }
    if walk.rest.is_empty() { Ok(Passed { clocks, deletes: deletions > 0 }) } else { Err(Screened::Long) }
}

/// Reads a state vector in Yjs's encoding: how far each client's clock is known.
pub(super) fn state_vector(bytes: &[u8]) -> Result<Vec<(u64, u32)>, Screened> {
    let mut walk = Walk { rest: bytes };
    let mut clocks = Vec::new();
    for _ in 0..walk.count()? {
        clocks.push((walk.client()?, walk.clock()?));
    }
    if walk.rest.is_empty() { Ok(clocks) } else { Err(Screened::Long) }
}

struct Walk<'a> {
    rest: &'a [u8],
}

impl<'a> Walk<'a> {
    /// One block; gives how far it moves its client's clock.
    fn block(&mut self) -> Result<u32, Screened> {
        const HAS_LEFT: u8 = 0x80;
        const HAS_RIGHT: u8 = 0x40;
        const HAS_PARENT_KEY: u8 = 0x20;
        const GC: u8 = 0;
        const SKIP: u8 = 10;
        let info = self.byte()?;
        if info == SKIP {
            return Err(Screened::Gap);
        }
        if info == GC {
            return self.clock();
        }
        for has_neighbour in [HAS_LEFT, HAS_RIGHT] {
            if info & has_neighbour != 0 {
                self.id()?;
            }
        }
        if info & (HAS_LEFT | HAS_RIGHT) == 0 {
            match self.number()? {
                1 => drop(self.text()?),
                _ => self.id()?,
            }
            if info & HAS_PARENT_KEY != 0 {
                self.text()?;
            }
        }
        self.content(info & 0x0f)
    }

    fn content(&mut self, kind: u8) -> Result<u32, Screened> {
        match kind {
            // Deleted: a length alone.
            1 => return self.clock(),
            // Binary.
            3 => drop(self.sized()?),
            4 => {
                let units = self.text()?.encode_utf16().count();
                return u32::try_from(units).map_err(|_| Screened::OutOfRange);
            }
            // Embedded JSON.
            5 => drop(self.text()?),
            // A format: its name and JSON.
            6 => {
                self.text()?;
                self.text()?;
            }
            7 => self.shared_type()?,
            8 => {
                let values = self.count()?;
                for _ in 0..values {
                    self.value(JSON_MAX_DEPTH)?;
                }
                return u32::try_from(values).map_err(|_| Screened::OutOfRange);
            }
            // A document within: its id and options.
            9 => {
                self.text()?;
                self.value(JSON_MAX_DEPTH)?;
            }
            // 2 is a list of JSON texts, which no editor has written for years and the library misreads.
            _ => return Err(Screened::Unknown),
        }
        Ok(1)
    }

    fn shared_type(&mut self) -> Result<(), Screened> {
        const XML_ELEMENT: u8 = 3;
        if self.byte()? == XML_ELEMENT {
            self.text()?;
        }
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<(), Screened> {
        match self.byte()? {
            // Undefined, null, false, true.
            120 | 121 | 126 | 127 => Ok(()),
            // A whole number with a sign.
            125 => self.skip_number(),
            // Floats of 4 and 8 bytes, an integer of 8.
            124 => self.skip(4),
            122 | 123 => self.skip(8),
            119 => self.text().map(drop),
            116 => self.sized().map(drop),
            kind @ (117 | 118) => {
                let depth = depth.checked_sub(1).ok_or(Screened::TooDeep)?;
                for _ in 0..self.count()? {
                    if kind == 118 {
                        self.text()?;
                    }
                    self.value(depth)?;
                }
                Ok(())
            }
            _ => Err(Screened::Unknown),
        }
    }

    fn id(&mut self) -> Result<(), Screened> {
        self.client()?;
        self.clock().map(drop)
    }

    fn client(&mut self) -> Result<u64, Screened> {
        let client = self.number()?;
        if client >> CLIENT_ID_BITS == 0 { Ok(client) } else { Err(Screened::OutOfRange) }
    }

    fn clock(&mut self) -> Result<u32, Screened> {
        u32::try_from(self.number()?).map_err(|_| Screened::OutOfRange)
    }

    /// How many of something follow; each has a byte at least.
    fn count(&mut self) -> Result<usize, Screened> {
        let count = usize::try_from(self.number()?).map_err(|_| Screened::Short)?;
        if count <= self.rest.len() { Ok(count) } else { Err(Screened::Short) }
    }

    fn text(&mut self) -> Result<&'a str, Screened> {
        std::str::from_utf8(self.sized()?).map_err(|_| Screened::Unknown)
    }

    fn sized(&mut self) -> Result<&'a [u8], Screened> {
        let length = self.count()?;
        let (content, rest) = self.rest.split_at_checked(length).ok_or(Screened::Short)?;
        self.rest = rest;
        Ok(content)
    }

    fn skip(&mut self, length: usize) -> Result<(), Screened> {
        self.rest = self.rest.get(length..).ok_or(Screened::Short)?;
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, Screened> {
        let (&byte, rest) = self.rest.split_first().ok_or(Screened::Short)?;
        self.rest = rest;
        Ok(byte)
    }

    /// A number of seven bits a byte, the lowest first, of 63 bits at most.
    fn number(&mut self) -> Result<u64, Screened> {
        let mut number = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Screened::OutOfRange)
    }

    /// A number with a sign, whose bits nobody here needs: ten bytes at most.
    fn skip_number(&mut self) -> Result<(), Screened> {
        for _ in 0..10 {
            if self.byte()? & 0x80 == 0 {
                return Ok(());
            }
        }
        Err(Screened::OutOfRange)
    }
}

#[cfg(test)]
mod tests {
    use yrs::{
        Any, Array, Doc, Map, MapPrelim, ReadTxn, StateVector, Text, Transact, WriteTxn, XmlElementPrelim,
        XmlFragment,
    };

    use super::*;

    /// As if the document were empty.
    fn screen(update: &[u8]) -> Result<(), Screened> {
        passed(update, 0)
    }

    fn passed(update: &[u8], known: u32) -> Result<(), Screened> {
        super::screen(update, |_| known).map(drop)
    }

    /// A document with something of every kind.
    fn rich() -> Vec<u8> {
        let doc = Doc::with_client_id((1 << CLIENT_ID_BITS) - 1);
        let text = doc.get_or_insert_text("content");
        let mut transaction = doc.transact_mut();
        text.insert(&mut transaction, 0, "text and more 😀");
        text.format(&mut transaction, 2, 5, [("bold".into(), true.into())].into());
        text.remove_range(&mut transaction, 1, 3);
        text.insert_embed(&mut transaction, 1, Any::from_json(r#"{"image":[1,2.5,null]}"#).unwrap());
        let map = transaction.get_or_insert_map("map");
        for (key, json) in [
            ("a", "[1,[2,{\"b\":-3.5e100}]]"),
            ("c", "true"),
            ("d", "null"),
            ("e", "123456789012"),
            ("f", "\"x\""),
        ] {
            map.insert(&mut transaction, key, Any::from_json(json).unwrap());
        }
        map.insert(&mut transaction, "bytes", Any::from(vec![1_u8, 2, 255]));
        map.insert(&mut transaction, "nested", MapPrelim::from([("k", 1)]));
        map.insert(&mut transaction, "document", Doc::with_client_id(3));
        let array = transaction.get_or_insert_array("array");
        array.push_back(&mut transaction, vec![0_u8; 9]);
        array.insert_range(&mut transaction, 0, [1.5, -7.0, 3e9]);
        array.remove_range(&mut transaction, 1, 1);
        let xml = transaction.get_or_insert_xml_fragment("xml");
        xml.push_back(&mut transaction, XmlElementPrelim::empty("p"));
        transaction.encode_state_as_update_v1(&StateVector::default())
    }

    /// An update of one value nested so deep.
    fn nested(depth: usize) -> Vec<u8> {
        let mut update = vec![1, 1, 7, 0, 8, 1, 1, b'a', 1];
        update.extend([117, 1].repeat(depth));
        update.extend([126, 0]);
        update
    }

    #[test]
    fn lets_documents_through() {
        assert_eq!(screen(&rich()), Ok(()));
        assert_eq!(screen(&[0, 0]), Ok(()));
        assert_eq!(screen(&nested(JSON_MAX_DEPTH)), Ok(()));
    }

    #[test]
    fn stops_what_would_end_the_process() {
        assert_eq!(screen(&nested(JSON_MAX_DEPTH + 1)), Err(Screened::TooDeep));
        assert_eq!(screen(&nested(2_000_000)), Err(Screened::TooDeep));
        let billions = [0xff, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(screen(&billions), Err(Screened::Short), "clients");
        assert_eq!(screen(&[&[1][..], &billions, &[7, 0]].concat()), Err(Screened::Short), "blocks");
        assert_eq!(
            screen(&[&[1, 1, 7, 0, 8, 1, 1, b'a'][..], &billions].concat()),
            Err(Screened::Short),
            "values"
        );
        assert_eq!(screen(&[&[0, 1, 7][..], &billions].concat()), Err(Screened::Short), "deletions");
    }

    #[test]
    fn stops_what_is_out_of_range() {
        let large_client = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];
        assert_eq!(screen(&[&[1, 0][..], &large_client, &[0, 0]].concat()), Err(Screened::OutOfRange));
        let last_clock = [0xff, 0xff, 0xff, 0xff, 0x0f];
        let at_the_end = [&[1, 1, 7][..], &last_clock, &[0, 1, 0]].concat();
        assert_eq!(passed(&at_the_end, u32::MAX), Err(Screened::OutOfRange));
        assert_eq!(screen(&[&[0, 1, 7, 1][..], &last_clock, &[1]].concat()), Err(Screened::OutOfRange));
        assert_eq!(screen(&[0, 0, 0]), Err(Screened::Long));
        assert_eq!(screen(&[1, 1, 7, 0, 2, 1, 1, b'a', 0, 0]), Err(Screened::Unknown));
    }

    #[test]
    fn stops_what_leaves_a_gap_or_comes_twice() {
        let deleted = |clock| [1, 1, 7, clock, 0, 5, 0];
        let reached = Passed { clocks: vec![(7, 10)], deletes: false };
        assert_eq!(
            super::screen(&deleted(5), |client| if client == 7 { 5 } else { 0 }).as_ref(),
            Ok(&reached)
        );
        assert_eq!(super::screen(&deleted(5), |client| if client == 7 { 9 } else { 0 }), Ok(reached));
        assert_eq!(super::screen(&deleted(5), |client| if client == 7 { 4 } else { 9 }), Err(Screened::Gap));
        assert_eq!(screen(&[1, 2, 7, 0, 10, 5, 0, 5, 0]), Err(Screened::Gap), "a skip");
        assert_eq!(screen(&[2, 1, 7, 0, 0, 5, 1, 7, 0, 0, 5, 0]), Err(Screened::Twice));
        assert_eq!(screen(&[0, 2, 7, 1, 0, 1, 7, 1, 0, 1]), Err(Screened::Twice));
    }

    #[test]
    fn says_what_it_lets_through() {
        let both = [1, 1, 7, 0, 0, 5, 1, 8, 1, 0, 2];
        assert_eq!(super::screen(&both, |_| 0), Ok(Passed { clocks: vec![(7, 5)], deletes: true }));
        assert_eq!(super::screen(&[0, 0], |_| 0), Ok(Passed { clocks: Vec::new(), deletes: false }));
    }

    #[test]
    fn state_vectors() {
        assert_eq!(state_vector(&[0]), Ok(Vec::new()));
        assert_eq!(state_vector(&[2, 7, 3, 8, 0x80, 1]), Ok(vec![(7, 3), (8, 128)]));
        assert_eq!(state_vector(&[]), Err(Screened::Short));
        assert_eq!(state_vector(&[2, 7, 3]), Err(Screened::Short));
        assert_eq!(state_vector(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Err(Screened::Short), "billions");
        assert_eq!(state_vector(&[1, 7, 3, 0]), Err(Screened::Long));
        assert_eq!(state_vector(&[1, 7, 0xff, 0xff, 0xff, 0xff, 0x1f]), Err(Screened::OutOfRange));
    }

    #[test]
    fn a_cut_is_seen() {
        let rich = rich();
        for length in 0..rich.len() {
            assert!(screen(&rich[..length]).is_err(), "{length} of {}", rich.len());
        }
    }
}
