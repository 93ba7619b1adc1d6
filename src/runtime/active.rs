//! An object in memory, on its shard's leader: what its turns read and change.

use std::sync::Arc;

use stead_cluster::{Shard, Term};

use super::gate::Gate;
use super::parts::Parts;
use super::recent::Recent;
use super::storage::Keys;
use crate::class::Class;
use crate::object::effects::Decoded;
use crate::object::history::HistoryWindow;
use crate::object::{Meta, ObjectAddress};

/// An object in memory, on its shard's leader.
pub(crate) struct Active {
    pub(crate) parts: Arc<Parts>,
    pub(crate) shard: Shard,
    pub(crate) term: Term,
    pub(crate) gate: Arc<Gate>,
    pub(super) address: ObjectAddress,
    pub(super) class: Arc<dyn Class>,
    pub(super) meta: Meta,
    pub(super) keys: Keys,
    pub(super) recent: Recent,
    /// Loaded by the first commit.
    pub(super) history: Option<HistoryWindow>,
    pub(super) decoded: Option<Decoded>,
    /// Commits of this activation so far; the gate counts the same.
    pub(super) commits: u64,
}
