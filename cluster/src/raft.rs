//! The types openraft is used with, and what an entry of ours carries.
//!
//! A term has at most one leader (`leader_id_std`), so that a term alone says under whose leadership a command
//! was proposed. An entry carries the commands of many callers; one [`Pack`] answers them all.

use std::fmt;

use bytes::Bytes;
use openraft::impls::leader_id_std;
use openraft::raft::responder::Responder;
use openraft::type_config::alias;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::group::Pack;
use crate::layout::NodeId;
use crate::sabotage::{self, Sabotage};

/// openraft's type parameters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TypeConfig;

impl openraft::RaftTypeConfig for TypeConfig {
    type D = Commands;
    type R = Effect;
    type NodeId = NodeId;
    type Node = Peer;
    type Term = u64;
    type LeaderId = leader_id_std::LeaderId<u64, NodeId>;
    type Vote = openraft::Vote<Self::LeaderId>;
    type Payload = openraft::EntryPayload<Commands, NodeId, Peer>;
    type Entry = openraft::Entry<CommittedLeaderId, Self::Payload>;
    type AsyncRuntime = openraft::TokioRuntime;
    type Responder<T>
        = EntryResponder<T>
    where
        T: Send + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: Send + 'static;
    type ErrorSource = openraft::AnyError;
}

pub(crate) type CommittedLeaderId =
    <leader_id_std::LeaderId<u64, NodeId> as openraft::vote::RaftLeaderId>::Committed;
pub(crate) type Entry = alias::EntryOf<TypeConfig>;
pub(crate) type LogId = alias::LogIdOf<TypeConfig>;
pub(crate) type Membership = openraft::Membership<NodeId, Peer>;
pub(crate) type StoredMembership = alias::StoredMembershipOf<TypeConfig>;
pub(crate) type Vote = alias::VoteOf<TypeConfig>;
pub(crate) type WriteResult = openraft::raft::ClientWriteResult<TypeConfig>;

/// The log id of a term and an index.
pub(crate) fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(term), index)
}

/// The term of a log id.
pub(crate) fn term_of(log_id: &LogId) -> u64 {
    **log_id.committed_leader_id()
}

/// Where a member of a group is reached. The address here is the one the member had when it was added; the
/// cluster's map has the newest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its peer address.
    pub address: String,
}

/// What applying an entry came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// Its commands were applied.
    Applied,
    /// It does not follow on the entry its proposer had sent before it, so nothing of it was applied, on any
    /// replica.
    Void,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The commands of one entry, in their stored form: what was packed once is never copied apart again.
///
/// `sequence` numbers the entries of one proposer within its term, from 1. Were an entry refused by Raft and
/// a later one, already on its way, accepted, then commands would be applied without those they build on; the
/// gap in the numbers shows it, and apply leaves the later one out.
#[derive(Clone, PartialEq, Eq)]
pub struct Commands {
    sequence: u64,
    packed: Bytes,
}

/// Bytes before each command in an entry: its length.
pub(crate) const COMMAND_HEADER_BYTES: usize = 4;

impl Commands {
    /// Packs commands into an entry.
    pub(crate) fn pack<'a>(sequence: u64, commands: impl Iterator<Item = &'a Bytes> + Clone) -> Self {
        let bytes = commands.clone().map(|command| COMMAND_HEADER_BYTES + command.len()).sum();
        let mut packed = Vec::with_capacity(bytes);
        for command in commands {
            let length = u32::try_from(command.len()).expect("a command is no larger than entry_bytes_max");
            packed.extend_from_slice(&length.to_be_bytes());
            packed.extend_from_slice(command);
        }
        Self { sequence, packed: packed.into() }
    }

    /// Takes up what [`Self::packed`] gave, if it is whole.
    pub(crate) fn unpack(sequence: u64, packed: Bytes) -> Option<Self> {
        let mut rest = packed.as_ref();
        while !rest.is_empty() {
            rest = split_command(rest)?.1;
        }
        Some(Self { sequence, packed })
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(crate) fn packed(&self) -> &Bytes {
        &self.packed
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.packed.as_ref();
        std::iter::from_fn(move || {
            let (command, behind) = split_command(rest)?;
            rest = behind;
            Some(command)
        })
    }
}

fn split_command(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<COMMAND_HEADER_BYTES>()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}

impl fmt::Debug for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {} of {} bytes", self.sequence, self.packed.len())
    }
}

impl fmt::Display for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Serialize for Commands {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.sequence, self.packed.as_ref()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Commands {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (sequence, packed) = <(u64, Vec<u8>)>::deserialize(deserializer)?;
        Self::unpack(sequence, packed.into())
            .ok_or_else(|| D::Error::custom("the commands of an entry are cut off"))
    }
}

/// Answers the callers of one entry. Dropped without an answer, it tells them that nothing is known.
pub struct EntryResponder<T> {
    pack: Option<Pack>,
    answer: fn(Pack, T),
}

impl EntryResponder<WriteResult> {
    pub(crate) fn new(pack: Pack) -> Self {
        Self { pack: Some(pack), answer: Pack::answer }
    }
}

impl<T: Send + 'static> Responder<TypeConfig, T> for EntryResponder<T> {
    fn on_commit(&mut self, log_id: LogId) {
        if sabotage::is_on(Sabotage::AnswerAtCommit)
            && let Some(pack) = self.pack.take()
        {
            pack.answer_early(log_id.index);
        }
    }

    // Not `on_commit`: apply may still leave an entry out, and a reply must not leave before it can be read.
    fn on_complete(mut self, result: T) {
        if let Some(pack) = self.pack.take() {
            (self.answer)(pack, result);
        }
    }
}

impl<T> Drop for EntryResponder<T> {
    fn drop(&mut self) {
        if let Some(pack) = self.pack.take() {
            pack.abandon();
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::Commands;

    proptest! {
        #[test]
        fn what_is_packed_comes_out_again(commands in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8)) {
            let commands: Vec<Bytes> = commands.into_iter().map(Bytes::from).collect();
            let packed = Commands::pack(7, commands.iter());
            let again = Commands::unpack(packed.sequence(), packed.packed().clone()).expect("it was packed here");
            prop_assert_eq!(again.iter().collect::<Vec<_>>(), commands.iter().map(AsRef::as_ref).collect::<Vec<&[u8]>>());
        }

        #[test]
        fn unpacking_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Some(commands) = Commands::unpack(1, bytes.into()) {
                prop_assert!(commands.iter().count() <= 64);
            }
        }
    }
}
