//! The activations of this node: found, admitted to, passivated.
//!
//! One mutex holds the map, because finding an activation, counting the call in, moving it up in the
//! order of use and taking an idle one out must be one step: an activation leaves the map only while
//! no call is admitted to it, hence with no commit on its way, so its successor loads what it left.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lru::LruCache;
use parking_lot::Mutex;
use ractor::ActorRef;
use stead_cluster::Term;

use super::presence::{Admission, Presence};
use super::work::Work;
use crate::error::{Code, Error};
use crate::limits;
use crate::object::ObjectAddress;
use crate::telemetry::Metrics;

/// An activation as the rest of the runtime holds it.
pub(crate) struct Activation {
    pub(crate) actor: ActorRef<Work>,
    pub(crate) presence: Arc<Presence>,
}

/// What came of asking for an activation.
pub(crate) enum Entry {
    /// It is there, and the call is admitted.
    Admitted(ActorRef<Work>, Admission),
    /// Its predecessor has ended, but commits of it are still on their way: wait and ask again.
    Draining(Arc<Presence>),
}

/// The activations of this node.
pub(crate) struct Registry {
    active: Mutex<LruCache<ObjectAddress, Slot>>,
    max_active: NonZeroUsize,
    metrics: Metrics,
}

struct Slot {
    activation: Activation,
    used: Instant,
}

impl Registry {
    pub(crate) fn new(max_active: NonZeroUsize, metrics: Metrics) -> Self {
        Self { active: Mutex::new(LruCache::unbounded()), max_active, metrics }
    }

    /// Admits a call to the object's activation under `term`, started by `start` if there is none.
    pub(crate) fn enter(
        &self,
        address: &ObjectAddress,
        term: Term,
        start: impl FnOnce(Arc<Presence>) -> Result<ActorRef<Work>, Error>,
    ) -> Result<Entry, Error> {
        let mut active = self.active.lock();
        if let Some(slot) = active.get_mut(address) {
            let presence = &slot.activation.presence;
            if presence.lives_under(term) {
                slot.used = Instant::now();
                let admission = Admission::to(presence).inspect_err(|_| {
                    self.metrics.mailbox_overloads.inc();
                })?;
                return Ok(Entry::Admitted(slot.activation.actor.clone(), admission));
            }
            if !presence.unused() {
                return Ok(Entry::Draining(presence.clone()));
            }
            slot.activation.actor.stop(None);
            active.pop(address);
        }
        if active.len() >= self.max_active.get() {
            self.make_room(&mut active)?;
        }
        let presence = Presence::new(term);
        let admission = Admission::to(&presence)?;
        let actor = start(presence.clone())?;
        let activation = Activation { actor: actor.clone(), presence };
        active.push(address.clone(), Slot { activation, used: Instant::now() });
        self.metrics.active_objects.set(count(active.len()));
        Ok(Entry::Admitted(actor, admission))
    }

    /// Takes out what nobody has used for so long, least recently used first. Returns how many.
    pub(crate) fn passivate(&self, idle: Duration) -> usize {
        let mut active = self.active.lock();
        let now = Instant::now();
        let idle: Vec<ObjectAddress> = active
            .iter()
            .rev()
            .take_while(|(_, slot)| {
                now.duration_since(slot.used) >= idle || !slot.activation.presence.lives()
            })
            .filter(|(_, slot)| slot.activation.presence.unused())
            .take(limits::PASSIVATIONS_A_SWEEP)
            .map(|(address, _)| address.clone())
            .collect();
        for address in &idle {
            if let Some(slot) = active.pop(address) {
                slot.activation.actor.stop(None);
            }
        }
        self.metrics.active_objects.set(count(active.len()));
        self.metrics.passivations.inc_by(idle.len() as u64);
        idle.len()
    }

    /// How many activations there are.
    pub(crate) fn len(&self) -> usize {
        self.active.lock().len()
    }

    fn make_room(&self, active: &mut LruCache<ObjectAddress, Slot>) -> Result<(), Error> {
        let unused = active
            .iter()
            .rev()
            .take(limits::PASSIVATIONS_A_SWEEP)
            .find(|(_, slot)| slot.activation.presence.unused())
            .map(|(address, _)| address.clone());
        let Some(slot) = unused.and_then(|address| active.pop(&address)) else {
            return Err(Error::new(
                Code::Overloaded,
                format!("all {} active objects of the node are busy; try again", self.max_active),
            ));
        };
        slot.activation.actor.stop(None);
        self.metrics.passivations.inc();
        Ok(())
    }
}

fn count(len: usize) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}
