//! The binary keys under which an object's parts are stored within its shard. Frozen: they are on disk.
//!
//! `tenant 00 class 00 name 00 kind rest`. No part of an address has a byte 00, so the order of bytes is the
//! order of tenant, class and name, and all of an object lies together with its meta first. Numbers are
//! big-endian, so that their order is that of the bytes. In the space of timers, time comes first.

use std::ops::Range;

use super::idempotency::IdempotencyKey;
use super::{ClassName, Key, ObjectAddress, ObjectName, Space, StoredKey, Tenant, Timestamp, Version};

/// What a key holds. The numbers are on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The object's meta. The lowest, so that it is the first key of the object.
    Meta = 1,
    /// A key of its state, in a generation.
    State = 2,
    /// An update in its history, by version.
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
    History(Version),
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

/// Where the update of a version lies.
#[must_use]
pub fn history(address: &ObjectAddress, version: Version) -> Vec<u8> {
    under(address, Kind::History, &version.0.to_be_bytes())
}

/// The updates of these versions; the end is not one of them.
#[must_use]
pub fn history_range(address: &ObjectAddress, versions: Range<u64>) -> Range<Vec<u8>> {
    history(address, Version(versions.start))..history(address, Version(versions.end))
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
        kind if kind == Kind::History as u8 => Place::History(Version(number(rest)?)),
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
