//! What requests and answers between nodes look like inside a frame. Frozen within a protocol version, which
//! the handshake agrees on.
//!
//! What is sent for every write, entries and their answers, is compact: an entry travels as it is stored. What
//! is rare is JSON.

use bytes::{Buf, BufMut, Bytes};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::layout::NodeId;
use crate::network::{AppendRequest, AppendResponse, Desk, GroupId, Vote};
use crate::raft::{LogId, log_id, term_of};
use crate::storage::codec::{decode_entry, encode_entry, entry_bytes};

/// Bytes before an entry: its index and length.
const ENTRY_HEAD_BYTES: usize = 12;
/// Bytes of a vote and two log ids.
const APPEND_HEAD_BYTES_MAX: usize = 17 + 2 * 17;

/// Bytes that can not be what they are said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message of a peer can not be read")]
pub(super) struct NotReadable;

/// What is asked for; the first byte of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    Append(GroupId),
    Vote(GroupId),
    PreVote(GroupId),
    Transfer(GroupId),
    Snapshot(GroupId),
    Answer(Desk),
    Stream,
}

impl Ask {
    pub(super) fn encode(self, body: &[u8]) -> Bytes {
        let mut out = self.begin(body.len());
        out.put_slice(body);
        out.into()
    }

    /// The beginning of a request, with room for its body.
    fn begin(self, body_bytes: usize) -> Vec<u8> {
        let (byte, group) = match self {
            Self::Append(group) => (1, Some(group)),
            Self::Vote(group) => (2, Some(group)),
            Self::PreVote(group) => (3, Some(group)),
            Self::Transfer(group) => (4, Some(group)),
            Self::Snapshot(group) => (5, Some(group)),
            Self::Answer(Desk::Cluster) => (6, None),
            Self::Answer(Desk::Application) => (7, None),
            Self::Stream => (8, None),
            Self::Answer(Desk::Archive) => (9, None),
        };
        let mut out = Vec::with_capacity(3 + body_bytes);
        out.put_u8(byte);
        if let Some(group) = group {
            out.put_u16(group.0);
        }
        out
    }

    pub(super) fn decode(mut bytes: Bytes) -> Result<(Self, Bytes), NotReadable> {
        let byte = bytes.try_get_u8().map_err(|_| NotReadable)?;
        let ask = match byte {
            6 => Self::Answer(Desk::Cluster),
            7 => Self::Answer(Desk::Application),
            8 => Self::Stream,
            9 => Self::Answer(Desk::Archive),
            _ => {
                let group = GroupId(bytes.try_get_u16().map_err(|_| NotReadable)?);
                match byte {
                    1 => Self::Append(group),
                    2 => Self::Vote(group),
                    3 => Self::PreVote(group),
                    4 => Self::Transfer(group),
                    5 => Self::Snapshot(group),
                    _ => return Err(NotReadable),
                }
            }
        };
        Ok((ask, bytes))
    }
}

pub(super) fn encode_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("what is sent as JSON is made of strings and numbers")
}

pub(super) fn decode_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, NotReadable> {
    serde_json::from_slice(bytes).map_err(|_| NotReadable)
}

/// The request for [`Ask::Append`]: every write passes here, so nothing of it is copied twice.
pub(super) fn encode_append(group: GroupId, request: &AppendRequest) -> Bytes {
    let room = request.entries.iter().map(|entry| ENTRY_HEAD_BYTES + entry_bytes(entry)).sum::<usize>();
    let mut out = Ask::Append(group).begin(APPEND_HEAD_BYTES_MAX + room);
    push_vote(&request.vote, &mut out);
    push_log_id(request.prev_log_id.as_ref(), &mut out);
    push_log_id(request.leader_commit.as_ref(), &mut out);
    for entry in &request.entries {
        out.put_u64(entry.log_id.index);
        let at = out.len();
        out.put_u32(0);
        encode_entry(entry, &mut out);
        let length = u32::try_from(out.len() - at - 4).expect("an entry is below 2 GiB");
        let place = out.get_mut(at..at + 4).expect("it was put there");
        place.copy_from_slice(&length.to_be_bytes());
    }
    out.into()
}

pub(super) fn decode_append(mut bytes: Bytes) -> Result<AppendRequest, NotReadable> {
    let vote = take_vote(&mut bytes)?;
    let (prev_log_id, leader_commit) = (take_log_id(&mut bytes)?, take_log_id(&mut bytes)?);
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let index = bytes.try_get_u64().map_err(|_| NotReadable)?;
        let length = bytes.try_get_u32().map_err(|_| NotReadable)? as usize;
        if length > bytes.len() {
            return Err(NotReadable);
        }
        entries.push(decode_entry(index, bytes.split_to(length)).map_err(|_| NotReadable)?);
    }
    Ok(AppendRequest { vote, prev_log_id, entries, leader_commit })
}

pub(super) fn encode_append_response(response: &AppendResponse) -> Vec<u8> {
    let mut out = Vec::new();
    match response {
        AppendResponse::Success => out.put_u8(0),
        AppendResponse::PartialSuccess(log_id) => {
            out.put_u8(1);
            push_log_id(log_id.as_ref(), &mut out);
        }
        AppendResponse::Conflict => out.put_u8(2),
        AppendResponse::HigherVote(vote) => {
            out.put_u8(3);
            push_vote(vote, &mut out);
        }
    }
    out
}

pub(super) fn decode_append_response(mut bytes: Bytes) -> Result<AppendResponse, NotReadable> {
    match bytes.try_get_u8().map_err(|_| NotReadable)? {
        0 => Ok(AppendResponse::Success),
        1 => Ok(AppendResponse::PartialSuccess(take_log_id(&mut bytes)?)),
        2 => Ok(AppendResponse::Conflict),
        3 => Ok(AppendResponse::HigherVote(take_vote(&mut bytes)?)),
        _ => Err(NotReadable),
    }
}

fn push_vote(vote: &Vote, out: &mut Vec<u8>) {
    out.put_u64(vote.leader_id.term);
    out.put_u64(vote.leader_id.voted_for.0);
    out.put_u8(u8::from(vote.committed));
}

fn take_vote(bytes: &mut Bytes) -> Result<Vote, NotReadable> {
    let term = bytes.try_get_u64().map_err(|_| NotReadable)?;
    let node = NodeId(bytes.try_get_u64().map_err(|_| NotReadable)?);
    match bytes.try_get_u8() {
        Ok(0) => Ok(Vote::new(term, node)),
        Ok(1) => Ok(Vote::new_committed(term, node)),
        _ => Err(NotReadable),
    }
}

fn push_log_id(id: Option<&LogId>, out: &mut Vec<u8>) {
    out.put_u8(u8::from(id.is_some()));
    if let Some(id) = id {
        out.put_u64(term_of(id));
        out.put_u64(id.index);
    }
}

fn take_log_id(bytes: &mut Bytes) -> Result<Option<LogId>, NotReadable> {
    match bytes.try_get_u8() {
        Ok(0) => Ok(None),
        Ok(1) => {
            let term = bytes.try_get_u64().map_err(|_| NotReadable)?;
            let index = bytes.try_get_u64().map_err(|_| NotReadable)?;
            Ok(Some(log_id(term, index)))
        }
        _ => Err(NotReadable),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use expect_test::{Expect, expect};
    use openraft::{Entry, EntryPayload};
    use proptest::prelude::*;

    use super::{Ask, decode_append, decode_append_response, encode_append, encode_append_response};
    use crate::layout::NodeId;
    use crate::network::{AppendRequest, AppendResponse, Desk, GroupId, Vote};
    use crate::raft::{Commands, log_id};

    fn check(bytes: &[u8], expected: &Expect) {
        expected.assert_eq(&bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "));
    }

    fn append() -> AppendRequest {
        let commands = Commands::pack(1, [Bytes::from_static(b"c")].iter());
        AppendRequest {
            vote: Vote::new_committed(3, NodeId(2)),
            prev_log_id: Some(log_id(3, 6)),
            entries: vec![Entry { log_id: log_id(3, 7), payload: EntryPayload::Normal(commands) }],
            leader_commit: None,
        }
    }

    #[test]
    fn messages_are_frozen() {
        check(
            &encode_append(GroupId(3), &append()),
            &expect![
                "01 00 03 00 00 00 00 00 00 00 03 00 00 00 00 00 00 00 02 01 01 00 00 00 00 00 00 00 03 00 00 00 00 00 00 00 06 00 00 00 00 00 00 00 00 07 00 00 00 17 01 01 00 00 00 00 00 00 00 03 00 00 00 00 00 00 00 01 00 00 00 01 63"
            ],
        );
        let (ask, body) = Ask::decode(encode_append(GroupId(3), &append())).expect("it was encoded here");
        assert_eq!(ask, Ask::Append(GroupId(3)));
        let again = decode_append(body).expect("it was encoded here");
        assert_eq!(again.to_string(), append().to_string());
        let higher = AppendResponse::HigherVote(Vote::new(4, NodeId(1)));
        check(
            &encode_append_response(&higher),
            &expect!["03 00 00 00 00 00 00 00 04 00 00 00 00 00 00 00 01 00"],
        );
        for response in [AppendResponse::Success, AppendResponse::Conflict, higher] {
            assert_eq!(decode_append_response(encode_append_response(&response).into()), Ok(response));
        }
        check(&Ask::Vote(GroupId(3)).encode(b"x"), &expect!["02 00 03 78"]);
        check(&Ask::Answer(Desk::Application).encode(b"x"), &expect!["07 78"]);
        check(&Ask::Answer(Desk::Archive).encode(b"x"), &expect!["09 78"]);
    }

    proptest! {
        #[test]
        fn decoding_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let bytes = Bytes::from(bytes);
            let _ = decode_append(bytes.clone());
            let _ = decode_append_response(bytes.clone());
            if let Ok((ask, rest)) = Ask::decode(bytes.clone()) {
                prop_assert_eq!(ask.encode(&rest), bytes);
            }
        }
    }
}
