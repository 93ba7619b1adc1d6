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
        let sizes =
            self.texts(&kept).map(|texts| texts.into_iter().map(|text| text.len()).collect::<Vec<_>>());
        let sizes = sizes.map_err(|error| failure::unreadable(&error))?;
        Ok(HistoryWindow::load(&self.meta, sizes))
    }

    /// The updates after `since`; `None` if only the full state helps.
    pub(super) fn missed(&self, since: Version) -> Result<Option<Vec<Arc<Update>>>, Error> {
        let Resume::From(missing) = can_resume(since, &self.meta) else { return Ok(None) };
        let updates = self.texts(&missing).and_then(|texts| {
            texts
                .iter()
                .map(|text| Update::parse(text).map(Arc::new).map_err(unreadable))
                .collect::<Result<Vec<_>, _>>()
        });
        let updates = updates.map_err(|error| failure::unreadable(&error))?;
        // What was too large for the history is not in it: the state has it.
        Ok(Some(updates).filter(|updates| !updates.iter().any(|update| update.too_large)))
    }

    /// A page of the updates kept after `since`.
    pub(super) fn updates(&self, since: Version, limit: usize) -> Result<Outcome, Error> {
        let complete = matches!(can_resume(since, &self.meta), Resume::From(_));
        let first = since.0.saturating_add(1).max(self.meta.history_first);
        let last = self.meta.version.0.min(first.saturating_add(limit as u64).saturating_sub(1));
        let updates =
            self.texts(&(first..last.saturating_add(1))).map_err(|error| failure::unreadable(&error))?;
        Ok(Outcome::Updates { updates, complete })
    }

    /// The stored texts of a range of versions: from disk, but for those on their way to it.
    fn texts(&self, versions: &Range<u64>) -> Result<Vec<Arc<str>>, StorageError> {
        if versions.is_empty() {
            return Ok(Vec::new());
        }
        let recent = self.recent.updates().map(|update| update.version.0).next();
        let written = versions.start..versions.end.min(recent.unwrap_or(versions.end));
        let mut texts: Vec<Arc<str>> = Vec::new();
        if !written.is_empty() {
            let rows = self.shard.reader().scan(Space::State, keys::history_range(&self.address, written));
            for row in rows {
                let (_, text) = row.map_err(unreadable)?;
                texts.push(codec::decode_history(&text).map_err(unreadable)?.into());
            }
        }
        let recent = self.recent.updates().filter(|update| versions.contains(&update.version.0));
        texts.extend(recent.map(|update| Arc::from(update.to_history_text())));
        let wanted = versions.end - versions.start;
        if texts.len() as u64 != wanted {
            let detail = format!("the history of {} has {} of {wanted} updates", self.address, texts.len());
            return Err(StorageError { detail });
        }
        Ok(texts)
    }
}
