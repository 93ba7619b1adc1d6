//! The cluster's map: its nodes, and where each shard's replicas are wished to be. It is the state of the meta
//! group, a machine like any other; the map is the wish, what the groups have is the fact.
//!
//! Frozen: commands and the map are stored as a version byte and JSON. They are few and small, and fields can
//! be added to them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::layout::{LogIndex, NodeId};
use crate::machine::{ApplyError, Machine, Space, Writes};
use crate::storage::{ReadError, Reader};

/// The identity of a cluster, made at random with it. Displayed as hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClusterId(pub [u8; 16]);

impl std::str::FromStr for ClusterId {
    type Err = NotAClusterId;

    fn from_str(text: &str) -> Result<Self, NotAClusterId> {
        let digits = text.as_bytes();
        if digits.len() != 32 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(NotAClusterId);
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| NotAClusterId)?;
        Ok(Self(number.to_be_bytes()))
    }
}

/// The text is not the identity of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the identity of a cluster is 32 hexadecimal digits")]
pub struct NotAClusterId;

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What the operator wants of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// It takes part.
    Up,
    /// Its replicas are to go elsewhere.
    Draining,
    /// It is gone for good.
    Removed,
}

/// A node of the map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MapNode {
    pub(crate) address: String,
    pub(crate) peer_address: String,
    pub(crate) zone: Option<String>,
    pub(crate) version: String,
    pub(crate) started_at_ms: u64,
    pub(crate) state: NodeState,
    /// It is on its way out: it drains, its replicas go elsewhere, and then it is removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_leaving: bool,
}

/// Where a shard's replicas are wished to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Placement {
    pub(crate) replicas: Vec<NodeId>,
    pub(crate) preferred_leader: Option<NodeId>,
}

/// The cluster's map.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClusterMap {
    pub(crate) cluster: String,
    pub(crate) replication_factor: u16,
    pub(crate) nodes: BTreeMap<NodeId, MapNode>,
    /// By shard.
    pub(crate) placements: Vec<Placement>,
    /// The numbers given out, by the token they were asked for with.
    #[serde(default)]
    pub(crate) tokens: BTreeMap<String, NodeId>,
    /// The nodes that the shards were last planned for. While they are the same nothing is planned anew, so that an
    /// operator's own moves stay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) planned_for: Vec<Usable>,
    /// Counts changes of the map.
    #[serde(default)]
    pub(crate) revision: u64,
}

/// A node that a plan may use: whether it may be given replicas, and whether it may lead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Usable {
    pub(crate) node: NodeId,
    pub(crate) zone: Option<String>,
    pub(crate) takes: bool,
    pub(crate) leads: bool,
}

/// A change of the map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub(crate) enum MapCommand {
    /// Makes the map of a new cluster; later ones change nothing.
    Create { cluster: String, shards: u16, replication_factor: u16, founder: NodeId },
    /// Lets a node in and gives it a number; the same one to the same token.
    Admit { token: String, address: String, peer_address: String, zone: Option<String>, version: String },
    /// What the operator wants of a node. Removed is for good.
    SetState { node: NodeId, state: NodeState },
    /// A node is to go for good: its replicas go elsewhere first.
    Leave { node: NodeId },
    /// Places all shards, unless the map has changed since this revision.
    Place {
        revision: u64,
        placements: Vec<Placement>,
        /// The nodes they were planned for; none where an operator wished a single change.
        planned_for: Option<Vec<Usable>>,
    },
    /// A node started: what it says of itself. Its state stays what it was.
    Register {
        node: NodeId,
        address: String,
        peer_address: String,
        zone: Option<String>,
        version: String,
        started_at_ms: u64,
    },
}

/// The version every stored command and map begins with.
const VERSION: u8 = 1;
/// Where the map is stored in the meta group's state.
const MAP_KEY: &[u8] = b"map";

impl MapCommand {
    pub(crate) fn encode(&self) -> Bytes {
        encode(self).into()
    }
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    let mut out = vec![VERSION];
    serde_json::to_writer(&mut out, value).expect("maps and commands are made of strings and numbers");
    out
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApplyError> {
    let Some((&VERSION, json)) = bytes.split_first() else {
        return Err(ApplyError::new("the cluster's map has a version this program does not know"));
    };
    serde_json::from_slice(json)
        .map_err(|error| ApplyError::new(format!("the cluster's map is damaged: {error}")))
}

impl ClusterMap {
    /// The map as it is stored.
    pub(crate) fn load(reader: &Reader) -> Result<Self, ReadError> {
        match reader.get(Space::State, MAP_KEY)? {
            Some(stored) => decode(&stored).map_err(|error| ReadError(error.to_string())),
            None => Ok(Self::default()),
        }
    }

    /// Where the nodes that are not removed are reached.
    pub(crate) fn addresses(&self) -> BTreeMap<NodeId, String> {
        let present = self.nodes.iter().filter(|(_, node)| node.state != NodeState::Removed);
        present.map(|(id, node)| (*id, node.peer_address.clone())).collect()
    }

    /// The number that was given to whoever asked with this token.
    pub(crate) fn joined(&self, token: &str) -> Option<NodeId> {
        self.tokens.get(token).copied()
    }

    fn change(&mut self, command: MapCommand) {
        // Counts every change, so that a plan holds only for the map it was made from.
        let planned_from = self.revision;
        self.revision += 1;
        match command {
            MapCommand::Admit { token, address, peer_address, zone, version } => {
                if self.tokens.contains_key(&token) {
                    return;
                }
                let next = self.nodes.keys().max().map_or(NodeId(1), |last| NodeId(last.0 + 1));
                let state = NodeState::Up;
                let node = MapNode {
                    address,
                    peer_address,
                    zone,
                    version,
                    started_at_ms: 0,
                    state,
                    is_leaving: false,
                };
                self.nodes.insert(next, node);
                self.tokens.insert(token, next);
            }
            MapCommand::SetState { node, state } => {
                if let Some(known) =
                    self.nodes.get_mut(&node).filter(|known| known.state != NodeState::Removed)
                {
                    (known.state, known.is_leaving) = (state, false);
                }
            }
            MapCommand::Leave { node } => {
                if let Some(known) =
                    self.nodes.get_mut(&node).filter(|known| known.state != NodeState::Removed)
                {
                    (known.state, known.is_leaving) = (NodeState::Draining, true);
                }
            }
            MapCommand::Place { revision, placements, planned_for } => {
                let is_whole = placements.len() == self.placements.len()
                    && placements
                        .iter()
                        .flat_map(|placement| &placement.replicas)
                        .all(|node| self.nodes.contains_key(node));
                if revision == planned_from && is_whole {
                    self.placements = placements;
                    self.planned_for = planned_for.unwrap_or_else(|| std::mem::take(&mut self.planned_for));
                }
            }
            MapCommand::Create { cluster, shards, replication_factor, founder } => {
                if self.placements.is_empty() {
                    let placement = Placement { replicas: vec![founder], preferred_leader: Some(founder) };
                    let placements = vec![placement; usize::from(shards)];
                    *self = Self { cluster, replication_factor, placements, ..Self::default() };
                }
            }
            MapCommand::Register { node, address, peer_address, zone, version, started_at_ms } => {
                let known = self.nodes.get(&node);
                let (state, is_leaving) =
                    known.map_or((NodeState::Up, false), |known| (known.state, known.is_leaving));
                if state == NodeState::Removed {
                    return;
                }
                let registered =
                    MapNode { address, peer_address, zone, version, started_at_ms, state, is_leaving };
                self.nodes.insert(node, registered);
            }
        }
    }
}

/// The machine of the meta group. It publishes the map as it changes.
pub(crate) struct MapMachine {
    map: Option<ClusterMap>,
    published: watch::Sender<Arc<ClusterMap>>,
}

impl MapMachine {
    pub(crate) fn new(published: watch::Sender<Arc<ClusterMap>>) -> Self {
        Self { map: None, published }
    }
}

impl Machine for MapMachine {
    fn apply(
        &mut self,
        _: LogIndex,
        command: &[u8],
        reader: &Reader,
        writes: &mut Writes,
    ) -> Result<(), ApplyError> {
        let mut map = match self.map.take() {
            Some(map) => map,
            None => ClusterMap::load(reader).map_err(|error| ApplyError::new(error.to_string()))?,
        };
        map.change(decode(command)?);
        writes.put(Space::State, MAP_KEY, encode(&map));
        self.published.send_replace(Arc::new(map.clone()));
        self.map = Some(map);
        Ok(())
    }

    fn reset(&mut self) {
        self.map = None;
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::{ClusterMap, MapCommand, NodeState, decode, encode};
    use crate::layout::NodeId;

    fn register(started_at_ms: u64) -> MapCommand {
        MapCommand::Register {
            node: NodeId(1),
            address: "a:1".to_owned(),
            peer_address: "a:2".to_owned(),
            zone: None,
            version: "1.0".to_owned(),
            started_at_ms,
        }
    }

    fn create() -> MapCommand {
        MapCommand::Create { cluster: "ab".to_owned(), shards: 2, replication_factor: 3, founder: NodeId(1) }
    }

    fn check(bytes: &[u8], expected: &Expect) {
        assert_eq!(bytes[0], 1);
        expected.assert_eq(std::str::from_utf8(&bytes[1..]).expect("JSON is UTF-8"));
    }

    #[test]
    fn commands_and_the_map_are_frozen() {
        check(
            &create().encode(),
            &expect![[r#"{"change":"create","cluster":"ab","shards":2,"replication_factor":3,"founder":1}"#]],
        );
        check(
            &register(5).encode(),
            &expect![[
                r#"{"change":"register","node":1,"address":"a:1","peer_address":"a:2","zone":null,"version":"1.0","started_at_ms":5}"#
            ]],
        );
        let mut map = ClusterMap::default();
        map.change(create());
        map.change(register(5));
        check(
            &encode(&map),
            &expect![[
                r#"{"cluster":"ab","replication_factor":3,"nodes":{"1":{"address":"a:1","peer_address":"a:2","zone":null,"version":"1.0","started_at_ms":5,"state":"up"}},"placements":[{"replicas":[1],"preferred_leader":1},{"replicas":[1],"preferred_leader":1}],"tokens":{},"revision":1}"#
            ]],
        );
        assert_eq!(decode::<ClusterMap>(&encode(&map)).expect("it decodes"), map);
    }

    #[test]
    fn a_node_that_starts_again_keeps_the_state_the_operator_gave_it() {
        let mut map = ClusterMap::default();
        map.change(create());
        map.change(register(5));
        map.nodes.get_mut(&NodeId(1)).expect("it is registered").state = NodeState::Draining;
        map.change(create());
        map.change(register(9));
        let node = &map.nodes[&NodeId(1)];
        assert_eq!((node.state, node.started_at_ms, map.placements.len()), (NodeState::Draining, 9, 2));
    }

    proptest! {
        #[test]
        fn decoding_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode::<MapCommand>(&bytes);
        }
    }
}
