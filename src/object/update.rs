//! What subscribers see of a commit, and what the history keeps of it. The JSON form is frozen: clients read it.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::limits::HISTORY_MAX_BYTES;

use super::codec::{self, CodecError};
use super::value::{write_object, write_string};
use super::{Commit, Key, Op, Space, Stored, Timestamp, Value, Version};

/// What subscribers see of a commit.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// The version that the commit took.
    pub version: Version,
    /// Keys that have a new value, in order.
    pub changes: Vec<(Key, Value)>,
    /// Keys that are gone, in order.
    pub deleted: Vec<Key>,
    /// Whether every earlier key went first.
    pub cleared: bool,
    /// Whether the object was deleted; then there is nothing but the version.
    pub deleted_object: bool,
    /// Whether it was too large for the history; then there is nothing but the version.
    pub too_large: bool,
    /// The method that caused it.
    pub method: Arc<str>,
    /// Who caused it.
    pub by: Arc<str>,
    /// When.
    pub timestamp: Timestamp,
    /// What the class added.
    pub delta: Option<Value>,
    /// What editors of the class apply. It goes to them as the update is made, and is kept nowhere: an update that was
    /// read from the history has none, and neither has its JSON.
    pub binary: Option<Bytes>,
}

impl Update {
    /// The update of a commit; none if it took no version. Private keys are left out.
    #[must_use]
    pub fn from_commit(commit: &Commit) -> Option<Self> {
        if !commit.changes_version() {
            return None;
        }
        let mut update = Self {
            version: commit.meta.version,
            changes: Vec::new(),
            deleted: Vec::new(),
            cleared: false,
            deleted_object: commit.deletes_object,
            too_large: false,
            method: commit.method.clone(),
            by: commit.subject.clone(),
            timestamp: commit.time,
            delta: commit.delta.clone(),
            binary: None,
        };
        for op in &commit.ops {
            match op {
                Op::Clear => update.cleared = true,
                Op::Put { key, value: Stored::Json(value) } if key.space == Space::Public => {
                    update.changes.push((key.key.clone(), value.clone()));
                }
                Op::Delete { key } if key.space == Space::Public => update.deleted.push(key.key.clone()),
                Op::Put { .. } | Op::Delete { .. } => {}
            }
        }
        Some(update)
    }

    /// The frozen JSON text: CONTRACT section 3 without `type`, `ref` and `object`.
    #[must_use]
    pub fn to_json_text(&self) -> String {
        if self.deleted_object {
            return format!(r#"{{"version":{},"deleted_object":true}}"#, self.version);
        }
        if self.too_large {
            return format!(r#"{{"version":{},"too_large":true}}"#, self.version);
        }
        let changes_bytes: usize =
            self.changes.iter().map(|(key, value)| key.as_str().len() + value.len() + 4).sum();
        let mut text = String::with_capacity(changes_bytes + BESIDE_CHANGES_BYTES);
        text.push_str(r#"{"version":"#);
        text.push_str(&self.version.to_string());
        text.push_str(r#","changes":"#);
        write_object(self.changes.iter().map(|(key, value)| (key, value)), &mut text);
        text.push_str(r#","deleted":["#);
        for (index, key) in self.deleted.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            write_string(key.as_str(), &mut text);
        }
        text.push(']');
        if self.cleared {
            text.push_str(r#","cleared":true"#);
        }
        text.push_str(r#","method":"#);
        write_string(&self.method, &mut text);
        text.push_str(r#","by":"#);
        write_string(&self.by, &mut text);
        text.push_str(r#","timestamp":""#);
        text.push_str(&self.timestamp.to_string());
        text.push('"');
        if let Some(delta) = &self.delta {
            text.push_str(r#","delta":"#);
            text.push_str(delta.as_str());
        }
        text.push('}');
        text
    }

    /// The update as the history keeps it.
    #[must_use]
    pub fn as_kept(self: Arc<Self>) -> Arc<Self> {
        // Hardly ever is it so large that its exact size has to be known.
        let bytes = |values: &mut dyn Iterator<Item = usize>| values.sum::<usize>() as u64;
        let about = bytes(&mut self.changes.iter().map(|(key, value)| key.as_str().len() + value.len() + 16))
            + bytes(&mut self.deleted.iter().map(|key| key.as_str().len() + 16))
            + self.delta.as_ref().map_or(0, Value::len) as u64;
        if about < HISTORY_MAX_BYTES / 2 {
            return self;
        }
        let entry = codec::encode_history(&self);
        Arc::new(codec::decode_history(&entry).expect("what was encoded can be decoded"))
    }

    /// The entry of an update that was too large for the history.
    pub(super) fn beyond_history(version: Version) -> Self {
        Self {
            version,
            changes: Vec::new(),
            deleted: Vec::new(),
            cleared: false,
            deleted_object: false,
            too_large: true,
            method: "".into(),
            by: "".into(),
            timestamp: Timestamp::default(),
            delta: None,
            binary: None,
        }
    }

    /// Parses what [`Update::to_json_text`] wrote.
    ///
    /// # Errors
    /// [`CodecError::NotJson`] if it is anything else.
    pub fn parse(text: &str) -> Result<Self, CodecError> {
        let wire: Wire<'_> = super::json::parse_trusted(text).map_err(|_| CodecError::NotJson)?;
        wire.into_update().ok_or(CodecError::NotJson)
    }
}

/// Room for what stands beside the changes, so that most texts are written without moving them.
const BESIDE_CHANGES_BYTES: usize = 192;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    version: Version,
    #[serde(borrow, default)]
    changes: std::collections::BTreeMap<String, &'a RawValue>,
    #[serde(default)]
    deleted: Vec<String>,
    #[serde(default)]
    cleared: bool,
    #[serde(default)]
    deleted_object: bool,
    #[serde(default)]
    too_large: bool,
    #[serde(default)]
    method: String,
    #[serde(default)]
    by: String,
    timestamp: Option<Timestamp>,
    #[serde(borrow, default, deserialize_with = "present")]
    delta: Option<&'a RawValue>,
}

/// A value that is there, `null` too.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl Wire<'_> {
    fn into_update(self) -> Option<Update> {
        let value = |raw: &RawValue| Value::from_stored(raw.get()).ok();
        let entry = |(key, raw): (String, &RawValue)| Some((Key::parse(&key).ok()?, value(raw)?));
        let changes = self.changes.into_iter().map(entry).collect::<Option<Vec<_>>>()?;
        let deleted = self.deleted.iter().map(|key| Key::parse(key).ok()).collect::<Option<Vec<_>>>()?;
        let delta = match self.delta {
            Some(raw) => Some(value(raw)?),
            None => None,
        };
        Some(Update {
            version: self.version,
            changes,
            deleted,
            cleared: self.cleared,
            deleted_object: self.deleted_object,
            too_large: self.too_large,
            method: self.method.into(),
            by: self.by.into(),
            timestamp: self.timestamp.unwrap_or_default(),
            delta,
            binary: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::object::{StoredKey, samples};

    fn update() -> Update {
        Update {
            version: Version(7),
            changes: vec![
                (Key::parse("a\"b").unwrap(), Value::from("x\ny")),
                (Key::parse("value").unwrap(), Value::from(1_i64)),
            ],
            deleted: vec![Key::parse("gone").unwrap()],
            cleared: false,
            deleted_object: false,
            too_large: false,
            method: "increment".into(),
            by: "local".into(),
            timestamp: Timestamp(1_795_227_096_224),
            delta: None,
            binary: None,
        }
    }

    fn check(update: &Update, expected: Expect) {
        let text = update.to_json_text();
        expected.assert_eq(&text);
        assert_eq!(Update::parse(&text).as_ref(), Ok(update));
    }

    #[test]
    fn the_text_is_frozen() {
        check(
            &update(),
            expect![[
                r#"{"version":7,"changes":{"a\"b":"x\ny","value":1},"deleted":["gone"],"method":"increment","by":"local","timestamp":"2026-11-21T02:11:36.224Z"}"#
            ]],
        );
        let delta = Value::from_json(serde_json::json!([{"retain": 3}, {"insert": "x"}]));
        let full = Update {
            cleared: true,
            deleted: Vec::new(),
            changes: Vec::new(),
            delta: Some(delta),
            ..update()
        };
        check(
            &full,
            expect![[
                r#"{"version":7,"changes":{},"deleted":[],"cleared":true,"method":"increment","by":"local","timestamp":"2026-11-21T02:11:36.224Z","delta":[{"retain":3},{"insert":"x"}]}"#
            ]],
        );
        check(&Update::beyond_history(Version(9)), expect![[r#"{"version":9,"too_large":true}"#]]);
        let deleted =
            Update { deleted_object: true, too_large: false, ..Update::beyond_history(Version(10)) };
        check(&deleted, expect![[r#"{"version":10,"deleted_object":true}"#]]);
    }

    #[test]
    fn one_beyond_the_history_says_so() {
        let large = Value::from("x".repeat(usize::try_from(HISTORY_MAX_BYTES).unwrap()).as_str());
        let large = Update { changes: vec![(Key::parse("a").unwrap(), large)], ..update() };
        let kept = Arc::new(large).as_kept();
        assert_eq!(kept.to_json_text(), r#"{"version":7,"too_large":true}"#);
        assert_eq!(*Arc::new(update()).as_kept(), update());
    }

    #[test]
    fn what_is_no_update_is_refused() {
        for text in [
            "",
            "{}",
            "[]",
            r#"{"version":-1}"#,
            r#"{"version":1,"more":2}"#,
            r#"{"version":1,"changes":{"":1}}"#,
        ] {
            assert_eq!(Update::parse(text), Err(CodecError::NotJson), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_commit_shows_its_public_keys_and_comes_back(mut commit in samples::commit()) {
            commit.base.version = Version(1);
            commit.meta.version = Version(2);
            let update = Update::from_commit(&commit).unwrap();
            if !commit.deletes_object {
                // What a map holds once and in order.
                let keys: std::collections::BTreeSet<_> = update.changes.iter().map(|(key, _)| key).collect();
                let in_order = update.changes.iter().map(|(key, _)| key).eq(keys);
                let back = Update::parse(&update.to_json_text()).unwrap();
                prop_assert!(!in_order || back == update);
            }
            let private = |key: &StoredKey| key.space == Space::Private;
            let shown = commit.ops.iter().filter(|op| match op {
                Op::Put { key, value } => !private(key) && matches!(value, Stored::Json(_)),
                Op::Delete { key } => !private(key),
                Op::Clear => false,
            });
            prop_assert_eq!(shown.count(), update.changes.len() + update.deleted.len());
            commit.meta.version = Version(1);
            prop_assert_eq!(Update::from_commit(&commit), None);
        }

        #[test]
        fn any_text_never_panics(text: String) {
            let _ = Update::parse(&text);
        }
    }
}
