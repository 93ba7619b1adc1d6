//! The bytes are frozen: golden ones, and any commit comes out as it went in.

#![expect(clippy::needless_raw_string_hashes, reason = "expect-test writes them")]

use bytes::Bytes;
use expect_test::{Expect, expect};
use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::object::commit::{Cause, NewRecord};
use crate::object::effects::Effects;
use crate::object::history::HistoryWindow;
use crate::object::idempotency::RecordWindow;
use crate::object::idempotency::{Fingerprint, IdempotencyKey, RecordSlot};
use crate::object::meta::{Alarm, AlarmFailure};
use crate::object::{
    Commit, Key, Meta, ObjectAddress, Op, Space, Stored, StoredKey, Timestamp, Update, Value, Version,
    samples,
};

/// Shows bytes: those of text as they are, others as hex.
fn show(bytes: &[u8]) -> String {
    let show_one = |byte: &u8| match byte {
        b' '..=b'~' if *byte != b'\\' => char::from(*byte).to_string(),
        _ => format!("\\{byte:02x}"),
    };
    bytes.iter().map(show_one).collect()
}

fn check(bytes: &[u8], expected: Expect) {
    expected.assert_eq(&show(bytes));
}

fn sample_commit() -> Commit {
    let address = ObjectAddress::parse("default", "counter", "visits").unwrap();
    let before = Meta {
        version: Version(41),
        sequence: 45,
        exists: true,
        created_at: Timestamp(1_795_227_000_000),
        updated_at: Timestamp(1_795_227_096_000),
        keys: 1,
        bytes: 7,
        history_first: 1,
        history_bytes: 6_000,
        ..Meta::default()
    };
    let key = StoredKey { space: Space::Public, key: Key::parse("value").unwrap() };
    let effects = Effects {
        binary: None,
        ops: vec![Op::Put { key, value: Stored::Json(Value::from(42_i64)) }],
        creates: false,
        alarm: None,
        delta: None,
        keys: 1,
        bytes: 7,
        decoded: None,
    };
    let cause =
        Cause { subject: "local".into(), method: "increment".into(), time: Timestamp(1_795_227_096_224) };
    let mut commit = Commit::of_turn(address, &before, effects, cause);
    commit.enter_history(&mut HistoryWindow::load(&before, [150; 41]));
    commit
}

#[test]
fn the_commit_of_an_increment_is_frozen_and_small() {
    let bytes = encode_commit(&sample_commit());
    assert!(bytes.len() < 200, "{}", bytes.len());
    check(
        &bytes,
        expect![[
            r#"\01\01\17default\00counter\00visits\00\02\02)-\03\0a\05value\00\0042\08$\01\01\01*\02\01.\04\00\05\06\c0\b9\f8\de\9f4\06\06\a0\a9\fe\de\9f4\07\01\01\08\01\07\0b\03\01\ae0\0d\02\01\01\0e\05local\0f\09increment\10\06\a0\a9\fe\de\9f4"#
        ]],
    );
}

#[test]
fn a_commit_with_every_field_is_frozen() {
    let mut commit = sample_commit();
    let private = StoredKey { space: Space::Private, key: Key::parse("update/1").unwrap() };
    let gone = StoredKey { space: Space::Public, key: Key::parse("gone").unwrap() };
    commit.ops.insert(0, Op::Clear);
    commit.ops.push(Op::Delete { key: gone });
    commit.ops.push(Op::Put { key: private, value: Stored::Binary(Bytes::from_static(&[0, 0xff])) });
    commit.deletes_object = true;
    commit.forgets_object = true;
    commit.alarm_before = Some(Timestamp(5));
    commit.due_before = Some(Timestamp(0));
    commit.history_trim = 3..7;
    commit.delta = Some(Value::from("δ"));
    let slot = RecordSlot {
        sequence: 9,
        key: IdempotencyKey::parse("old").unwrap(),
        time: Timestamp(300),
        size: 128,
    };
    let new = NewRecord {
        key: IdempotencyKey::parse("new").unwrap(),
        fingerprint: Fingerprint([7; 32]),
        reply: Bytes::from_static(b"reply"),
    };
    commit.meta.records = RecordWindow { first: 9, next: 12, bytes: 384 };
    commit.add_record(new, vec![slot]);
    commit.meta.generation = 2;
    commit.meta.alarm = Some(Alarm { at: Timestamp(1_795_227_099_000), attempts: 3 });
    commit.meta.alarm_failed = Some(AlarmFailure { at: Timestamp(1), attempts: 6 });
    let bytes = encode_commit(&commit);
    check(
        &bytes,
        expect![[
            r#"\01\01\17default\00counter\00visits\00\02\02)-\05\00\03\0a\05value\00\0042\04\05\00gone\03\0d\08update/1\01\01\00\ff\06\00\07\00\08B\01\01\01*\02\01.\03\01\02\04\00\05\06\c0\b9\f8\de\9f4\06\06\a0\a9\fe\de\9f4\07\01\01\08\01\07\09\07\f8\be\fe\de\9f4\03\0a\02\01\06\0b\03\01\ae0\0c\04\0a\0d\a8\02\0d\06\a0\e1\97\88\a04\09\01\05\0a\01\00\0b=\01\01\03new\02 \07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\07\03\05reply\04\01*\05\06\a0\a9\fe\de\9f4\06\01\0c\0c\11\01\01\03old\05\02\ac\02\06\01\09\07\02\80\01\0d\02\03\07\0e\05local\0f\09increment\10\06\a0\a9\fe\de\9f4\11\04"\ce\b4""#
        ]],
    );
    assert_eq!(decode_commit(&bytes), Ok(commit));
}

#[test]
fn small_records_are_frozen() {
    check(&encode_meta(&Meta::default()), expect![[r#"\01"#]]);
    check(
        &encode_meta(&sample_commit().meta),
        expect![[
            r#"\01\01\01*\02\01.\04\00\05\06\c0\b9\f8\de\9f4\06\06\a0\a9\fe\de\9f4\07\01\01\08\01\07\0b\03\01\ae0"#
        ]],
    );
    check(&encode_stored(&Stored::Json(Value::null())), expect![[r#"\00null"#]]);
    check(&encode_stored(&Stored::Binary(Bytes::from_static(b"x"))), expect![[r#"\01x"#]]);
    check(
        &encode_history(&Update::from_commit(&sample_commit()).unwrap()),
        expect![[r#"\01\01\01*\02\08\05value42\07\09increment\08\05local\09\06\a0\a9\fe\de\9f4"#]],
    );
    let mut full = sample_commit();
    full.ops.insert(0, Op::Clear);
    full.ops.push(Op::Delete { key: StoredKey { space: Space::Public, key: Key::parse("gone").unwrap() } });
    full.delta = Some(Value::from("δ"));
    check(
        &encode_history(&Update::from_commit(&full).unwrap()),
        expect![[
            r#"\01\01\01*\02\08\05value42\03\04gone\04\00\07\09increment\08\05local\09\06\a0\a9\fe\de\9f4\0a\04"\ce\b4""#
        ]],
    );
    full.deletes_object = true;
    check(
        &encode_history(&Update::from_commit(&full).unwrap()),
        expect![[
            r#"\01\01\01*\02\08\05value42\03\04gone\04\00\05\00\07\09increment\08\05local\09\06\a0\a9\fe\de\9f4\0a\04"\ce\b4""#
        ]],
    );
}

#[test]
fn what_a_newer_program_wrote_is_refused() {
    let commit = encode_commit(&sample_commit());
    let mut newer = commit.clone();
    newer[0] = 2;
    assert_eq!(decode_commit(&newer), Err(CodecError::UnknownFormat(2)));
    let mut more = commit.clone();
    more.extend([99, 1, 0]);
    assert_eq!(decode_commit(&more), Err(CodecError::UnknownTag(99)));
    let mut meta = encode_meta(&Meta::default());
    meta.extend([77, 0]);
    assert_eq!(decode_meta(&meta), Err(CodecError::UnknownTag(77)));
    assert_eq!(decode_stored(&[2, 0]), Err(CodecError::UnknownFormat(2)));
    assert_eq!(decode_history(&[2]), Err(CodecError::UnknownFormat(2)));
}

#[test]
fn damaged_bytes_are_refused() {
    const VERSION_TAG: u8 = 1;
    let commit = encode_commit(&sample_commit());
    for length in 0..commit.len() {
        // A cut between two fields may leave a commit that lacks some; within one it is always seen.
        if let Ok(found) = decode_commit(&commit[..length]) {
            assert_ne!(found, sample_commit());
        }
    }
    assert_eq!(decode_commit(&[]), Err(CodecError::Damaged("no bytes at all")));
    assert_eq!(decode_stored(b"\0{"), Err(CodecError::NotJson));
    assert!(matches!(decode_stored(b"\0\"\xff\""), Err(CodecError::Damaged(_))));
    // A number of ten bytes that does not fit 64 bits.
    let long = [FORMAT, VERSION_TAG, 10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2];
    assert!(matches!(decode_meta(&long), Err(CodecError::Damaged(_))));
    // A content said to be longer than there are bytes.
    assert!(matches!(
        decode_meta(&[FORMAT, VERSION_TAG, 0xff, 0xff, 0xff, 0xff, 0xf, 1]),
        Err(CodecError::Damaged(_))
    ));
}

proptest! {
    #[test]
    fn commits_come_back(commit in samples::commit()) {
        prop_assert_eq!(decode_commit(&encode_commit(&commit)), Ok(commit));
    }

    #[test]
    fn updates_come_back(mut commit in samples::commit()) {
        commit.base.version = Version(1);
        commit.meta.version = Version(2);
        let update = Update::from_commit(&commit).unwrap();
        prop_assert_eq!(decode_history(&encode_history(&update)), Ok(update));
    }

    #[test]
    fn metas_come_back(meta in samples::meta()) {
        prop_assert_eq!(decode_meta(&encode_meta(&meta)), Ok(meta));
    }

    #[test]
    fn records_come_back(record in samples::record(), slot in samples::slot()) {
        prop_assert_eq!(decode_record(&encode_record(&record)), Ok(record));
        prop_assert_eq!(decode_slot(&encode_slot(&slot)), Ok(slot));
    }

    #[test]
    fn values_come_back(stored in samples::stored()) {
        prop_assert_eq!(decode_stored(&encode_stored(&stored)), Ok(stored));
    }

    #[test]
    fn changed_bytes_never_panic(commit in samples::commit(), at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        let mut bytes = encode_commit(&commit);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes.truncate(cut.index(bytes.len()) + 1);
        if let Ok(found) = decode_commit(&bytes) {
            prop_assert!(decode_commit(&encode_commit(&found)) == Ok(found));
        }
    }

    #[test]
    fn any_bytes_never_panic(mut bytes: Vec<u8>) {
        for format in [None, Some(FORMAT)] {
            if let (Some(format), Some(first)) = (format, bytes.first_mut()) {
                *first = format;
            }
            let _ = decode_commit(&bytes);
            let _ = decode_meta(&bytes);
            let _ = decode_record(&bytes);
            let _ = decode_slot(&bytes);
            let _ = decode_stored(&bytes);
            let _ = decode_history(&bytes);
        }
    }
}
