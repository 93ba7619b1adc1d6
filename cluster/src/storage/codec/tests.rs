//! Golden bytes: what is stored today must be read by every later program.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use expect_test::{Expect, expect};
use openraft::EntryPayload;
use proptest::prelude::*;

use super::{
    Applied, Identity, decode_applied, decode_entry, decode_identity, decode_log_id, decode_membership,
    decode_vote, encode_applied, encode_entry, encode_identity, encode_log_id, encode_membership,
    encode_vote,
};
use crate::layout::NodeId;
use crate::map::ClusterId;
use crate::raft::{Commands, Entry, Membership, Peer, StoredMembership, Vote, log_id};

fn check(bytes: &[u8], expected: &Expect) {
    expected.assert_eq(&bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "));
}

fn membership() -> Membership {
    let nodes = BTreeMap::from([
        (NodeId(1), Peer { address: "a:1".to_owned() }),
        (NodeId(2), Peer { address: String::new() }),
    ]);
    Membership::new(vec![BTreeSet::from([NodeId(1)]), BTreeSet::from([NodeId(1), NodeId(2)])], nodes)
        .expect("every voter has its node")
}

fn entry(payload: EntryPayload<Commands, NodeId, Peer>) -> Entry {
    Entry { log_id: log_id(2, 9), payload }
}

fn check_entry(entry: &Entry, expected: &Expect) {
    let mut bytes = Vec::new();
    encode_entry(entry, &mut bytes);
    check(&bytes, expected);
    assert_eq!(decode_entry(9, bytes.into()).as_ref(), Ok(entry));
}

#[test]
fn entries_are_frozen() {
    check_entry(&entry(EntryPayload::Blank), &expect!["01 00 00 00 00 00 00 00 00 02"]);
    let commands = Commands::pack(3, [Bytes::from_static(b"ab"), Bytes::new()].iter());
    check_entry(
        &entry(EntryPayload::Normal(commands)),
        &expect!["01 01 00 00 00 00 00 00 00 02 00 00 00 00 00 00 00 03 00 00 00 02 61 62 00 00 00 00"],
    );
    check_entry(
        &entry(EntryPayload::Membership(membership())),
        &expect![
            "01 02 00 00 00 00 00 00 00 02 00 02 00 01 00 00 00 00 00 00 00 01 00 02 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00 02 00 02 00 00 00 00 00 00 00 01 00 03 61 3a 31 00 00 00 00 00 00 00 02 00 00"
        ],
    );
}

#[test]
fn records_are_frozen() {
    let vote = Vote::new_committed(2, NodeId(7));
    check(&encode_vote(&vote), &expect!["01 00 00 00 00 00 00 00 02 00 00 00 00 00 00 00 07 01"]);
    assert_eq!(decode_vote(&encode_vote(&vote)), Ok(vote));

    check(&encode_log_id(&log_id(2, 9)), &expect!["01 01 00 00 00 00 00 00 00 02 00 00 00 00 00 00 00 09"]);
    assert_eq!(decode_log_id(&encode_log_id(&log_id(2, 9))), Ok(log_id(2, 9)));

    let applied = Applied { incarnation: 1, log_id: Some(log_id(2, 9)), sequence: 5, sequence_term: 2 };
    check(
        &encode_applied(&applied),
        &expect![
            "01 00 00 00 01 01 00 00 00 00 00 00 00 02 00 00 00 00 00 00 00 09 00 00 00 00 00 00 00 02 00 00 00 00 00 00 00 05"
        ],
    );
    assert_eq!(decode_applied(&encode_applied(&applied)), Ok(applied));

    let stored = StoredMembership::new(Some(log_id(2, 9)), membership());
    check(
        &encode_membership(&stored),
        &expect![
            "01 01 00 00 00 00 00 00 00 02 00 00 00 00 00 00 00 09 00 02 00 01 00 00 00 00 00 00 00 01 00 02 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00 02 00 02 00 00 00 00 00 00 00 01 00 03 61 3a 31 00 00 00 00 00 00 00 02 00 00"
        ],
    );
    assert_eq!(decode_membership(&encode_membership(&stored)), Ok(stored));
    let none = StoredMembership::default();
    assert_eq!(decode_membership(&encode_membership(&none)), Ok(none));

    let identity = Identity { cluster: ClusterId([0xab; 16]), node: NodeId(1), shards: 12, epoch: 3 };
    check(
        &encode_identity(&identity),
        &expect![
            "01 ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab 00 00 00 00 00 00 00 01 00 0c 00 00 00 00 00 00 00 03"
        ],
    );
    assert_eq!(decode_identity(&encode_identity(&identity)), Ok(identity));
}

#[test]
fn what_is_not_known_is_refused() {
    check_refused(decode_vote(&[2]), &expect!["a vote has version 2, which this program does not know"]);
    check_refused(decode_vote(&[]), &expect!["a vote is damaged"]);
    check_refused(
        decode_entry(1, Bytes::from_static(&[1, 9, 0, 0, 0, 0, 0, 0, 0, 1])),
        &expect!["a log entry is of kind 9, which this program does not know"],
    );
}

fn check_refused<T: std::fmt::Debug>(result: Result<T, super::DecodeError>, expected: &Expect) {
    expected.assert_eq(&result.expect_err("it can not be decoded").to_string());
}

proptest! {
    #[test]
    fn decoding_never_panics(mut bytes in prop::collection::vec(any::<u8>(), 1..80)) {
        if let Some(first) = bytes.first_mut() {
            *first = 1;
        }
        let _ = decode_entry(1, Bytes::from(bytes.clone()));
        let _ = decode_vote(&bytes);
        let _ = decode_log_id(&bytes);
        let _ = decode_applied(&bytes);
        let _ = decode_membership(&bytes);
        let _ = decode_identity(&bytes);
    }

    #[test]
    fn entries_survive_the_round_trip(term: u64, index: u64, sequence: u64, commands in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..5)) {
        let commands: Vec<Bytes> = commands.into_iter().map(Bytes::from).collect();
        let payload = EntryPayload::Normal(Commands::pack(sequence, commands.iter()));
        let entry = Entry { log_id: log_id(term, index), payload };
        let mut bytes = Vec::new();
        encode_entry(&entry, &mut bytes);
        prop_assert_eq!(decode_entry(index, bytes.into()), Ok(entry));
    }
}
