//! The cluster's map.
use std::fmt;

use serde::{Deserialize, Serialize};

/// The identity of a cluster, made at random with it. Displayed as hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
