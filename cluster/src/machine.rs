//! What the application does with committed commands: the one trait it implements, and the writes it asks for.

use crate::layout::LogIndex;
use crate::storage::Reader;

/// The keyspaces the application writes, each a column family of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Space {
    /// The application's state: ordered bytes.
    State,
    /// What is due at a time, ordered by the application's own encoding of it.
    Alarms,
}

/// The application's side of one replica of one shard.
///
/// It is called in log order. One log entry carries many commands: those of one entry share its index, come
/// in the order they were proposed, and take effect together or not at all. After a crash the calls go on
/// behind the last index whose writes reached the disk, so nothing is ever applied onto its own effect.
pub trait Machine: Send + 'static {
    /// Applies one command: pure, without a clock and without I/O other than `reader`.
    ///
    /// `reader` sees `RocksDB` at least as of `reader.written()`; the writes of entries above that may still be
    /// on their way, and so may those of earlier commands of this entry. The machine remembers what it needs
    /// of these itself.
    ///
    /// # Errors
    ///
    /// An error is a command that can not be applied: a bug, or bytes that do not decode. It drops the whole
    /// entry's writes and stops the shard on this node.
    fn apply(
        &mut self,
        index: LogIndex,
        command: &[u8],
        reader: &Reader,
        writes: &mut Writes,
    ) -> Result<(), ApplyError>;

    /// The state was replaced by a snapshot: forget everything remembered.
    fn reset(&mut self);
}

/// Why a command can not be applied. It stops the shard on this node; health shows the reason.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reason}")]
pub struct ApplyError {
    reason: String,
}

impl ApplyError {
    /// An error with its reason, in a sentence for the operator.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// The writes of applied commands, in the order they were asked for.
#[derive(Debug, Default)]
pub struct Writes {
    operations: Vec<Operation>,
    bytes: usize,
}

#[derive(Debug)]
pub(crate) enum Operation {
    Put { space: Space, key: Vec<u8>, value: Vec<u8> },
    Delete { space: Space, key: Vec<u8> },
    DeleteRange { space: Space, from: Vec<u8>, to: Vec<u8> },
}

impl Writes {
    /// Sets a key.
    pub fn put(&mut self, space: Space, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        let (key, value) = (key.into(), value.into());
        self.bytes += key.len() + value.len();
        self.operations.push(Operation::Put { space, key, value });
    }

    /// Removes a key, if it is there.
    pub fn delete(&mut self, space: Space, key: impl Into<Vec<u8>>) {
        let key = key.into();
        self.bytes += key.len();
        self.operations.push(Operation::Delete { space, key });
    }

    /// Removes the keys from `from` up to but without `to`.
    pub fn delete_range(&mut self, space: Space, from: impl Into<Vec<u8>>, to: impl Into<Vec<u8>>) {
        let (from, to) = (from.into(), to.into());
        self.bytes += from.len() + to.len();
        self.operations.push(Operation::DeleteRange { space, from, to });
    }

    /// How many operations there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn into_operations(self) -> Vec<Operation> {
        self.operations
    }
}
