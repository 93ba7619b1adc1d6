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
use super::work::Task;
use super::{Runtime, failure};
use crate::caller::Caller;
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
    let under_way: Arc<Mutex<HashSet<Timer>>> = Arc::default();
    let places = Arc::new(Semaphore::new(limits::TIMERS_AT_ONCE));
    let mut look = tokio::time::interval(limits::TIMER_RESOLUTION);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = runtime.inner().stopping.cancelled() => return,
            _ = look.tick() => {}
        }
        let now = Timestamp(runtime.inner().clock.now_ms());
        for shard in runtime.inner().cluster.shards() {
            match due(shard, now) {
                Ok(timers) => timers.into_iter().for_each(|timer| ring(&runtime, timer, &under_way, &places)),
                Err(error) => drop(failure::unreadable(&error)),
            }
        }
    }
}

/// The timers of a shard that are due, oldest first; none unless this node leads it.
fn due(shard: &Shard, now: Timestamp) -> Result<Vec<Timer>, StorageError> {
    if shard.lead().is_err() {
        return Ok(Vec::new());
    }
    let rows =
        shard.reader().scan(Space::Alarms, Vec::new()..keys::timeline_end(now)).take(limits::TIMERS_AT_ONCE);
    rows.map(|row| {
        let (key, _) = row.map_err(unreadable)?;
        let (at, address, kind) = keys::decode_timeline(&key).map_err(unreadable)?;
        Ok(Timer { at, address, kind })
    })
    .collect()
}

/// Asks an object to take its timer's turn, unless it is asked already.
fn ring(runtime: &Runtime, timer: Timer, under_way: &Arc<Mutex<HashSet<Timer>>>, places: &Arc<Semaphore>) {
    let Ok(place) = places.clone().try_acquire_owned() else { return };
    if !under_way.lock().insert(timer.clone()) {
        return;
    }
    let (runtime, under_way) = (runtime.clone(), under_way.clone());
    let tasks = runtime.inner().tasks.clone();
    tasks.spawn(async move {
        if let Err(error) = wake(&runtime, &timer).await {
            tracing::warn!(address = %timer.address, %error, "a timer could not be given to its object; it is tried again");
        }
        under_way.lock().remove(&timer);
        drop(place);
    });
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
        deadline: Instant::now() + inner.options.request_deadline.max(Duration::from_secs(1)),
    };
    runtime.ask(&caller, &timer.address, class, task, Intent::Write).await?;
    // The commit that took the timer away may still be on its way to where timers are looked for.
    let shard = runtime.shard_of(&timer.address);
    drop(shard.wait_written(shard.applied()).await);
    Ok(())
}
