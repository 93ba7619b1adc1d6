//! How much the server offers to clients of other surfaces, for who asks what it has open: kept by those surfaces.

use std::fmt;
use std::sync::OnceLock;

/// What there is for MCP clients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offer {
    /// Sessions that this node has served within the last quarter of an hour.
    pub active_sessions: usize,
    /// Tools that are listed.
    pub tools: usize,
    /// Templates of resources that are listed.
    pub resources: usize,
    /// Prompts that are listed.
    pub prompts: usize,
}

/// Where it is read, once somebody has said where.
#[derive(Default)]
pub(super) struct Offering(OnceLock<Box<dyn Fn() -> Offer + Send + Sync>>);

impl Offering {
    /// The first who says where is believed.
    pub(super) fn set(&self, read: impl Fn() -> Offer + Send + Sync + 'static) {
        let _ = self.0.set(Box::new(read));
    }

    pub(super) fn read(&self) -> Offer {
        self.0.get().map(|read| read()).unwrap_or_default()
    }
}

impl fmt::Debug for Offering {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read().fmt(formatter)
    }
}
