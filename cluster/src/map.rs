//! The cluster's map: its nodes, and where each shard's replicas are wished to be. It is the state of the meta
//! group, a machine like any other; the map is the wish, what the groups have is the fact.
//!
//! Frozen: commands and the map are stored as a version byte and JSON. They are few and small, and fields can
//! be added to them.

mod change;
#[cfg(test)]
mod tests;

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
    /// Counts changes of the map: commands that changed nothing do not count.
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
    /// A node of the map, or the founder, started: what it says of itself. Its state stays what it was.
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
