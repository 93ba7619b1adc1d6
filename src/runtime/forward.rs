//! Calls to objects that another node leads: sent there, and tried again where that is safe.
//!
//! A client may ask any node. Whoever it asks is the gateway: it finds the leader, sends the call there, and waits
//! through elections within the call's deadline. What surely had no effect is tried again; what may have had one
//! only if it carries an idempotency key, under which it takes effect once; else the caller is told. A node that a
//! call was sent to never sends it on: it answers, or says who leads.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use rand::RngExt;
use stead_cluster::{AskError, NodeId, Shard, ShardId};
use tokio::time::timeout_at;

use super::handle::{Intent, late};
use super::wire::{CallForm, CallReply, decode, encode};
use super::work::Task;
use super::{Answer, Request, Runtime, failure};
use crate::caller::Caller;
use crate::class::Class;
use crate::error::{Code, Error};
use crate::limits;
use crate::object::ObjectAddress;

/// What one try came to.
#[derive(Debug)]
pub(super) enum Attempt {
    /// An answer, or an error of the object's.
    Answered(Result<Answer, Error>),
    /// It surely did not begin: nobody leads, or another node does.
    NotBegun,
    /// It may have been acted on; why nothing more is known.
    Lost(String),
}

/// Whether a call may be made more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It changes nothing.
    Read,
    /// It carries an idempotency key.
    Keyed,
    /// It is a change that may take effect each time.
    Once,
}

/// What is done after a try.
#[derive(Debug)]
pub(super) enum Next {
    Give(Result<Answer, Error>),
    Again,
}

/// What to do after a try. `may_have` says whether an earlier try may have had its effect, `is_late` that there is
/// no time for another.
pub(super) fn next(attempt: Attempt, repeat: Repeat, may_have: bool, is_late: bool) -> Next {
    let unknown = |why: &str| Next::Give(Err(failure::outcome_unknown(why)));
    match attempt {
        Attempt::Answered(Err(error)) if error.code == Code::OutcomeUnknown => {
            if is_late || repeat == Repeat::Once { Next::Give(Err(error)) } else { Next::Again }
        }
        Attempt::Answered(Err(error)) if error.code == Code::Unavailable => match (is_late, may_have) {
            (false, _) => Next::Again,
            (true, true) => unknown("the deadline passed before the answer"),
            (true, false) => Next::Give(Err(error)),
        },
        Attempt::Answered(answered) => Next::Give(answered),
        Attempt::NotBegun => match (is_late, may_have) {
            (false, _) => Next::Again,
            (true, true) => unknown("the deadline passed before the answer"),
            (true, false) => Next::Give(Err(Error::new(
                Code::Unavailable,
                "no node leads the object's shard, or it cannot be reached; nothing was changed, try again",
            ))),
        },
        Attempt::Lost(why) => match (repeat, is_late) {
            (Repeat::Once, _) => unknown(&why),
            (Repeat::Keyed, true) => unknown(&why),
            (Repeat::Read, true) => Next::Give(Err(late(Intent::Read))),
            (Repeat::Keyed | Repeat::Read, false) => Next::Again,
        },
    }
}

/// Who led each shard when last heard of, as other nodes said.
#[derive(Default)]
pub(super) struct Hints(Mutex<HashMap<ShardId, NodeId>>);

impl Hints {
    pub(super) fn get(&self, shard: ShardId) -> Option<NodeId> {
        self.0.lock().get(&shard).copied()
    }

    pub(super) fn set(&self, shard: ShardId, leader: Option<NodeId>) {
        let mut hints = self.0.lock();
        match leader {
            Some(leader) => drop(hints.insert(shard, leader)),
            None => drop(hints.remove(&shard)),
        }
    }
}

impl Runtime {
    /// Gets a call answered, wherever its object lives.
    pub(super) async fn route(
        &self,
        caller: &Caller,
        address: &ObjectAddress,
        class: Arc<dyn Class>,
        request: Request,
        intent: Intent,
    ) -> Result<Answer, Error> {
        let repeat = match (intent, &request.idempotency_key) {
            (Intent::Read, _) => Repeat::Read,
            (Intent::Write, Some(_)) => Repeat::Keyed,
            (Intent::Write, None) => Repeat::Once,
        };
        let shard = self.shard_of(address);
        let (mut may_have, mut tries) = (false, 0_u32);
        loop {
            let attempt = if shard.lead().is_ok() {
                let task = Task::Request(request.clone());
                match self.try_here(caller, address, class.clone(), task, intent).await {
                    Some(answered) => Attempt::Answered(answered),
                    None => Attempt::NotBegun,
                }
            } else {
                self.send(caller, address, shard, &request, tries).await
            };
            may_have |= matches!(attempt, Attempt::Lost(_))
                || matches!(&attempt, Attempt::Answered(Err(error)) if error.code == Code::OutcomeUnknown);
            let is_late = caller.deadline <= Instant::now();
            match next(attempt, repeat, may_have && repeat != Repeat::Read, is_late) {
                Next::Give(answered) => return answered,
                Next::Again => {}
            }
            tries += 1;
            self.inner().parts.metrics.calls_retried.inc();
            pause(shard, tries, caller.deadline).await;
        }
    }

    /// Sends a call to the node that leads the shard, as far as is known.
    async fn send(
        &self,
        caller: &Caller,
        address: &ObjectAddress,
        shard: &Shard,
        request: &Request,
        tries: u32,
    ) -> Attempt {
        let Some(node) = self.leader_of(shard, tries) else { return Attempt::NotBegun };
        let message = encode(&Message::Call(CallForm::of(caller, address, request)));
        self.inner().parts.metrics.calls_forwarded.inc();
        match self.ask_leader(node, shard, message, caller.deadline).await {
            Err(AskError::NotSent(_)) => {
                self.inner().hints.set(shard.id(), None);
                Attempt::NotBegun
            }
            Err(AskError::Lost(why)) => Attempt::Lost(why),
            Ok(reply) => match decode::<CallReply>(&reply) {
                Ok(CallReply::Answer { version, outcome }) => match outcome.parse() {
                    Ok(outcome) => Attempt::Answered(Ok(Answer { version, outcome })),
                    Err(error) => Attempt::Lost(error.to_string()),
                },
                Ok(CallReply::Error(error)) => Attempt::Answered(Err(error.into_error())),
                Ok(CallReply::NotLeading { leader }) => {
                    self.inner().hints.set(shard.id(), leader.map(NodeId).filter(|leader| *leader != node));
                    Attempt::NotBegun
                }
                Err(error) => Attempt::Lost(error.to_string()),
            },
        }
    }

    /// Asks a node about a shard that it leads; gives up soon after another is known to lead.
    pub(super) async fn ask_leader(
        &self,
        node: NodeId,
        shard: &Shard,
        message: Bytes,
        deadline: Instant,
    ) -> Result<Bytes, AskError> {
        let within = deadline.saturating_duration_since(Instant::now());
        let mut asked = std::pin::pin!(self.inner().cluster.ask(node, message, within));
        let mut deposed_for = Duration::ZERO;
        loop {
            match tokio::time::timeout(limits::LEADER_LOOK_EVERY, &mut asked).await {
                Ok(answered) => return answered,
                Err(_) if self.is_deposed(node, shard) => {
                    deposed_for += limits::LEADER_LOOK_EVERY;
                    if deposed_for >= limits::DEPOSED_ANSWERS_WITHIN {
                        return Err(AskError::Lost(format!("node {node} leads the shard no more")));
                    }
                }
                Err(_) => deposed_for = Duration::ZERO,
            }
        }
    }

    /// Whether somebody else is known to lead a shard now.
    fn is_deposed(&self, node: NodeId, shard: &Shard) -> bool {
        match shard.lead() {
            Ok(_) => true,
            Err(refused) => refused.leader.is_some_and(|leader| leader != node),
        }
    }

    /// Whom to ask about a shard that this node does not lead: the leader known here, or as others said, or as the
    /// map wishes; and if none of these will answer, each replica in turn.
    pub(super) fn leader_of(&self, shard: &Shard, tries: u32) -> Option<NodeId> {
        let own = self.inner().cluster.node_id();
        let known = shard.lead().err().and_then(|refused| refused.leader);
        let (replicas, preferred) = self.inner().cluster.placement(shard.id());
        let likely = known.or_else(|| self.inner().hints.get(shard.id()));
        let mut asked: Vec<NodeId> = likely.into_iter().chain(preferred).chain(replicas).collect();
        asked.retain(|node| *node != own);
        if likely.is_some() && tries < 2 {
            return asked.first().copied();
        }
        let turn = usize::try_from(tries).unwrap_or(usize::MAX).checked_rem(asked.len())?;
        asked.get(turn).copied()
    }
}

/// Waits a little, or until this node may lead the shard.
pub(super) async fn pause(shard: &Shard, tries: u32, deadline: Instant) {
    let longest = limits::RETRY_PAUSE_FIRST.saturating_mul(1 << tries.min(8)).min(limits::RETRY_PAUSE_MAX);
    let pause = longest.mul_f64(rand::rng().random_range(0.5..1.0));
    let mut leadership = shard.leadership();
    let until = (Instant::now() + pause).min(deadline);
    // Either way it is looked at again.
    let _ = timeout_at(until.into(), leadership.changed()).await;
}

/// What one node asks of another.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Message {
    Call(CallForm),
    List(super::gather::ListForm),
}

#[cfg(test)]
mod tests {
    use super::{Attempt, Next, Repeat, next};
    use crate::error::{Code, Error};

    /// `again`, or the code that is given.
    fn outcome(attempt: Attempt, repeat: Repeat, may_have: bool, is_late: bool) -> String {
        match next(attempt, repeat, may_have, is_late) {
            Next::Again => "again".to_owned(),
            Next::Give(Ok(_)) => "answer".to_owned(),
            Next::Give(Err(error)) => error.code.as_str().to_owned(),
        }
    }

    #[test]
    fn only_what_is_safe_is_tried_again() {
        use Repeat::{Keyed, Once, Read};
        let lost = || Attempt::Lost("cut".to_owned());
        let error = |code| Attempt::Answered(Err(Error::new(code, "so")));
        for (attempt, repeat, may_have, is_late, expected) in [
            (Attempt::NotBegun, Once, false, false, "again"),
            (Attempt::NotBegun, Once, false, true, "unavailable"),
            (Attempt::NotBegun, Keyed, true, true, "outcome_unknown"),
            (lost(), Once, true, false, "outcome_unknown"),
            (lost(), Keyed, true, false, "again"),
            (lost(), Keyed, true, true, "outcome_unknown"),
            (lost(), Read, false, false, "again"),
            (lost(), Read, false, true, "unavailable"),
            (error(Code::OutcomeUnknown), Once, true, false, "outcome_unknown"),
            (error(Code::OutcomeUnknown), Keyed, true, false, "again"),
            (error(Code::OutcomeUnknown), Keyed, true, true, "outcome_unknown"),
            (error(Code::Unavailable), Once, false, false, "again"),
            (error(Code::Unavailable), Keyed, true, true, "outcome_unknown"),
            (error(Code::Unavailable), Read, false, true, "unavailable"),
            (error(Code::Conflict), Once, false, false, "conflict"),
            (error(Code::Overloaded), Keyed, false, false, "overloaded"),
        ] {
            let shown = format!("{attempt:?} {repeat:?} {may_have} {is_late}");
            assert_eq!(outcome(attempt, repeat, may_have, is_late), expected, "{shown}");
        }
    }
}
