//! What a replica has applied, read again from its log.
//!
//! An entry that is in the log took effect only if none of its term is missing before it ([`Order`]); whoever reads
//! from the middle of a term looks back far enough to know. Recent entries are in memory, so that reading them as
//! they are applied costs no look at the disk.

use std::sync::Arc;

use openraft::EntryPayload;

use crate::group::Stopped;
use crate::group::order::Order;
use crate::group::standing::Standing;
use crate::layout::{LogIndex, Term};
use crate::options::ENTRIES_IN_FLIGHT_MAX;
use crate::raft::{Commands, Entry, term_of};
use crate::storage::ReadError;
use crate::storage::log::GroupLog;

/// Why no more can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The log does not reach back so far any more.
    #[error("the log does not reach back so far any more")]
    Purged,
    /// The shard is stopped on this node.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The disk can not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// The commands of one entry, all of them applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedEntry {
    /// Its index.
    pub index: LogIndex,
    commands: Commands,
}

impl AppliedEntry {
    /// The commands in the order in which they were applied.
    pub fn commands(&self) -> impl Iterator<Item = &[u8]> {
        self.commands.iter()
    }
}

/// Some of what was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Entries with commands, in order.
    pub entries: Vec<AppliedEntry>,
    /// The last index that was looked at.
    pub reached: LogIndex,
}

/// Reads again what was applied, in order. See [`Shard::replay`](crate::Shard::replay).
pub struct Replay {
    standing: Arc<Standing>,
    /// None for a replica that was stopped from the start.
    log: Option<GroupLog>,
    reached: LogIndex,
    /// What took effect up to there; none while that is not looked up.
    order: Option<Order>,
}

impl Replay {
    pub(crate) fn new(standing: Arc<Standing>, log: Option<GroupLog>, after: Option<LogIndex>) -> Self {
        let place = standing.place();
        let (reached, order) = match after.filter(|after| *after != place.index) {
            None => (place.index, Some(place.order)),
            Some(reached) => (reached, None),
        };
        Self { standing, log, reached, order }
    }

    /// The last index that was looked at.
    #[must_use]
    pub fn reached(&self) -> LogIndex {
        self.reached
    }

    /// The next entries that are applied, up to about `bytes_max` of them, at least one; none if there are none yet.
    ///
    /// # Errors
    ///
    /// When they can not be read any more.
    pub fn next_page(&mut self, bytes_max: usize) -> Result<Page, ReplayError> {
        let (from, mut entries) = (self.reached + 1, Vec::new());
        let place = self.standing.place();
        if place.index < from {
            return Ok(Page { entries, reached: self.reached });
        }
        let Some(log) = &self.log else {
            return Err(Stopped(self.standing.stopped().unwrap_or("it has no log").to_owned()).into());
        };
        let mut order = match self.order {
            Some(order) => order,
            None => look_back(log, self.reached, place.readable_from)?,
        };
        for entry in read(log, from, place.index + 1, bytes_max, place.readable_from)? {
            let (index, term) = (entry.log_id.index, term_of(&entry.log_id));
            if let EntryPayload::Normal(commands) = entry.payload
                && order.takes(term, commands.sequence())
            {
                entries.push(AppliedEntry { index, commands });
            }
            self.reached = index;
        }
        self.order = Some(order);
        Ok(Page { entries, reached: self.reached })
    }
}

/// The entries of `from..to`, all of them applied, from the first one on.
fn read(
    log: &GroupLog,
    from: LogIndex,
    to: LogIndex,
    bytes_max: usize,
    readable_from: LogIndex,
) -> Result<Vec<Entry>, ReplayError> {
    let is_kept = || from >= readable_from && log.purged().is_none_or(|purged| purged < from);
    if !is_kept() {
        return Err(ReplayError::Purged);
    }
    let entries = log.read(from, to, bytes_max)?;
    let is_whole = entries.iter().zip(from..).all(|(entry, index)| entry.log_id.index == index);
    match entries.is_empty() || !is_whole {
        false => Ok(entries),
        // It went while it was read.
        true if !is_kept() => Err(ReplayError::Purged),
        true => Err(ReplayError::Read(ReadError(format!("the log has a gap at or behind index {from}")))),
    }
}

/// Bytes read at once when looking back: only the numbers of the entries are of use.
const LOOK_BACK_BYTES: usize = 1024 * 1024;
/// Entries looked back at, at most. Of those in between that carry no commands there are few.
const LOOK_BACK_MAX: u64 = 8 * LOOK_BACK_STEP;
const LOOK_BACK_STEP: u64 = 2 * ENTRIES_IN_FLIGHT_MAX as u64;

/// Which entry took effect last, up to and with `reached`.
fn look_back(log: &GroupLog, reached: LogIndex, readable_from: LogIndex) -> Result<Order, ReplayError> {
    let first_kept = log.purged().map_or(0, |purged| purged + 1).max(readable_from);
    let mut back = LOOK_BACK_STEP;
    loop {
        let from = (reached + 1).saturating_sub(back).max(first_kept);
        let (mut seen, mut next) = (Seen::default(), from);
        if from == 0 {
            seen.begins(0);
        }
        while next <= reached {
            for entry in read(log, next, reached + 1, LOOK_BACK_BYTES, readable_from)? {
                next = entry.log_id.index + 1;
                seen.entry(&entry);
            }
        }
        match seen.order() {
            Some(order) => return Ok(order),
            None if from == first_kept || back >= LOOK_BACK_MAX => return Err(ReplayError::Purged),
            None => back *= 2,
        }
    }
}

/// What a run of entries shows of the order.
#[derive(Default)]
struct Seen {
    last_term: Option<Term>,
    order: Option<Order>,
    /// Entries with commands, of the term in whose middle the run began.
    unsure: usize,
    is_sure: bool,
}

impl Seen {
    fn begins(&mut self, term: Term) {
        (self.last_term, self.order, self.is_sure) = (Some(term), Some(Order::begin(term)), true);
    }

    fn entry(&mut self, entry: &Entry) {
        let term = term_of(&entry.log_id);
        if self.last_term.is_some_and(|last| last != term) {
            // The run holds the beginning of this term.
            self.begins(term);
        }
        self.last_term = Some(term);
        let EntryPayload::Normal(commands) = &entry.payload else { return };
        match &mut self.order {
            Some(order) => {
                order.takes(term, commands.sequence());
            }
            // Were this one without effect, then all behind it would be, and they are fewer than may be on their way.
            none @ None => *none = Some(Order::behind(term, commands.sequence())),
        }
        self.unsure += 1;
        self.is_sure |= self.unsure > ENTRIES_IN_FLIGHT_MAX;
    }

    fn order(&self) -> Option<Order> {
        self.order.filter(|_| self.is_sure)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use openraft::EntryPayload;

    use super::{ENTRIES_IN_FLIGHT_MAX, Seen};
    use crate::group::order::Order;
    use crate::raft::{Commands, Entry, log_id};

    /// A term, and the number of an entry with commands; 0 for one without.
    fn seen(run: impl IntoIterator<Item = (u64, u64)>) -> Option<Order> {
        let mut seen = Seen::default();
        for (index, (term, sequence)) in (100..).zip(run) {
            let commands = [Bytes::from_static(b"command")];
            let payload = match sequence {
                0 => EntryPayload::Blank,
                _ => EntryPayload::Normal(Commands::pack(sequence, commands.iter())),
            };
            seen.entry(&Entry { log_id: log_id(term, index), payload });
        }
        seen.order()
    }

    #[test]
    fn a_run_is_sure_where_it_holds_a_beginning_or_more_than_can_be_without_effect() {
        let most = ENTRIES_IN_FLIGHT_MAX as u64;
        assert_eq!(seen([]), None);
        assert_eq!(seen([(3, 7), (3, 8)]), None);
        assert_eq!(seen((1..=most).map(|sequence| (3, 40 + sequence))), None);
        assert_eq!(seen((0..=most).map(|sequence| (3, 40 + sequence))), Some(Order::behind(3, 40 + most)));
        assert_eq!(seen([(3, 7), (4, 0)]), Some(Order::begin(4)));
        assert_eq!(seen([(3, 7), (4, 0), (4, 1), (4, 2)]), Some(Order::behind(4, 2)));
        // Behind the gap nothing took effect.
        assert_eq!(seen([(3, 7), (4, 0), (4, 1), (4, 3), (4, 4)]), Some(Order::behind(4, 1)));
    }
}
