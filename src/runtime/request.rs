//! What is asked of an object, and what it answers.
//!
//! Every surface turns its requests into these and makes one call with them. They are plain data, so
//! that a call can travel to another node.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Map;

use crate::object::idempotency::IdempotencyKey;
use crate::object::{Key, Timestamp, Update, Value, Version};

/// One request to one object.
#[derive(Debug, Clone)]
pub struct Request {
    /// What to do.
    pub action: Action,
    /// Takes effect once, however often it is sent with this key.
    pub idempotency_key: Option<IdempotencyKey>,
    /// Refused with `version_mismatch` unless the object is at this version; 0 = must not exist.
    pub if_match: Option<Version>,
    /// What the module that the class belongs to gives into the turn beside the parameters, such as what it has read
    /// elsewhere; no part of what an idempotency key stands for.
    pub context: Option<Arc<Map<String, serde_json::Value>>>,
}

impl From<Action> for Request {
    fn from(action: Action) -> Self {
        Self { action, idempotency_key: None, if_match: None, context: None }
    }
}

/// What a request does.
#[derive(Debug, Clone)]
pub enum Action {
    /// Puts every key given; makes the object if it is not there.
    Initialize {
        /// The keys and their values.
        keys: Map<String, serde_json::Value>,
    },
    /// Calls a method of the class.
    Call {
        /// The method's name.
        method: String,
        /// Its parameters.
        params: Map<String, serde_json::Value>,
    },
    /// Puts one key.
    Put {
        /// The key.
        key: Key,
        /// Its new value.
        value: serde_json::Value,
    },
    /// Deletes one key.
    DeleteKey {
        /// The key.
        key: Key,
        /// Whether an absent key is an error or fine.
        absent: Absent,
    },
    /// Deletes the object: state, alarm and history.
    Delete,
    /// Applies what editors of the object's class sent; what is known already changes nothing.
    Edit {
        /// The updates, in the encoding of the class's editors.
        updates: Vec<Bytes>,
    },
    /// Reads what an editor lacks.
    Difference {
        /// What the editor knows; with nothing, only what the object knows is told.
        known: Option<Bytes>,
    },
    /// Asks the object's class about it, beyond its state.
    Ask {
        /// The question, one that the class knows.
        question: String,
        /// What is asked about.
        params: Map<String, serde_json::Value>,
    },
    /// Reads the whole state.
    State,
    /// Reads one key.
    Get {
        /// The key.
        key: Key,
    },
    /// Reads a page of the keys, in key order.
    Entries {
        /// Only keys that begin with this.
        prefix: String,
        /// At most so many.
        limit: usize,
        /// Where the last page ended.
        cursor: Option<String>,
    },
    /// Reads the updates kept after a version.
    Updates {
        /// The last version the reader has.
        since: Version,
        /// At most so many.
        limit: usize,
    },
    /// Begins a subscription: the updates missed since a version, or else the state.
    Open {
        /// The last version the subscriber has seen.
        since: Option<Version>,
    },
}

/// What deleting a key that is not there means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// An error, `key_not_found`.
    Refused,
    /// Nothing to do, and well done.
    Fine,
}

impl Action {
    /// Whether it may commit.
    #[must_use]
    pub fn is_write(&self) -> bool {
        matches!(
            self,
            Self::Initialize { .. }
                | Self::Call { .. }
                | Self::Put { .. }
                | Self::DeleteKey { .. }
                | Self::Delete
                | Self::Edit { .. }
        )
    }

    /// Whether it comes to the same however often it is done.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        !self.is_write() || matches!(self, Self::Edit { .. })
    }
}

/// An object's answer, given after the commit it depends on is durable.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The object's version after the turn.
    pub version: Version,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a request.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// `Initialize` is done.
    Initialized {
        /// Whether the object did not exist before.
        created: bool,
    },
    /// A method's result, or the answer to a question.
    Result(Value),
    /// `Put` is done.
    Put,
    /// `DeleteKey` is done.
    KeyDeleted {
        /// Whether the key was there.
        present: bool,
    },
    /// `Delete` is done.
    Deleted,
    /// `Edit` is done.
    Edited,
    /// What an editor lacks.
    Difference {
        /// The update that has it.
        missing: Bytes,
        /// What the object knows.
        known: Bytes,
    },
    /// The whole state.
    State {
        /// False if it was never written or is deleted; the entries are empty then.
        exists: bool,
        /// Every key and value, in key order.
        entries: Vec<(Key, Value)>,
        /// When the last version was taken.
        updated_at: Timestamp,
    },
    /// The value of a key, if it is there.
    Value(Option<Value>),
    /// A page of keys.
    Entries {
        /// Keys and values, in key order.
        entries: Vec<(Key, Value)>,
        /// Where the next page begins, unless this was the last.
        cursor: Option<String>,
    },
    /// Updates kept, in order, each the JSON text of CONTRACT section 3 without `type` and `ref`.
    Updates {
        /// The updates' JSON.
        updates: Vec<Arc<str>>,
        /// Whether history reached back to `since`.
        complete: bool,
    },
    /// A subscription begins with the whole state.
    Init {
        /// Every key and value; `None` above the size that one answer may have.
        entries: Option<Vec<(Key, Value)>>,
    },
    /// A subscription goes on: the updates missed, in order.
    Resumed {
        /// The updates after `since`.
        updates: Vec<Arc<Update>>,
    },
}

/// What a list is asked for.
#[derive(Debug, Clone)]
pub struct ListQuery {
    /// Only names that begin with this.
    pub prefix: String,
    /// At most so many.
    pub limit: usize,
    /// Where the last page ended.
    pub cursor: Option<String>,
}

/// One row of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectSummary {
    /// The object's name.
    pub name: Arc<str>,
    /// Its version.
    pub version: Version,
    /// When that version was taken.
    pub updated_at: Timestamp,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectPage {
    /// The objects, in the byte order of names.
    pub objects: Vec<ObjectSummary>,
    /// Where the next page begins, unless this was the last.
    pub cursor: Option<String>,
}

/// Where an object lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The opaque id: 64 hex digits of the address's hash.
    pub id: String,
    /// Its slot, 0 to 16,383.
    pub slot: u16,
    /// Its shard.
    pub shard: u16,
    /// The node that leads the shard, if one is known.
    pub leader: Option<u64>,
    /// The nodes that hold a replica.
    pub replicas: Vec<u64>,
}
