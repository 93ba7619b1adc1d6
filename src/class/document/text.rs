//! Edits of a shared text by UTF-16 index, each checked before it is made.

use std::ops::Range;

use yrs::types::text::YChange;
use yrs::{Any, GetString, Out, ReadTxn, Text, TextRef, TransactionMut};

use crate::object::Refusal;

use super::size;

/// Places that one replacement touches one by one; beyond it neighbouring places are touched together.
const PLACES_MAX: usize = 1_000;
/// Units that the edits of one turn walk over, for each walks over the whole text: about a second's work.
const WALK_MAX_UNITS: usize = 2_000_000_000;
/// The part of what is left of the walk that one replacement takes.
const WALK_SHARE: usize = 10;

/// One edit.
#[derive(Debug, Clone, Copy)]
pub(super) enum Edit<'p> {
    /// The text becomes this, by the smallest edit.
    Set { content: &'p str },
    /// Something comes before the unit of this index.
    Insert { index: usize, text: &'p str },
    /// So many units go.
    Delete { index: usize, length: usize },
    /// Every occurrence is replaced.
    Replace { find: &'p str, text: &'p str },
}

/// A shared text while it is edited.
pub(super) struct Editing<'t, 'd> {
    text: TextRef,
    transaction: &'t mut TransactionMut<'d>,
    /// The text as it is now; what is embedded in it is one [`EMBED`] each.
    units: Vec<u16>,
    /// What is left of [`WALK_MAX_UNITS`].
    walk: usize,
}

/// Half a surrogate pair: where it stands alone it can be no text.
const EMBED: u16 = 0xdfff;

impl<'t, 'd> Editing<'t, 'd> {
    /// Begins to edit the text.
    pub(super) fn new(text: TextRef, transaction: &'t mut TransactionMut<'d>) -> Result<Self, Refusal> {
        let units = units_of(&text, transaction);
        if units.len() != text.len(transaction) as usize {
            return Err(Refusal::invalid(
                "an editor put something into the text that cannot be edited here; use an editor",
            ));
        }
        Ok(Self { text, transaction, units, walk: WALK_MAX_UNITS })
    }

    /// Makes one edit on the text as the edits before it left it.
    pub(super) fn apply(&mut self, edit: &Edit<'_>) -> Result<(), Refusal> {
        match *edit {
            Edit::Set { content } => self.set(content),
            Edit::Insert { index, text } => self.insert(index, text),
            Edit::Delete { index, length } => self.delete(index, length),
            Edit::Replace { find, text } => self.replace(find, text),
        }
    }

    fn set(&mut self, content: &str) -> Result<(), Refusal> {
        let new: Vec<u16> = content.encode_utf16().collect();
        let (range, added) = difference(&self.units, &new);
        self.splice(range, new.get(added).expect("the range is one of the new text"))
    }

    fn insert(&mut self, index: usize, text: &str) -> Result<(), Refusal> {
        self.check_index(index)?;
        self.splice(index..index, &text.encode_utf16().collect::<Vec<_>>())
    }

    fn delete(&mut self, index: usize, length: usize) -> Result<(), Refusal> {
        self.check_index(index)?;
        let end = index.saturating_add(length);
        self.check_index(end)?;
        self.splice(index..end, &[])
    }

    fn replace(&mut self, find: &str, text: &str) -> Result<(), Refusal> {
        if find.is_empty() {
            return Err(Refusal::invalid("parameter \"find\" must not be empty"));
        }
        let found = occurrences(&self.units, find);
        if found.is_empty() {
            return Err(Refusal::invalid("the text to find does not occur"));
        }
        let text: Vec<u16> = text.encode_utf16().collect();
        size::check(self.units.len().saturating_add(found.len().saturating_mul(text.len())))?;
        let hunks = (self.walk / WALK_SHARE / self.units.len()).clamp(1, PLACES_MAX);
        let group = found.len().div_ceil(hunks);
        let hunks: Vec<_> = found.chunks(group).map(|places| joined(&self.units, places, &text)).collect();
        // From the back, so that the places before keep their index.
        for (range, added) in hunks.iter().rev() {
            self.write(range, added)?;
        }
        let mut units = Vec::with_capacity(self.text.len(self.transaction) as usize);
        let mut end = 0;
        for (range, added) in hunks {
            units.extend_from_slice(self.units.get(end..range.start).expect("hunks are in order"));
            units.extend(added);
            end = range.end;
        }
        units.extend_from_slice(self.units.get(end..).expect("hunks are within the text"));
        self.units = units;
        Ok(())
    }

    /// Puts units in the place of a range whose ends are checked.
    fn splice(&mut self, range: Range<usize>, added: &[u16]) -> Result<(), Refusal> {
        size::check(self.units.len() - range.len() + added.len())?;
        self.write(&range, added)?;
        self.units.splice(range, added.iter().copied());
        Ok(())
    }

    /// The same in the shared text alone.
    fn write(&mut self, range: &Range<usize>, added: &[u16]) -> Result<(), Refusal> {
        let left = self.walk.checked_sub(self.units.len().max(added.len()));
        self.walk = left.ok_or_else(|| {
            Refusal::invalid("so many edits of so large a text do not fit into one call; send fewer")
        })?;
        let start = narrow(range.start);
        if !range.is_empty() {
            self.text.remove_range(self.transaction, start, narrow(range.len()));
        }
        if !added.is_empty() {
            let text = String::from_utf16(added).expect("a change begins and ends between characters");
            self.text.insert(self.transaction, start, &text);
        }
        Ok(())
    }

    fn check_index(&self, index: usize) -> Result<(), Refusal> {
        let length = self.units.len();
        if index > length {
            return Err(Refusal::invalid(format!(
                "index {index} is past the end of the text, which has {length} UTF-16 units"
            )));
        }
        if index > 0 && self.units.get(index - 1).copied().is_some_and(is_high) {
            return Err(Refusal::invalid(format!("index {index} is inside a character of two UTF-16 units")));
        }
        Ok(())
    }
}

/// The units of the text, what is embedded being one each.
pub(super) fn units_of(text: &TextRef, transaction: &impl ReadTxn) -> Vec<u16> {
    let plain: Vec<u16> = text.get_string(transaction).encode_utf16().collect();
    if plain.len() == text.len(transaction) as usize {
        return plain;
    }
    let mut units = Vec::with_capacity(text.len(transaction) as usize);
    for chunk in text.diff(transaction, YChange::identity) {
        match chunk.insert {
            Out::Any(Any::String(chunk)) => units.extend(chunk.encode_utf16()),
            _ => units.push(EMBED),
        }
    }
    units
}

/// The text that units show: without what is embedded.
pub(super) fn shown(units: &[u16]) -> String {
    let text: Vec<u16> =
        units.iter().enumerate().filter(|(at, _)| !is_embed(units, *at)).map(|(_, unit)| *unit).collect();
    String::from_utf16_lossy(&text)
}

/// The range of `old` and that of `new` which differ: what comes before and after is the same. What is embedded
/// stays where it is at an end of the range. Neither range begins or ends inside a character.
fn difference(old: &[u16], new: &[u16]) -> (Range<usize>, Range<usize>) {
    let (mut start_old, mut start_new) = (0, 0);
    loop {
        match (old.get(start_old), new.get(start_new)) {
            (Some(&EMBED), _) if is_embed(old, start_old) => start_old += 1,
            (Some(one), Some(other)) if one == other => {
                start_old += 1;
                start_new += 1;
            }
            _ => break,
        }
    }
    if start_new > 0 && new.get(start_new - 1).copied().is_some_and(is_high) {
        start_old -= 1;
        start_new -= 1;
    }
    let (mut end_old, mut end_new) = (old.len(), new.len());
    while end_old > start_old {
        if is_embed(old, end_old - 1) {
            end_old -= 1;
        } else if end_new > start_new && old.get(end_old - 1) == new.get(end_new - 1) {
            end_old -= 1;
            end_new -= 1;
        } else {
            break;
        }
    }
    if new.get(end_new).copied().is_some_and(is_low) {
        end_old += 1;
        end_new += 1;
    }
    (start_old..end_old, start_new..end_new)
}

/// Where `find` occurs, from left to right, without overlap.
fn occurrences(units: &[u16], find: &str) -> Vec<Range<usize>> {
    let text: String =
        char::decode_utf16(units.iter().copied()).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    let length = find.encode_utf16().count();
    let mut found = Vec::new();
    let (mut seen_bytes, mut seen_units) = (0, 0);
    for (at, _) in text.match_indices(find) {
        let between = text.get(seen_bytes..at).unwrap_or_default();
        seen_units += between.encode_utf16().count();
        seen_bytes = at;
        found.push(seen_units..seen_units + length);
    }
    found
}

/// One range that has all these places, and what stands there once each is replaced.
fn joined(units: &[u16], places: &[Range<usize>], text: &[u16]) -> (Range<usize>, Vec<u16>) {
    let start = places.first().map_or(0, |place| place.start);
    let mut added = Vec::new();
    let mut end = start;
    for place in places {
        added.extend((end..place.start).filter(|&at| !is_embed(units, at)).filter_map(|at| units.get(at)));
        added.extend_from_slice(text);
        end = place.end;
    }
    (start..end, added)
}

fn is_embed(units: &[u16], at: usize) -> bool {
    let follows_high = at > 0 && units.get(at - 1).copied().is_some_and(is_high);
    units.get(at) == Some(&EMBED) && !follows_high
}

fn is_high(unit: u16) -> bool {
    (0xd800..0xdc00).contains(&unit)
}

fn is_low(unit: u16) -> bool {
    (0xdc00..0xe000).contains(&unit)
}

fn narrow(units: usize) -> u32 {
    u32::try_from(units).expect("a document is far below 2^32 units")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What of `old` becomes what; `▢` is something embedded.
    fn check(old: &str, new: &str, expected: (&str, &str)) {
        let units = |text: &str| -> Vec<u16> {
            text.encode_utf16().map(|unit| if unit == 0x25a2 { EMBED } else { unit }).collect()
        };
        let (old_units, new_units) = (units(old), units(new));
        let (range, added) = difference(&old_units, &new_units);
        assert_eq!(
            (&old_units[range.clone()], &new_units[added.clone()]),
            (&*units(expected.0), &*units(expected.1)),
            "{old} to {new}: {range:?} by {added:?}"
        );
        let kept = [&old_units[..range.start], &new_units[added], &old_units[range.end..]].concat();
        let shown: Vec<u16> = (0..kept.len()).filter(|&at| !is_embed(&kept, at)).map(|at| kept[at]).collect();
        assert_eq!(String::from_utf16(&shown).unwrap(), new, "{old} to {new}");
    }

    #[test]
    fn the_difference_is_small_and_between_characters() {
        check("", "", ("", ""));
        check("abc", "abc", ("", ""));
        check("abc", "aXc", ("b", "X"));
        check("aa", "aaa", ("", "a"));
        check("aaa", "aa", ("a", ""));
        check("abc", "", ("abc", ""));
        // The same first half of a pair, the same second half, both.
        check("😀", "😁", ("😀", "😁"));
        check("😀", "🨀", ("😀", "🨀"));
        check("a😀b", "a😁b", ("😀", "😁"));
        check("😀😀", "😀", ("😀", ""));
        check("😀", "😀😀", ("", "😀"));
    }

    #[test]
    fn what_is_embedded_stays_at_the_ends() {
        check("▢abc", "abc", ("", ""));
        check("a▢bc▢", "aXc", ("b", "X"));
        check("ab▢c", "aXc", ("b", "X"));
        check("a▢b▢c", "ac", ("b", ""));
        check("a▢b▢c", "", ("a▢b▢c", ""));
        check("▢▢", "x", ("", "x"));
        check("a😀▢b", "a😁b", ("😀", "😁"));
    }
}
