//! Documents against a text in memory, and against another Yjs document.

use bytes::Bytes;
use expect_test::{Expect, expect};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{
    Any, Doc, GetString, Map, OffsetKind, Options, ReadTxn, StateVector, Text, Transact, Update as YjsUpdate,
    WriteTxn,
};

use super::*;
use crate::class::Rehearsal;
use crate::object::{Space, Stored};

/// An editor of its own: a Yjs document that is not ours.
fn editor(client_id: u64) -> Doc {
    Doc::with_options(Options {
        offset_kind: OffsetKind::Utf16,
        ..Options::with_client_id(yrs::block::ClientID::new(client_id))
    })
}

/// Everything an editor has.
fn everything(editor: &Doc) -> Vec<u8> {
    editor.transact().encode_state_as_update_v1(&StateVector::default())
}

fn send(document: &mut Rehearsal, update: &[u8]) -> Result<bool, Refusal> {
    let before = document.version();
    document.edit(&[Bytes::copy_from_slice(update)])?;
    Ok(document.version() > before)
}

/// Gives an editor all that the object keeps of the document.
fn receive(document: &Rehearsal, editor: &Doc) {
    let mut transaction = editor.transact_mut();
    for (key, stored) in document.storage().entries(Space::Private) {
        let Stored::Binary(bytes) = stored else { panic!("a private key with JSON") };
        if !is_shared(key) {
            continue;
        }
        transaction.apply_update(YjsUpdate::decode_v1(bytes).unwrap()).unwrap();
    }
}

/// Whether a private key holds a part of the Yjs document.
fn is_shared(key: &Key) -> bool {
    key.as_str() == "snapshot" || key.as_str().starts_with("update/")
}

/// How many private keys hold the Yjs document.
fn shared_keys(document: &Rehearsal) -> usize {
    document.storage().entries(Space::Private).filter(|(key, _)| is_shared(key)).count()
}

fn text_of(editor: &Doc) -> String {
    let text = editor.get_or_insert_text(CONTENT);
    text.get_string(&editor.transact())
}

fn content_of(document: &mut Rehearsal) -> String {
    document.get(CONTENT).unwrap().map_or_else(String::new, |content| content.as_str().unwrap().to_owned())
}

/// Applies a delta of texts in Quill's form.
fn apply_delta(text: &str, delta: &Json) -> String {
    let mut rest: Vec<u16> = text.encode_utf16().collect();
    let mut after = Vec::new();
    for operation in delta.as_array().unwrap() {
        let length = |name: &str| operation[name].as_u64().map(|length| usize::try_from(length).unwrap());
        if let Some(text) = operation["insert"].as_str() {
            after.extend(text.encode_utf16());
        } else if let Some(length) = length("retain") {
            after.extend(rest.drain(..length));
        } else if let Some(length) = length("delete") {
            rest.drain(..length);
        }
    }
    after.extend(rest);
    String::from_utf16(&after).unwrap()
}

/// Runs calls and shows their outcome with the update's delta, then the state.
fn check(calls: &[(&str, Json)], expected: Expect) {
    let mut document = Rehearsal::new(Document);
    let mut seen = String::new();
    for (method, parameters) in calls {
        let before = (document.storage().clone(), document.meta().clone());
        let line = match document.call(method, parameters.clone()) {
            Ok(result) => {
                let delta = document.updates().last().and_then(|update| update.delta.clone());
                let delta = delta.map_or_else(String::new, |delta| format!(" {delta}"));
                format!("{} {}{delta}\n", result["version"], result["content"])
            }
            Err(refusal) => {
                let after = (document.storage().clone(), document.meta().clone());
                assert_eq!(before, after, "a refusal changes nothing");
                format!("refused: {refusal}\n")
            }
        };
        seen.push_str(&line);
    }
    let state = document.state().unwrap();
    expected.assert_eq(&format!("{seen}state {state}\n"));
}

#[test]
fn an_unused_name_reads_as_empty() {
    let mut document = Rehearsal::new(Document);
    let empty = json!({"content": "", "version": 0, "last_modified": null});
    assert_eq!(document.call("get", json!({})).unwrap(), empty);
    assert_eq!(document.state().unwrap(), json!({}));
    assert_eq!(document.get("content").unwrap(), None);
    assert_eq!(document.meta().sequence, 0);
}

#[test]
fn edits_by_index() {
    check(
        &[
            ("insert", json!({"index": 0, "text": "hello"})),
            ("insert", json!({"index": 5, "text": " world"})),
            ("insert", json!({"index": 5, "text": ","})),
            ("delete", json!({"index": 0, "length": 7})),
            ("delete", json!({"index": 2, "length": 0})),
            ("insert", json!({"index": 1, "text": ""})),
            ("replace", json!({"find": "o", "text": "00"})),
            ("replace", json!({"find": "00", "text": ""})),
            (
                "edit",
                json!({"edits": [{"insert": {"index": 0, "text": "a"}}, {"delete": {"index": 1, "length": 1}}]}),
            ),
            ("edit", json!({"edits": []})),
            ("get", json!({})),
        ],
        expect![[r#"
            1 "hello" [{"insert":"hello"}]
            2 "hello world" [{"retain":5},{"insert":" world"}]
            3 "hello, world" [{"retain":5},{"insert":","}]
            4 "world" [{"delete":7}]
            5 "world" []
            6 "world" []
            7 "w00rld" [{"retain":1},{"delete":1},{"insert":"00"}]
            8 "wrld" [{"retain":1},{"delete":2}]
            9 "arld" [{"insert":"a"},{"delete":1}]
            10 "arld" []
            10 "arld" []
            state {"content":"arld","last_modified":"2026-11-21T01:56:36.224Z","version":10}
        "#]],
    );
}

#[test]
fn refuses_what_does_not_fit() {
    check(
        &[
            ("update", json!({"content": "a😀b"})),
            ("insert", json!({"index": 2, "text": "x"})),
            ("insert", json!({"index": 5, "text": "x"})),
            ("delete", json!({"index": 0, "length": 2})),
            ("delete", json!({"index": 2, "length": 1})),
            ("delete", json!({"index": 3, "length": 2})),
            ("delete", json!({"index": 1, "length": u64::MAX})),
            ("delete", json!({"index": -1, "length": 1})),
            ("delete", json!({"index": 0.5, "length": 1})),
            ("delete", json!({"index": 0})),
            ("replace", json!({"find": "x", "text": "y"})),
            ("replace", json!({"find": "", "text": "y"})),
            ("insert", json!({"index": 0, "text": 5})),
            ("update", json!({})),
            ("update", json!({"content": 5})),
            ("update", json!({"content": "x", "version": 1})),
            ("update", json!({"content": "x", "version": 3})),
            ("update", json!({"content": "x", "version": "2"})),
            ("edit", json!({})),
            (
                "edit",
                json!({"edits": [{"insert": {"index": 0, "text": "z"}}, {"delete": {"index": 9, "length": 1}}]}),
            ),
            ("edit", json!({"edits": [{"update": {"content": "z"}}]})),
            (
                "edit",
                json!({"edits": [{"insert": {"index": 0, "text": "z"}, "delete": {"index": 0, "length": 1}}]}),
            ),
            ("clear", json!({})),
            ("update", json!({"content": "a😁b", "version": 2})),
        ],
        expect![[r#"
            1 "a😀b" [{"insert":"a😀b"}]
            refused: index 2 is inside a character of two UTF-16 units
            refused: index 5 is past the end of the text, which has 4 UTF-16 units
            refused: index 2 is inside a character of two UTF-16 units
            refused: index 2 is inside a character of two UTF-16 units
            refused: index 5 is past the end of the text, which has 4 UTF-16 units
            refused: index 18446744073709551615 is past the end of the text, which has 4 UTF-16 units
            refused: parameter "index" must be a whole number from 0
            refused: parameter "index" must be a whole number from 0
            refused: parameter "length" is required
            refused: the text to find does not occur
            refused: parameter "find" must not be empty
            refused: parameter "text" must be a text
            refused: parameter "content" is required
            refused: parameter "content" must be a text
            refused: the document is at version 1; send version 2 to replace it
            refused: the document is at version 1; send version 2 to replace it
            refused: "version" must be a whole number of 64 bits
            refused: parameter "edits" must be an array
            refused: index 9 is past the end of the text, which has 5 UTF-16 units
            refused: an edit is insert, delete or replace
            refused: an edit is an object with one key: insert, delete or replace
            refused: the class has no method "clear"
            2 "a😁b" [{"retain":1},{"delete":2},{"insert":"😁"}]
            state {"content":"a😁b","last_modified":"2026-11-21T01:56:36.224Z","version":2}
        "#]],
    );
}

#[test]
fn update_is_the_smallest_edit() {
    check(
        &[
            ("update", json!({"content": "the quick brown fox"})),
            ("update", json!({"content": "the slow brown fox"})),
            ("update", json!({"content": "the slow brown fox"})),
            ("update", json!({"content": "the slow slow brown fox"})),
            ("update", json!({"content": "😀😁"})),
            ("update", json!({"content": "😀😂"})),
            ("update", json!({"content": "😀😀😂"})),
            ("update", json!({"content": "\u{1f600}\u{1fa00}"})),
            ("update", json!({"content": ""})),
        ],
        expect![[r#"
            1 "the quick brown fox" [{"insert":"the quick brown fox"}]
            2 "the slow brown fox" [{"retain":4},{"delete":5},{"insert":"slow"}]
            3 "the slow brown fox" []
            4 "the slow slow brown fox" [{"retain":9},{"insert":"slow "}]
            5 "😀😁" [{"delete":23},{"insert":"😀😁"}]
            6 "😀😂" [{"retain":2},{"delete":2},{"insert":"😂"}]
            7 "😀😀😂" [{"retain":2},{"insert":"😀"}]
            8 "😀🨀" [{"retain":2},{"delete":4},{"insert":"🨀"}]
            9 "" [{"delete":4}]
            state {"content":"","last_modified":"2026-11-21T01:56:36.224Z","version":9}
        "#]],
    );
}

#[test]
fn keys_are_the_text_and_what_describes_it() {
    let mut document = Rehearsal::new(Document);
    document.initialize(json!({"content": "one"})).unwrap();
    assert_eq!(document.version(), Version(1));
    document.put("content", json!("two")).unwrap();
    for key in ["version", "last_modified", "other"] {
        assert!(matches!(document.put(key, json!("x")), Err(Refusal::InvalidParameters { .. })), "{key}");
    }
    assert!(matches!(document.put("content", json!(1)), Err(Refusal::InvalidParameters { .. })));
    assert!(matches!(document.initialize(json!({"other": 1})), Err(Refusal::InvalidParameters { .. })));
    assert!(matches!(document.delete("content"), Err(Refusal::InvalidParameters { .. })));
    assert!(matches!(document.delete("other"), Err(Refusal::KeyNotFound { .. })));
    document.initialize(json!({})).unwrap();
    assert_eq!(document.version(), Version(2), "an empty body changes nothing of what exists");
    let state = json!({"content": "two", "last_modified": "2026-11-21T01:56:36.224Z", "version": 2});
    assert_eq!(document.state().unwrap(), state);
    let update = document.updates().last().unwrap();
    let changed: Vec<_> = update.changes.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(changed, ["last_modified", "version"], "neither the text nor a private key");
    let page = Page { entries: 10, bytes: 1_000 };
    let mut list = |prefix: &str, after: Option<&str>| -> Vec<String> {
        let entries = document.turn("get", |class, turn| class.entries(turn, prefix, after, page)).unwrap();
        entries.into_iter().map(|(key, _)| key.as_str().to_owned()).collect()
    };
    assert_eq!(list("", None), ["content"]);
    assert_eq!(list("", Some("content")), ["last_modified", "version"]);
    assert_eq!(list("con", None), ["content"]);
    assert_eq!(list("v", None), ["version"]);
    assert!(list("", Some("version")).is_empty());
}

#[test]
fn an_empty_body_makes_an_empty_document() {
    let mut document = Rehearsal::new(Document);
    document.initialize(json!({})).unwrap();
    assert_eq!(document.version(), Version(1));
    assert_eq!(document.state().unwrap()["content"], json!(""));
    assert_eq!(document.updates()[0].delta.as_ref().unwrap().as_str(), "[]");
}

#[test]
fn editors_and_methods_change_the_same_text() {
    let mut document = Rehearsal::new(Document);
    document.call("update", json!({"content": "shared text"})).unwrap();
    let editor = editor(7);
    receive(&document, &editor);
    assert_eq!(text_of(&editor), "shared text");
    // Both change it at once.
    let text = editor.get_or_insert_text(CONTENT);
    text.insert(&mut editor.transact_mut(), 0, "our ");
    document.call("insert", json!({"index": 11, "text": "!"})).unwrap();
    assert!(send(&mut document, &everything(&editor)).unwrap());
    assert_eq!(content_of(&mut document), "our shared text!");
    assert_eq!(document.updates().last().unwrap().delta.as_ref().unwrap().as_str(), r#"[{"insert":"our "}]"#);
    receive(&document, &editor);
    assert_eq!(text_of(&editor), "our shared text!");
    // What is known already is no change.
    let version = document.version();
    assert!(!send(&mut document, &everything(&editor)).unwrap());
    assert_eq!(document.version(), version);
}

#[test]
fn what_an_editor_adds_beside_the_text_is_kept() {
    let mut document = Rehearsal::new(Document);
    let editor = editor(7);
    {
        let text = editor.get_or_insert_text(CONTENT);
        let mut transaction = editor.transact_mut();
        text.insert(&mut transaction, 0, "ab");
        text.format(&mut transaction, 0, 1, [("bold".into(), true.into())].into());
        text.insert_embed(&mut transaction, 1, Any::from_json(r#"{"image":"x"}"#).unwrap());
        let map = transaction.get_or_insert_map("settings");
        map.insert(&mut transaction, "theme", "dark");
    }
    assert!(send(&mut document, &everything(&editor)).unwrap());
    let delta = document.updates()[0].delta.as_ref().unwrap().to_json();
    let expected = json!([
        {"insert": "a", "attributes": {"bold": true}},
        {"insert": {"image": "x"}, "attributes": {"bold": true}},
        {"insert": "b"},
    ]);
    assert_eq!(delta, expected);
    // What is embedded counts as one unit, and stays where the text around it changes.
    document.call("insert", json!({"index": 2, "text": "-"})).unwrap();
    document.call("update", json!({"content": "a+-bc"})).unwrap();
    assert_eq!(content_of(&mut document), "a+-bc");
    document.forget_decoded();
    document.call("replace", json!({"find": "c", "text": "d"})).unwrap();
    receive(&document, &editor);
    assert_eq!(text_of(&editor), "a+-bd");
    let text = editor.get_or_insert_text(CONTENT);
    assert_eq!(text.len(&editor.transact()), 6, "the image is still there");
    let transaction = editor.transact();
    let theme = transaction.get_map("settings").unwrap().get(&transaction, "theme").unwrap();
    assert_eq!(theme.to_string(&transaction), "dark");
}

#[test]
fn an_update_that_lacks_others_is_a_conflict() {
    let mut document = Rehearsal::new(Document);
    let editor = editor(7);
    let other = self::editor(8);
    let text = editor.get_or_insert_text(CONTENT);
    text.insert(&mut editor.transact_mut(), 0, "one");
    let first = everything(&editor);
    let seen = editor.transact().state_vector();
    text.insert(&mut editor.transact_mut(), 3, " two");
    let second = editor.transact().encode_state_as_update_v1(&seen);
    // Another editor goes on where the first one was.
    other.transact_mut().apply_update(YjsUpdate::decode_v1(&everything(&editor)).unwrap()).unwrap();
    let seen = other.transact().state_vector();
    other.get_or_insert_text(CONTENT).insert(&mut other.transact_mut(), 7, " three");
    let third = other.transact().encode_state_as_update_v1(&seen);
    for early in [&second, &third] {
        assert!(matches!(send(&mut document, early), Err(Refusal::Conflict { .. })));
        assert_eq!(document.version(), Version::ZERO);
    }
    for update in [&first, &second, &third] {
        assert!(send(&mut document, update).unwrap());
    }
    assert!(!send(&mut document, &second).unwrap(), "again");
    assert_eq!(content_of(&mut document), "one two three");
}

#[test]
fn updates_are_taken_together_or_not_at_all() {
    let mut document = Rehearsal::new(Document);
    document.call("update", json!({"content": "."})).unwrap();
    let editor = editor(7);
    receive(&document, &editor);
    let text = editor.get_or_insert_text(CONTENT);
    let mut updates = Vec::new();
    for word in ["one", "two", "three"] {
        let seen = editor.transact().state_vector();
        text.insert(&mut editor.transact_mut(), 0, word);
        updates.push(Bytes::from(editor.transact().encode_state_as_update_v1(&seen)));
    }
    let rubbish = [updates.clone(), vec![Bytes::from_static(b"rubbish")]].concat();
    assert!(matches!(document.edit(&rubbish), Err(Refusal::InvalidParameters { .. })));
    let gap = [updates[0].clone(), updates[2].clone()];
    assert!(matches!(document.edit(&gap), Err(Refusal::Conflict { .. })));
    assert_eq!((content_of(&mut document).as_str(), document.version()), (".", Version(1)));
    document.edit(&updates).unwrap();
    document.edit(&updates).unwrap();
    document.edit(&[]).unwrap();
    assert_eq!((&*content_of(&mut document), document.version()), ("threetwoone.", Version(2)));
    assert_eq!(
        document.updates().last().unwrap().delta.as_ref().unwrap().as_str(),
        r#"[{"insert":"threetwoone"}]"#
    );
}

#[test]
fn editors_follow_every_change_and_the_end() {
    let mut document = Rehearsal::new(Document);
    let follower = editor(8);
    let writer = editor(9);
    document.call("update", json!({"content": "a text"})).unwrap();
    document.call("insert", json!({"index": 0, "text": "that is "})).unwrap();
    let first = &document.updates()[0].clone();
    apply(&writer, first.binary.as_ref().unwrap());
    writer.get_or_insert_text(CONTENT).insert(&mut writer.transact_mut(), 6, "!");
    document.edit(&[everything(&writer).into()]).unwrap();
    document.call("replace", json!({"find": "text", "text": "word"})).unwrap();
    // Nothing but the time changes: editors have nothing to apply.
    document.call("edit", json!({"edits": []})).unwrap();
    document.delete_object().unwrap();
    let seen: Vec<_> = document
        .updates()
        .iter()
        .map(|update| {
            update.binary.iter().for_each(|binary| apply(&follower, binary));
            (update.version.0, text_of(&follower))
        })
        .collect();
    let expected = ["a text", "that is a text", "that is a text!", "that is a word!", "that is a word!", ""];
    assert_eq!(seen, (1..).zip(expected.map(str::to_owned)).collect::<Vec<_>>());
    assert_eq!(document.updates()[4].binary, None);
    assert_eq!(content_of(&mut document), "");
}

fn apply(editor: &Doc, update: &[u8]) {
    editor.transact_mut().apply_update(YjsUpdate::decode_v1(update).unwrap()).unwrap();
}

#[test]
fn an_editor_is_told_what_it_lacks() {
    let mut document = Rehearsal::new(Document);
    let nothing = document.difference(Some(&[0])).unwrap();
    assert_eq!((&nothing.missing[..], &nothing.known[..]), (&[0, 0][..], &[0][..]));
    document.call("update", json!({"content": "a😀b"})).unwrap();
    let editor = editor(7);
    let lacks = document.difference(Some(&[0])).unwrap();
    apply(&editor, &lacks.missing);
    assert_eq!(text_of(&editor), "a😀b");
    assert_eq!(editor.transact().state_vector().encode_v1(), lacks.known);
    document.call("delete", json!({"index": 0, "length": 1})).unwrap();
    apply(&editor, &document.difference(Some(&lacks.known)).unwrap().missing);
    assert_eq!(text_of(&editor), "😀b");
    let own = document.difference(None).unwrap();
    assert_eq!(
        (&own.missing[..], own.known),
        (&b""[..], editor.transact().state_vector().encode_v1().into())
    );
    assert_eq!(document.version(), Version(2));
    for hostile in [&b""[..], b"\xff\xff\xff\xff\x0f", b"\x01\x07"] {
        assert!(matches!(document.difference(Some(hostile)), Err(Refusal::InvalidParameters { .. })));
    }
    // Within the character of two units, beyond the end, of a client that nobody knows.
    let client = editor.transact().state_vector().iter().next().unwrap().0.get();
    for clock in [2, 900] {
        let known: StateVector =
            [(yrs::block::ClientID::new(client), clock), (yrs::block::ClientID::new(3), 5)]
                .into_iter()
                .collect();
        let _ = document.difference(Some(&known.encode_v1()));
        assert_eq!(content_of(&mut document), "😀b");
    }
}

#[test]
fn what_is_no_update_is_refused() {
    let mut document = Rehearsal::new(Document);
    document.call("update", json!({"content": "text"})).unwrap();
    for bytes in [&b""[..], b"\xff", b"text", &[1, 1, 7, 0, 4, 1]] {
        assert!(matches!(send(&mut document, bytes), Err(Refusal::InvalidParameters { .. })), "{bytes:?}");
    }
    assert!(!send(&mut document, &[0, 0]).unwrap(), "an update of nothing");
    assert_eq!((content_of(&mut document).as_str(), document.version()), ("text", Version(1)));
}

#[test]
fn a_long_tail_is_folded() {
    let mut document = Rehearsal::new(Document);
    let mut expected = String::new();
    for number in 0..1_000 {
        let text = format!("{number} ");
        document.call("insert", json!({"index": expected.len(), "text": text})).unwrap();
        expected += &text;
        if number % 97 == 0 {
            document.forget_decoded();
        }
        let keys = shared_keys(&document);
        assert!(keys <= 258, "{keys} keys after {number} edits");
    }
    document.forget_decoded();
    assert_eq!(content_of(&mut document), expected);
    let editor = editor(7);
    receive(&document, &editor);
    assert_eq!(text_of(&editor), expected);
}

#[test]
fn a_folded_tail_grows_again() {
    let mut document = Rehearsal::new(Document);
    for _ in 0..600 {
        document.call("insert", json!({"index": 0, "text": "a few words "})).unwrap();
    }
    // A snapshot, and the updates since the second fold, which takes the place of its own.
    assert_eq!(shared_keys(&document), 1 + 600 - 2 * 257);
}

#[test]
fn a_document_has_a_largest_size() {
    let mut document = Rehearsal::new(Document);
    let part = "x".repeat(4 * 1024 * 1024 - 100);
    for _ in 0..4 {
        document.call("insert", json!({"index": 0, "text": part})).unwrap();
    }
    let too_much = document.call("insert", json!({"index": 0, "text": part}));
    assert!(matches!(too_much, Err(Refusal::TooLarge { .. })));
    let growth = document.call("replace", json!({"find": "x", "text": "yy"}));
    assert!(matches!(growth, Err(Refusal::TooLarge { .. })));
    assert_eq!(content_of(&mut document).len(), 4 * part.len());
    // There is room again once something goes.
    document.call("delete", json!({"index": 0, "length": part.len()})).unwrap();
    document.call("insert", json!({"index": 0, "text": "y"})).unwrap();
    assert_eq!(content_of(&mut document).len(), 3 * part.len() + 1);
}

#[test]
fn many_places_are_replaced_in_bounded_time() {
    let mut document = Rehearsal::new(Document);
    let line = "a-b ".repeat(100_000);
    document.call("update", json!({"content": line})).unwrap();
    document.call("replace", json!({"find": "-", "text": "+-"})).unwrap();
    assert_eq!(content_of(&mut document), line.replace('-', "+-"));
    // A large text takes fewer edits in one call than a small one.
    let edit = json!({"insert": {"index": 0, "text": "z"}});
    document.call("edit", json!({"edits": vec![edit.clone(); 1_000]})).unwrap();
    assert!(document.call("edit", json!({"edits": vec![edit.clone(); 1_001]})).is_err());
    document.call("update", json!({"content": "x".repeat(4_000_000)})).unwrap();
    document.call("edit", json!({"edits": vec![edit.clone(); 100]})).unwrap();
    assert!(document.call("edit", json!({"edits": vec![edit; 600]})).is_err());
}

#[derive(Debug, Clone)]
enum Step {
    Set(String),
    Insert(prop::sample::Index, String),
    Delete(prop::sample::Index, prop::sample::Index),
    Replace(String, String),
    /// An editor that has everything inserts and sends.
    Edit(prop::sample::Index, String),
    Forget,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Few characters, so that edits meet: of one unit and of two, some pairs with the same half.
    let text = || "[ab😀😁🨀]{0,6}";
    let index = any::<prop::sample::Index>;
    let step = prop_oneof![
        3 => text().prop_map(Step::Set),
        4 => (index(), text()).prop_map(|(index, text)| Step::Insert(index, text)),
        3 => (index(), index()).prop_map(|(index, length)| Step::Delete(index, length)),
        2 => ("[ab😀]{1,2}", text()).prop_map(|(find, text)| Step::Replace(find, text)),
        2 => (index(), text()).prop_map(|(index, text)| Step::Edit(index, text)),
        1 => proptest::prelude::Just(Step::Forget),
    ];
    vec(step, 1..24)
}

/// The same step on a text; `None` where it is refused.
fn on_model(model: &str, step: &Step) -> Option<String> {
    let units: Vec<u16> = model.encode_utf16().collect();
    let at = |index: &prop::sample::Index| index.index(units.len() + 2);
    match step {
        Step::Set(text) => Some(text.clone()),
        Step::Insert(index, text) => {
            let (before, after) = units.split_at_checked(at(index))?;
            Some(String::from_utf16(before).ok()? + text + &String::from_utf16(after).ok()?)
        }
        Step::Delete(index, length) => {
            let (before, rest) = units.split_at_checked(at(index))?;
            let (gone, after) = rest.split_at_checked(at(length))?;
            String::from_utf16(gone).ok()?;
            Some(String::from_utf16(before).ok()? + &String::from_utf16(after).ok()?)
        }
        Step::Replace(find, text) => {
            model.contains(find.as_str()).then(|| model.replace(find.as_str(), text))
        }
        Step::Edit(..) | Step::Forget => Some(model.to_owned()),
    }
}

fn on_document(document: &mut Rehearsal, length: usize, step: &Step) -> Option<Result<Json, Refusal>> {
    let at = |index: &prop::sample::Index| index.index(length + 2);
    let (method, parameters) = match step {
        Step::Set(text) => ("update", json!({"content": text})),
        Step::Insert(index, text) => ("insert", json!({"index": at(index), "text": text})),
        Step::Delete(index, count) => ("delete", json!({"index": at(index), "length": at(count)})),
        Step::Replace(find, text) => ("replace", json!({"find": find, "text": text})),
        Step::Edit(..) | Step::Forget => return None,
    };
    Some(document.call(method, parameters))
}

proptest! {
    #[test]
    fn is_a_text(steps in steps()) {
        let mut document = Rehearsal::new(Document);
        let editor = editor(7);
        let mut model = String::new();
        for step in &steps {
            let length = model.encode_utf16().count();
            let expected = on_model(&model, step);
            let outcome = on_document(&mut document, length, step);
            match (outcome, step) {
                (Some(outcome), _) => prop_assert_eq!(outcome.is_ok(), expected.is_some(), "{:?} on {:?}", step, model),
                (None, Step::Edit(index, text)) => {
                    receive(&document, &editor);
                    let at = model.char_indices().map(|(at, _)| at).chain([model.len()]).nth(index.index(model.chars().count() + 1)).unwrap();
                    let shared = editor.get_or_insert_text(CONTENT);
                    let units = model[..at].encode_utf16().count();
                    shared.insert(&mut editor.transact_mut(), u32::try_from(units).unwrap(), text);
                    model.insert_str(at, text);
                    send(&mut document, &everything(&editor)).unwrap();
                }
                (None, _) => document.forget_decoded(),
            }
            if let (Some(expected), false) = (expected, matches!(step, Step::Edit(..))) {
                model = expected;
            }
            prop_assert_eq!(content_of(&mut document), &*model);
        }
        // Whoever follows the deltas, whoever rebuilds it, and another editor have the same text.
        let followed = document.updates().iter().fold(String::new(), |text, update| apply_delta(&text, &update.delta.as_ref().unwrap().to_json()));
        prop_assert_eq!(&followed, &model);
        document.forget_decoded();
        prop_assert_eq!(content_of(&mut document), &*model);
        receive(&document, &editor);
        prop_assert_eq!(text_of(&editor), model);
    }

    #[test]
    fn any_bytes_from_an_editor_are_taken_or_refused(bytes in vec(any::<u8>(), 0..64)) {
        let mut document = Rehearsal::new(Document);
        document.call("update", json!({"content": "text"})).unwrap();
        let sent = send(&mut document, &bytes);
        prop_assert!(sent.is_ok() || document.version() == Version(1));
    }
}
