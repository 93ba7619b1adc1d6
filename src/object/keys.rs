//! The binary keys under which an object's parts are stored within its shard. Frozen: they are on disk.
//!
//! `tenant 00 class 00 name 00 kind rest`. No part of an address has a byte 00, so the order of bytes is the
//! order of tenant, class and name, and all of an object lies together with its meta first. Numbers are
//! big-endian, so that their order is that of the bytes. In the space of timers, time comes first.

use std::ops::Range;

use super::idempotency::IdempotencyKey;
use super::{ClassName, Key, ObjectAddress, ObjectName, Space, StoredKey, Tenant, Timestamp, Version};
use crate::limits::HISTORY_MAX_UPDATES;

/// What a key holds. The numbers are on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The object's meta. The lowest, so that it is the first key of the object.
    Meta = 1,
    /// A key of its state, in a generation.
    State = 2,
    /// An update in its history, by its version's place in the ring.
    History = 3,
    /// A kept answer, by the caller's idempotency key.
    Record = 4,
    /// The place of a kept answer in the order of age.
    RecordSlot = 5,
    /// Its alarm, in the space of timers.
    Alarm = 6,
    /// When the runtime wants to look after it, in the space of timers.
    Due = 7,
}

/// Which timer of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimelineKind {
    /// Its alarm.
    Alarm,
    /// The runtime's own.
    Due,
}

/// What a key of an object holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// [`Kind::Meta`].
    Meta,
    /// [`Kind::State`].
    State {
        /// The generation.
        generation: u32,
        /// The key.
        key: StoredKey,
    },
    /// [`Kind::History`].
    History(u8),
    /// [`Kind::Record`].
    Record(IdempotencyKey),
    /// [`Kind::RecordSlot`].
    RecordSlot(u64),
}

/// The bytes are not a key of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are not a key of an object")]
pub struct KeysError;

/// Higher than any byte of UTF-8 and than any kind.
const HIGHEST: u8 = 0xff;
const END: u8 = 0;

/// Where the object's meta lies: the first of its keys.
#[must_use]
pub fn meta(address: &ObjectAddress) -> Vec<u8> {
    under(address, Kind::Meta, &[])
}

/// Where a key of its state lies.
#[must_use]
pub fn state(address: &ObjectAddress, generation: u32, space: Space, key: &str) -> Vec<u8> {
    let mut bytes = under(address, Kind::State, &generation.to_be_bytes());
    bytes.push(space as u8);
    bytes.extend_from_slice(key.as_bytes());
    bytes
}

/// Every key of a generation of its state.
#[must_use]
pub fn state_range(address: &ObjectAddress, generation: u32) -> Range<Vec<u8>> {
    up_from(under(address, Kind::State, &generation.to_be_bytes()))
}

/// The keys of its state in one space that begin with `prefix`.
#[must_use]
pub fn state_prefix_range(
    address: &ObjectAddress,
    generation: u32,
    space: Space,
    prefix: &str,
) -> Range<Vec<u8>> {
    up_from(state(address, generation, space, prefix))
}

/// Places in the ring of a history, a byte's worth. On disk: a history may be shorter, never longer.
const HISTORY_PLACES: u64 = 256;
const _: () =
    assert!(HISTORY_MAX_UPDATES <= HISTORY_PLACES, "each update of a history has a place of its own");

/// Where the update of a version lies: in a ring, so that a new one takes the place of the one that goes.
#[must_use]
pub fn history(address: &ObjectAddress, version: Version) -> Vec<u8> {
    under(address, Kind::History, &[history_place(version)])
}

/// Whether two versions have the same place in a history.
#[must_use]
pub fn share_place(one: Version, other: Version) -> bool {
    history_place(one) == history_place(other)
}

/// The updates of these versions, in order, in one range of keys or two; the end is not one of them. Whoever
/// reads them checks that they are of these versions, of which there are no more than places.
pub fn history_ranges(
    address: &ObjectAddress,
    versions: Range<u64>,
) -> impl Iterator<Item = Range<Vec<u8>>> + use<> {
    let first = versions.start % HISTORY_PLACES;
    let count = versions.end.saturating_sub(versions.start).min(HISTORY_PLACES);
    let (before, wrapped) =
        (first..(first + count).min(HISTORY_PLACES), 0..(first + count).saturating_sub(HISTORY_PLACES));
    let address = address.clone();
    [before, wrapped].into_iter().filter(|places| !places.is_empty()).map(move |places| {
        let key = |place: u64| history(&address, Version(place));
        let end = if places.end < HISTORY_PLACES {
            key(places.end)
        } else {
            up_from(under(&address, Kind::History, &[u8::MAX])).end
        };
        key(places.start)..end
    })
}

fn history_place(version: Version) -> u8 {
    u8::try_from(version.0 % HISTORY_PLACES).expect("a remainder of 256 is a byte")
}

/// Where the answer for an idempotency key lies.
#[must_use]
pub fn record_by_key(address: &ObjectAddress, key: &IdempotencyKey) -> Vec<u8> {
    under(address, Kind::Record, key.as_str().as_bytes())
}

/// Where the record of a number lies in the order of age.
#[must_use]
pub fn record_by_sequence(address: &ObjectAddress, sequence: u64) -> Vec<u8> {
    under(address, Kind::RecordSlot, &sequence.to_be_bytes())
}

/// The records of these numbers in the order of age; the end is not one of them.
#[must_use]
pub fn record_range(address: &ObjectAddress, sequences: Range<u64>) -> Range<Vec<u8>> {
    record_by_sequence(address, sequences.start)..record_by_sequence(address, sequences.end)
}

/// After the last key of the object, before the first of the next: where a list goes on.
#[must_use]
pub fn object_end(address: &ObjectAddress) -> Vec<u8> {
    let mut bytes = object_start(address);
    bytes.push(HIGHEST);
    bytes
}

/// Every key of the object.
#[must_use]
pub fn object_range(address: &ObjectAddress) -> Range<Vec<u8>> {
    object_start(address)..object_end(address)
}

/// Every key of the objects of a class whose names begin with `prefix`.
#[must_use]
pub fn class_range(tenant: &Tenant, class: &ClassName, prefix: &str) -> Range<Vec<u8>> {
    let mut start = Vec::with_capacity(tenant.as_str().len() + class.as_str().len() + prefix.len() + 3);
    push_part(&mut start, tenant.as_str());
    push_part(&mut start, class.as_str());
    start.extend_from_slice(prefix.as_bytes());
    up_from(start)
}

/// What a key of an object is.
///
/// # Errors
/// [`KeysError`] if it is none.
pub fn decode(bytes: &[u8]) -> Result<(ObjectAddress, Place), KeysError> {
    let (address, rest) = take_address(bytes)?;
    let (&kind, rest) = rest.split_first().ok_or(KeysError)?;
    let place = match kind {
        kind if kind == Kind::Meta as u8 && rest.is_empty() => Place::Meta,
        kind if kind == Kind::State as u8 => take_state(rest)?,
        kind if kind == Kind::History as u8 => match rest {
            [place] => Place::History(*place),
            _ => return Err(KeysError),
        },
        kind if kind == Kind::Record as u8 => {
            Place::Record(text(rest).and_then(|key| IdempotencyKey::parse(key).map_err(|_| KeysError))?)
        }
        kind if kind == Kind::RecordSlot as u8 => Place::RecordSlot(number(rest)?),
        _ => return Err(KeysError),
    };
    Ok((address, place))
}

/// Where a timer of an object lies in the order of time.
#[must_use]
pub fn timeline(time: Timestamp, address: &ObjectAddress, kind: TimelineKind) -> Vec<u8> {
    let kind = match kind {
        TimelineKind::Alarm => Kind::Alarm,
        TimelineKind::Due => Kind::Due,
    };
    let mut bytes = time.0.to_be_bytes().to_vec();
    bytes.push(kind as u8);
    bytes.extend_from_slice(&object_start(address));
    bytes
}

/// After the last timer of that time or earlier.
#[must_use]
pub fn timeline_end(time: Timestamp) -> Vec<u8> {
    let mut bytes = time.0.to_be_bytes().to_vec();
    bytes.push(HIGHEST);
    bytes
}

/// What a key in the space of timers is.
///
/// # Errors
/// [`KeysError`] if it is none.
pub fn decode_timeline(bytes: &[u8]) -> Result<(Timestamp, ObjectAddress, TimelineKind), KeysError> {
    let (time, rest) = bytes.split_first_chunk::<8>().ok_or(KeysError)?;
    let (&kind, rest) = rest.split_first().ok_or(KeysError)?;
    let kind = match kind {
        kind if kind == Kind::Alarm as u8 => TimelineKind::Alarm,
        kind if kind == Kind::Due as u8 => TimelineKind::Due,
        _ => return Err(KeysError),
    };
    let (address, rest) = take_address(rest)?;
    if rest.is_empty() { Ok((Timestamp(u64::from_be_bytes(*time)), address, kind)) } else { Err(KeysError) }
}

/// `tenant 00 class 00 name 00`: what every key of the object begins with.
#[must_use]
pub fn object_start(address: &ObjectAddress) -> Vec<u8> {
    let (tenant, class, name) =
        (address.tenant().as_str(), address.class().as_str(), address.name().as_str());
    let mut bytes = Vec::with_capacity(tenant.len() + class.len() + name.len() + 24);
    push_part(&mut bytes, tenant);
    push_part(&mut bytes, class);
    push_part(&mut bytes, name);
    bytes
}

/// The address at the front of a key and what follows it.
///
/// # Errors
/// [`KeysError`] if there is none.
pub fn take_address(bytes: &[u8]) -> Result<(ObjectAddress, &[u8]), KeysError> {
    let (tenant, rest) = take_part(bytes)?;
    let (class, rest) = take_part(rest)?;
    let (name, rest) = take_part(rest)?;
    let tenant = Tenant::parse(tenant).or_else(|_| Tenant::reserved(tenant)).map_err(|_| KeysError)?;
    let class = ClassName::parse(class).map_err(|_| KeysError)?;
    let name = ObjectName::parse(name).map_err(|_| KeysError)?;
    Ok((ObjectAddress::new(tenant, class, name), rest))
}

fn under(address: &ObjectAddress, kind: Kind, rest: &[u8]) -> Vec<u8> {
    let mut bytes = object_start(address);
    bytes.push(kind as u8);
    bytes.extend_from_slice(rest);
    bytes
}

/// From these bytes to all that begin with them and go on in UTF-8 or with a number below 2^56.
fn up_from(start: Vec<u8>) -> Range<Vec<u8>> {
    let mut end = start.clone();
    end.push(HIGHEST);
    start..end
}

fn push_part(bytes: &mut Vec<u8>, part: &str) {
    bytes.extend_from_slice(part.as_bytes());
    bytes.push(END);
}

fn take_part(bytes: &[u8]) -> Result<(&str, &[u8]), KeysError> {
    let at = bytes.iter().position(|&byte| byte == END).ok_or(KeysError)?;
    let (part, rest) = bytes.split_at_checked(at).ok_or(KeysError)?;
    Ok((text(part)?, rest.get(1..).ok_or(KeysError)?))
}

fn take_state(rest: &[u8]) -> Result<Place, KeysError> {
    let (generation, rest) = rest.split_first_chunk::<4>().ok_or(KeysError)?;
    let (&space, key) = rest.split_first().ok_or(KeysError)?;
    let space = match space {
        space if space == Space::Public as u8 => Space::Public,
        space if space == Space::Private as u8 => Space::Private,
        _ => return Err(KeysError),
    };
    let key = Key::parse(text(key)?).map_err(|_| KeysError)?;
    Ok(Place::State { generation: u32::from_be_bytes(*generation), key: StoredKey { space, key } })
}

fn number(rest: &[u8]) -> Result<u64, KeysError> {
    rest.try_into().map(u64::from_be_bytes).map_err(|_| KeysError)
}

fn text(bytes: &[u8]) -> Result<&str, KeysError> {
    std::str::from_utf8(bytes).map_err(|_| KeysError)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::object::samples;

    fn address() -> ObjectAddress {
        ObjectAddress::parse("default", "counter", "visits").unwrap()
    }

    fn show(bytes: &[u8]) -> String {
        bytes.escape_ascii().to_string()
    }

    #[test]
    #[expect(clippy::needless_raw_string_hashes, reason = "expect-test writes them")]
    fn are_frozen() {
        let address = address();
        let key = IdempotencyKey::parse("k-1").unwrap();
        let shown: String = [
            meta(&address),
            state(&address, 1, Space::Public, "value"),
            state(&address, 258, Space::Private, "value"),
            state_range(&address, 1).end,
            history(&address, Version(515)),
            record_by_key(&address, &key),
            record_by_sequence(&address, 7),
            object_end(&address),
            class_range(address.tenant(), address.class(), "vi").start,
            class_range(address.tenant(), address.class(), "vi").end,
            timeline(Timestamp(1_795_227_096_224), &address, TimelineKind::Alarm),
            timeline(Timestamp(1_795_227_096_224), &address, TimelineKind::Due),
            timeline_end(Timestamp(1_795_227_096_224)),
        ]
        .iter()
        .map(|bytes| show(bytes) + "\n")
        .collect();
        expect![[r#"
            default\x00counter\x00visits\x00\x01
            default\x00counter\x00visits\x00\x02\x00\x00\x00\x01\x00value
            default\x00counter\x00visits\x00\x02\x00\x00\x01\x02\x01value
            default\x00counter\x00visits\x00\x02\x00\x00\x00\x01\xff
            default\x00counter\x00visits\x00\x03\x03
            default\x00counter\x00visits\x00\x04k-1
            default\x00counter\x00visits\x00\x05\x00\x00\x00\x00\x00\x00\x00\x07
            default\x00counter\x00visits\x00\xff
            default\x00counter\x00vi
            default\x00counter\x00vi\xff
            \x00\x00\x01\xa1\xfb\xdf\x94\xa0\x06default\x00counter\x00visits\x00
            \x00\x00\x01\xa1\xfb\xdf\x94\xa0\x07default\x00counter\x00visits\x00
            \x00\x00\x01\xa1\xfb\xdf\x94\xa0\xff
        "#]]
        .assert_eq(&shown);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let good = meta(&address());
        assert_eq!(decode(&good), Ok((address(), Place::Meta)));
        let mut longer = good.clone();
        longer.push(0);
        let mut other = good.clone();
        *other.last_mut().unwrap() = 99;
        for bytes in
            [&good[..good.len() - 1], &longer, &other, b"", b"\0\0\0\x01", b"default\0counter\0..\0\x01"]
        {
            assert_eq!(decode(bytes), Err(KeysError), "{}", show(bytes));
        }
    }

    proptest! {
        #[test]
        fn come_back(
            address in samples::address(),
            generation: u32,
            key in samples::stored_key(),
            number: u64,
            record in "[!-~]{1,9}",
        ) {
            let record = IdempotencyKey::parse(&record).unwrap();
            let state = state(&address, generation, key.space, key.key.as_str());
            prop_assert_eq!(decode(&state), Ok((address.clone(), Place::State { generation, key })));
            prop_assert_eq!(decode(&meta(&address)), Ok((address.clone(), Place::Meta)));
            prop_assert_eq!(decode(&history(&address, Version(number))), Ok((address.clone(), Place::History(history_place(Version(number))))));
            prop_assert_eq!(decode(&record_by_key(&address, &record)), Ok((address.clone(), Place::Record(record))));
            prop_assert_eq!(decode(&record_by_sequence(&address, number)), Ok((address.clone(), Place::RecordSlot(number))));
            for kind in [TimelineKind::Alarm, TimelineKind::Due] {
                let bytes = timeline(Timestamp(number), &address, kind);
                prop_assert_eq!(decode_timeline(&bytes), Ok((Timestamp(number), address.clone(), kind)));
            }
        }

        #[test]
        fn keep_the_order_of_addresses(one in samples::address(), other in samples::address()) {
            prop_assert_eq!(meta(&one).cmp(&meta(&other)), one.cmp(&other));
            if one < other {
                prop_assert!(object_end(&one) < meta(&other), "objects do not interleave");
            }
        }

        #[test]
        fn keep_the_order_of_state(address in samples::address(), one in samples::stored_key(), other in samples::stored_key(), g: u32, h: u32) {
            let bytes = |generation, key: &StoredKey| state(&address, generation, key.space, key.key.as_str());
            prop_assert_eq!(bytes(g, &one).cmp(&bytes(h, &other)), (g, &one).cmp(&(h, &other)));
            prop_assert!(state_range(&address, g).contains(&bytes(g, &one)));
            prop_assert_eq!(state_range(&address, h).contains(&bytes(g, &one)), g == h);
            prop_assert!(object_range(&address).contains(&bytes(g, &one)));
        }

        #[test]
        fn ranges_hold_what_they_say(address in samples::address(), key in samples::key(), prefix in samples::key(), number: u64, low: u64, high: u64) {
            let range = state_prefix_range(&address, 3, Space::Public, prefix.as_str());
            let is_in = range.contains(&state(&address, 3, Space::Public, key.as_str()));
            prop_assert_eq!(is_in, key.as_str().starts_with(prefix.as_str()));
            prop_assert!(!range.contains(&state(&address, 3, Space::Private, key.as_str())));
            prop_assert_eq!(record_range(&address, low..high).contains(&record_by_sequence(&address, number)), (low..high).contains(&number));
        }

        #[test]
        fn a_history_is_read_in_order(address in samples::address(), start in 0..u64::MAX / 2, count in 0..=256_u64) {
            let versions = start..start + count;
            let stored: std::collections::BTreeMap<_, _> =
                versions.clone().map(|version| (history(&address, Version(version)), version)).collect();
            prop_assert_eq!(stored.len() as u64, count, "each has a place of its own");
            let ranges = history_ranges(&address, versions.clone());
            let read: Vec<u64> = ranges.flat_map(|range| stored.range(range).map(|(_, version)| *version)).collect();
            prop_assert_eq!(read, versions.collect::<Vec<_>>());
        }

        #[test]
        fn a_class_holds_its_objects(one in samples::address(), other in samples::address(), prefix in "\\PC{0,2}") {
            let range = class_range(one.tenant(), one.class(), &prefix);
            let is_in = |address: &ObjectAddress| {
                (address.tenant(), address.class()) == (one.tenant(), one.class()) && address.name().as_str().starts_with(&prefix)
            };
            prop_assert_eq!(range.contains(&meta(&one)), is_in(&one));
            prop_assert_eq!(range.contains(&meta(&other)), is_in(&other));
        }

        #[test]
        fn timers_are_in_the_order_of_time(address in samples::address(), other in samples::address(), one: u64, later in any::<u64>()) {
            let key = timeline(Timestamp(one), &address, TimelineKind::Due);
            let is_over = key < timeline_end(Timestamp(later));
            prop_assert_eq!(is_over, one <= later);
            if one != later {
                prop_assert_eq!(key.cmp(&timeline(Timestamp(later), &other, TimelineKind::Alarm)), one.cmp(&later));
            }
        }

        #[test]
        fn any_bytes_never_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes);
            let _ = decode_timeline(&bytes);
        }
    }
}
