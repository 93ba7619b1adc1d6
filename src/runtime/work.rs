//! A call on its way through an activation: the message, its reply and its place in the mailbox.
//!
//! However an activation ends, each call it was given is answered: one whose turn had not begun comes
//! back to be tried on another activation, one whose turn was cut short by a panic answers `internal`.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::failure::{self, Failure};
use super::presence::Admission;
use super::stage::Queued;
use crate::caller::Caller;
use crate::error::Error;
use crate::object::Timestamp;
use crate::runtime::{Answer, Request};

/// What an activation is asked to do.
#[derive(Debug)]
pub(crate) enum Task {
    /// A caller's request.
    Request(Request),
    /// The object's alarm has come.
    Alarm {
        /// When it was due.
        at: Timestamp,
    },
    /// The runtime's own timer of the object has come.
    Due {
        /// When it was due.
        at: Timestamp,
    },
}

/// What the caller of an activation gets.
pub(crate) type Given = Result<Answer, Failure<Task>>;

/// The message: one turn to take.
pub(crate) struct Work {
    task: Option<Task>,
    caller: Arc<Caller>,
    reply: Option<Reply>,
    queued: Option<Queued>,
}

/// A turn that has begun.
pub(crate) struct Begun {
    pub(crate) task: Task,
    pub(crate) caller: Arc<Caller>,
    pub(crate) reply: Reply,
    /// Held until the turn is over.
    pub(crate) queued: Queued,
}

/// Where the answer goes. Holds the call's place in the mailbox until then.
pub(crate) struct Reply {
    sender: Option<oneshot::Sender<Given>>,
    _admission: Admission,
}

impl Work {
    pub(crate) fn new(
        task: Task,
        caller: Arc<Caller>,
        admission: Admission,
    ) -> (Self, oneshot::Receiver<Given>) {
        let queued = Some(Queued::new(&admission));
        let (reply, receiver) = Reply::new(admission);
        (Self { task: Some(task), caller, reply: Some(reply), queued }, receiver)
    }

    /// Begins the turn: from here on a dropped reply means a panic.
    pub(crate) fn begin(mut self) -> Begun {
        let task = self.task.take().expect("work begins once");
        let reply = self.reply.take().expect("work begins once");
        let queued = self.queued.take().expect("work begins once");
        Begun { task, caller: self.caller.clone(), reply, queued }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let (Some(task), Some(reply)) = (self.task.take(), self.reply.take()) {
            reply.give(Err(Failure::NotRun(task)));
        }
    }
}

impl Reply {
    pub(crate) fn new(admission: Admission) -> (Self, oneshot::Receiver<Given>) {
        let (sender, receiver) = oneshot::channel();
        (Self { sender: Some(sender), _admission: admission }, receiver)
    }

    /// Answers.
    pub(crate) fn send(self, answer: Result<Answer, Error>) {
        self.give(answer.map_err(Failure::Answered));
    }

    fn give(mut self, given: Given) {
        if let Some(sender) = self.sender.take() {
            // A caller that has gone away is not an error: its deadline passed or its socket closed.
            drop(sender.send(given));
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(sender) = self.sender.take() {
            drop(sender.send(Err(Failure::Answered(failure::panicked()))));
        }
    }
}
