//! Random objects, commits and metas for property tests.

use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use serde_json::Value as Json;

use super::idempotency::RecordWindow;
use super::idempotency::{Fingerprint, IdempotencyKey, Record, RecordSlot};
use super::meta::{Alarm, AlarmFailure};
use super::{
    Base, ClassName, Commit, Key, Meta, ObjectAddress, ObjectName, Op, Space, Stored, StoredKey, Tenant,
    Timestamp, Value, Version,
};

pub(crate) fn tenant() -> impl Strategy<Value = Tenant> {
    prop_oneof![
        "[a-z0-9][a-z0-9-]{0,6}".prop_map(|text| Tenant::parse(&text).unwrap()),
        Just(Tenant::reserved("_stead").unwrap()),
    ]
}

pub(crate) fn class() -> impl Strategy<Value = ClassName> {
    "[a-z][a-z0-9-]{0,6}".prop_map(|text| ClassName::parse(&text).unwrap())
}

pub(crate) fn name() -> impl Strategy<Value = ObjectName> {
    "\\PC{1,8}".prop_filter_map("no name", |text| ObjectName::parse(&text).ok())
}

pub(crate) fn address() -> impl Strategy<Value = ObjectAddress> {
    (tenant(), class(), name()).prop_map(|(tenant, class, name)| ObjectAddress::new(tenant, class, name))
}

pub(crate) fn key() -> impl Strategy<Value = Key> {
    prop_oneof!["[ab]{1,3}", "(?s).{1,6}"].prop_map(|text| Key::parse(&text).unwrap())
}

pub(crate) fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        (-1_000_i32..1_000).prop_map(|number| Json::from(f64::from(number))),
        "(?s).{0,6}".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Json::from),
            vec(("(?s).{0,4}", inner), 0..4).prop_map(|entries| Json::Object(entries.into_iter().collect())),
        ]
    })
}

pub(crate) fn value() -> impl Strategy<Value = Value> {
    json().prop_map(Value::from_json)
}

pub(crate) fn stored_key() -> impl Strategy<Value = StoredKey> {
    (prop_oneof![Just(Space::Public), Just(Space::Private)], key())
        .prop_map(|(space, key)| StoredKey { space, key })
}

pub(crate) fn stored() -> impl Strategy<Value = Stored> {
    prop_oneof![value().prop_map(Stored::Json), bytes().prop_map(Stored::Binary)]
}

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![Just(Timestamp(0)), (0_u64..4_102_444_800_000).prop_map(Timestamp)]
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (stored_key(), stored()).prop_map(|(key, value)| Op::Put { key, value }),
        3 => stored_key().prop_map(|key| Op::Delete { key }),
        1 => Just(Op::Clear),
    ]
}

pub(crate) fn meta() -> impl Strategy<Value = Meta> {
    let versions = (any::<u64>(), any::<u64>(), any::<u32>(), any::<bool>());
    let sizes = (time(), time(), any::<u64>(), any::<u64>());
    let alarm = option::of((time(), any::<u8>()).prop_map(|(at, attempts)| Alarm { at, attempts }));
    let failed = option::of((time(), any::<u8>()).prop_map(|(at, attempts)| AlarmFailure { at, attempts }));
    let records = (0..u64::MAX / 2, any::<u32>(), any::<u64>())
        .prop_map(|(first, count, bytes)| RecordWindow { first, next: first + u64::from(count), bytes });
    let rest = (any::<u64>(), any::<u64>(), records, option::of(time()));
    (versions, sizes, alarm, failed, rest).prop_map(|(versions, sizes, alarm, alarm_failed, rest)| Meta {
        version: Version(versions.0),
        sequence: versions.1,
        generation: versions.2,
        exists: versions.3,
        created_at: sizes.0,
        updated_at: sizes.1,
        keys: sizes.2,
        bytes: sizes.3,
        alarm,
        alarm_failed,
        history_first: rest.0,
        history_bytes: rest.1,
        records: rest.2,
        due: rest.3,
    })
}

fn idempotency_key() -> impl Strategy<Value = IdempotencyKey> {
    "[!-~]{1,20}".prop_map(|text| IdempotencyKey::parse(&text).unwrap())
}

pub(crate) fn record() -> impl Strategy<Value = Record> {
    (idempotency_key(), any::<[u8; 32]>(), bytes(), any::<u64>(), time(), any::<u64>()).prop_map(
        |(key, fingerprint, reply, version, time, sequence)| Record {
            key,
            fingerprint: Fingerprint(fingerprint),
            reply,
            version: Version(version),
            time,
            sequence,
        },
    )
}

pub(crate) fn slot() -> impl Strategy<Value = RecordSlot> {
    (any::<u64>(), idempotency_key(), time(), any::<u64>())
        .prop_map(|(sequence, key, time, size)| RecordSlot { sequence, key, time, size })
}

fn word() -> impl Strategy<Value = Arc<str>> {
    "(?s).{0,8}".prop_map(Arc::from)
}

pub(crate) fn commit() -> impl Strategy<Value = Commit> {
    let base = (any::<u64>(), any::<u64>())
        .prop_map(|(version, sequence)| Base { version: Version(version), sequence });
    let front = (address(), base, vec(op(), 0..6), any::<bool>(), any::<bool>(), meta());
    let timers = (option::of(time()), option::of(time()));
    let records = (option::of(record()), vec(slot(), 0..3), any::<u64>(), any::<u64>());
    let cause = (word(), word(), time(), option::of(value()));
    (front, timers, records, cause).prop_map(|(front, timers, records, cause)| Commit {
        address: front.0,
        base: front.1,
        ops: front.2,
        deletes_object: front.3,
        forgets_object: front.4,
        meta: front.5,
        alarm_before: timers.0,
        due_before: timers.1,
        record: records.0,
        dropped_records: records.1,
        history_trim: records.2..records.3,
        subject: cause.0,
        method: cause.1,
        time: cause.2,
        delta: cause.3,
    })
}
