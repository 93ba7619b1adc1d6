//! The frozen bytes between nodes, and that whatever goes out comes back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Map, json};

use super::{CallForm, CallReply, NotReadable, decode, encode};
use crate::caller::{Caller, Standing};
use crate::error::{Code, Error, Retry};
use crate::object::idempotency::IdempotencyKey;
use crate::object::{Key, ObjectAddress, Timestamp, Update, Value, Version};
use crate::runtime::forward::Message;
use crate::runtime::{Absent, Action, Answer, Outcome, Request};

fn caller() -> Caller {
    Caller {
        tenant: "default".into(),
        subject: "local".into(),
        roles: Arc::new(["reader".into()]),
        address: Some(([127, 0, 0, 1], 9).into()),
        request_id: "r1".into(),
        traceparent: None,
        // Long past, so that the time left is the same at each run.
        deadline: Instant::now(),
        standing: Standing::Client,
    }
}

fn address() -> ObjectAddress {
    ObjectAddress::parse("default", "counter", "a/b").expect("it is an address")
}

fn key(text: &str) -> Key {
    Key::parse(text).expect("it is a key")
}

fn sent(request: &Request) -> bytes::Bytes {
    encode(&Message::Call(CallForm::of(&caller(), &address(), request)))
}

fn received(bytes: &[u8]) -> Result<(Caller, ObjectAddress, Request), NotReadable> {
    match decode::<Message>(bytes)? {
        Message::Call(form) => form.into_parts(),
        Message::List(_) | Message::Announce(_) | Message::Feed(_) => Err(NotReadable),
    }
}

fn answered(bytes: &[u8]) -> Result<Answer, NotReadable> {
    match decode::<CallReply>(bytes)? {
        CallReply::Answer { version, outcome } => Ok(Answer { version, outcome: outcome.parse()? }),
        _ => Err(NotReadable),
    }
}

#[test]
fn a_module_s_standing_and_context_travel() {
    let caller = caller().through_module();
    let context = json!({"policy": {"version": 3}}).as_object().cloned().expect("it is an object");
    let action = Action::Call { method: "create".to_owned(), params: Map::new() };
    let request = Request { context: Some(Arc::new(context.clone())), ..action.into() };
    let sent = encode(&Message::Call(CallForm::of(&caller, &address(), &request)));
    let text = std::str::from_utf8(&sent[1..]).expect("it is text");
    assert!(text.contains(r#""left_ms":0,"module":true}"#), "{text}");
    assert!(text.ends_with(r#""context":{"policy":{"version":3}}}}"#), "{text}");
    let (caller, _, request) = received(&sent).expect("it comes back");
    assert_eq!(caller.standing, Standing::Module);
    assert_eq!(request.context.as_deref(), Some(&context));
}

#[test]
fn calls_are_frozen() {
    let params = json!({"by": i64::MIN, "most": u64::MAX}).as_object().cloned().expect("it is an object");
    let request = Request {
        action: Action::Call { method: "add".to_owned(), params },
        idempotency_key: Some(IdempotencyKey::parse("k-1").expect("it is a key")),
        if_match: Some(Version(3)),
        context: None,
    };
    let expected = concat!(
        "\u{1}",
        r#"{"call":{"caller":{"tenant":"default","subject":"local","roles":["reader"],"address":"127.0.0.1:9","#,
        r#""request_id":"r1","left_ms":0},"address":{"tenant":"default","class":"counter","name":"a/b"},"#,
        r#""action":{"call":{"method":"add","params":{"by":-9223372036854775808,"most":18446744073709551615}}},"#,
        r#""idempotency_key":"k-1","if_match":3}}"#,
    );
    assert_eq!(String::from_utf8_lossy(&sent(&request)), expected);
    let (caller, address, request) = received(expected.as_bytes()).expect("it was sent so");
    assert_eq!((&*caller.request_id, address.name().as_str()), ("r1", "a/b"));
    assert_eq!(request.if_match, Some(Version(3)));
}

#[test]
fn answers_are_frozen() {
    let value = Value::from_json(json!(u64::MAX));
    let error = Error::new(Code::Overloaded, "too much").with_retry(Retry::Safe);
    for (reply, expected) in [
        (
            CallReply::of(&Ok(Answer { version: Version(7), outcome: Outcome::Result(value) })),
            r#"{"answer":{"version":7,"outcome":{"result":18446744073709551615}}}"#,
        ),
        (
            CallReply::of(&Ok(Answer { version: Version(7), outcome: Outcome::Value(Some(Value::null())) })),
            r#"{"answer":{"version":7,"outcome":{"value":null}}}"#,
        ),
        (
            CallReply::of(&Ok(Answer { version: Version(7), outcome: Outcome::Value(None) })),
            r#"{"answer":{"version":7,"outcome":"no_value"}}"#,
        ),
        (
            CallReply::of(&Err(error)),
            r#"{"error":{"code":"overloaded","detail":"too much","retry":"safe","retry_after_ms":1000}}"#,
        ),
        (
            CallReply::of(&Ok(Answer {
                version: Version(7),
                outcome: Outcome::Difference { missing: vec![0, 0, 255].into(), known: vec![0].into() },
            })),
            r#"{"answer":{"version":7,"outcome":{"difference":{"missing":"AAD/","known":"AA=="}}}}"#,
        ),
        (
            CallReply::of(&Ok(Answer { version: Version(7), outcome: Outcome::Edited })),
            r#"{"answer":{"version":7,"outcome":"edited"}}"#,
        ),
        (CallReply::NotLeading { leader: Some(2) }, r#"{"not_leading":{"leader":2}}"#),
    ] {
        let bytes = encode(&reply);
        assert_eq!(String::from_utf8_lossy(&bytes), format!("\u{1}{expected}"));
        let again = decode::<CallReply>(&bytes).expect("it was encoded");
        assert_eq!(format!("{again:?}"), format!("{reply:?}"));
    }
}

#[test]
fn what_editors_ask_is_frozen() {
    let known = |known: Option<Vec<u8>>| Action::Difference { known: known.map(Into::into) };
    let params = json!({"limit": 3}).as_object().cloned().expect("it is an object");
    for (action, expected) in [
        (
            Action::Edit { updates: vec![vec![1, 2, 255].into(), vec![].into()] },
            r#"{"edit":{"updates":["AQL/",""]}}"#,
        ),
        (known(Some(vec![0])), r#"{"difference":{"known":"AA=="}}"#),
        (known(None), r#"{"difference":{"known":null}}"#),
        (
            Action::Ask { question: "versions".to_owned(), params },
            r#"{"ask":{"question":"versions","params":{"limit":3}}}"#,
        ),
    ] {
        let bytes = sent(&action.into());
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.ends_with(&format!(r#","action":{expected}}}}}"#)), "{text}");
    }
    let mut cut = sent(&Action::Edit { updates: vec![vec![1, 2].into()] }.into()).to_vec();
    let padding = cut.iter().position(|byte| *byte == b'=').expect("it is padded");
    cut.remove(padding);
    assert_eq!(received(&cut).err(), Some(NotReadable));
}

#[test]
fn null_is_a_value() {
    for outcome in [Outcome::Value(Some(Value::null())), Outcome::Value(None)] {
        let shown = format!("{outcome:?}");
        let bytes = encode(&CallReply::of(&Ok(Answer { version: Version(1), outcome })));
        assert_eq!(format!("{:?}", answered(&bytes).expect("it was encoded").outcome), shown);
    }
}

#[test]
fn the_time_left_travels() {
    let caller = Caller { deadline: Instant::now() + Duration::from_secs(5), ..caller() };
    let bytes = encode(&Message::Call(CallForm::of(&caller, &address(), &Action::State.into())));
    let (received, ..) = received(&bytes).expect("it was sent so");
    let left = received.deadline.saturating_duration_since(Instant::now());
    assert!(left > Duration::from_secs(3) && left <= Duration::from_secs(5), "{left:?}");
}

#[test]
fn the_trace_travels() {
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let caller = Caller { traceparent: Some(trace.into()), ..caller() };
    let bytes = encode(&Message::Call(CallForm::of(&caller, &address(), &Action::State.into())));
    let field = format!(r#""request_id":"r1","traceparent":"{trace}","left_ms":0}}"#);
    assert!(String::from_utf8_lossy(&bytes).contains(&field));
    let (received, ..) = received(&bytes).expect("it was sent so");
    assert_eq!(received.traceparent.as_deref(), Some(trace));
}

#[test]
fn another_version_is_not_read() {
    let mut bytes = sent(&Action::State.into()).to_vec();
    bytes[0] = 2;
    assert_eq!(received(&bytes).err(), Some(NotReadable));
    assert_eq!(received(&[]).err(), Some(NotReadable));
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = serde_json::Map<String, serde_json::Value>> {
    prop::collection::btree_map(any::<String>(), json(), 0..4).prop_map(|map| map.into_iter().collect())
}

fn action() -> impl Strategy<Value = Action> {
    let name = || "[a-z0-9 é]{1,8}";
    let version = || any::<u64>().prop_map(Version);
    prop_oneof![
        object().prop_map(|keys| Action::Initialize { keys }),
        (name(), object()).prop_map(|(method, params)| Action::Call { method, params }),
        (name(), json()).prop_map(|(text, value)| Action::Put { key: key(&text), value }),
        (name(), any::<bool>()).prop_map(|(text, fine)| Action::DeleteKey {
            key: key(&text),
            absent: if fine { Absent::Fine } else { Absent::Refused },
        }),
        Just(Action::Delete),
        prop::collection::vec(binary(), 0..4).prop_map(|updates| Action::Edit { updates }),
        prop::option::of(binary()).prop_map(|known| Action::Difference { known }),
        (name(), object()).prop_map(|(question, params)| Action::Ask { question, params }),
        Just(Action::State),
        name().prop_map(|text| Action::Get { key: key(&text) }),
        (any::<String>(), any::<usize>(), any::<Option<String>>())
            .prop_map(|(prefix, limit, cursor)| Action::Entries { prefix, limit, cursor }),
        (version(), any::<usize>()).prop_map(|(since, limit)| Action::Updates { since, limit }),
        prop::option::of(version()).prop_map(|since| Action::Open { since }),
    ]
}

fn entries() -> impl Strategy<Value = Vec<(Key, Value)>> {
    let entry = ("[a-z]{1,8}", json()).prop_map(|(text, value)| (key(&text), Value::from_json(value)));
    prop::collection::vec(entry, 0..5)
}

fn update() -> impl Strategy<Value = Arc<Update>> {
    let key = |number| key(&format!("k{number}"));
    (any::<u64>(), entries(), any::<bool>(), any::<String>(), prop::option::of(json())).prop_map(
        move |(version, entries, cleared, by, delta)| {
            let changes = (0_u8..).zip(entries).map(|(number, (_, value))| (key(number), value));
            Arc::new(Update {
                version: Version(version),
                changes: changes.collect(),
                deleted: vec![key(200)],
                cleared,
                deleted_object: false,
                too_large: false,
                method: "put".into(),
                by: by.into(),
                timestamp: Timestamp(1_700_000_000_123),
                delta: delta.map(Value::from_json),
                binary: None,
            })
        },
    )
}

fn binary() -> impl Strategy<Value = bytes::Bytes> {
    prop::collection::vec(any::<u8>(), 0..20).prop_map(Into::into)
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        any::<bool>().prop_map(|created| Outcome::Initialized { created }),
        json().prop_map(|value| Outcome::Result(Value::from_json(value))),
        Just(Outcome::Put),
        any::<bool>().prop_map(|present| Outcome::KeyDeleted { present }),
        Just(Outcome::Deleted),
        Just(Outcome::Edited),
        (binary(), binary()).prop_map(|(missing, known)| Outcome::Difference { missing, known }),
        (any::<bool>(), entries(), any::<u64>()).prop_map(|(exists, entries, at)| Outcome::State {
            exists,
            entries,
            updated_at: Timestamp(at),
        }),
        prop::option::of(json()).prop_map(|value| Outcome::Value(value.map(Value::from_json))),
        (entries(), any::<Option<String>>())
            .prop_map(|(entries, cursor)| Outcome::Entries { entries, cursor }),
        (prop::collection::vec(update(), 0..4), any::<bool>()).prop_map(|(updates, complete)| {
            let updates = updates.iter().map(|update| Arc::from(update.to_json_text())).collect();
            Outcome::Updates { updates, complete }
        }),
        prop::option::of(entries()).prop_map(|entries| Outcome::Init { entries }),
        prop::collection::vec(update(), 0..4).prop_map(|updates| Outcome::Resumed { updates }),
    ]
}

proptest! {
    #[test]
    fn every_call_comes_back(
        action in action(),
        idempotency_key in prop::option::of("[!-~]{1,40}"),
        if_match in prop::option::of(any::<u64>().prop_map(Version)),
    ) {
        let idempotency_key = idempotency_key.map(|text| IdempotencyKey::parse(&text).expect("it is a key"));
        let request = Request { action, idempotency_key, if_match, context: None };
        let (caller, at, again) = received(&sent(&request)).expect("it was sent so");
        prop_assert_eq!(format!("{again:?}"), format!("{request:?}"));
        prop_assert_eq!(at, address());
        prop_assert_eq!(caller.roles.len(), 1);
    }

    #[test]
    fn every_answer_comes_back(version in any::<u64>().prop_map(Version), outcome in outcome()) {
        let answer = Answer { version, outcome };
        let shown = format!("{answer:?}");
        let again = answered(&encode(&CallReply::of(&Ok(answer)))).expect("it was encoded");
        prop_assert_eq!(format!("{again:?}"), shown);
    }

    #[test]
    fn rubbish_is_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..200), is_ours in any::<bool>()) {
        if let Some(first) = bytes.first_mut().filter(|_| is_ours) {
            *first = 1;
        }
        prop_assert!(received(&bytes).is_err());
        prop_assert!(answered(&bytes).is_err());
    }
}
