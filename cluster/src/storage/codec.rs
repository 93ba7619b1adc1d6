//! Every value the crate stores of its own, frozen: each begins with a version, numbers are big-endian.
//!
//! Decoding never panics and never guesses: a version, kind or length it does not know is an error that stops
//! the replica, for bytes of a newer program must not be passed over.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use openraft::EntryPayload;

use crate::layout::NodeId;
use crate::map::ClusterId;
use crate::raft::{Commands, Entry, LogId, Membership, Peer, StoredMembership, Vote, log_id, term_of};
use crate::storage::keys::Incarnation;

/// The version every value begins with.
const VERSION: u8 = 1;

/// Why a stored value can not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("{what} has version {version}, which this program does not know")]
    Version { what: &'static str, version: u8 },
    #[error("{what} is of kind {kind}, which this program does not know")]
    Kind { what: &'static str, kind: u8 },
    #[error("{what} is damaged")]
    Damaged { what: &'static str },
}

/// What of the log a replica has applied, and where its data lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) incarnation: Incarnation,
    pub(crate) log_id: Option<LogId>,
    /// The number of the last entry with commands, within the term of `sequence_term`.
    pub(crate) sequence: u64,
    pub(crate) sequence_term: u64,
}

/// Who this node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) cluster: ClusterId,
    pub(crate) node: NodeId,
    pub(crate) shards: u16,
    /// How often the data directory was opened, this time included: see [`crate::network::Member`].
    pub(crate) epoch: u64,
}

const BLANK: u8 = 0;
const COMMANDS: u8 = 1;
const MEMBERSHIP: u8 = 2;

/// Appends an entry's stored form to `out`. Its index is in its key.
pub(crate) fn encode_entry(entry: &Entry, out: &mut Vec<u8>) {
    let term = term_of(&entry.log_id).to_be_bytes();
    out.push(VERSION);
    match &entry.payload {
        EntryPayload::Blank => {
            out.push(BLANK);
            out.extend_from_slice(&term);
        }
        EntryPayload::Normal(commands) => {
            out.push(COMMANDS);
            out.extend_from_slice(&term);
            out.extend_from_slice(&commands.sequence().to_be_bytes());
            out.extend_from_slice(commands.packed());
        }
        EntryPayload::Membership(membership) => {
            out.push(MEMBERSHIP);
            out.extend_from_slice(&term);
            encode_members(membership, out);
        }
    }
}

pub(crate) fn decode_entry(index: u64, value: Bytes) -> Result<Entry, DecodeError> {
    let mut input = Input::new("a log entry", &value)?;
    let kind = input.byte()?;
    let term = input.u64()?;
    let payload = match kind {
        BLANK => EntryPayload::Blank,
        COMMANDS => {
            let sequence = input.u64()?;
            let packed = value.slice(value.len() - input.rest.len()..);
            input.rest = &[];
            EntryPayload::Normal(Commands::unpack(sequence, packed).ok_or(input.damaged())?)
        }
        MEMBERSHIP => EntryPayload::Membership(decode_members(&mut input)?),
        kind => return Err(DecodeError::Kind { what: input.what, kind }),
    };
    input.end()?;
    Ok(Entry { log_id: log_id(term, index), payload })
}

/// About how many bytes an entry takes on disk and in memory.
pub(crate) fn entry_bytes(entry: &Entry) -> usize {
    let fixed = 64;
    match &entry.payload {
        EntryPayload::Normal(commands) => fixed + commands.packed().len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => fixed,
    }
}

pub(crate) fn encode_vote(vote: &Vote) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.extend_from_slice(&vote.leader_id.term.to_be_bytes());
    out.extend_from_slice(&vote.leader_id.voted_for.0.to_be_bytes());
    out.push(u8::from(vote.committed));
    out
}

pub(crate) fn decode_vote(value: &[u8]) -> Result<Vote, DecodeError> {
    let mut input = Input::new("a vote", value)?;
    let (term, node) = (input.u64()?, NodeId(input.u64()?));
    let vote = if input.flag()? { Vote::new_committed(term, node) } else { Vote::new(term, node) };
    input.end()?;
    Ok(vote)
}

pub(crate) fn encode_log_id(log_id: &LogId) -> Vec<u8> {
    let mut out = vec![VERSION];
    push_log_id(Some(log_id), &mut out);
    out
}

pub(crate) fn decode_log_id(value: &[u8]) -> Result<LogId, DecodeError> {
    let mut input = Input::new("a log id", value)?;
    let log_id = input.log_id()?.ok_or(input.damaged())?;
    input.end()?;
    Ok(log_id)
}

pub(crate) fn encode_applied(applied: &Applied) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.extend_from_slice(&applied.incarnation.to_be_bytes());
    push_log_id(applied.log_id.as_ref(), &mut out);
    out.extend_from_slice(&applied.sequence_term.to_be_bytes());
    out.extend_from_slice(&applied.sequence.to_be_bytes());
    out
}

pub(crate) fn decode_applied(value: &[u8]) -> Result<Applied, DecodeError> {
    let mut input = Input::new("the record of what is applied", value)?;
    let incarnation = input.u32()?;
    let log_id = input.log_id()?;
    let (sequence_term, sequence) = (input.u64()?, input.u64()?);
    input.end()?;
    Ok(Applied { incarnation, log_id, sequence, sequence_term })
}

pub(crate) fn encode_membership(membership: &StoredMembership) -> Vec<u8> {
    let mut out = vec![VERSION];
    push_log_id(membership.log_id().as_ref(), &mut out);
    encode_members(membership.membership(), &mut out);
    out
}

pub(crate) fn decode_membership(value: &[u8]) -> Result<StoredMembership, DecodeError> {
    let mut input = Input::new("a membership", value)?;
    let log_id = input.log_id()?;
    let members = decode_members(&mut input)?;
    input.end()?;
    Ok(StoredMembership::new(log_id, members))
}

pub(crate) fn encode_identity(identity: &Identity) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.extend_from_slice(&identity.cluster.0);
    out.extend_from_slice(&identity.node.0.to_be_bytes());
    out.extend_from_slice(&identity.shards.to_be_bytes());
    out.extend_from_slice(&identity.epoch.to_be_bytes());
    out
}

pub(crate) fn decode_identity(value: &[u8]) -> Result<Identity, DecodeError> {
    let mut input = Input::new("the record of who this node is", value)?;
    let cluster = ClusterId(input.array()?);
    let node = NodeId(input.u64()?);
    let (shards, epoch) = (input.u16()?, input.u64()?);
    input.end()?;
    Ok(Identity { cluster, node, shards, epoch })
}

fn push_log_id(log_id: Option<&LogId>, out: &mut Vec<u8>) {
    out.push(u8::from(log_id.is_some()));
    out.extend_from_slice(&log_id.map_or(0, term_of).to_be_bytes());
    out.extend_from_slice(&log_id.map_or(0, |log_id| log_id.index).to_be_bytes());
}

fn encode_members(membership: &Membership, out: &mut Vec<u8>) {
    let configs = membership.get_joint_config();
    push_count(configs.len(), out);
    for config in configs {
        push_count(config.len(), out);
        for node in config {
            out.extend_from_slice(&node.0.to_be_bytes());
        }
    }
    push_count(membership.nodes().count(), out);
    for (node, peer) in membership.nodes() {
        out.extend_from_slice(&node.0.to_be_bytes());
        push_count(peer.address.len(), out);
        out.extend_from_slice(peer.address.as_bytes());
    }
}

fn push_count(count: usize, out: &mut Vec<u8>) {
    let count = u16::try_from(count).expect("a group has fewer than 65,536 members and addresses are short");
    out.extend_from_slice(&count.to_be_bytes());
}

fn decode_members(input: &mut Input<'_>) -> Result<Membership, DecodeError> {
    let mut configs = Vec::new();
    for _ in 0..input.u16()? {
        let mut config = BTreeSet::new();
        for _ in 0..input.u16()? {
            config.insert(NodeId(input.u64()?));
        }
        configs.push(config);
    }
    let mut nodes = BTreeMap::new();
    for _ in 0..input.u16()? {
        let node = NodeId(input.u64()?);
        let length = usize::from(input.u16()?);
        let address = std::str::from_utf8(input.take(length)?).map_err(|_| input.damaged())?.to_owned();
        nodes.insert(node, Peer { address });
    }
    if configs.is_empty() && nodes.is_empty() {
        return Ok(Membership::default());
    }
    Membership::new(configs, nodes).map_err(|_| input.damaged())
}

/// What is left of a value, and what the value is.
struct Input<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    fn new(what: &'static str, value: &'a [u8]) -> Result<Self, DecodeError> {
        match value.split_first() {
            Some((&VERSION, rest)) => Ok(Self { what, rest }),
            Some((&version, _)) => Err(DecodeError::Version { what, version }),
            None => Err(DecodeError::Damaged { what }),
        }
    }

    fn damaged(&self) -> DecodeError {
        DecodeError::Damaged { what: self.what }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(self.damaged())?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(self.damaged())?;
        self.rest = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    fn flag(&mut self) -> Result<bool, DecodeError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.damaged()),
        }
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    fn log_id(&mut self) -> Result<Option<LogId>, DecodeError> {
        let present = self.flag()?;
        let (term, index) = (self.u64()?, self.u64()?);
        Ok(present.then(|| log_id(term, index)))
    }

    fn end(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.damaged()) }
    }
}

#[cfg(test)]
#[path = "codec/tests.rs"]
mod tests;
