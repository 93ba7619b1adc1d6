//! Where the turns of an activation are taken, one at a time.
//!
//! A call that comes while nothing else is asked of its object takes its turn at once, in the task of its
//! caller: most do, and they are spared two wakes and a message. Any other goes to the mailbox, and the actor
//! takes the turns of those in there in order. Nobody overtakes the mailbox: while a call is in there, or its
//! turn is being taken, no other takes its turn outside. The object is locked for exactly one turn, and a turn
//! waits for nothing.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;

use super::active::Active;
use super::failure;
use super::presence::{Admission, Presence};
use super::turns::Turned;
use super::work::{Given, Reply, Task};
use crate::caller::Caller;
use crate::error::Error;
use crate::limits;
use crate::runtime::Answer;

/// Where the turns of an activation are taken.
#[derive(Default)]
pub(crate) struct Stage {
    /// None before it is loaded, and after it has ended.
    active: Mutex<Option<Active>>,
    /// Calls in the mailbox, the one whose turn is being taken among them.
    queued: AtomicUsize,
}

/// What came of a call that did not want to wait.
pub(crate) enum Attempt {
    /// The object has other things to do: to the mailbox with it.
    Busy(Task, Admission),
    /// The turn was taken, and this is the answer.
    Answered(Result<Answer, Error>),
    /// The turn was taken, and the answer waits at the gate.
    Held(oneshot::Receiver<Given>),
}

/// A call in the mailbox, until its turn is over.
pub(crate) struct Queued(Arc<Presence>);

impl Queued {
    pub(crate) fn new(admission: &Admission) -> Self {
        let presence = admission.presence().clone();
        presence.stage.queued.fetch_add(1, Ordering::AcqRel);
        Self(presence)
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.0.stage.queued.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Stage {
    /// The object is loaded: from now on turns are taken.
    pub(crate) fn open(&self, active: Active) {
        *self.active.lock() = Some(active);
    }

    /// No turn is taken any more.
    pub(crate) fn close(&self) {
        let active = self.active.lock().take();
        drop(active);
    }

    /// The object, for the actor, which takes the turns of the mailbox.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Option<Active>> {
        self.active.lock()
    }
}

/// Takes a turn now, in the caller's task, if nothing else is asked of the object. The caller has just made
/// sure that this node leads the object's shard in the activation's term.
pub(crate) fn attempt(task: Task, caller: &Caller, admission: Admission) -> Attempt {
    let presence = admission.presence().clone();
    let stage = &presence.stage;
    let is_free = || stage.queued.load(Ordering::Acquire) == 0;
    if !is_free() {
        return Attempt::Busy(task, admission);
    }
    let Some(mut active) = stage.active.try_lock() else { return Attempt::Busy(task, admission) };
    // Who came to the mailbox before it was locked comes first.
    let Some(object) = active.as_mut().filter(|object| is_free() && object.is_ready()) else {
        return Attempt::Busy(task, admission);
    };
    let turned = match catch_unwind(AssertUnwindSafe(|| object.take(task, caller))) {
        Ok(turned) => turned,
        Err(panic) => {
            object.parts.metrics.class_panics.inc();
            *active = None;
            drop(active);
            presence.end();
            tracing::error!(error = text_of(&*panic), "a class panicked; its activation is dropped");
            return Attempt::Answered(Err(failure::panicked()));
        }
    };
    match turned {
        Turned::Read(answer) | Turned::Repeat(answer) if object.gate.is_open() => Attempt::Answered(answer),
        turned => {
            let (reply, receiver) = Reply::new(admission);
            object.let_out(turned, reply);
            Attempt::Held(receiver)
        }
    }
}

impl Active {
    /// Whether a turn may be taken without waiting for anything first.
    fn is_ready(&self) -> bool {
        self.gate.has_room_for(limits::COMMITS_IN_FLIGHT_MAX) && !self.keys_too_large()
    }
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}
