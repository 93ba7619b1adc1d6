//! Change management: tools over the class `change-request`, for MCP and REST alike.
//!
//! A turn of one change decides by its own state and what it is given; nothing is atomic across objects. What has to
//! happen across them, and what is read from many, happens here and nowhere else: making ids, looking at blockers,
//! reserving time, lists, reports, figures, and the policy that every turn is given.

mod arguments;
mod check;
mod controls;
mod create;
mod digest;
mod facts;
mod figures;
mod follow;
mod lists;
mod moves;
mod objects;
mod policy;
mod report;
mod results;
mod samples;
mod schedule;
pub(crate) mod schema;
#[cfg(test)]
mod tests;
mod tools;
mod vocabulary;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::caller::Caller;
use crate::class::change_request::Policy;
use crate::clock::Clock;
use crate::error::{Code, Error};
use crate::object::Version;
use crate::object::idempotency::IdempotencyKey;
use crate::runtime::Runtime;
use crate::telemetry::Metrics;

use figures::Remembered;
use objects::{Fields, Objects};
use policy::Policies;
use samples::Rate;
use tools::Does;

pub use tools::{Tool, find, tools};

/// The change management of a node. Cheap to clone.
#[derive(Clone)]
pub struct ChangeFlow(Arc<Inner>);

struct Inner {
    objects: Objects,
    policies: Policies,
    /// Whether this node has begun to follow the policy.
    follows: AtomicBool,
    clock: Arc<Clock>,
    metrics: Metrics,
    node: u64,
    sample_every: Duration,
    reservation_settles: Duration,
    rate: Rate,
    /// Held while figures are computed, so that many who ask at once cause one look.
    remembered: tokio::sync::Mutex<Remembered>,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

/// What change management is made with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The policy that the configuration gives; it seeds the policy's object once.
    pub policy: Policy,
    /// The number of this node.
    pub node: u64,
    /// Between two samples of what the node counts.
    pub sample_every: Duration,
    /// How long scheduling may take; a reservation much older whose change is not scheduled is one that was left.
    pub reservation_settles: Duration,
}

/// The policy, and the version that `If-Match` names.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyVersion {
    /// Its rules, as they are configured.
    pub policy: Json,
    /// Its version.
    pub version: Version,
}

/// How a tool is called.
#[derive(Clone, Default)]
pub struct CallOptions {
    /// It takes effect once, however often it is called with this key.
    pub idempotency_key: Option<IdempotencyKey>,
    /// Told how far a long call has come.
    pub progress: Option<Arc<dyn Fn(Progress) + Send + Sync>>,
}

/// How far a call has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// What is done.
    pub done: u64,
    /// Of so much, where that is known.
    pub total: Option<u64>,
    /// What is being done.
    pub message: String,
}

/// Why a call has no result.
#[derive(Debug, Clone)]
pub enum Refused {
    /// The rules say no, and nothing has changed.
    Refusal {
        /// `{"success":false,"error":…}`, and what helps to do better.
        body: Json,
        /// `invalid_parameters`, `object_not_found` for an unknown change, `invalid_request` for a cursor that is none.
        code: Code,
    },
    /// It could not be done, or it is not known whether it was.
    Failed(Error),
}

impl Refused {
    /// The rules say no, for this reason.
    pub(crate) fn refusal(error: impl Into<String>) -> Self {
        let error: String = error.into();
        Self::Refusal { body: json!({ "success": false, "error": error }), code: Code::InvalidParameters }
    }

    /// There is no such change.
    pub(crate) fn missing(error: String) -> Self {
        Self::Refusal { body: json!({ "success": false, "error": error }), code: Code::ObjectNotFound }
    }

    /// The reason, in words.
    #[must_use]
    pub fn detail(&self) -> &str {
        match self {
            Self::Refusal { body, .. } => body.get("error").and_then(Json::as_str).unwrap_or_default(),
            Self::Failed(error) => &error.detail,
        }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl ChangeFlow {
    /// The change management of a node. [`ChangeFlow::start`] begins what runs beside the calls.
    #[must_use]
    pub fn new(runtime: Runtime, clock: Arc<Clock>, metrics: Metrics, options: Options) -> Self {
        let objects = Objects::new(runtime);
        Self(Arc::new(Inner {
            policies: Policies::new(objects.clone(), options.policy),
            objects,
            follows: AtomicBool::new(false),
            clock,
            metrics,
            node: options.node,
            sample_every: options.sample_every,
            reservation_settles: options.reservation_settles,
            rate: Rate::new(Instant::now()),
            remembered: tokio::sync::Mutex::default(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
        }))
    }

    /// Calls a tool, by its name or an alias.
    ///
    /// # Errors
    ///
    /// [`Refused::Refusal`] where the rules or the arguments say no, [`Refused::Failed`] where it could not be done;
    /// an unknown tool fails with `not_found` and `Unknown tool: X`.
    pub async fn call(
        &self,
        caller: &Caller,
        tool: &str,
        arguments: Map<String, Json>,
        options: CallOptions,
    ) -> Result<Json, Refused> {
        let tool = find(tool).ok_or_else(|| Error::new(Code::NotFound, format!("Unknown tool: {tool}")))?;
        let mut arguments = check::check(tool, arguments).map_err(Refused::refusal)?;
        let flow = &self.0;
        match tool.does {
            Does::Create => flow.create(caller, arguments, &options).await,
            Does::Call(method) => {
                let id = take_id(&mut arguments);
                flow.call_change(caller, &id, (method, arguments), &options).await
            }
            Does::Schedule => {
                let id = take_id(&mut arguments);
                flow.schedule(caller, &id, arguments, &options).await
            }
            Does::Status => flow.status(caller, &take_id(&mut arguments)).await,
            Does::List => flow.list(caller, typed(arguments)?).await,
            Does::Audit => flow.audit(caller, typed(arguments)?).await,
            Does::Report => flow.report(caller, typed(arguments)?, &options).await,
            Does::Dashboard => flow.dashboard(caller, typed(arguments)?, &options).await,
        }
    }

    /// The figures of `metrics_dashboard` of now, at most a few seconds old. Whoever stops waiting does not stop the
    /// computation: the next one finds what it came to.
    ///
    /// # Errors
    ///
    /// Those of reading changes.
    pub async fn board(&self, caller: &Caller) -> Result<Json, Error> {
        let (flow, caller) = (self.0.clone(), caller.clone());
        let computed = self.0.tasks.spawn(async move { flow.board(&caller).await }).await;
        computed.map_err(|_| Error::new(Code::Internal, "the figures could not be computed"))?
    }

    /// The policy that holds.
    ///
    /// # Errors
    ///
    /// Those of reading its object.
    pub async fn policy(&self, caller: &Caller) -> Result<PolicyVersion, Error> {
        let current = self.0.policies.read(caller).await?;
        Ok(PolicyVersion { policy: json!(*current.policy), version: current.version })
    }

    /// Puts another policy in its place; it is looked at whole.
    ///
    /// # Errors
    ///
    /// `invalid_parameters` for a policy that cannot hold, `version_mismatch`, and those of writing.
    pub async fn put_policy(
        &self,
        caller: &Caller,
        policy: Map<String, Json>,
        if_match: Option<Version>,
        key: Option<IdempotencyKey>,
    ) -> Result<PolicyVersion, Error> {
        let current = self.0.policies.put(caller, policy, if_match, key).await?;
        Ok(PolicyVersion { policy: json!(*current.policy), version: current.version })
    }

    /// The policy's versions that are kept, oldest first: `{"version","by","timestamp","policy"}`.
    ///
    /// # Errors
    ///
    /// Those of reading its object.
    pub async fn policy_history(&self, caller: &Caller) -> Result<Vec<Json>, Error> {
        self.0.policies.history(caller).await
    }
}

/// Takes the change's id from checked arguments.
fn take_id(arguments: &mut Fields) -> String {
    match arguments.remove(check::CHANGE_ID) {
        Some(Json::String(id)) => id,
        _ => unreachable!("the id is required, and checked"),
    }
}

/// Checked arguments as their type.
fn typed<T: DeserializeOwned>(arguments: Fields) -> Result<T, Refused> {
    serde_json::from_value(Json::Object(arguments)).map_err(|error| Refused::refusal(error.to_string()))
}

impl fmt::Debug for ChangeFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChangeFlow")
    }
}
