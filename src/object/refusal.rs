//! Why a turn did not happen. A refusal drops everything the turn wrote.

use crate::limits::{OBJECT_MAX_BYTES, OBJECT_MAX_KEYS, STATE_ANSWER_MAX_BYTES, VALUE_MAX_BYTES};

use super::{Key, StorageError};

/// Why a turn did not happen. The runtime maps it, in one place, to the public error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The class has no such method.
    #[error("the class has no method {method:?}")]
    MethodNotFound {
        /// The method asked for.
        method: String,
    },
    /// The object has no such key.
    #[error("the object has no key {:?}", key.as_str())]
    KeyNotFound {
        /// The key asked for.
        key: Key,
    },
    /// The class does not take the call; the detail says why.
    #[error("{detail}")]
    InvalidParameters {
        /// What is wrong and what would be right.
        detail: String,
    },
    /// The object has moved on; the detail names its version.
    #[error("{detail}")]
    Conflict {
        /// What is current.
        detail: String,
    },
    /// The caller may not do this.
    #[error("{detail}")]
    Forbidden {
        /// What may be done instead.
        detail: String,
    },
    /// A value is above [`VALUE_MAX_BYTES`].
    #[error("the value under {:?} has {bytes} bytes; a value has at most {VALUE_MAX_BYTES}", key.as_str())]
    ValueTooLarge {
        /// The key of the value.
        key: Key,
        /// Its size.
        bytes: usize,
    },
    /// The state does not fit into one answer.
    #[error("the state has more than {STATE_ANSWER_MAX_BYTES} bytes; read it in pages or key by key")]
    StateTooLarge,
    /// The object would be larger than its class allows.
    #[error("{detail}")]
    TooLarge {
        /// What the limit is.
        detail: String,
    },
    /// What is asked about is not there, or is not kept any more.
    #[error("{detail}")]
    NotFound {
        /// What is missing.
        detail: String,
    },
    /// The object would have too many keys or bytes.
    #[error(
        "an object has at most {OBJECT_MAX_KEYS} keys and {OBJECT_MAX_BYTES} bytes; spread it over several objects"
    )]
    ObjectFull,
    /// The committed keys could not be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Refusal {
    /// [`Refusal::InvalidParameters`] with this detail.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::InvalidParameters { detail: detail.into() }
    }
}
