//! What each process is told of the processes of other nodes, as a real network finds it out.
//!
//! A link stands once both sides admit one another. It is known to be lost at once when the other process was
//! killed, for its host closes the connection and refuses the next: that, and a newer process, is sure. A host
//! without power, a paused process and a cut are only silent.

use std::collections::BTreeMap;
use std::sync::Arc;

use stead_cluster::NodeId;
use stead_cluster::network::{Inbound, Member, PeerState};

use crate::host::{Death, Host};
use crate::wire::{HostId, Incarnation, Wire};

/// How often the links are looked at, in milliseconds.
const LOOK_MS: u64 = 5;
/// How long a link may be silent before it counts as lost, in milliseconds.
const SILENCE_MS: u64 = 500;

/// The links of a run.
#[derive(Default)]
pub(crate) struct Peers {
    seen: BTreeMap<(HostId, Incarnation, NodeId), Seen>,
}

#[derive(Clone, Default)]
struct Seen {
    state: PeerState,
    silent_since: Option<u64>,
}

impl Peers {
    /// Tells each process what it would have noticed by now.
    pub(crate) fn look(&mut self, now_ms: u64, hosts: &[Host], wire: &Wire) {
        if !now_ms.is_multiple_of(LOOK_MS) {
            return;
        }
        for own in hosts {
            let Some(process) = own.process.as_ref().filter(|_| own.paused.is_none()) else { continue };
            let Some((me, my_side)) = process.network.member.get().zip(process.door.inbound.get()) else {
                continue;
            };
            for other in hosts.iter().filter(|other| other.id != own.id) {
                let Some(member) = other.member else { continue };
                let seen = self.seen.entry((own.id, own.incarnation, member.node)).or_default();
                let before = seen.state.clone();
                let is_cut = wire.is_blocked(own.id, other.id) || wire.is_blocked(other.id, own.id);
                seen.look(now_ms, other, &member, me, my_side, is_cut);
                if seen.state != before {
                    let state = seen.state.clone();
                    process.network.peers.send_modify(|peers| drop(peers.insert(member.node, state)));
                }
            }
        }
    }
}

impl Seen {
    fn look(
        &mut self,
        now_ms: u64,
        other: &Host,
        member: &Member,
        me: &Member,
        my_side: &Arc<dyn Inbound>,
        is_cut: bool,
    ) {
        let door = other.process.as_ref().filter(|_| other.is_up()).map(|process| &process.door);
        let their_side = door.and_then(|door| door.inbound.get()).filter(|_| !is_cut);
        if let Some(their_side) = their_side {
            self.silent_since = None;
            let refusal = my_side.admit(member).err().or_else(|| their_side.admit(me).err());
            self.state.connected = refusal.is_none();
            self.state.refused = refusal;
            self.state.epoch = self.state.epoch.max(member.epoch);
            self.state.ended = self.state.ended.max(member.epoch - 1);
            self.state.round_trip_us = Some(2_000);
            return;
        }
        let was_killed = other.process.is_none() && other.death == Some(Death::Kill) && !is_cut;
        if was_killed && self.state.connected && self.state.epoch == member.epoch {
            self.state.connected = false;
            self.state.ended = self.state.epoch;
        }
        let since = *self.silent_since.get_or_insert(now_ms);
        if now_ms - since >= SILENCE_MS {
            self.state.connected = false;
        }
    }
}
