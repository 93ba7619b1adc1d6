//! Versions against the texts that there were.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use yrs::updates::decoder::Decode;
use yrs::{Doc, ReadTxn, Text, Transact, Update};

use super::*;
use crate::class::Rehearsal;
use crate::class::document::Document;
use crate::object::Space;

fn contents(document: &mut Rehearsal) -> String {
    document.get("content").unwrap().map_or_else(String::new, |text| text.as_str().unwrap().to_owned())
}

fn version(document: &mut Rehearsal, version: u64) -> Result<String, Refusal> {
    let answer = document.ask("version", json!({ "version": version }))?;
    assert_eq!(answer["version"], version);
    Ok(answer["content"].as_str().unwrap().to_owned())
}

/// Every version listed, newest first, read in pages.
fn listed(document: &mut Rehearsal, limit: u64) -> Vec<u64> {
    let (mut versions, mut before) = (Vec::new(), Json::Null);
    loop {
        let page = document.ask("versions", json!({ "limit": limit, "before": before })).unwrap();
        let rows = page["versions"].as_array().unwrap();
        assert!(rows.len() as u64 <= limit);
        versions.extend(rows.iter().map(|row| row["version"].as_u64().unwrap()));
        before = page["cursor"].clone();
        if before.is_null() {
            return versions;
        }
    }
}

/// Keys of the past, and their bytes.
fn kept(document: &Rehearsal) -> (usize, usize) {
    let entries = document.storage().entries(Space::Private);
    let of_past = |key: &str| key.starts_with(RING) || key.starts_with(HOUR) || key == HOURS;
    let past = entries.filter(|(key, _)| of_past(key.as_str()));
    past.fold((0, 0), |(keys, bytes), (_, stored)| (keys + 1, bytes + stored.len()))
}

#[test]
fn the_entry_is_frozen() {
    let entry = Entry {
        version: 300,
        time_ms: 1_795_227_096_224,
        by: "local".to_owned(),
        first: 7,
        bytes_before: 5_000,
        way: vec![8, 5],
    };
    let bytes = b"\x01\xac\x02\xa0\xa9\xfe\xde\x9f\x34\x07\x88\x27\x05local\x08\x05";
    assert_eq!(entry.encode(), bytes);
    assert_eq!(Entry::decode(bytes), Some(entry));
    assert_eq!(Entry::decode(&bytes[..9]), None);
    let hour = Hour { version: 3, time_ms: 5, by: "local".to_owned(), bytes: 9 };
    assert_eq!(
        serde_json::to_string(&[hour]).unwrap(),
        r#"[{"version":3,"time_ms":5,"by":"local","bytes":9}]"#
    );
}

#[test]
fn versions_are_listed_and_read() {
    let mut document = Rehearsal::new(Document);
    document.call("update", json!({"content": "one"})).unwrap();
    document.advance(Duration::from_secs(1));
    document.call("update", json!({"content": "two 😀"})).unwrap();
    document.call("delete", json!({"index": 0, "length": 1})).unwrap();
    let page = document.ask("versions", json!({"limit": 2})).unwrap();
    assert_eq!(
        page,
        json!({"versions": [
            {"version": 3, "timestamp": "2026-11-21T01:56:37.224Z", "by": "local"},
            {"version": 2, "timestamp": "2026-11-21T01:56:37.224Z", "by": "local"},
        ], "cursor": 2})
    );
    assert_eq!(listed(&mut document, 1), [3, 2, 1]);
    assert_eq!(
        ["one", "two 😀", "wo 😀"],
        [1, 2, 3].map(|number| version(&mut document, number).unwrap())[..]
    );
    for unknown in [0, 4, u64::MAX] {
        assert!(matches!(version(&mut document, unknown), Err(Refusal::NotFound { .. })));
    }
    assert!(document.ask("version", json!({})).is_err() && document.ask("other", json!({})).is_err());
    // A document that is deleted has no past, and counts on.
    document.delete_object().unwrap();
    document.call("update", json!({"content": "anew"})).unwrap();
    assert_eq!(listed(&mut document, 100), [5]);
    assert_eq!(version(&mut document, 5).unwrap(), "anew");
    assert!(matches!(version(&mut document, 3), Err(Refusal::NotFound { .. })));
}

#[test]
fn a_document_from_before_there_were_versions_says_so() {
    let mut document = Rehearsal::new(Document);
    document.call("update", json!({"content": "old"})).unwrap();
    document.turn("edit", |_, turn| turn.delete_binary(&ring_key(1)).map(drop)).unwrap();
    assert!(listed(&mut document, 10).is_empty());
    assert_eq!(version(&mut document, 2).unwrap(), "old");
    assert!(version(&mut document, 1).is_err());
    document.call("insert", json!({"index": 3, "text": "er"})).unwrap();
    document.call("insert", json!({"index": 5, "text": "!"})).unwrap();
    assert_eq!(listed(&mut document, 10), [4, 3]);
    assert_eq!(version(&mut document, 3).unwrap(), "older");
    assert!(version(&mut document, 2).is_err());
}

#[test]
fn the_last_of_each_hour_outlives_the_others() {
    let mut document = Rehearsal::new(Document);
    let mut texts = BTreeMap::new();
    // Three an hour, for a while longer than the ring.
    for number in 0..1_400_u64 {
        let text = format!("text {number}");
        document.call("update", json!({ "content": text })).unwrap();
        texts.insert(number + 1, text);
        document.advance(Duration::from_mins(20));
        if number % 300 == 0 {
            document.forget_decoded();
        }
    }
    let versions = listed(&mut document, 7);
    let hours: Vec<u64> = versions.iter().copied().filter(|version| *version <= 400).collect();
    assert_eq!(versions.len() - hours.len(), 1_000);
    assert!((130..=135).contains(&hours.len()), "{} of 400 versions, three an hour", hours.len());
    assert!(hours.windows(2).all(|pair| pair[0] - pair[1] == 3), "{hours:?}");
    for number in versions {
        assert_eq!(version(&mut document, number).unwrap(), texts[&number]);
    }
    assert!(version(&mut document, hours[0] - 1).is_err(), "it was not the last of its hour");
    // A month later they are not shown, and the next ones push them out.
    document.advance(Duration::from_hours(31 * 24));
    assert_eq!(listed(&mut document, 1_000).len(), 1_000);
    document.call("update", json!({"content": "late"})).unwrap();
    document.advance(Duration::from_hours(1));
    for _ in 0..1_001 {
        document.call("insert", json!({"index": 0, "text": "."})).unwrap();
    }
    assert_eq!(kept(&document).0, 1_000 + 1 + 1, "the ring, the hour of the late one, the list");
}

#[test]
fn what_is_kept_is_bounded_in_bytes() {
    let mut document = Rehearsal::new(Document);
    let large = ["x", "y"].map(|letter| letter.repeat(4 * 1024 * 1024 - 500));
    for number in 0..40 {
        document.call("update", json!({"content": large[number % 2]})).unwrap();
        if number % 10 == 0 {
            document.advance(Duration::from_hours(1));
        }
    }
    let (_, bytes) = kept(&document);
    let most = DOCUMENT_VERSIONS_MAX_BYTES + DOCUMENT_HOURS_MAX_BYTES;
    assert!(bytes as u64 <= most, "{bytes} bytes");
    let versions = listed(&mut document, 100);
    assert_eq!(versions[..15], (26..=40).rev().collect::<Vec<_>>()[..]);
    assert!(versions.contains(&21) && versions.contains(&11), "the last of hours: {versions:?}");
    for number in versions {
        assert!(version(&mut document, number).unwrap() == large[usize::try_from(number - 1).unwrap() % 2]);
    }
    // The way back over so large a change is not kept: versions begin anew.
    for _ in 0..3 {
        document.call("insert", json!({"index": 0, "text": large[0]})).unwrap();
    }
    document.call("update", json!({"content": ""})).unwrap();
    assert_eq!(listed(&mut document, 100)[0], 44);
    assert!(version(&mut document, 43).is_err());
}

/// `STEAD_EDITS=1000000 STEAD_GATHERED=100 cargo test --release --lib many_edits -- --nocapture` says how long it takes to
/// open. Edits gather in front of a turn as they do in an editor's socket, or making so many would take an hour.
#[test]
fn many_edits_leave_few_keys_and_open() {
    let given = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let edits: u32 = given("STEAD_EDITS").unwrap_or(5_000);
    let gathered: u32 = given("STEAD_GATHERED").unwrap_or(1);
    let mut gathering = Vec::new();
    let mut document = Rehearsal::new(Document);
    let editor = Doc::with_options(yrs::Options {
        offset_kind: yrs::OffsetKind::Utf16,
        ..yrs::Options::with_client_id(yrs::block::ClientID::new(7))
    });
    let text = editor.get_or_insert_text("content");
    let mut at = 0;
    for number in 0..edits {
        // Somebody types, takes something back now and then, and goes on elsewhere.
        let mut transaction = editor.transact_mut();
        if number % 1_000 == 0 {
            at = number.wrapping_mul(7_919) % (text.len(&transaction) + 1);
        }
        if number % 100 == 99 {
            at -= 5;
            text.remove_range(&mut transaction, at, 5);
        } else {
            text.insert(&mut transaction, at, "abc ");
            at += 4;
        }
        transaction.commit();
        let update = transaction.encode_update_v1();
        drop(transaction);
        gathering.push(update.into());
        if (number + 1) % gathered == 0 || number + 1 == edits {
            document.edit(&std::mem::take(&mut gathering)).unwrap();
        }
    }
    let entries = document.storage().entries(Space::Private);
    let (keys, bytes) = entries.fold((0, 0), |(keys, bytes), (_, stored)| (keys + 1, bytes + stored.len()));
    document.forget_decoded();
    let began = std::time::Instant::now();
    let opened = contents(&mut document);
    let took = began.elapsed();
    println!(
        "{edits} edits: {keys} private keys, {bytes} bytes; {} characters open in {took:?}",
        opened.len()
    );
    assert_eq!(document.version().0, u64::from(edits.div_ceil(gathered)));
    assert_eq!(opened, yrs::GetString::get_string(&text, &editor.transact()));
    assert!(keys <= 1_000 + 4_096 + 1, "{keys} keys");
}

#[derive(Debug, Clone)]
enum Edit {
    Http(String),
    /// An editor inserts text, something embedded, or deletes.
    Insert(prop::sample::Index, String),
    Embed(prop::sample::Index),
    Delete(prop::sample::Index, prop::sample::Index),
    Forget,
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let index = any::<prop::sample::Index>;
    let edit = prop_oneof![
        3 => "[ab😀]{0,5}".prop_map(Edit::Http),
        4 => (index(), "[cd😁]{1,4}").prop_map(|(at, text)| Edit::Insert(at, text)),
        2 => index().prop_map(Edit::Embed),
        4 => (index(), index()).prop_map(|(at, length)| Edit::Delete(at, length)),
        1 => Just(Edit::Forget),
    ];
    vec(edit, 1..30)
}

/// Makes an edit in an editor that has everything, and gives what it sends. Places are between characters.
fn edited(editor: &Doc, edit: &Edit) -> Vec<u8> {
    let text = editor.get_or_insert_text("content");
    let before = editor.transact().state_vector();
    let mut transaction = editor.transact_mut();
    let units = super::super::text::units_of(&text, &transaction);
    let places: Vec<usize> =
        (0..=units.len()).filter(|at| *at == 0 || !(0xd800..0xdc00).contains(&units[at - 1])).collect();
    let place = |at: &prop::sample::Index| u32::try_from(places[at.index(places.len())]).unwrap();
    match edit {
        Edit::Insert(at, added) => text.insert(&mut transaction, place(at), added),
        Edit::Embed(at) => drop(text.insert_embed(&mut transaction, place(at), yrs::Any::from(true))),
        Edit::Delete(one, other) => {
            let (start, end) = (place(one).min(place(other)), place(one).max(place(other)));
            text.remove_range(&mut transaction, start, end - start);
        }
        Edit::Http(_) | Edit::Forget => {}
    }
    drop(transaction);
    editor.transact().encode_state_as_update_v1(&before)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_version_is_as_it_was(edits in edits()) {
        let mut document = Rehearsal::new(Document);
        let editor = Doc::with_options(yrs::Options {
            offset_kind: yrs::OffsetKind::Utf16,
            ..yrs::Options::with_client_id(yrs::block::ClientID::new(7))
        });
        let mut texts = BTreeMap::new();
        for edit in &edits {
            match edit {
                Edit::Http(content) => drop(document.call("update", json!({ "content": content })).unwrap()),
                Edit::Forget => document.forget_decoded(),
                edit => {
                    let known = document.difference(Some(&[0])).unwrap().missing;
                    editor.transact_mut().apply_update(Update::decode_v1(&known).unwrap()).unwrap();
                    document.edit(&[edited(&editor, edit).into()]).unwrap();
                }
            }
            texts.insert(document.version().0, contents(&mut document));
        }
        texts.remove(&0);
        let expected: Vec<u64> = texts.keys().rev().copied().collect();
        prop_assert_eq!(listed(&mut document, 4), expected);
        for (number, text) in texts {
            prop_assert_eq!(version(&mut document, number).unwrap(), text);
        }
    }

    #[test]
    fn any_bytes_are_an_entry_or_not(bytes in vec(any::<u8>(), 0..40)) {
        if let Some(entry) = Entry::decode(&bytes) {
            let _ = undo::decode(&entry.way);
        }
    }
}
