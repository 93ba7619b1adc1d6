//! The application of the simulation: registers, each in the state of one shard, whose commands build on one
//! another as those of real objects do.
//!
//! A command says which version of its register it builds on. Apply stops the shard when it does not, for then a
//! command was lost, came twice, or was let in behind one that was refused.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use stead_cluster::{ApplyError, LogIndex, Machine, Reader, ShardId, Space, Writes};

use crate::observer::Observer;
use crate::wire::HostId;

/// The number of an operation, the same for every try of it.
pub(crate) type OperationId = u64;
/// The number of a register.
pub(crate) type Register = u32;

/// What is replicated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) operation: OperationId,
    pub(crate) register: Register,
    /// The version it builds on.
    pub(crate) base: u64,
    pub(crate) value: u64,
}

/// A register's version and value.
pub(crate) type Stored = (u64, u64);

impl Command {
    pub(crate) fn encode(&self) -> Bytes {
        let parts = [self.operation, u64::from(self.register), self.base, self.value];
        parts.iter().flat_map(|part| part.to_be_bytes()).collect::<Vec<u8>>().into()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut parts = bytes.chunks_exact(8).map(|part| part.try_into().map(u64::from_be_bytes));
        let mut next = || parts.next()?.ok();
        let (operation, register, base, value) = (next()?, next()?, next()?, next()?);
        Some(Self { operation, register: Register::try_from(register).ok()?, base, value })
    }
}

/// The key a register is stored under.
pub(crate) fn key_of(register: Register) -> [u8; 5] {
    let [a, b, c, d] = register.to_be_bytes();
    [b'r', a, b, c, d]
}

/// Reads a register.
pub(crate) fn read(reader: &Reader, register: Register) -> Result<Stored, String> {
    let stored = reader.get(Space::State, &key_of(register)).map_err(|error| error.to_string())?;
    stored.map_or(Ok((0, 0)), |bytes| decode_pair(&bytes).ok_or_else(|| "a register is damaged".to_owned()))
}

fn encode_pair((left, right): (u64, u64)) -> [u8; 16] {
    let mut bytes = [0; 16];
    let (first, second) = bytes.split_at_mut(8);
    first.copy_from_slice(&left.to_be_bytes());
    second.copy_from_slice(&right.to_be_bytes());
    bytes
}

fn decode_pair(bytes: &[u8]) -> Option<(u64, u64)> {
    let (left, right) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*left), u64::from_be_bytes(right.try_into().ok()?)))
}

/// Where the digest of everything applied is stored, with how many commands that was.
const DIGEST_KEY: &[u8] = b"digest";

/// How many commands were applied to these rows, and their digest.
pub(crate) fn digest_of(rows: &[(Vec<u8>, Vec<u8>)]) -> (u64, u64) {
    let stored = rows.iter().find(|(key, _)| key == DIGEST_KEY);
    stored.and_then(|(_, value)| decode_pair(value)).unwrap_or_default()
}

/// One replica of one shard's registers.
pub(crate) struct Registers {
    host: HostId,
    shard: ShardId,
    observer: Arc<Observer>,
    known: BTreeMap<Register, Stored>,
    digest: Option<(u64, u64)>,
}

impl Registers {
    pub(crate) fn new(host: HostId, shard: ShardId, observer: Arc<Observer>) -> Self {
        Self { host, shard, observer, known: BTreeMap::new(), digest: None }
    }

    fn digest(&mut self, reader: &Reader) -> Result<(u64, u64), String> {
        if let Some(digest) = self.digest {
            return Ok(digest);
        }
        let stored = reader.get(Space::State, DIGEST_KEY).map_err(|error| error.to_string())?;
        Ok(stored.and_then(|bytes| decode_pair(&bytes)).unwrap_or_default())
    }

    fn change(
        &mut self,
        index: LogIndex,
        command: &[u8],
        reader: &Reader,
        writes: &mut Writes,
    ) -> Result<(), String> {
        let Command { operation, register, base, value } =
            Command::decode(command).ok_or("a command is damaged")?;
        let (version, _) = match self.known.get(&register) {
            Some(stored) => *stored,
            None => read(reader, register)?,
        };
        if version != base {
            return Err(format!(
                "operation {operation} builds on version {base} of register {register}, which is at {version}"
            ));
        }
        let (count, digest) = self.digest(reader)?;
        let mut hasher = DefaultHasher::new();
        (digest, index, command).hash(&mut hasher);
        let digest = (count + 1, hasher.finish());
        self.observer.applied(self.host, self.shard, index, operation, digest);
        self.digest = Some(digest);
        self.known.insert(register, (version + 1, value));
        writes.put(Space::State, key_of(register), encode_pair((version + 1, value)));
        writes.put(Space::State, DIGEST_KEY, encode_pair(digest));
        Ok(())
    }
}

impl Machine for Registers {
    fn apply(
        &mut self,
        index: LogIndex,
        command: &[u8],
        reader: &Reader,
        writes: &mut Writes,
    ) -> Result<(), ApplyError> {
        self.change(index, command, reader, writes).map_err(|reason| {
            self.observer.violation(format!(
                "host {} stops shard {} at index {index}: {reason}",
                self.host, self.shard
            ));
            ApplyError::new(reason)
        })
    }

    fn reset(&mut self) {
        self.known.clear();
        self.digest = None;
    }
}
