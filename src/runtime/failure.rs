//! Why a turn has no answer, mapped once to the public error.

use stead_cluster::{NotLeading, Why};

use crate::error::{Code, Error, Retry};
use crate::limits;
use crate::object::{Refusal, StorageError};

/// Why a call could not be answered by the activation it reached.
#[derive(Debug)]
pub(crate) enum Failure<R> {
    /// The turn surely did not run: the activation ended first. The request comes back to be tried
    /// again on another one.
    NotRun(R),
    /// The answer.
    Answered(Error),
}

/// A class refused.
pub(crate) fn refused(refusal: Refusal) -> Error {
    let detail = refusal.to_string();
    let code = match refusal {
        Refusal::MethodNotFound { .. } => Code::MethodNotFound,
        Refusal::KeyNotFound { .. } => Code::KeyNotFound,
        Refusal::InvalidParameters { .. } => Code::InvalidParameters,
        Refusal::Conflict { .. } => Code::Conflict,
        Refusal::Forbidden { .. } => Code::Forbidden,
        Refusal::ValueTooLarge { .. } => Code::BodyTooLarge,
        Refusal::TooLarge { .. } => Code::BodyTooLarge,
        Refusal::StateTooLarge => Code::StateTooLarge,
        Refusal::NotFound { .. } => Code::NotFound,
        Refusal::ObjectFull => Code::InvalidParameters,
        Refusal::Storage(error) => return unreadable(&error),
    };
    Error::new(code, detail)
}

/// The state could not be read: nothing was changed.
pub(crate) fn unreadable(error: &StorageError) -> Error {
    tracing::error!(%error, "the state of an object cannot be read");
    Error::new(Code::Internal, "the object's state cannot be read; see /health and the server's log")
        .with_retry(Retry::Never)
}

/// No node leads the shard, or this one may not answer for it now.
pub(crate) fn not_leading(why: &NotLeading) -> Error {
    match &why.stopped {
        Some(reason) => Error::new(
            Code::Unavailable,
            format!("the object's shard has stopped on this node: {reason}; see /health"),
        ),
        None => Error::new(Code::Unavailable, "the object's shard has no leader yet; try again"),
    }
}

/// A commit that surely is in no log.
pub(crate) fn not_proposed(why: &Why) -> Error {
    match why {
        Why::Overloaded => Error::new(Code::Overloaded, "the shard has too many commits waiting; try again"),
        other => Error::new(Code::Unavailable, format!("nothing was changed: {other}; try again")),
    }
}

/// A commit of which it is not known whether it will be applied.
pub(crate) fn outcome_unknown(why: &str) -> Error {
    Error::new(
        Code::OutcomeUnknown,
        format!(
            "whether the change took effect is not known: {why}; read the object, or send an idempotency key"
        ),
    )
}

/// The object has too many calls waiting.
pub(crate) fn mailbox_full() -> Error {
    Error::new(
        Code::Overloaded,
        format!("the object has {} calls unanswered; try again", limits::CALLS_ADMITTED_MAX),
    )
}

/// An earlier commit that the answer rests on failed.
pub(crate) fn rests_on_failed() -> Error {
    Error::new(
        Code::Unavailable,
        "an earlier change that this one rests on failed; nothing was changed, try again",
    )
}

/// The class panicked.
pub(crate) fn panicked() -> Error {
    Error::new(Code::Internal, "the class panicked; the object is as its last commit left it")
        .with_retry(Retry::Safe)
}
