//! The updates an active object keeps for those who come back.

use std::ops::Range;
use std::sync::Arc;

use stead_cluster::Space;

use super::active::Active;
use super::storage::unreadable;

use super::{Outcome, failure};
use crate::error::Error;
use crate::object::history::{HistoryWindow, Resume, can_resume};
use crate::object::{StorageError, Update, Version, codec, keys};

impl Active {
    /// The sizes of what is kept.
    pub(super) fn load_history(&self) -> Result<HistoryWindow, Error> {
        // The first version is 1: an object never written has no history.
        let kept = self.meta.history_first.max(1)..self.meta.version.0 + 1;
        let entries = self.entries(&kept).map_err(|error| failure::unreadable(&error))?;
        let sizes = entries.iter().map(|update| codec::encode_history(update).len());
        Ok(HistoryWindow::load(&self.meta, sizes))
    }

    /// The updates after `since`; `None` if only the full state helps.
    pub(super) fn missed(&self, since: Version) -> Result<Option<Vec<Arc<Update>>>, Error> {
        let Resume::From(missing) = can_resume(since, &self.meta) else { return Ok(None) };
        let updates = self.entries(&missing).map_err(|error| failure::unreadable(&error))?;
        // What was too large for the history is not in it: the state has it.
        Ok(Some(updates).filter(|updates| !updates.iter().any(|update| update.too_large)))
    }

    /// A page of the updates kept after `since`.
    pub(super) fn updates(&self, since: Version, limit: usize) -> Result<Outcome, Error> {
        let complete = matches!(can_resume(since, &self.meta), Resume::From(_));
        let first = since.0.saturating_add(1).max(self.meta.history_first);
        let last = self.meta.version.0.min(first.saturating_add(limit as u64).saturating_sub(1));
        let entries = self.entries(&(first..last.saturating_add(1)));
        let entries = entries.map_err(|error| failure::unreadable(&error))?;
        let updates = entries.iter().map(|update| update.to_json_text().into()).collect();
        Ok(Outcome::Updates { updates, complete })
    }

    /// The history's entries of a range of versions: from disk, but for those on their way to it.
    fn entries(&self, versions: &Range<u64>) -> Result<Vec<Arc<Update>>, StorageError> {
        if versions.is_empty() {
            return Ok(Vec::new());
        }
        let recent = self.recent.updates().map(|update| update.version.0).next();
        let written = versions.start..versions.end.min(recent.unwrap_or(versions.end));
        let mut entries: Vec<Arc<Update>> = Vec::new();
        for range in keys::history_ranges(&self.address, written) {
            for row in self.shard.reader().scan(Space::State, range) {
                let (_, entry) = row.map_err(unreadable)?;
                entries.push(Arc::new(codec::decode_history(&entry).map_err(unreadable)?));
            }
        }
        let recent = self.recent.updates().filter(|update| versions.contains(&update.version.0));
        entries.extend(recent.cloned().map(Update::as_kept));
        let found = entries.iter().map(|update| update.version.0);
        if !found.eq(versions.clone()) {
            let detail = format!(
                "the history of {} has {} updates, and not those of the {} versions wanted from {} on",
                self.address,
                entries.len(),
                versions.end - versions.start,
                versions.start,
            );
            return Err(StorageError { detail });
        }
        Ok(entries)
    }
}
