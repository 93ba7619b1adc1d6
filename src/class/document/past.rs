//! The versions of a document that are kept: the last thousand, then one an hour for thirty days.
//!
//! Every change writes one entry of a ring of private keys: who made the version and when, and the way back to the text
//! before it. So an old text is found by going back from the one that is there, and a change costs what it
//! changed. Where the ring comes round, the last version of each hour leaves its whole text behind. The
//! entries' bytes are frozen; they say which version is the first that the chain leads back to, and how many bytes
//! the chain had before them, so that both bounds are held by looking at its ends.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::text::shown;
use super::undo::{self, Pieces, Step, read_number, write_number};
use crate::limits::{
    DOCUMENT_HOURS_KEPT_MS, DOCUMENT_HOURS_MAX_BYTES, DOCUMENT_VERSION_MAX_BYTES, DOCUMENT_VERSIONS_MAX,
    DOCUMENT_VERSIONS_MAX_BYTES,
};
use crate::object::{Refusal, StorageError, Timestamp, Turn};

const RING: &str = "past/";
const HOUR: &str = "hour/";
const HOURS: &str = "hours";
const FORMAT: u8 = 1;
const HOUR_MS: u64 = 60 * 60 * 1_000;

/// One version as the ring keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    version: u64,
    time_ms: u64,
    by: String,
    /// The first version that the chain leads back to.
    first: u64,
    /// Bytes of the chain's entries before this one, those that are gone too.
    bytes_before: u64,
    /// The way back to the version before, as bytes; nothing for the first.
    way: Vec<u8>,
}

/// A version whose whole text is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hour {
    version: u64,
    time_ms: u64,
    by: String,
    bytes: u64,
}

/// Enters the version that the turn takes. `way` leads back from the new text, which `text` gives, to the one before.
pub(super) fn record(
    turn: &mut Turn<'_>,
    text: impl FnOnce() -> Vec<u16>,
    way: Option<Vec<Step>>,
) -> Result<(), Refusal> {
    let version = turn.next_version().0;
    let mut entry = Entry {
        version,
        time_ms: turn.now().0,
        by: turn.caller().subject.to_string(),
        first: version,
        bytes_before: 0,
        way: Vec::new(),
    };
    if let (Some(way), Some((before, bytes))) = (way, read(turn, version - 1)?) {
        undo::encode(&way, &mut entry.way);
        if entry.way.len() <= DOCUMENT_VERSION_MAX_BYTES {
            (entry.first, entry.bytes_before) = (before.first, before.bytes_before + bytes);
        } else {
            entry.way = Vec::new();
        }
    }
    let gone = make_room(turn, &mut entry)?;
    let wanted = last_of_hours(turn, &gone, &entry)?;
    if !wanted.is_empty() {
        keep_hours(turn, text(), &entry, &wanted)?;
    }
    for old in &gone {
        turn.delete_binary(&ring_key(old.version))?;
    }
    turn.put_binary(&ring_key(version), entry.encode())
}

/// Moves the start of an entry's chain until both bounds are held; gives the entries that fall out.
fn make_room(turn: &Turn<'_>, entry: &mut Entry) -> Result<Vec<Entry>, Refusal> {
    let bytes = entry.bytes_before + entry.encode().len() as u64;
    let mut gone = Vec::new();
    while entry.first < entry.version {
        let is_full = entry.version - entry.first >= DOCUMENT_VERSIONS_MAX;
        if !is_full && bytes <= DOCUMENT_VERSIONS_MAX_BYTES {
            break;
        }
        let Some((oldest, _)) = read(turn, entry.first)? else { break };
        if !is_full && bytes - oldest.bytes_before <= DOCUMENT_VERSIONS_MAX_BYTES {
            break;
        }
        entry.first += 1;
        gone.push(oldest);
    }
    Ok(gone)
}

/// Those of the entries that are the last of their hours, and not too old to be kept.
fn last_of_hours(turn: &Turn<'_>, gone: &[Entry], entry: &Entry) -> Result<Vec<Entry>, Refusal> {
    let mut wanted = Vec::new();
    for (index, old) in gone.iter().enumerate() {
        let next_ms = match gone.get(index + 1) {
            Some(next) => next.time_ms,
            None if old.version + 1 == entry.version => entry.time_ms,
            None => read(turn, old.version + 1)?.map_or(entry.time_ms, |(next, _)| next.time_ms),
        };
        if next_ms / HOUR_MS != old.time_ms / HOUR_MS && is_recent(old.time_ms, entry.time_ms) {
            wanted.push(old.clone());
        }
    }
    Ok(wanted)
}

/// Keeps whole texts, as far as they fit into one commit.
fn keep_hours(turn: &mut Turn<'_>, text: Vec<u16>, entry: &Entry, wanted: &[Entry]) -> Result<(), Refusal> {
    let mut pieces = Pieces::of(text);
    let mut at = entry.version;
    let (mut hours, mut room) = (hours(turn)?, DOCUMENT_VERSION_MAX_BYTES);
    let mut kept = Vec::new();
    for old in wanted.iter().rev() {
        if !go_back(turn, &mut pieces, at, old.version, Some(entry))? {
            break;
        }
        at = old.version;
        let text = shown(&pieces.units());
        let Some(left) = room.checked_sub(text.len()) else { continue };
        room = left;
        kept.push(Hour {
            version: old.version,
            time_ms: old.time_ms,
            by: old.by.clone(),
            bytes: text.len() as u64,
        });
        turn.put_binary(&hour_key(old.version), text.into_bytes())?;
    }
    hours.extend(kept.into_iter().rev());
    let mut bytes: u64 = hours.iter().map(|hour| hour.bytes).sum();
    let mut stays = Vec::with_capacity(hours.len());
    for hour in hours {
        if is_recent(hour.time_ms, entry.time_ms) && bytes <= DOCUMENT_HOURS_MAX_BYTES {
            stays.push(hour);
        } else {
            bytes -= hour.bytes;
            turn.delete_binary(&hour_key(hour.version))?;
        }
    }
    turn.put_binary(HOURS, serde_json::to_vec(&stays).expect("a list of hours has a form in JSON"))
}

/// The versions kept, newest first, those before `before` if it is given.
pub(super) fn list(turn: &Turn<'_>, limit: usize, before: Option<u64>) -> Result<Json, Refusal> {
    let newest = turn.version().0;
    let first = read(turn, newest)?.map_or(newest + 1, |(entry, _)| entry.first);
    let end = before.unwrap_or(u64::MAX);
    let mut rows = Vec::new();
    for version in (first..=newest.min(end.saturating_sub(1))).rev().take(limit + 1) {
        let Some((entry, _)) = read(turn, version)? else { break };
        rows.push(row(entry.version, entry.time_ms, &entry.by));
    }
    let hours = hours(turn)?;
    let hours = hours.iter().rev().filter(|hour| hour.version < first.min(end));
    let hours = hours.filter(|hour| is_recent(hour.time_ms, turn.now().0));
    rows.extend(hours.map(|hour| row(hour.version, hour.time_ms, &hour.by)).take(limit + 1 - rows.len()));
    let more = rows.len() > limit;
    rows.truncate(limit);
    let cursor = rows.last().filter(|_| more).map_or(Json::Null, |row| row["version"].clone());
    Ok(json!({ "versions": rows, "cursor": cursor }))
}

fn row(version: u64, time_ms: u64, by: &str) -> Json {
    json!({ "version": version, "timestamp": Timestamp(time_ms), "by": by })
}

/// The text of a version; none if it is not kept. `text` is that of the newest.
pub(super) fn content(turn: &Turn<'_>, text: Vec<u16>, version: u64) -> Result<Option<String>, Refusal> {
    let newest = turn.version().0;
    if version == newest {
        return Ok(Some(shown(&text)));
    }
    let first = read(turn, newest)?.map_or(newest, |(entry, _)| entry.first);
    if (first..newest).contains(&version) {
        let mut pieces = Pieces::of(text);
        return if go_back(turn, &mut pieces, newest, version, None)? {
            Ok(Some(shown(&pieces.units())))
        } else {
            Err(damaged("a version does not lead back to the one before"))
        };
    }
    let is_kept =
        hours(turn)?.iter().any(|hour| hour.version == version && is_recent(hour.time_ms, turn.now().0));
    let text = if is_kept { turn.get_binary(&hour_key(version))? } else { None };
    text.map(|text| String::from_utf8(text.into()).map_err(|_| damaged("a version is no text"))).transpose()
}

/// Goes back from one version to another; whether there is a way. `newest` is not among the keys yet.
fn go_back(
    turn: &Turn<'_>,
    pieces: &mut Pieces,
    from: u64,
    to: u64,
    newest: Option<&Entry>,
) -> Result<bool, Refusal> {
    for version in (to + 1..=from).rev() {
        let entry = match newest.filter(|newest| newest.version == version) {
            Some(newest) => Some(newest.clone()),
            None => read(turn, version)?.map(|(entry, _)| entry),
        };
        let way = entry.and_then(|entry| undo::decode(&entry.way));
        if way.and_then(|way| pieces.back(way)).is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// An entry of the ring and its size, if it is of that version.
fn read(turn: &Turn<'_>, version: u64) -> Result<Option<(Entry, u64)>, Refusal> {
    let Some(bytes) = turn.get_binary(&ring_key(version))? else { return Ok(None) };
    let entry = Entry::decode(&bytes).ok_or_else(|| damaged("a version's entry can not be read"))?;
    Ok((entry.version == version).then_some((entry, bytes.len() as u64)))
}

fn hours(turn: &Turn<'_>) -> Result<Vec<Hour>, Refusal> {
    let Some(bytes) = turn.get_binary(HOURS)? else { return Ok(Vec::new()) };
    serde_json::from_slice(&bytes).map_err(|_| damaged("the list of hours can not be read"))
}

fn is_recent(time_ms: u64, now_ms: u64) -> bool {
    now_ms.saturating_sub(time_ms) <= DOCUMENT_HOURS_KEPT_MS
}

fn ring_key(version: u64) -> String {
    format!("{RING}{:04}", version % DOCUMENT_VERSIONS_MAX)
}

fn hour_key(version: u64) -> String {
    format!("{HOUR}{version:016x}")
}

fn damaged(what: &str) -> Refusal {
    Refusal::Storage(StorageError { detail: format!("the document's past is damaged: {what}") })
}

impl Entry {
    fn encode(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        for number in [self.version, self.time_ms, self.first, self.bytes_before, self.by.len() as u64] {
            write_number(number, &mut out);
        }
        out.extend_from_slice(self.by.as_bytes());
        out.extend_from_slice(&self.way);
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (&FORMAT, mut rest) = bytes.split_first()? else { return None };
        let mut next = || read_number(&mut rest);
        let (version, time_ms, first, bytes_before) = (next()?, next()?, next()?, next()?);
        let length = usize::try_from(next()?).ok()?;
        let (by, way) = rest.split_at_checked(length)?;
        let by = std::str::from_utf8(by).ok()?.to_owned();
        Some(Self { version, time_ms, by, first, bytes_before, way: way.to_vec() })
    }
}

#[cfg(test)]
mod tests;
