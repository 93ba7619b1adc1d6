//! The runtime's handle: the one call that every surface makes.
//!
//! Here a call is authorised, and takes its turn on this node's activation if this node leads the object's shard.
//! Where it goes if another does is in [`super::forward`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use stead_cluster::{Cluster, Shard, Slot};
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::activation;
use super::failure::{self, Failure};
use super::forward::Hints;
use super::parts::Parts;
use super::registry::{Entry, Registry};
use super::relay::Upstream;
use super::stage::{self, Attempt};
use super::work::{Task, Work};
use super::{Answer, Location, Options, Request};
use crate::caller::{Caller, Standing};
use crate::class::{Access, Class, Classes};
use crate::error::{Code, Error};
use crate::object::{ClassName, ObjectAddress, Tenant};

/// The objects of this node, and the way to those of others. Cheap to clone.
#[derive(Clone)]
pub struct Runtime(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) cluster: Cluster,
    pub(super) classes: Classes,
    pub(super) registry: Registry,
    pub(super) parts: Arc<Parts>,
    pub(super) options: Options,
    pub(super) tasks: TaskTracker,
    pub(super) stopping: CancellationToken,
    pub(super) requests_waiting: AtomicUsize,
    pub(super) hints: Hints,
}

/// What a caller wants to do, for the one place that decides whether it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// See state, updates, lists or places.
    Read,
    /// Change an object.
    Write,
}

impl Runtime {
    /// Asks one object, and answers when what the answer rests on is durable.
    ///
    /// # Errors
    ///
    /// Every [`Code`] that concerns an object; `retry` says whether the request may be sent again.
    pub async fn call(
        &self,
        caller: &Caller,
        address: &ObjectAddress,
        request: Request,
    ) -> Result<Answer, Error> {
        let answered = self.admit(caller, address, request).await;
        if let Err(error) = &answered {
            self.0.parts.metrics.refused_with(error.code);
        }
        answered
    }

    async fn admit(
        &self,
        caller: &Caller,
        address: &ObjectAddress,
        request: Request,
    ) -> Result<Answer, Error> {
        let intent = if request.action.is_write() { Intent::Write } else { Intent::Read };
        let class = self.authorize(caller, address.tenant(), address.class(), intent)?;
        let _waiting = Waiting::enter(&self.0.requests_waiting, self.0.options.max_requests_waiting)?;
        self.route(caller, address, class, request, intent).await
    }

    /// Opens the stream of an object's updates, wherever the object is led and goes on to be led.
    ///
    /// # Errors
    ///
    /// When the caller may not read the object, or there is no such class.
    pub fn stream(&self, caller: &Caller, address: &ObjectAddress) -> Result<Upstream, Error> {
        self.authorize(caller, address.tenant(), address.class(), Intent::Read)?;
        Ok(Upstream::open(self.clone(), caller.clone(), address.clone()))
    }

    /// The classes that callers of a tenant may reach, in the order of their names.
    #[must_use]
    pub fn classes(&self, tenant: &Tenant) -> Vec<Arc<str>> {
        self.0.classes.reachable(tenant)
    }

    /// Where an object lives.
    ///
    /// # Errors
    ///
    /// When there is no such class.
    pub fn location(&self, caller: &Caller, address: &ObjectAddress) -> Result<Location, Error> {
        self.authorize(caller, address.tenant(), address.class(), Intent::Read)?;
        let hash = address.hash();
        let shard = self.shard_of(address);
        let status = shard.status();
        let (mut replicas, mut leader) = (Vec::new(), status.leader);
        replicas.extend(status.replicas.iter().map(|replica| replica.node.0));
        if replicas.is_empty() {
            // This node has no replica: the map says where it is, and others who leads it.
            let (placed, preferred) = self.0.cluster.placement(shard.id());
            replicas.extend(placed.iter().map(|node| node.0));
            leader = leader.or_else(|| self.0.hints.get(shard.id())).or(preferred);
        }
        Ok(Location {
            id: hash.id(),
            slot: hash.slot(),
            shard: status.id.0,
            leader: leader.map(|node| node.0),
            replicas,
        })
    }

    /// The one place that decides what a caller may do. It says yes to what a class declares open
    /// until identities exist.
    pub(super) fn authorize(
        &self,
        caller: &Caller,
        tenant: &Tenant,
        class: &ClassName,
        intent: Intent,
    ) -> Result<Arc<dyn Class>, Error> {
        let missing = || Error::new(Code::ClassNotFound, format!("there is no class {class}"));
        if *caller.tenant != *tenant.as_str() {
            return Err(Error::new(Code::Forbidden, "the object belongs to another tenant"));
        }
        let found = self.0.classes.get(tenant, class).ok_or_else(missing)?;
        if caller.standing == Standing::Module {
            return Ok(found.clone());
        }
        match (found.access(), intent) {
            (Access::Internal, _) => Err(missing()),
            (Access::ReadOnly, Intent::Write) => Err(Error::new(
                Code::Forbidden,
                format!("objects of class {class} are written by their own routes and tools only"),
            )),
            (Access::Open | Access::ReadOnly, _) => Ok(found.clone()),
        }
    }

    /// Runs a task on the object's activation on this node, as long as this node leads; none if it does not lead,
    /// and the task surely did not run.
    pub(super) async fn try_here(
        &self,
        caller: &Caller,
        address: &ObjectAddress,
        class: Arc<dyn Class>,
        mut task: Task,
        intent: Intent,
    ) -> Option<Result<Answer, Error>> {
        let shard = self.shard_of(address);
        while shard.lead().is_ok() {
            match self.take_turn(caller, address, &class, task, intent).await {
                Ok(answered) => return Some(answered),
                Err(returned) => task = returned,
            }
            if caller.deadline <= Instant::now() {
                return None;
            }
            tokio::task::yield_now().await;
        }
        None
    }

    /// Gives a task to the object's activation, once; it comes back if it surely did not run.
    async fn take_turn(
        &self,
        caller: &Caller,
        address: &ObjectAddress,
        class: &Arc<dyn Class>,
        task: Task,
        intent: Intent,
    ) -> Result<Result<Answer, Error>, Task> {
        let shard = self.shard_of(address);
        let Ok(term) = shard.lead() else { return Err(task) };
        let entry = self.0.registry.enter(address, term, |presence| {
            let (parts, shard) = (&self.0.parts, shard.clone());
            activation::start(parts, shard, term, address.clone(), class.clone(), presence)
        });
        let (actor, admission) = match entry {
            Ok(Entry::Admitted(actor, admission)) => (actor, admission),
            Ok(Entry::Draining(presence)) => {
                let drained = timeout_at(caller.deadline.into(), presence.drained()).await;
                return if drained.is_ok() { Err(task) } else { Ok(Err(late(Intent::Read))) };
            }
            Err(error) => return Ok(Err(error)),
        };
        let answer = match stage::attempt(task, caller, admission) {
            Attempt::Answered(answer) => return Ok(answer),
            Attempt::Held(answer) => answer,
            Attempt::Busy(task, admission) => {
                let (work, answer) = Work::new(task, Arc::new(caller.clone()), admission);
                // A refused message is dropped, and so comes back as one that did not run.
                drop(actor.send_message(work));
                answer
            }
        };
        let Ok(given) = timeout_at(caller.deadline.into(), answer).await else {
            return Ok(Err(late(intent)));
        };
        match given.expect("work answers however it ends") {
            Ok(answer) => Ok(Ok(answer)),
            Err(Failure::Answered(error)) => Ok(Err(error)),
            Err(Failure::NotRun(returned)) => Err(returned),
        }
    }

    /// The shard that an object belongs to.
    pub(super) fn shard_of(&self, address: &ObjectAddress) -> &Shard {
        let slot = Slot::new(address.hash().slot()).expect("14 bits make a slot");
        self.0.cluster.shard(self.0.cluster.layout().shard_of(slot))
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.0
    }
}

pub(super) fn late(intent: Intent) -> Error {
    match intent {
        Intent::Read => {
            Error::new(Code::Unavailable, "the object did not answer within the deadline; try again")
        }
        Intent::Write => failure::outcome_unknown("the deadline passed before the answer"),
    }
}

/// One of the requests that wait on this node.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(waiting: &'a AtomicUsize, most: usize) -> Result<Self, Error> {
        let entered = Self(waiting);
        if waiting.fetch_add(1, Ordering::Relaxed) >= most {
            return Err(Error::new(
                Code::Overloaded,
                format!("{most} requests are waiting on this node; try again"),
            ));
        }
        Ok(entered)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
