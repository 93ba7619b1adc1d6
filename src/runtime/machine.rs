//! The objects' state machine: carries out committed commits, on every replica alike.
//!
//! Apply is pure. It checks that a commit was made on what is there, and turns it into plain puts and
//! deletes; everything else was decided by the turn. A commit that does not fit is a bug, and stops
//! the shard on this node: going on would make replicas differ.

use std::num::NonZeroUsize;

use lru::LruCache;
use stead_cluster::{ApplyError, LogIndex, Machine, Reader, Space, Writes};

use crate::limits;
use crate::object::commit::{Base, Commit, Move};
use crate::object::keys::{self, TimelineKind};
use crate::object::{AddressHash, Op, Update, Version, codec};

/// The state machine of one shard's objects.
pub struct ObjectMachine {
    /// The last commit applied of recent objects: those whose meta may not be written yet, and more.
    bases: LruCache<AddressHash, (Base, LogIndex)>,
}

impl ObjectMachine {
    /// One that remembers nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self { bases: LruCache::unbounded() }
    }

    fn base_of(&mut self, commit: &Commit, reader: &Reader) -> Result<Base, ApplyError> {
        if let Some((base, _)) = self.bases.get(&commit.address.hash()) {
            return Ok(*base);
        }
        let meta = reader.get(Space::State, &keys::meta(&commit.address)).map_err(refused)?;
        match meta {
            Some(meta) => Ok(Base::of(&codec::decode_meta(&meta).map_err(refused)?)),
            None => Ok(Base::default()),
        }
    }

    fn remember(&mut self, commit: &Commit, index: LogIndex, written: LogIndex) {
        let base = if commit.forgets_object { Base::default() } else { Base::of(&commit.meta) };
        self.bases.put(commit.address.hash(), (base, index));
        // What is written can be read again; what is not must be remembered.
        while self.bases.len() > BASES_KEPT.get()
            && self.bases.peek_lru().is_some_and(|(_, (_, index))| *index <= written)
        {
            self.bases.pop_lru();
        }
    }
}

/// Bases a shard remembers although they are written: what saves apply a look at the disk.
const BASES_KEPT: NonZeroUsize = limits::BASES_KEPT;

impl Default for ObjectMachine {
    fn default() -> Self {
        Self::new()
    }
}

impl Machine for ObjectMachine {
    fn apply(
        &mut self,
        index: LogIndex,
        command: &[u8],
        reader: &Reader,
        writes: &mut Writes,
    ) -> Result<(), ApplyError> {
        let commit = codec::decode_commit(command).map_err(refused)?;
        let base = self.base_of(&commit, reader)?;
        if base != commit.base {
            return Err(ApplyError::new(format!(
                "a commit of {} was made on {:?}, but {base:?} is there; this is a bug, please report it",
                commit.address, commit.base
            )));
        }
        write(&commit, writes);
        self.remember(&commit, index, reader.written());
        Ok(())
    }

    fn reset(&mut self) {
        self.bases.clear();
    }
}

/// A commit as puts and deletes.
fn write(commit: &Commit, writes: &mut Writes) {
    let address = &commit.address;
    if let Some(generation) = commit.retired_generation() {
        let range = keys::state_range(address, generation);
        writes.delete_range(Space::State, range.start, range.end);
    }
    for op in &commit.ops {
        match op {
            Op::Put { key, value } => {
                let row = keys::state(address, commit.meta.generation, key.space, key.key.as_str());
                writes.put(Space::State, row, codec::encode_stored(value));
            }
            Op::Delete { key } => {
                let row = keys::state(address, commit.meta.generation, key.space, key.key.as_str());
                writes.delete(Space::State, row);
            }
            // The generation is raised; the old one's keys are gone above.
            Op::Clear => {}
        }
    }
    let update = Update::from_commit(commit);
    for version in commit.history_trim.clone().map(Version) {
        // In the steady state the place of the one that goes is the place of the one that comes.
        if !update.as_ref().is_some_and(|update| keys::share_place(update.version, version)) {
            writes.delete(Space::State, keys::history(address, version));
        }
    }
    if let Some(update) = &update {
        let entry = codec::encode_history(update);
        writes.put(Space::State, keys::history(address, update.version), entry);
    }
    if let Some(record) = &commit.record {
        writes.put(Space::State, keys::record_by_key(address, &record.key), codec::encode_record(record));
        let row = keys::record_by_sequence(address, record.sequence);
        writes.put(Space::State, row, codec::encode_slot(&record.slot()));
    }
    for slot in &commit.dropped_records {
        writes.delete(Space::State, keys::record_by_key(address, &slot.key));
        writes.delete(Space::State, keys::record_by_sequence(address, slot.sequence));
    }
    timer(commit, commit.alarm_move(), TimelineKind::Alarm, writes);
    timer(commit, commit.due_move(), TimelineKind::Due, writes);
    if commit.forgets_object {
        let range = keys::object_range(address);
        writes.delete_range(Space::State, range.start, range.end);
    } else {
        writes.put(Space::State, keys::meta(address), codec::encode_meta(&commit.meta));
    }
}

fn timer(commit: &Commit, moved: Move, kind: TimelineKind, writes: &mut Writes) {
    if let Some(from) = moved.from {
        writes.delete(Space::Alarms, keys::timeline(from, &commit.address, kind));
    }
    if let Some(to) = moved.to {
        writes.put(Space::Alarms, keys::timeline(to, &commit.address, kind), []);
    }
}

fn refused(error: impl ToString) -> ApplyError {
    ApplyError::new(error.to_string())
}
