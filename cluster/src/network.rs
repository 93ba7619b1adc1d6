//! Peers.

/// Peers.
pub trait Network: Send + Sync + 'static {}

/// The network of a node alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoPeers;
impl Network for NoPeers {}
