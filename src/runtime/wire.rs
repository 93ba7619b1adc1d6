//! Calls and answers on their way between nodes. Frozen: a version byte and JSON, to which fields can be added;
//! values are embedded in the text they have everywhere else, so integers keep all their digits.

mod binary;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Map;
use serde_json::value::RawValue;

use super::{Absent, Action, Answer, Outcome, Request};
use crate::caller::{Caller, Standing};
use crate::error::{Code, Error, Retry};
use crate::object::idempotency::IdempotencyKey;
use crate::object::json::parse_trusted;
use crate::object::{Key, ObjectAddress, Timestamp, Update, Value, Version};
use binary::Binary;

/// The version every message begins with.
const VERSION: u8 = 1;

/// A message of another node that can not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message of another node can not be read; the nodes may run different versions")]
pub(super) struct NotReadable;

/// Who asks, as it travels.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct CallerForm {
    tenant: Arc<str>,
    subject: Arc<str>,
    roles: Vec<Arc<str>>,
    address: Option<std::net::SocketAddr>,
    request_id: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<Arc<str>>,
    left_ms: u64,
    /// Whether a module asks on its behalf.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    module: bool,
}

impl CallerForm {
    pub(super) fn of(caller: &Caller) -> Self {
        let left = caller.deadline.saturating_duration_since(Instant::now());
        Self {
            tenant: caller.tenant.clone(),
            subject: caller.subject.clone(),
            roles: caller.roles.to_vec(),
            address: caller.address,
            request_id: caller.request_id.clone(),
            traceparent: caller.traceparent.clone(),
            left_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
            module: caller.standing == Standing::Module,
        }
    }

    pub(super) fn into_caller(self) -> Caller {
        Caller {
            tenant: self.tenant,
            subject: self.subject,
            roles: self.roles.into(),
            address: self.address,
            request_id: self.request_id,
            traceparent: self.traceparent,
            deadline: Instant::now() + Duration::from_millis(self.left_ms.min(LEFT_MAX_MS)),
            standing: if self.module { Standing::Module } else { Standing::Client },
        }
    }
}

/// The longest a forwarded call may run, whatever it says.
const LEFT_MAX_MS: u64 = 24 * 60 * 60 * 1_000;

/// An object's address as it travels.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct AddressForm {
    tenant: String,
    class: String,
    name: String,
}

impl AddressForm {
    pub(super) fn of(address: &ObjectAddress) -> Self {
        Self {
            tenant: address.tenant().as_str().to_owned(),
            class: address.class().as_str().to_owned(),
            name: address.name().as_str().to_owned(),
        }
    }

    pub(super) fn parse(&self) -> Result<ObjectAddress, NotReadable> {
        ObjectAddress::parse(&self.tenant, &self.class, &self.name).map_err(|_| NotReadable)
    }
}

/// One call to one object.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CallForm {
    pub(super) caller: CallerForm,
    pub(super) address: AddressForm,
    action: ActionForm,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    if_match: Option<Version>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    context: Option<Arc<Map<String, serde_json::Value>>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ActionForm {
    Initialize { keys: Map<String, serde_json::Value> },
    Call { method: String, params: Map<String, serde_json::Value> },
    Put { key: String, value: serde_json::Value },
    DeleteKey { key: String, absent_is_fine: bool },
    Delete,
    Edit { updates: Vec<Binary> },
    Difference { known: Option<Binary> },
    Ask { question: String, params: Map<String, serde_json::Value> },
    State,
    Get { key: String },
    Entries { prefix: String, limit: usize, cursor: Option<String> },
    Updates { since: Version, limit: usize },
    Open { since: Option<Version> },
}

impl CallForm {
    pub(super) fn of(caller: &Caller, address: &ObjectAddress, request: &Request) -> Self {
        Self {
            caller: CallerForm::of(caller),
            address: AddressForm::of(address),
            action: ActionForm::of(&request.action),
            idempotency_key: request.idempotency_key.as_ref().map(|key| key.as_str().to_owned()),
            if_match: request.if_match,
            context: request.context.clone(),
        }
    }

    pub(super) fn into_parts(self) -> Result<(Caller, ObjectAddress, Request), NotReadable> {
        let address = self.address.parse()?;
        let key = self.idempotency_key.as_deref().map(IdempotencyKey::parse).transpose();
        let idempotency_key = key.map_err(|_| NotReadable)?;
        let (action, if_match, context) = (self.action.parse()?, self.if_match, self.context);
        let request = Request { action, idempotency_key, if_match, context };
        Ok((self.caller.into_caller(), address, request))
    }
}

impl ActionForm {
    fn of(action: &Action) -> Self {
        let text = |key: &Key| key.as_str().to_owned();
        match action {
            Action::Initialize { keys } => Self::Initialize { keys: keys.clone() },
            Action::Call { method, params } => Self::Call { method: method.clone(), params: params.clone() },
            Action::Put { key, value } => Self::Put { key: text(key), value: value.clone() },
            Action::DeleteKey { key, absent } => {
                Self::DeleteKey { key: text(key), absent_is_fine: *absent == Absent::Fine }
            }
            Action::Delete => Self::Delete,
            Action::Edit { updates } => Self::Edit { updates: updates.iter().cloned().map(Binary).collect() },
            Action::Difference { known } => Self::Difference { known: known.clone().map(Binary) },
            Action::Ask { question, params } => {
                Self::Ask { question: question.clone(), params: params.clone() }
            }
            Action::State => Self::State,
            Action::Get { key } => Self::Get { key: text(key) },
            Action::Entries { prefix, limit, cursor } => {
                Self::Entries { prefix: prefix.clone(), limit: *limit, cursor: cursor.clone() }
            }
            Action::Updates { since, limit } => Self::Updates { since: *since, limit: *limit },
            Action::Open { since } => Self::Open { since: *since },
        }
    }

    fn parse(self) -> Result<Action, NotReadable> {
        Ok(match self {
            Self::Initialize { keys } => Action::Initialize { keys },
            Self::Call { method, params } => Action::Call { method, params },
            Self::Put { key, value } => Action::Put { key: parse_key(&key)?, value },
            Self::DeleteKey { key, absent_is_fine } => Action::DeleteKey {
                key: parse_key(&key)?,
                absent: if absent_is_fine { Absent::Fine } else { Absent::Refused },
            },
            Self::Delete => Action::Delete,
            Self::Edit { updates } => {
                Action::Edit { updates: updates.into_iter().map(|Binary(update)| update).collect() }
            }
            Self::Difference { known } => Action::Difference { known: known.map(|Binary(known)| known) },
            Self::Ask { question, params } => Action::Ask { question, params },
            Self::State => Action::State,
            Self::Get { key } => Action::Get { key: parse_key(&key)? },
            Self::Entries { prefix, limit, cursor } => Action::Entries { prefix, limit, cursor },
            Self::Updates { since, limit } => Action::Updates { since, limit },
            Self::Open { since } => Action::Open { since },
        })
    }
}

fn parse_key(key: &str) -> Result<Key, NotReadable> {
    Key::parse(key).map_err(|_| NotReadable)
}

/// What came of a forwarded call.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CallReply {
    Answer {
        version: Version,
        outcome: OutcomeForm,
    },
    Error(ErrorForm),
    /// The node does not lead the shard; who does, where known. Nothing has begun.
    NotLeading {
        leader: Option<u64>,
    },
}

/// An error as it travels.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ErrorForm {
    code: String,
    detail: String,
    retry: Retry,
    retry_after_ms: Option<u64>,
}

impl ErrorForm {
    pub(super) fn of(error: &Error) -> Self {
        Self {
            code: error.code.as_str().to_owned(),
            detail: error.detail.clone().into_owned(),
            retry: error.retry,
            retry_after_ms: error
                .retry_after
                .map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    pub(super) fn into_error(self) -> Error {
        // A code of a newer program is a fault of the server as far as this one can tell.
        let code =
            Code::ALL.iter().copied().find(|code| code.as_str() == self.code).unwrap_or(Code::Internal);
        let mut error = Error::new(code, self.detail).with_retry(self.retry);
        error.retry_after = self.retry_after_ms.map(Duration::from_millis);
        error
    }
}

type Raw = Box<RawValue>;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OutcomeForm {
    Initialized {
        created: bool,
    },
    Result(Raw),
    Put,
    KeyDeleted {
        present: bool,
    },
    Deleted,
    Edited,
    Difference {
        missing: Binary,
        known: Binary,
    },
    State {
        exists: bool,
        entries: Vec<(String, Raw)>,
        updated_at_ms: u64,
    },
    Value(Raw),
    /// The key is not there. An absent value must not look like the value `null`.
    NoValue,
    Entries {
        entries: Vec<(String, Raw)>,
        cursor: Option<String>,
    },
    Updates {
        updates: Vec<String>,
        complete: bool,
    },
    Init {
        entries: Option<Vec<(String, Raw)>>,
    },
    Resumed {
        updates: Vec<String>,
    },
}

fn raw(value: &Value) -> Raw {
    RawValue::from_string(value.as_str().to_owned()).expect("a value is JSON")
}

fn raw_entries(entries: &[(Key, Value)]) -> Vec<(String, Raw)> {
    entries.iter().map(|(key, value)| (key.as_str().to_owned(), raw(value))).collect()
}

fn value(raw: &RawValue) -> Result<Value, NotReadable> {
    Value::from_stored(raw.get()).map_err(|_| NotReadable)
}

fn entries(raw: &[(String, Raw)]) -> Result<Vec<(Key, Value)>, NotReadable> {
    raw.iter().map(|(key, raw)| Ok((parse_key(key)?, value(raw)?))).collect()
}

impl OutcomeForm {
    pub(super) fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Initialized { created } => Self::Initialized { created: *created },
            Outcome::Result(result) => Self::Result(raw(result)),
            Outcome::Put => Self::Put,
            Outcome::KeyDeleted { present } => Self::KeyDeleted { present: *present },
            Outcome::Deleted => Self::Deleted,
            Outcome::Edited => Self::Edited,
            Outcome::Difference { missing, known } => {
                Self::Difference { missing: Binary(missing.clone()), known: Binary(known.clone()) }
            }
            Outcome::State { exists, entries, updated_at } => {
                Self::State { exists: *exists, entries: raw_entries(entries), updated_at_ms: updated_at.0 }
            }
            Outcome::Value(Some(found)) => Self::Value(raw(found)),
            Outcome::Value(None) => Self::NoValue,
            Outcome::Entries { entries, cursor } => {
                Self::Entries { entries: raw_entries(entries), cursor: cursor.clone() }
            }
            Outcome::Updates { updates, complete } => Self::Updates {
                updates: updates.iter().map(ToString::to_string).collect(),
                complete: *complete,
            },
            Outcome::Init { entries } => Self::Init { entries: entries.as_deref().map(raw_entries) },
            Outcome::Resumed { updates } => {
                Self::Resumed { updates: updates.iter().map(|update| update.to_json_text()).collect() }
            }
        }
    }

    pub(super) fn parse(self) -> Result<Outcome, NotReadable> {
        Ok(match self {
            Self::Initialized { created } => Outcome::Initialized { created },
            Self::Result(result) => Outcome::Result(value(&result)?),
            Self::Put => Outcome::Put,
            Self::KeyDeleted { present } => Outcome::KeyDeleted { present },
            Self::Deleted => Outcome::Deleted,
            Self::Edited => Outcome::Edited,
            Self::Difference { missing: Binary(missing), known: Binary(known) } => {
                Outcome::Difference { missing, known }
            }
            Self::State { exists, entries: raw, updated_at_ms } => {
                Outcome::State { exists, entries: entries(&raw)?, updated_at: Timestamp(updated_at_ms) }
            }
            Self::Value(found) => Outcome::Value(Some(value(&found)?)),
            Self::NoValue => Outcome::Value(None),
            Self::Entries { entries: raw, cursor } => Outcome::Entries { entries: entries(&raw)?, cursor },
            Self::Updates { updates, complete } => {
                Outcome::Updates { updates: updates.into_iter().map(Arc::from).collect(), complete }
            }
            Self::Init { entries: raw } => {
                Outcome::Init { entries: raw.map(|raw| entries(&raw)).transpose()? }
            }
            Self::Resumed { updates } => {
                let parse = |text: &String| Update::parse(text).map(Arc::new).map_err(|_| NotReadable);
                Outcome::Resumed { updates: updates.iter().map(parse).collect::<Result<_, _>>()? }
            }
        })
    }
}

impl CallReply {
    pub(super) fn of(answered: &Result<Answer, Error>) -> Self {
        match answered {
            Ok(answer) => Self::Answer { version: answer.version, outcome: OutcomeForm::of(&answer.outcome) },
            Err(error) => Self::Error(ErrorForm::of(error)),
        }
    }
}

pub(super) fn encode(message: &impl Serialize) -> Bytes {
    let mut out = vec![VERSION];
    serde_json::to_writer(&mut out, message).expect("messages between nodes have a form in JSON");
    out.into()
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, NotReadable> {
    let Some((&VERSION, json)) = bytes.split_first() else { return Err(NotReadable) };
    let text = std::str::from_utf8(json).map_err(|_| NotReadable)?;
    parse_trusted(text).map_err(|_| NotReadable)
}

#[cfg(test)]
mod tests;
