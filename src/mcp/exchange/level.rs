//! How much a log message matters: the protocol's own words, which `rmcp` has as deprecated.

use serde::{Deserialize, Serialize};

/// The levels of RFC 5424, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// For who looks for a fault.
    Debug,
    /// What happens.
    Info,
    /// What happens and matters.
    Notice,
    /// What may become a fault.
    Warning,
    /// A fault.
    Error,
    /// A part has failed.
    Critical,
    /// Somebody must do something at once.
    Alert,
    /// Nothing works.
    Emergency,
}
