//! What is known of other nodes' processes, and the one place that says that one has surely ended.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::layout::NodeId;
use crate::network::{PeerState, PeerStates};

/// What is known of every peer.
pub(super) struct Presence {
    states: watch::Sender<PeerStates>,
    /// Raft connections that stand, dialled or accepted, by peer.
    standing: Mutex<BTreeMap<NodeId, usize>>,
}

impl Presence {
    pub(super) fn new() -> Self {
        Self { states: watch::channel(PeerStates::new()).0, standing: Mutex::default() }
    }

    pub(super) fn watch(&self) -> watch::Receiver<PeerStates> {
        self.states.subscribe()
    }

    /// A process has shown its epoch, proved by the secret. Its data directory is locked while it runs, so every
    /// process of an older epoch has ended.
    pub(super) fn shown(&self, node: NodeId, epoch: u64) {
        self.change(node, |state| {
            state.epoch = state.epoch.max(epoch);
            state.ended = state.ended.max(epoch.saturating_sub(1));
            state.refused = None;
        });
    }

    /// The process of this epoch closed an established link, and its own port refuses to be connected to.
    pub(super) fn has_ended(&self, node: NodeId, epoch: u64) {
        self.change(node, |state| state.ended = state.ended.max(epoch));
    }

    /// A Raft connection stands, until what this returns is dropped.
    pub(super) fn stands(&self, node: NodeId) -> Standing<'_> {
        *self.standing.lock().entry(node).or_default() += 1;
        self.change(node, |state| state.connected = true);
        Standing { presence: self, node }
    }

    /// A peer refuses this node, or is refused by it. Logged once for each reason.
    pub(super) fn refused(&self, node: NodeId, reason: &str) {
        let mut is_new = false;
        self.change(node, |state| {
            is_new = state.refused.as_deref() != Some(reason);
            state.refused = Some(reason.to_owned());
        });
        if is_new {
            tracing::warn!(peer = %node, reason, "no link with this node");
        }
    }

    /// Nobody listens at a peer's address any more: who refused this node there is gone.
    pub(super) fn is_silent(&self, node: NodeId) {
        self.states.send_if_modified(|states| {
            states.get_mut(&node).is_some_and(|state| state.refused.take().is_some())
        });
    }

    pub(super) fn round_trip(&self, node: NodeId, took_us: u64) {
        self.change(node, |state| state.round_trip_us = Some(took_us));
    }

    /// Whether an older epoch than one already seen is shown: a process that must have ended, or a copy of its
    /// data directory.
    pub(super) fn is_outdated(&self, node: NodeId, epoch: u64) -> bool {
        self.states.borrow().get(&node).is_some_and(|state| epoch < state.epoch)
    }

    /// A peer is no longer one of the cluster.
    pub(super) fn forget(&self, node: NodeId) {
        self.states.send_if_modified(|states| states.remove(&node).is_some());
    }

    fn change(&self, node: NodeId, change: impl FnOnce(&mut PeerState)) {
        self.states.send_if_modified(|states| {
            let state = states.entry(node).or_default();
            let before = state.clone();
            change(state);
            *state != before
        });
    }
}

/// A Raft connection that stands.
pub(super) struct Standing<'a> {
    presence: &'a Presence,
    node: NodeId,
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        let is_last = {
            let mut standing = self.presence.standing.lock();
            let count = standing.entry(self.node).or_default();
            *count = count.saturating_sub(1);
            *count == 0
        };
        // Not `change`: one that was forgotten meanwhile is not remembered again.
        if is_last {
            self.presence.states.send_if_modified(|states| {
                states.get_mut(&self.node).is_some_and(|state| std::mem::take(&mut state.connected))
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Presence;
    use crate::layout::NodeId;

    #[test]
    fn a_newer_epoch_shows_that_older_processes_have_ended() {
        let (presence, node) = (Presence::new(), NodeId(2));
        let ended = || presence.watch().borrow().get(&node).map(|state| (state.epoch, state.ended));
        presence.shown(node, 3);
        assert_eq!(ended(), Some((3, 2)));
        presence.has_ended(node, 3);
        assert_eq!(ended(), Some((3, 3)));
        presence.shown(node, 4);
        assert_eq!(ended(), Some((4, 3)), "the new process runs");
        assert!(presence.is_outdated(node, 3));
    }

    #[test]
    fn a_node_is_connected_while_any_connection_stands() {
        let (presence, node) = (Presence::new(), NodeId(2));
        let connected = || presence.watch().borrow().get(&node).is_some_and(|state| state.connected);
        let (one, other) = (presence.stands(node), presence.stands(node));
        drop(one);
        assert!(connected());
        drop(other);
        assert!(!connected());
    }
}
