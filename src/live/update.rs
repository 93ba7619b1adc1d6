//! An update on its way to subscribers: the update, and its frames, each encoded once.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde_json::json;

use crate::object::{ObjectAddress, Update, Value};

/// An update shared by all its subscribers. Each dialect's frames are encoded when the first
/// subscriber needs them, and shared from then on.
#[derive(Debug)]
pub struct LiveUpdate {
    address: ObjectAddress,
    update: Arc<Update>,
    native: OnceLock<Bytes>,
    compatible: OnceLock<Vec<Bytes>>,
}

impl LiveUpdate {
    /// An update of an object.
    #[must_use]
    pub fn new(address: ObjectAddress, update: Arc<Update>) -> Arc<Self> {
        Arc::new(Self { address, update, native: OnceLock::new(), compatible: OnceLock::new() })
    }

    /// The object it is of.
    #[must_use]
    pub fn address(&self) -> &ObjectAddress {
        &self.address
    }

    /// The native frame without `ref`, as UTF-8 text: type `update`, or `deleted`.
    pub fn native(&self) -> &Bytes {
        self.native.get_or_init(|| native(&self.address, &self.update, None))
    }

    /// What it takes in a subscriber's queue, in bytes.
    pub(super) fn weight(&self) -> usize {
        self.native().len() + self.update.binary.as_ref().map_or(0, Bytes::len)
    }

    /// The worker-compatible frames, as UTF-8 text: one for each key changed.
    pub fn compatible(&self) -> &[Bytes] {
        self.compatible.get_or_init(|| {
            let Update { version, changes, deleted, timestamp, .. } = &*self.update;
            let frame = |key: &str, value: &str| {
                let key = Value::from_json(json!(key));
                format!(
                    r#"{{"type":"update","key":{},"value":{value},"timestamp":"{timestamp}","version":{version}}}"#,
                    key.as_str()
                )
                .into()
            };
            let put = changes.iter().map(|(key, value)| frame(key.as_str(), value.as_str()));
            put.chain(deleted.iter().map(|key| frame(key.as_str(), "null"))).collect()
        })
    }
}

/// The native frame of an update without `ref`, with the cursor behind it where it is of a feed.
pub(super) fn native(address: &ObjectAddress, update: &Update, cursor: Option<&str>) -> Bytes {
    let object = Value::from_json(json!(format!("{}/{}", address.class(), address.name())));
    let object = object.as_str();
    // A cursor has nothing in it that JSON would escape.
    let cursor = cursor.map_or_else(String::new, |cursor| format!(r#","cursor":"{cursor}""#));
    if update.deleted_object {
        let version = update.version;
        return format!(r#"{{"type":"deleted","object":{object}{cursor},"version":{version}}}"#).into();
    }
    let text = update.to_json_text();
    let fields = text.strip_prefix('{').unwrap_or(&text);
    format!(r#"{{"type":"update","object":{object}{cursor},{fields}"#).into()
}

impl Deref for LiveUpdate {
    type Target = Update;

    fn deref(&self) -> &Update {
        &self.update
    }
}
