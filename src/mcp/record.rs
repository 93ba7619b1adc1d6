//! An internal object of this module: asked on behalf of the client whose it is.

use std::time::{Duration, Instant};

use serde_json::{Map, Value as Json};

use crate::caller::Caller;
use crate::error::{Error, Retry};
use crate::live::{Hub, Subscription};
use crate::object::{ObjectAddress, Version};
use crate::runtime::{Action, Answer, Outcome, Runtime};

/// How long one call of it may take.
const STEP: Duration = Duration::from_secs(10);
/// Pause before a call is repeated that the object could not take.
const PAUSE: Duration = Duration::from_millis(100);

/// A session or a task.
#[derive(Clone)]
pub(super) struct Record {
    runtime: Runtime,
    hub: Hub,
    caller: Caller,
    address: ObjectAddress,
}

impl Record {
    /// The object of that class and name, if that is a name.
    pub(super) fn new(
        runtime: &Runtime,
        hub: &Hub,
        caller: &Caller,
        class: &str,
        name: &str,
    ) -> Option<Self> {
        let address = ObjectAddress::parse(&caller.tenant, class, name).ok()?;
        Some(Self { runtime: runtime.clone(), hub: hub.clone(), caller: caller.through_module(), address })
    }

    /// An id that nobody guesses.
    pub(super) fn fresh_name() -> String {
        data_encoding::HEXLOWER.encode(&rand::random::<[u8; 16]>())
    }

    pub(super) fn name(&self) -> &str {
        self.address.name().as_str()
    }

    /// Calls a method.
    pub(super) async fn call(&self, method: &str, params: Json) -> Result<Json, Error> {
        self.result(Action::Call { method: method.to_owned(), params: object(params) })
            .await
            .map(|(json, _)| json)
    }

    /// Calls a method that comes to the same when it is repeated, until the object has taken it or for a while.
    pub(super) async fn insist(&self, method: &str, params: Json) -> Result<Json, Error> {
        let until = Instant::now() + 2 * STEP;
        loop {
            match self.call(method, params.clone()).await {
                Err(error) if error.retry != Retry::Never && Instant::now() < until => {
                    tokio::time::sleep(PAUSE).await;
                }
                answered => return answered,
            }
        }
    }

    /// Asks a question; the answer is of that version.
    pub(super) async fn ask(&self, question: &str, params: Json) -> Result<(Json, Version), Error> {
        self.result(Action::Ask { question: question.to_owned(), params: object(params) }).await
    }

    /// Deletes it.
    pub(super) async fn delete(&self) -> Result<(), Error> {
        self.answer(Action::Delete).await.map(drop)
    }

    /// Follows it from a version on.
    pub(super) async fn watch(&self, since: Version) -> Result<Subscription, Error> {
        self.hub.subscribe(&self.fresh_caller(), &self.address, Some(since)).await
    }

    async fn result(&self, action: Action) -> Result<(Json, Version), Error> {
        let answer = self.answer(action).await?;
        let Outcome::Result(result) = answer.outcome else { unreachable!("it is answered by a result") };
        Ok((result.to_json(), answer.version))
    }

    async fn answer(&self, action: Action) -> Result<Answer, Error> {
        self.runtime.call(&self.fresh_caller(), &self.address, action.into()).await
    }

    fn fresh_caller(&self) -> Caller {
        self.caller.until(Instant::now() + STEP)
    }
}

/// A field of what an object of ours answers; `null` if it is not there.
pub(super) fn field<'a>(json: &'a Json, name: &str) -> &'a Json {
    json.get(name).unwrap_or(&Json::Null)
}

fn object(json: Json) -> Map<String, Json> {
    match json {
        Json::Object(map) => map,
        _ => Map::new(),
    }
}
