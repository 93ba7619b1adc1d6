//! The way back from a text to the one before it, and texts that are found on such ways.
//!
//! Texts are UTF-16 units, as in [`super::text`]: so what is embedded in a text, one unit that is half a surrogate pair,
//! keeps its place. The bytes are frozen.

use std::ops::Range;

use yrs::types::Delta;
use yrs::{Any, Out};

/// One step on the way back, from the start of the newer text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// So many units are the same.
    Keep(usize),
    /// So many units were not there.
    Drop(usize),
    /// These were there.
    Restore(Vec<u16>),
}

/// What a change did to the text, by lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Kept(usize),
    Added(usize),
    Removed(usize),
}

/// The lengths of a change as the library tells it.
pub(super) fn changes(delta: &[Delta]) -> Vec<Change> {
    let change = |delta: &Delta| match delta {
        Delta::Inserted(Out::Any(Any::String(text)), _) => Change::Added(text.encode_utf16().count()),
        Delta::Inserted(..) => Change::Added(1),
        Delta::Retain(length, _) => Change::Kept(*length as usize),
        Delta::Deleted(length) => Change::Removed(*length as usize),
    };
    delta.iter().map(change).collect()
}

/// The way back over a change; none if it does not fit the lengths of the texts, or removed what is not given.
pub(super) fn way_back(
    changes: &[Change],
    before: Option<&[u16]>,
    length_before: usize,
    length_after: usize,
) -> Option<Vec<Step>> {
    let (mut at, mut length) = (0_usize, length_before);
    let mut steps = Vec::with_capacity(changes.len());
    for change in changes {
        match *change {
            Change::Kept(units) => {
                at += units;
                steps.push(Step::Keep(units));
            }
            Change::Added(units) => {
                length += units;
                steps.push(Step::Drop(units));
            }
            Change::Removed(units) => {
                let gone = before?.get(at..at + units)?;
                at += units;
                length -= units;
                steps.push(Step::Restore(gone.to_vec()));
            }
        }
    }
    if matches!(steps.last(), Some(Step::Keep(_))) {
        steps.pop();
    }
    (at <= length_before && length == length_after).then_some(steps)
}

const KEEP: u64 = 0;
const DROP: u64 = 1;
/// Text in UTF-8.
const RESTORE: u64 = 2;
/// Units of two bytes, the high one first, where they are no text.
const RESTORE_UNITS: u64 = 3;

/// Writes the steps: each a number of which two bits say what it is, the rest how much, in units or in bytes.
pub(super) fn encode(steps: &[Step], out: &mut Vec<u8>) {
    for step in steps {
        match step {
            Step::Keep(units) => write_number((*units as u64) << 2 | KEEP, out),
            Step::Drop(units) => write_number((*units as u64) << 2 | DROP, out),
            Step::Restore(units) => {
                if let Ok(text) = String::from_utf16(units) {
                    write_number((text.len() as u64) << 2 | RESTORE, out);
                    out.extend_from_slice(text.as_bytes());
                } else {
                    write_number((units.len() as u64 * 2) << 2 | RESTORE_UNITS, out);
                    out.extend(units.iter().flat_map(|unit| unit.to_be_bytes()));
                }
            }
        }
    }
}

/// Reads what [`encode`] wrote.
pub(super) fn decode(mut bytes: &[u8]) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    while !bytes.is_empty() {
        let head = read_number(&mut bytes)?;
        let length = usize::try_from(head >> 2).ok()?;
        let mut content = || {
            let (content, rest) = bytes.split_at_checked(length)?;
            bytes = rest;
            Some(content)
        };
        steps.push(match head & 3 {
            KEEP => Step::Keep(length),
            DROP => Step::Drop(length),
            RESTORE => Step::Restore(std::str::from_utf8(content()?).ok()?.encode_utf16().collect()),
            _ => {
                let (units, rest) = content()?.as_chunks::<2>();
                if !rest.is_empty() {
                    return None;
                }
                Step::Restore(units.iter().map(|unit| u16::from_be_bytes(*unit)).collect())
            }
        });
    }
    Some(steps)
}

/// Numbers of seven bits a byte, the lowest first.
pub(super) fn write_number(mut number: u64, out: &mut Vec<u8>) {
    while number > 0x7f {
        out.push(u8::try_from(number & 0x7f).expect("it has seven bits") | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).expect("it has seven bits"));
}

pub(super) fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// A text on its way back, as pieces of what it is made of: a step costs as many pieces as there are, not units.
pub(super) struct Pieces {
    sources: Vec<Vec<u16>>,
    pieces: Vec<(usize, Range<usize>)>,
}

impl Pieces {
    pub(super) fn of(text: Vec<u16>) -> Self {
        let whole = 0..text.len();
        Self { sources: vec![text], pieces: vec![(0, whole)] }
    }

    /// Goes back once; none if the steps do not fit.
    pub(super) fn back(&mut self, steps: Vec<Step>) -> Option<()> {
        let old = std::mem::take(&mut self.pieces);
        let mut old = old.into_iter();
        let mut rest: Option<(usize, Range<usize>)> = old.next();
        let mut new = Vec::new();
        for step in steps {
            let (mut units, is_kept) = match step {
                Step::Keep(units) => (units, true),
                Step::Drop(units) => (units, false),
                Step::Restore(units) => {
                    push(&mut new, (self.sources.len(), 0..units.len()));
                    self.sources.push(units);
                    continue;
                }
            };
            while units > 0 {
                let (source, range) = rest.take()?;
                let taken = range.len().min(units);
                if is_kept {
                    push(&mut new, (source, range.start..range.start + taken));
                }
                units -= taken;
                let left = range.start + taken..range.end;
                rest = if left.is_empty() { old.next() } else { Some((source, left)) };
            }
        }
        rest.into_iter().chain(old).for_each(|piece| push(&mut new, piece));
        self.pieces = new;
        Some(())
    }

    /// The text as it is now.
    pub(super) fn units(&self) -> Vec<u16> {
        let piece = |(source, range): &(usize, Range<usize>)| self.sources.get(*source)?.get(range.clone());
        self.pieces.iter().filter_map(piece).flatten().copied().collect()
    }
}

/// Adds a piece, to the last one where it goes on there.
fn push(pieces: &mut Vec<(usize, Range<usize>)>, (source, range): (usize, Range<usize>)) {
    match pieces.last_mut() {
        _ if range.is_empty() => {}
        Some((last, end)) if *last == source && end.end == range.start => end.end = range.end,
        _ => pieces.push((source, range)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn units(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    #[test]
    fn the_bytes_are_frozen() {
        let steps =
            [Step::Keep(300), Step::Drop(2), Step::Restore(units("é😀")), Step::Restore(vec![0x61, 0xdfff])];
        let mut bytes = Vec::new();
        encode(&steps, &mut bytes);
        assert_eq!(bytes, [0xb0, 9, 9, 0x1a, 0xc3, 0xa9, 0xf0, 0x9f, 0x98, 0x80, 0x13, 0, 0x61, 0xdf, 0xff]);
        assert_eq!(decode(&bytes).as_deref(), Some(&steps[..]));
        for cut in [1, 4, 11] {
            assert_eq!(decode(&bytes[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn what_does_not_fit_leads_nowhere() {
        let before = units("abc");
        let change = [Change::Kept(1), Change::Removed(1), Change::Added(2)];
        assert!(way_back(&change, Some(&before), 3, 4).is_some());
        assert_eq!(way_back(&change, Some(&before), 3, 5), None, "another length");
        assert_eq!(way_back(&change, None, 3, 4), None, "what was removed is not given");
        assert_eq!(way_back(&[Change::Kept(4)], Some(&before), 3, 3), None, "beyond the end");
        assert_eq!(Pieces::of(before).back(vec![Step::Drop(4)]), None);
    }

    proptest! {
        #[test]
        fn the_way_back_is_found(texts in vec((vec(0_u16..4, 0..12), 0_usize..12, 0_usize..12), 2..12)) {
            // Each text is the one before with something replaced.
            let mut versions = vec![Vec::new()];
            let mut ways = Vec::new();
            for (added, at, removed) in texts {
                let before: &Vec<u16> = versions.last().expect("there is one");
                let at = at.min(before.len());
                let removed = removed.min(before.len() - at);
                let after = [&before[..at], &added, &before[at + removed..]].concat();
                let change = [Change::Kept(at), Change::Added(added.len()), Change::Removed(removed)];
                let way = way_back(&change, Some(before), before.len(), after.len()).expect("it fits");
                let mut bytes = Vec::new();
                encode(&way, &mut bytes);
                ways.push(decode(&bytes).expect("it was encoded"));
                versions.push(after);
            }
            let mut pieces = Pieces::of(versions.pop().expect("there is one"));
            while let Some(way) = ways.pop() {
                pieces.back(way).expect("it fits");
                prop_assert_eq!(&pieces.units(), versions.last().expect("there is one"));
                versions.pop();
            }
        }

        #[test]
        fn any_bytes_are_read_or_not(bytes in vec(any::<u8>(), 0..40)) {
            if let Some(steps) = decode(&bytes) {
                let _ = Pieces::of(vec![0; 20]).back(steps);
            }
        }
    }
}
