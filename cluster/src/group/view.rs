//! A shard's data as its leader has it now, for a backup.

use crate::group::{Group, apply};
use crate::network::Snapshot;

impl Group {
    /// A view of the shard's data that is not older than this call; none where this node does not lead it.
    ///
    /// Who may answer now has applied whatever was acknowledged before, be it by an earlier leader. So the lease is
    /// asked for first; that it may lapse before the data is read makes the data only newer.
    ///
    /// # Errors
    ///
    /// When the data can not be written or read.
    pub(crate) async fn view_as_leader(&self) -> Result<Option<Snapshot>, String> {
        let Some(running) = self.raft.as_ref().filter(|_| self.lead().is_ok()) else { return Ok(None) };
        let taken = apply::take(&self.store, &running.writer).await;
        taken.map(Some).map_err(|error| error.to_string())
    }
}
