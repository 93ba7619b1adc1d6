//! Calls of a change's own methods, and what has to happen around them in other objects.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::{Value as Json, json};

use super::objects::{Class, Fields, With, refused, text};
use super::{CallOptions, Inner, Refused};
use crate::caller::Caller;
use crate::error::Error;
use crate::limits;

impl Inner {
    /// What every turn is given: the policy, and the request it belongs to.
    pub(super) async fn context(self: &Arc<Self>, caller: &Caller) -> Result<Fields, Error> {
        let current = self.policy(caller).await?;
        Ok(Fields::from_iter([
            ("policy".to_owned(), current.context.clone()),
            ("requestId".to_owned(), json!(&*caller.request_id)),
        ]))
    }

    /// A method that concerns nothing but the change.
    pub(super) async fn call_change(
        self: &Arc<Self>,
        caller: &Caller,
        id: &str,
        (method, arguments): (&str, Fields),
        options: &CallOptions,
    ) -> Result<Json, Refused> {
        let mut context = self.context(caller).await?;
        if begins(method, &arguments) {
            let before = self.status(caller, id).await?;
            context.insert("blockers".to_owned(), self.blockers(caller, &before).await?);
        }
        let with = With { context, key: options.idempotency_key.clone(), ..With::default() };
        let called = self.objects.call(caller, (Class::Request, id), (method, arguments), with).await;
        let (mut result, _) = called.map_err(|error| refused(id, error))?;
        let released = result.as_object_mut().and_then(|result| result.remove("released"));
        if let Some(released) = released
            && let Err(error) = self.release(caller, id, &released).await
        {
            // The change has moved; a place too many on the calendar is found when the day looks full.
            tracing::warn!(change = id, %error, "a reservation is left on the calendar");
        }
        Ok(result)
    }

    /// The states of the changes that have to be finished first, read just before the turn.
    async fn blockers(&self, caller: &Caller, change: &Json) -> Result<Json, Error> {
        let named = change.get("blockedBy").and_then(Json::as_array).into_iter().flatten();
        let named: Vec<String> = named.filter_map(Json::as_str).map(str::to_owned).collect();
        let states: Fields = stream::iter(named)
            .map(|id| async move {
                let row = self.summary(caller, &id).await?;
                let status = row.as_ref().and_then(|row| text(row, "status")).map(str::to_owned);
                Ok::<_, Error>((id, json!(status)))
            })
            .buffered(limits::CHANGES_ASKED_AT_ONCE)
            .try_collect()
            .await?;
        Ok(Json::Object(states))
    }
}

/// Whether a call begins the implementation.
fn begins(method: &str, arguments: &Fields) -> bool {
    method == "transition" && arguments.get("to").is_some_and(|to| to == "implementing")
}
