//! What the generic tools are given, as types: their schemas are what clients read.

use rmcp::model::JsonObject;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use crate::error::{Code, Error};

/// `object_get`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Get {
    /// The object's class, such as `counter`, `document`, `object` or `change-request`.
    pub(super) class: String,
    /// The object's name within its class.
    pub(super) name: String,
}

/// `object_call`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    /// The object's class, such as `counter` or `object`.
    pub(super) class: String,
    /// The object's name within its class; a writing method on an unused name makes the object.
    pub(super) name: String,
    /// The method: `increment`, `decrement`, `reset` and `get` of a counter; `get`, `update`, `insert`, `delete`,
    /// `replace` and `edit` of a document; `get_value`, `set`, `set_multiple`, `increment`, `delete`, `update` and `echo`
    /// of an object.
    pub(super) method: String,
    /// The method's parameters, such as `{"by": 2}`.
    #[serde(default)]
    pub(super) params: Option<Map<String, Json>>,
    /// 1 to 255 visible ASCII characters: the call takes effect once, however often it is made with this key.
    #[serde(default)]
    pub(super) idempotency_key: Option<String>,
}

/// `object_list`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    /// The class whose objects are listed.
    pub(super) class: String,
    /// Only names that begin with this.
    #[serde(default)]
    pub(super) prefix: Option<String>,
    /// At most so many; 100 when absent.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1000))]
    pub(super) limit: Option<u64>,
    /// The cursor of the page before.
    #[serde(default)]
    pub(super) cursor: Option<String>,
}

/// `object_history`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct History {
    /// The object's class.
    pub(super) class: String,
    /// The object's name within its class.
    pub(super) name: String,
    /// The last version already known; 0, the beginning, when absent.
    #[serde(default)]
    pub(super) since: Option<u64>,
    /// At most so many; 100 when absent.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1000))]
    pub(super) limit: Option<u64>,
}

/// `counter_increment`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Increment {
    /// The counter's name; one that is not there begins at 0.
    pub(super) name: String,
    /// By how much, 1 when absent; negative to go down.
    #[serde(default)]
    pub(super) by: Option<i64>,
}

/// `document_read`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Read {
    /// The document's name.
    pub(super) name: String,
}

/// `document_edit`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Edit {
    /// The document's name; one that is not there is made, and empty.
    pub(super) name: String,
    /// The edits, in order; all are made, or none.
    pub(super) edits: Vec<OneEdit>,
}

/// One edit of a document: exactly one of these.
#[derive(Debug, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum OneEdit {
    /// Insert text at an index.
    Insert {
        /// Where, in UTF-16 units from the beginning.
        index: u64,
        /// The text.
        text: String,
    },
    /// Delete a part of the text.
    Delete {
        /// Where it begins, in UTF-16 units from the beginning.
        index: u64,
        /// How much, in UTF-16 units.
        length: u64,
    },
    /// Replace every occurrence of a text; none at all is refused.
    Replace {
        /// What is looked for.
        find: String,
        /// What comes in its place.
        text: String,
    },
}

/// Reads arguments: what is missing is named as a whole, what does not fit as the parser says it.
pub(super) fn parse<T: DeserializeOwned>(arguments: JsonObject, required: &[&str]) -> Result<T, Error> {
    let is_missing = |name: &&str| arguments.get(*name).is_none_or(|value| value.is_null() || value == "");
    if required.iter().any(is_missing) {
        let detail = format!("Missing required parameters: {}", required.join(", "));
        return Err(Error::new(Code::InvalidParameters, detail));
    }
    // A client that sends null for what it does not give means that.
    let given = arguments.into_iter().filter(|(_, value)| !value.is_null()).collect();
    serde_json::from_value(Json::Object(given)).map_err(|problem| {
        Error::new(Code::InvalidParameters, format!("the arguments do not fit: {problem}"))
    })
}
