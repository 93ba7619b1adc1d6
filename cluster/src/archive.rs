//! A backup of a whole cluster in one file, and a new cluster made from one.
//!
//! An archive is consistent for each shard, not across shards, and not older than the moment it was begun: what was
//! acknowledged before is in it.
//!
//! - `format`: every byte of the file. `writing`, `reading`: the file, written and read with all its sums.
//! - `desk`, `lending`: how a node that saves gets the shards that others lead.
//! - `restore`: a data directory made from one.

pub(crate) mod desk;
mod format;
pub(crate) mod lending;
mod reading;
mod restore;
pub(crate) mod writing;

pub use format::{Manifest, ShardEnd};
pub use reading::{ArchiveError, Contents, inspect, manifest};
pub use restore::{RestoreError, Restored, restore};
pub use writing::Saved;
