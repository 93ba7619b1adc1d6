//! Rings alarms and the runtime's own timers, on the leader of each shard.
//!
//! The times stand in the log's state, ordered by time, so that whoever leads next finds them. This
//! file only looks for what is due and asks the object; the object's turn decides, and its commit
//! takes the time away or sets the next one. A timer whose object cannot be asked stays where it is
//! and is found again: an alarm rings at least once.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use stead_cluster::{Shard, Space};
use tokio::sync::Semaphore;

use super::handle::Intent;
use super::storage::unreadable;
use super::timers::Timers;
use super::work::Task;
use super::{Runtime, failure};
use crate::caller::{Caller, Standing};
use crate::error::Error;
use crate::limits;
use crate::object::keys::{self, TimelineKind};
use crate::object::{ObjectAddress, StorageError, Timestamp};

/// A time that an object is to be woken at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Timer {
    at: Timestamp,
    address: ObjectAddress,
    kind: TimelineKind,
}

/// Looks for what is due, until the runtime stops.
pub(super) async fn run(runtime: Runtime) {
    let inner = runtime.inner();
    let timers = &inner.parts.timers;
    let bell = Bell { under_way: Arc::default(), places: Arc::new(Semaphore::new(limits::TIMERS_AT_ONCE)) };
    loop {
        // What is set from here on is later than what the look below finds, or is not lost.
        timers.take();
        let now = Timestamp(inner.parts.clock.now_ms());
        let mut next = now.plus(limits::TIMER_LOOK_EVERY);
        for shard in inner.cluster.shards() {
            match due(shard, now).await {
                Ok(found) => {
                    let busy = found.due.into_iter().filter(|timer| !bell.ring(&runtime, timer)).count();
                    let again = (busy > 0).then(|| now.plus(limits::TIMER_RETRY_AFTER));
                    next = next.min(found.next.unwrap_or(next)).min(again.unwrap_or(next));
                }
                Err(error) => drop(failure::unreadable(&error)),
            }
        }
        let pause =
            |until: Timestamp| Duration::from_millis(until.since_ms(Timestamp(inner.parts.clock.now_ms())));
        tokio::select! {
            () = inner.stopping.cancelled() => return,
            () = tokio::time::sleep(pause(next)) => {}
            () = sooner(timers, next, pause) => {}
        }
    }
}

/// Waits until a timer set since the last look, and due before the next one, is due.
async fn sooner(timers: &Timers, next: Timestamp, pause: impl Fn(Timestamp) -> Duration) {
    loop {
        let set = timers.sooner.notified();
        let earliest = timers.earliest().filter(|at| *at < next);
        match earliest {
            None => set.await,
            Some(at) => tokio::select! {
                () = set => {}
                () = tokio::time::sleep(pause(at)) => return,
            },
        }
    }
}

/// What a look at a shard finds.
#[derive(Default)]
struct Found {
    /// Timers that are due, oldest first.
    due: Vec<Timer>,
    /// When the first of the others is.
    next: Option<Timestamp>,
}

/// The timers of a shard; none unless this node leads it.
async fn due(shard: &Shard, now: Timestamp) -> Result<Found, StorageError> {
    let mut found = Found::default();
    if shard.lead().is_err() || shard.wait_written(shard.applied()).await.is_err() {
        return Ok(found);
    }
    let ever = Vec::new()..keys::timeline_end(Timestamp(u64::MAX));
    for row in shard.reader().scan(Space::Alarms, ever) {
        let (key, _) = row.map_err(unreadable)?;
        let (at, address, kind) = keys::decode_timeline(&key).map_err(unreadable)?;
        if at > now || found.due.len() == limits::TIMERS_AT_ONCE {
            found.next = Some(at);
            break;
        }
        found.due.push(Timer { at, address, kind });
    }
    Ok(found)
}

/// Rings timers: each once at a time, so many at once.
struct Bell {
    under_way: Arc<Mutex<HashSet<Timer>>>,
    places: Arc<Semaphore>,
}

impl Bell {
    /// Asks an object to take its timer's turn. False if it must be looked at again: it is asked
    /// already, or too many are.
    fn ring(&self, runtime: &Runtime, timer: &Timer) -> bool {
        let Ok(place) = self.places.clone().try_acquire_owned() else { return false };
        if !self.under_way.lock().insert(timer.clone()) {
            return false;
        }
        let (runtime, under_way, timer) = (runtime.clone(), self.under_way.clone(), timer.clone());
        let tasks = runtime.inner().tasks.clone();
        tasks.spawn(async move {
            if let Err(error) = wake(&runtime, &timer).await {
                tracing::warn!(address = %timer.address, %error, "a timer could not be given to its object; it is tried again");
                runtime.inner().parts.timers.set(Timestamp(runtime.inner().parts.clock.now_ms()).plus(limits::TIMER_RETRY_AFTER));
            }
            under_way.lock().remove(&timer);
            drop(place);
        });
        true
    }
}

async fn wake(runtime: &Runtime, timer: &Timer) -> Result<(), Error> {
    let inner = runtime.inner();
    let class = inner.classes.get(timer.address.tenant(), timer.address.class());
    let Some(class) = class.cloned() else {
        // A class that this binary does not have: the timer waits for one that does.
        return Ok(());
    };
    let task = match timer.kind {
        TimelineKind::Alarm => Task::Alarm { at: timer.at },
        TimelineKind::Due => Task::Due { at: timer.at },
    };
    let caller = Caller {
        tenant: timer.address.tenant().clone().into(),
        subject: inner.parts.own_subject.clone(),
        roles: Arc::default(),
        address: None,
        request_id: inner.parts.own_subject.clone(),
        traceparent: None,
        deadline: Instant::now() + inner.options.request_deadline.max(Duration::from_secs(1)),
        standing: Standing::Module,
    };
    match runtime.try_here(&caller, &timer.address, class, task, Intent::Write).await {
        Some(answered) => drop(answered?),
        // Whoever leads now finds the timer by itself.
        None => return Ok(()),
    }
    // The commit that took the timer away may still be on its way to where timers are looked for.
    let shard = runtime.shard_of(&timer.address);
    drop(shard.wait_written(shard.applied()).await);
    Ok(())
}
