//! The policy, as this node knows it: seeded once, followed from then on.
//!
//! A turn is given the whole policy with its version, and records which one it used; so a node that hears of a new
//! one a moment later than another does nothing wrong. Whoever puts a policy finds it at that node at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use tokio::sync::Notify;

use super::objects::{Class, Fields, Objects, With, fields};
use crate::caller::Caller;
use crate::class::change_request::Policy;
use crate::error::{Code, Error};
use crate::limits;
use crate::object::Version;
use crate::object::idempotency::IdempotencyKey;

/// The one object that holds the policy.
pub(super) const NAME: &str = "policy";
/// The key that it lies under.
const KEY: &str = "policy";

/// The policy at one version.
#[derive(Debug, Clone)]
pub(super) struct Current {
    /// Its rules.
    pub(super) policy: Arc<Policy>,
    pub(super) version: Version,
    /// Both as a turn is given them.
    pub(super) context: Json,
}

impl Current {
    fn of(policy: Json, version: Version) -> Result<Self, Error> {
        let parsed = parse(&policy)?;
        let mut context = fields(policy);
        context.insert("version".to_owned(), json!(version));
        Ok(Self { policy: Arc::new(parsed), version, context: Json::Object(context) })
    }

    /// Of what `seed` and `replace` answer.
    fn of_answer(answer: &Json) -> Result<Self, Error> {
        let version = answer.get("version").and_then(Json::as_u64).unwrap_or_default();
        Self::of(answer.get(KEY).cloned().unwrap_or_default(), Version(version))
    }
}

fn parse(policy: &Json) -> Result<Policy, Error> {
    serde::Deserialize::deserialize(policy).map_err(|error: serde_json::Error| {
        Error::new(Code::Internal, format!("the policy that is kept cannot be read: {error}"))
    })
}

/// What a node knows of the policy.
#[derive(Default)]
pub(super) struct Followed {
    known: Mutex<Known>,
    /// Something may have changed.
    pub(super) stirred: Notify,
}

#[derive(Default)]
struct Known {
    current: Option<Arc<Current>>,
    /// Earlier ones, and this, for reports.
    versions: BTreeMap<u64, Arc<Policy>>,
    /// Whether the stream of its updates has stood when it was read; before, what is known is not relied on.
    is_followed: bool,
}

impl Followed {
    /// What is known, if that is to be relied on.
    fn current(&self) -> Option<Arc<Current>> {
        let known = self.known.lock();
        known.current.clone().filter(|_| known.is_followed)
    }

    /// Takes note of a policy, unless a newer one is known.
    fn note(&self, current: Current) -> Arc<Current> {
        let current = Arc::new(current);
        let mut known = self.known.lock();
        remember(&mut known.versions, current.version.0, current.policy.clone());
        if known.current.as_ref().is_none_or(|known| known.version < current.version) {
            known.current = Some(current.clone());
        }
        current
    }
}

fn remember(versions: &mut BTreeMap<u64, Arc<Policy>>, version: u64, policy: Arc<Policy>) {
    versions.insert(version, policy);
    while versions.len() > limits::POLICY_VERSIONS_REMEMBERED {
        versions.pop_first();
    }
}

/// The policy's object, and what this node knows of it.
#[derive(Clone)]
pub(super) struct Policies {
    objects: Objects,
    seed: Arc<Policy>,
    pub(super) followed: Arc<Followed>,
}

impl Policies {
    pub(super) fn new(objects: Objects, seed: Policy) -> Self {
        Self { objects, seed: Arc::new(seed), followed: Arc::default() }
    }

    /// The policy that is to be used now.
    pub(super) async fn current(&self, caller: &Caller) -> Result<Arc<Current>, Error> {
        match self.followed.current() {
            Some(current) => Ok(current),
            None => self.read(caller).await,
        }
    }

    /// Looks whether there is another policy than the one known, and makes none.
    pub(super) async fn look(&self, caller: &Caller) -> Result<(), Error> {
        if let (Some(policy), version) = self.objects.get(caller, (Class::Policy, NAME), KEY).await? {
            self.followed.note(Current::of(policy, version)?);
            self.followed.known.lock().is_followed = true;
        }
        Ok(())
    }

    /// Reads the policy from its object, which is made of the configuration's if it is not there.
    pub(super) async fn read(&self, caller: &Caller) -> Result<Arc<Current>, Error> {
        let found = self.objects.get(caller, (Class::Policy, NAME), KEY).await?;
        let current = if let (Some(policy), version) = found {
            Current::of(policy, version)?
        } else {
            let call = ("seed", fields(json!({ KEY: *self.seed })));
            let seeded = self.objects.call(caller, (Class::Policy, NAME), call, With::default()).await?;
            Current::of_answer(&seeded.0)?
        };
        Ok(self.followed.note(current))
    }

    /// Puts a policy in the place of the one there is.
    pub(super) async fn put(
        &self,
        caller: &Caller,
        policy: Fields,
        if_match: Option<Version>,
        key: Option<IdempotencyKey>,
    ) -> Result<Arc<Current>, Error> {
        // There has to be one that this one follows, and whose version may be asked for.
        self.read(caller).await?;
        let call = ("replace", fields(json!({ KEY: policy })));
        let with = With { key, if_match, ..With::default() };
        let (answer, _) = self.objects.call(caller, (Class::Policy, NAME), call, with).await?;
        Ok(self.followed.note(Current::of_answer(&answer)?))
    }

    /// The policy that a version was, if that is still known.
    pub(super) async fn at(&self, caller: &Caller, version: u64) -> Result<Option<Arc<Policy>>, Error> {
        if let Some(policy) = self.followed.known.lock().versions.get(&version) {
            return Ok(Some(policy.clone()));
        }
        let after = (Version(version.saturating_sub(1)), 1);
        let updates = self.objects.updates(caller, (Class::Policy, NAME), after).await?;
        let update =
            updates.first().filter(|update| update.get("version").and_then(Json::as_u64) == Some(version));
        match update.and_then(|update| update.get("changes")?.get(KEY)) {
            Some(policy) => {
                let policy = Arc::new(parse(policy)?);
                remember(&mut self.followed.known.lock().versions, version, policy.clone());
                Ok(Some(policy))
            }
            None => Ok(None),
        }
    }

    /// The versions that are kept, oldest first, each as its update tells it.
    pub(super) async fn history(&self, caller: &Caller) -> Result<Vec<Json>, Error> {
        self.read(caller).await?;
        let all = (Version(0), limits::PAGE_MAX);
        let updates = self.objects.updates(caller, (Class::Policy, NAME), all).await?;
        let shown = updates.into_iter().filter_map(|update| {
            let policy = update.get("changes")?.get(KEY)?.clone();
            Some(json!({
                "version": update.get("version"),
                "by": update.get("by"),
                "timestamp": update.get("timestamp"),
                "policy": policy,
            }))
        });
        Ok(shown.collect())
    }
}
