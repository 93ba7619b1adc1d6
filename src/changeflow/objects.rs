//! The way from tools to objects, and from their refusals back.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use serde_json::{Map, Value as Json, json};

use super::Refused;
use crate::caller::{Caller, Standing};
use crate::error::{Code, Error};
use crate::limits;
use crate::object::idempotency::IdempotencyKey;
use crate::object::{ClassName, Key, ObjectAddress, ObjectName, Tenant, Version};
use crate::runtime::{Action, Answer, ListQuery, ObjectPage, Outcome, Request, Runtime};

/// How long what this module asks for itself may take.
const OWN_DEADLINE: Duration = Duration::from_secs(10);

/// Parameters, contexts, results.
pub(super) type Fields = Map<String, Json>;

/// The classes of change management.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// A change each.
    Request,
    /// A day each, with the schedules on it.
    Calendar,
    /// The policy.
    Policy,
    /// An idempotency key of a tool each, and the id that was made for it.
    Key,
    /// A day each, with a node's figures of every minute.
    Metrics,
}

impl Class {
    fn name(self) -> ClassName {
        let name = match self {
            Self::Request => "change-request",
            Self::Calendar => "change-calendar",
            Self::Policy => "change-policy",
            Self::Key => "change-key",
            Self::Metrics => "metrics-day",
        };
        ClassName::parse(name).expect("the name of a class of ours is one")
    }
}

/// What a call is made with beside its parameters.
#[derive(Default)]
pub(super) struct With {
    pub(super) context: Fields,
    pub(super) key: Option<IdempotencyKey>,
    pub(super) if_match: Option<Version>,
}

/// The objects of change management, as this module reaches them.
#[derive(Clone)]
pub(super) struct Objects {
    runtime: Runtime,
}

impl Objects {
    pub(super) fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }

    pub(super) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Calls a method.
    pub(super) async fn call(
        &self,
        caller: &Caller,
        (class, name): (Class, &str),
        (method, params): (&str, Fields),
        with: With,
    ) -> Result<(Json, Version), Error> {
        let request = Request {
            action: Action::Call { method: method.to_owned(), params },
            idempotency_key: with.key,
            if_match: with.if_match,
            context: Some(Arc::new(with.context)),
        };
        let answer = self.send(caller, class, name, request).await?;
        let version = answer.version;
        Ok((result_of(answer), version))
    }

    /// Asks a question; an object that is not there has no answer.
    pub(super) async fn ask(
        &self,
        caller: &Caller,
        (class, name): (Class, &str),
        question: &str,
        params: Fields,
    ) -> Result<(Json, Version), Error> {
        let action = Action::Ask { question: question.to_owned(), params };
        let answer = self.send(caller, class, name, action.into()).await?;
        let version = answer.version;
        Ok((result_of(answer), version))
    }

    /// Reads one key of an object; nothing if either is not there.
    pub(super) async fn get(
        &self,
        caller: &Caller,
        (class, name): (Class, &str),
        key: &str,
    ) -> Result<(Option<Json>, Version), Error> {
        let key = Key::parse(key).expect("a key of ours is one");
        let answer = self.send(caller, class, name, Action::Get { key }.into()).await?;
        match answer.outcome {
            Outcome::Value(value) => Ok((value.map(|value| value.to_json()), answer.version)),
            other => unreachable!("a key is answered by its value, not {other:?}"),
        }
    }

    /// Reads the updates that an object keeps after a version, each as its JSON, oldest first.
    pub(super) async fn updates(
        &self,
        caller: &Caller,
        (class, name): (Class, &str),
        (since, limit): (Version, usize),
    ) -> Result<Vec<Json>, Error> {
        let answer = self.send(caller, class, name, Action::Updates { since, limit }.into()).await?;
        let Outcome::Updates { updates, .. } = answer.outcome else {
            unreachable!("updates are answered by updates")
        };
        let read = |text: &Arc<str>| serde_json::from_str(text);
        updates
            .iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map_err(|error| Error::new(Code::Internal, format!("an update cannot be read: {error}")))
    }

    /// Deletes an object; one that is gone already is fine.
    pub(super) async fn delete(&self, caller: &Caller, class: Class, name: &str) -> Result<(), Error> {
        match self.send(caller, class, name, Action::Delete.into()).await {
            Err(error) if error.code != Code::ObjectNotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// A page of the objects of a class.
    pub(super) async fn list(
        &self,
        caller: &Caller,
        class: Class,
        (limit, cursor): (usize, Option<String>),
    ) -> Result<ObjectPage, Error> {
        let query = ListQuery { prefix: String::new(), limit, cursor };
        self.runtime.list(&caller.through_module(), &class.name(), query).await
    }

    /// Where an object is.
    pub(super) fn address(caller: &Caller, class: Class, name: &str) -> Result<ObjectAddress, Error> {
        let tenant = Tenant::try_from(caller.tenant.clone())
            .map_err(|error| Error::new(Code::Forbidden, error.to_string()))?;
        let name =
            ObjectName::parse(name).map_err(|error| Error::new(Code::ObjectNotFound, error.to_string()))?;
        Ok(ObjectAddress::new(tenant, class.name(), name))
    }

    async fn send(
        &self,
        caller: &Caller,
        class: Class,
        name: &str,
        request: Request,
    ) -> Result<Answer, Error> {
        let address = Self::address(caller, class, name)?;
        self.runtime.call(&caller.through_module(), &address, request).await
    }
}

fn result_of(answer: Answer) -> Json {
    match answer.outcome {
        Outcome::Result(result) => result.to_json(),
        other => unreachable!("a call or question is answered by a result, not {other:?}"),
    }
}

/// An error of a change's turn, as a tool gives it back.
pub(super) fn refused(id: &str, error: Error) -> Refused {
    let missing = format!("Change {id} not found");
    match error.code {
        Code::ObjectNotFound => Refused::missing(missing),
        Code::NotFound if error.detail == missing => Refused::missing(missing),
        Code::NotFound | Code::InvalidParameters => Refused::refusal(error.detail),
        _ => Refused::Failed(error),
    }
}

/// The same caller, who waits for one step of something long.
pub(super) fn step(caller: &Caller) -> Caller {
    caller.until(Instant::now() + limits::REPORT_STEP_WITHIN)
}

/// An object from a literal one.
pub(super) fn fields(json: Json) -> Fields {
    match json {
        Json::Object(fields) => fields,
        other => unreachable!("{other} is no object"),
    }
}

/// A field that is a text.
pub(super) fn text<'json>(json: &'json Json, name: &str) -> Option<&'json str> {
    json.get(name).and_then(Json::as_str)
}

/// The parameters of a question that has none.
pub(super) fn nothing() -> Fields {
    fields(json!({}))
}

/// Who this module is when it asks for itself.
pub(super) fn own_caller(what: &'static str) -> Caller {
    static SUBJECT: LazyLock<Arc<str>> = LazyLock::new(|| "stead".into());
    Caller {
        tenant: Tenant::standard().into(),
        subject: SUBJECT.clone(),
        roles: Arc::new([]),
        address: None,
        request_id: what.into(),
        traceparent: None,
        deadline: Instant::now() + OWN_DEADLINE,
        standing: Standing::Client,
    }
}
