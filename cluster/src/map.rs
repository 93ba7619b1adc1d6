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
}

/// A change of the map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub(crate) enum MapCommand {
    /// Makes the map of a new cluster; later ones change nothing.
    Create { cluster: String, shards: u16, replication_factor: u16, founder: NodeId },
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

    fn change(&mut self, command: MapCommand) {
        match command {
            MapCommand::Create { cluster, shards, replication_factor, founder } => {
                if self.placements.is_empty() {
                    let placement = Placement { replicas: vec![founder], preferred_leader: Some(founder) };
                    let placements = vec![placement; usize::from(shards)];
                    *self = Self { cluster, replication_factor, nodes: BTreeMap::new(), placements };
                }
            }
            MapCommand::Register { node, address, peer_address, zone, version, started_at_ms } => {
                let state = self.nodes.get(&node).map_or(NodeState::Up, |known| known.state);
                let registered = MapNode { address, peer_address, zone, version, started_at_ms, state };
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
                r#"{"cluster":"ab","replication_factor":3,"nodes":{"1":{"address":"a:1","peer_address":"a:2","zone":null,"version":"1.0","started_at_ms":5,"state":"up"}},"placements":[{"replicas":[1],"preferred_leader":1},{"replicas":[1],"preferred_leader":1}]}"#
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
