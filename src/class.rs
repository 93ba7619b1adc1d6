//! What each class does in a turn. Pure, as [`crate::object`] is.
//!
//! A class is one value behind one small trait, looked up by tenant and name at run time; a Rust embedder
//! adds classes of his own with [`Classes::with`].

pub mod change_calendar;
mod change_key;
mod change_policy;
pub mod change_request;
mod counter;
pub mod document;
mod mcp_secret;
pub mod mcp_session;
pub mod mcp_task;
pub mod metrics_day;
mod object;
mod parameters;
mod rehearsal;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Map;

use crate::limits::STATE_ANSWER_MAX_BYTES;
use crate::object::{ClassName, Key, Page, Refusal, Tenant, Turn, Value};

pub use change_calendar::ChangeCalendar;
pub use change_key::ChangeKey;
pub use change_policy::ChangePolicy;
pub use change_request::ChangeRequest;
pub use counter::Counter;
pub use document::Document;
pub use mcp_secret::McpSecret;
pub use mcp_session::McpSession;
pub use mcp_task::McpTask;
pub use metrics_day::MetricsDay;
pub use object::Object;
pub use rehearsal::Rehearsal;

/// What a method is given: the body's keys.
pub type Parameters = Map<String, serde_json::Value>;

/// What a class does in the turns of its objects. Every event but a call has a default.
///
/// One value serves all objects of the class, so it keeps nothing of any of them: what is to survive goes
/// through the turn. An event either returns well, and all it wrote takes effect, or refuses, and nothing does.
pub trait Class: Send + Sync + 'static {
    /// Who may reach it.
    fn access(&self) -> Access {
        Access::Open
    }

    /// A method is called. Its result is what the caller gets.
    ///
    /// # Errors
    /// Why it was refused; [`Refusal::MethodNotFound`] for a method that the class does not have.
    fn call(
        &self,
        turn: &mut Turn<'_>,
        method: &str,
        parameters: Parameters,
    ) -> Result<serde_json::Value, Refusal>;

    /// The object is initialised with these keys, whether or not it exists: they are put.
    ///
    /// # Errors
    /// Why it was refused.
    fn initialize(&self, turn: &mut Turn<'_>, keys: Parameters) -> Result<(), Refusal> {
        turn.create();
        for (key, value) in keys {
            self.put(turn, &parse_key(&key)?, value)?;
        }
        Ok(())
    }

    /// One key is put from outside.
    ///
    /// # Errors
    /// Why it was refused.
    fn put(&self, turn: &mut Turn<'_>, key: &Key, value: serde_json::Value) -> Result<(), Refusal> {
        turn.put_value(key, Value::from_json(value))
    }

    /// One key is deleted from outside.
    ///
    /// # Errors
    /// [`Refusal::KeyNotFound`] if it is absent, or why it was refused.
    fn delete(&self, turn: &mut Turn<'_>, key: &Key) -> Result<(), Refusal> {
        if turn.delete(key.as_str())? { Ok(()) } else { Err(Refusal::KeyNotFound { key: key.clone() }) }
    }

    /// The object's alarm rings. It is no longer set unless the class sets it again.
    ///
    /// # Errors
    /// Why it failed; it rings again later, six times in all.
    fn alarm(&self, turn: &mut Turn<'_>) -> Result<(), Refusal> {
        let _ = turn;
        Ok(())
    }

    /// Editors sent updates in the encoding that they share with the class; those known already change nothing, so
    /// it may be done again. All are applied, or none.
    ///
    /// # Errors
    /// [`Refusal::Conflict`] if they build on what has not come, [`Refusal::TooLarge`], or why they are refused:
    /// most classes have no editors.
    fn edit(&self, turn: &mut Turn<'_>, updates: &[Bytes]) -> Result<(), Refusal> {
        let _ = (turn, updates);
        Err(no_editors())
    }

    /// What an editor lacks that knows so much, and what the class knows; with nothing given, the latter alone.
    ///
    /// # Errors
    /// As [`Class::edit`].
    fn difference(&self, turn: &mut Turn<'_>, known: Option<&[u8]>) -> Result<Difference, Refusal> {
        let _ = (turn, known);
        Err(no_editors())
    }

    /// The object is about to be deleted: what its editors apply to be as empty as it.
    ///
    /// # Errors
    /// [`Refusal::Storage`]. The object is deleted all the same.
    fn farewell(&self, turn: &mut Turn<'_>) -> Result<Option<Bytes>, Refusal> {
        let _ = turn;
        Ok(None)
    }

    /// A question about an object that is there, beyond its state; the answer changes nothing.
    ///
    /// # Errors
    /// [`Refusal::MethodNotFound`] for a question that the class does not know, or why it has no answer.
    fn ask(
        &self,
        turn: &mut Turn<'_>,
        question: &str,
        parameters: &Parameters,
    ) -> Result<serde_json::Value, Refusal> {
        let _ = (turn, parameters);
        Err(Refusal::MethodNotFound { method: question.to_owned() })
    }

    /// One key as clients see it.
    ///
    /// # Errors
    /// [`Refusal::Storage`].
    fn get(&self, turn: &mut Turn<'_>, key: &Key) -> Result<Option<Value>, Refusal> {
        turn.get(key.as_str())
    }

    /// Keys as clients see them, in order: those that begin with `prefix` and come after `after`. Only an empty
    /// answer is the end.
    ///
    /// # Errors
    /// [`Refusal::Storage`].
    fn entries(
        &self,
        turn: &mut Turn<'_>,
        prefix: &str,
        after: Option<&str>,
        page: Page,
    ) -> Result<Vec<(Key, Value)>, Refusal> {
        turn.list(prefix, after, page)
    }

    /// The whole state as clients see it, in the order of keys.
    ///
    /// # Errors
    /// [`Refusal::StateTooLarge`] above [`STATE_ANSWER_MAX_BYTES`], [`Refusal::Storage`].
    fn state(&self, turn: &mut Turn<'_>) -> Result<Vec<(Key, Value)>, Refusal> {
        const PAGE: Page = Page { entries: 1_024, bytes: 1024 * 1024 };
        let mut state: Vec<(Key, Value)> = Vec::new();
        // What JSON adds to an entry: two quotes, a colon, a comma.
        let mut bytes = 2;
        loop {
            let after = state.last().map(|(key, _)| key.clone());
            let page = self.entries(turn, "", after.as_ref().map(Key::as_str), PAGE)?;
            if page.is_empty() {
                return Ok(state);
            }
            bytes += page.iter().map(|(key, value)| key.as_str().len() + value.len() + 4).sum::<usize>();
            if bytes > STATE_ANSWER_MAX_BYTES {
                return Err(Refusal::StateTooLarge);
            }
            state.extend(page);
        }
    }
}

/// What one side of an editor's synchronisation lacks and knows, in the editors' encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What the editor lacks.
    pub missing: Bytes,
    /// What the class knows.
    pub known: Bytes,
}

fn no_editors() -> Refusal {
    Refusal::invalid("objects of this class have no editors; those of class document do")
}

/// Who may reach the objects of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Every caller, every verb.
    Open,
    /// Callers read; only the module it belongs to writes.
    ReadOnly,
    /// No caller: the server's own.
    Internal,
}

/// The classes there are: those of every tenant, and those of one.
#[derive(Clone, Default)]
pub struct Classes {
    everyone: HashMap<ClassName, Arc<dyn Class>>,
    tenants: HashMap<Tenant, HashMap<ClassName, Arc<dyn Class>>>,
}

impl Classes {
    /// The classes that Stead brings.
    #[must_use]
    pub fn builtin() -> Self {
        Self::default()
            .with_name("object", Object)
            .with_name("counter", Counter)
            .with_name("document", Document)
            .with_name("change-request", ChangeRequest)
            .with_name("change-calendar", ChangeCalendar)
            .with_name("change-policy", ChangePolicy)
            .with_name("change-key", ChangeKey)
            .with_name("mcp-session", McpSession)
            .with_name("mcp-task", McpTask)
            .with_name("mcp-secret", McpSecret)
            .with_name("metrics-day", MetricsDay)
    }

    /// The same and one more, for every tenant; it takes the place of one of that name.
    #[must_use]
    pub fn with(mut self, name: ClassName, class: Arc<dyn Class>) -> Self {
        self.everyone.insert(name, class);
        self
    }

    /// The same and one more, for one tenant; there it takes the place of one of that name.
    #[must_use]
    pub fn with_tenant(mut self, tenant: Tenant, name: ClassName, class: Arc<dyn Class>) -> Self {
        self.tenants.entry(tenant).or_default().insert(name, class);
        self
    }

    /// The class of that name for that tenant.
    #[must_use]
    pub fn get(&self, tenant: &Tenant, name: &ClassName) -> Option<&Arc<dyn Class>> {
        self.tenants.get(tenant).and_then(|own| own.get(name)).or_else(|| self.everyone.get(name))
    }

    /// The names of the classes that callers of that tenant may reach, in order.
    #[must_use]
    pub fn reachable(&self, tenant: &Tenant) -> Vec<Arc<str>> {
        let own = self.tenants.get(tenant).into_iter().flatten();
        let mut names: Vec<Arc<str>> = self
            .everyone
            .keys()
            .chain(own.map(|(name, _)| name))
            .filter(|name| self.get(tenant, name).is_some_and(|class| class.access() != Access::Internal))
            .map(|name| name.as_str().into())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn with_name(self, name: &str, class: impl Class) -> Self {
        self.with(ClassName::parse(name).expect("the name of a class of ours is one"), Arc::new(class))
    }
}

impl std::fmt::Debug for Classes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut names: Vec<_> = self.everyone.keys().collect();
        names.sort_unstable();
        f.debug_struct("Classes").field("everyone", &names).field("tenants", &self.tenants.len()).finish()
    }
}

fn parse_key(text: &str) -> Result<Key, Refusal> {
    Key::parse(text).map_err(|error| Refusal::invalid(error.to_string()))
}
