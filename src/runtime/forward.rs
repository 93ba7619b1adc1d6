//! Calls to objects that another node leads: sent there, and tried again where that is safe.
//!
//! A client may ask any node. Whoever it asks is the gateway: it finds the leader, sends the call there, and waits
//! through elections within the call's deadline. What surely had no effect is tried again; what may have had one
//! only if it takes effect once, by an idempotency key or by its nature; else the caller is told. A node that a
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
use crate::telemetry::RetryReason;

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

impl Attempt {
    /// Why there is another try, if there is one.
    fn reason(&self) -> RetryReason {
        match self {
            Self::NotBegun => RetryReason::not_begun,
            Self::Lost(_) => RetryReason::lost,
            Self::Answered(Err(error)) if error.code == Code::OutcomeUnknown => RetryReason::outcome_unknown,
            Self::Answered(_) => RetryReason::unavailable,
        }
    }
}

/// Whether a call may be made more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It changes nothing.
    Read,
    /// It takes effect once, by its idempotency key or its nature.
    Safely,
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
        Attempt::Answered(Err(error)) if is_before_the_turn(&error, may_have) => match (is_late, may_have) {
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
            (Repeat::Safely, true) => unknown(&why),
            (Repeat::Read, true) => Next::Give(Err(late(Intent::Read))),
            (Repeat::Safely | Repeat::Read, false) => Next::Again,
        },
    }
}

/// Whether an error says no more than that this try had no effect, which must not be taken for the whole call. An
/// object with too much to do has not looked whether an earlier try left its record.
fn is_before_the_turn(error: &Error, may_have: bool) -> bool {
    error.code == Code::Unavailable || (may_have && error.code == Code::Overloaded)
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
        let repeat = match intent {
            Intent::Read => Repeat::Read,
            Intent::Write if request.idempotency_key.is_some() => Repeat::Safely,
            Intent::Write if request.action.is_repeatable() => Repeat::Safely,
            Intent::Write => Repeat::Once,
        };
        let shard = self.shard_of(address);
        let (mut may_have, mut tries) = (false, 0_u32);
        loop {
            let attempt = match shard.lead() {
                Ok(_) => {
                    let task = Task::Request(request.clone());
                    let answered = self.try_here(caller, address, class.clone(), task, intent).await;
                    answered.map_or(Attempt::NotBegun, Attempt::Answered)
                }
                Err(refused) => match (self.leader_of(shard, tries), &refused.stopped) {
                    (Some(node), _) => self.send(caller, address, (shard, node), &request).await,
                    (None, None) => Attempt::NotBegun,
                    // Nobody else has it: there is nothing to wait for.
                    (None, Some(reason)) if may_have => return Err(failure::outcome_unknown(reason)),
                    (None, Some(_)) => return Err(failure::not_leading(&refused)),
                },
            };
            may_have |= matches!(attempt, Attempt::Lost(_))
                || matches!(&attempt, Attempt::Answered(Err(error)) if error.code == Code::OutcomeUnknown);
            let is_late = caller.deadline <= Instant::now();
            let reason = attempt.reason();
            match next(attempt, repeat, may_have && repeat != Repeat::Read, is_late) {
                Next::Give(answered) => return answered,
                Next::Again => {}
            }
            tries += 1;
            self.inner().parts.metrics.retried_for(reason);
            tracing::debug!(%address, tries, ?reason, "a call is tried again");
            pause(shard, tries, limits::RETRY_PAUSE_MAX, caller.deadline).await;
        }
    }

    /// Sends a call to a node that may lead the shard.
    async fn send(
        &self,
        caller: &Caller,
        address: &ObjectAddress,
        (shard, node): (&Shard, NodeId),
        request: &Request,
    ) -> Attempt {
        let message = encode(&Message::Call(CallForm::of(caller, address, request)));
        let metrics = &self.inner().parts.metrics;
        metrics.calls_forwarded.inc();
        let sent = Instant::now();
        let replied = self.ask_leader(node, shard, message, caller.deadline).await;
        if replied.is_ok() {
            metrics.forwarded_duration.observe(sent.elapsed().as_secs_f64());
        }
        match replied {
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
                Err(_) if Self::is_deposed(node, shard) => {
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
    fn is_deposed(node: NodeId, shard: &Shard) -> bool {
        match shard.lead() {
            Ok(_) => true,
            Err(refused) => refused.leader.is_some_and(|leader| leader != node),
        }
    }

    /// Whom to ask about a shard that this node does not lead: the leader known here, or as others said, and if that
    /// one does not answer, each replica in turn.
    pub(super) fn leader_of(&self, shard: &Shard, tries: u32) -> Option<NodeId> {
        let cluster = &self.inner().cluster;
        let known = shard.lead().err().and_then(|refused| refused.leader);
        let likely =
            known.or_else(|| self.inner().hints.get(shard.id())).filter(|node| *node != cluster.node_id());
        let (replicas, preferred) = cluster.placement(shard.id());
        let mut others: Vec<NodeId> = preferred.into_iter().collect();
        others.extend(replicas.into_iter().filter(|node| Some(*node) != preferred));
        others.retain(|node| *node != cluster.node_id() && Some(*node) != likely);
        whom(likely, likely.is_some_and(|node| cluster.reaches(node)), &others, tries)
    }
}

/// Whom to ask at a try. The likely leader comes first, and again at most of the tries after that: once an election is
/// over, it is the new one, whichever try that falls on. The others are asked in between, in case that they know
/// better, and instead of it while it is not reached.
fn whom(likely: Option<NodeId>, is_reached: bool, others: &[NodeId], tries: u32) -> Option<NodeId> {
    let is_others_turn = if is_reached { tries % 3 == 2 } else { tries > 0 };
    let turn = match (likely, is_reached) {
        (None, _) => tries,
        (Some(_), true) => tries / 3,
        (Some(_), false) => tries.saturating_sub(1),
    };
    match likely {
        Some(likely) if !is_others_turn || others.is_empty() => Some(likely),
        _ => others.get(usize::try_from(turn).unwrap_or(0).checked_rem(others.len())?).copied(),
    }
}

/// Waits a little, or until somebody else leads the shard, or this node may.
pub(super) async fn pause(shard: &Shard, tries: u32, longest: Duration, deadline: Instant) {
    let pause = limits::RETRY_PAUSE_FIRST.saturating_mul(1 << tries.min(12)).min(longest);
    let pause = pause.mul_f64(rand::rng().random_range(0.5..1.0));
    let (mut leadership, mut leader) = (shard.leadership(), shard.leader());
    let changed = async {
        // The shard holds both senders, so neither is ever closed here.
        tokio::select! {
            _ = leadership.changed() => {}
            _ = leader.changed() => {}
        }
    };
    let until = (Instant::now() + pause).min(deadline);
    // Either way it is looked at again.
    let _ = timeout_at(until.into(), changed).await;
}

/// What one node asks of another.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Message {
    Call(CallForm),
    List(super::gather::ListForm),
    Announce(super::relay::Announce),
    Feed(super::feed::PageForm),
}

#[cfg(test)]
mod tests {
    use stead_cluster::NodeId;

    use super::{Attempt, Next, Repeat, next, whom};
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
        use Repeat::{Once, Read, Safely};
        let lost = || Attempt::Lost("cut".to_owned());
        let error = |code| Attempt::Answered(Err(Error::new(code, "so")));
        for (attempt, repeat, may_have, is_late, expected) in [
            (Attempt::NotBegun, Once, false, false, "again"),
            (Attempt::NotBegun, Once, false, true, "unavailable"),
            (Attempt::NotBegun, Safely, true, true, "outcome_unknown"),
            (lost(), Once, true, false, "outcome_unknown"),
            (lost(), Safely, true, false, "again"),
            (lost(), Safely, true, true, "outcome_unknown"),
            (lost(), Read, false, false, "again"),
            (lost(), Read, false, true, "unavailable"),
            (error(Code::OutcomeUnknown), Once, true, false, "outcome_unknown"),
            (error(Code::OutcomeUnknown), Safely, true, false, "again"),
            (error(Code::OutcomeUnknown), Safely, true, true, "outcome_unknown"),
            (error(Code::Unavailable), Once, false, false, "again"),
            (error(Code::Unavailable), Safely, true, true, "outcome_unknown"),
            (error(Code::Unavailable), Read, false, true, "unavailable"),
            (error(Code::Conflict), Once, false, false, "conflict"),
            (error(Code::Overloaded), Safely, false, false, "overloaded"),
            (error(Code::Overloaded), Safely, true, false, "again"),
            (error(Code::Overloaded), Safely, true, true, "outcome_unknown"),
            (error(Code::Conflict), Safely, true, false, "conflict"),
        ] {
            let shown = format!("{attempt:?} {repeat:?} {may_have} {is_late}");
            assert_eq!(outcome(attempt, repeat, may_have, is_late), expected, "{shown}");
        }
    }

    #[test]
    fn the_likely_leader_is_asked_most_and_the_others_in_turn() {
        let asked = |likely: Option<u64>, is_reached, others: &[u64]| {
            let others: Vec<NodeId> = others.iter().copied().map(NodeId).collect();
            let asked = (0..7).map(|tries| whom(likely.map(NodeId), is_reached, &others, tries));
            asked.map(|node| node.map_or(0, |node| node.0)).collect::<Vec<_>>()
        };
        assert_eq!(asked(Some(1), true, &[2, 3]), [1, 1, 2, 1, 1, 3, 1]);
        // Its link is broken: the others know its successor first.
        assert_eq!(asked(Some(1), false, &[2, 3]), [1, 2, 3, 2, 3, 2, 3]);
        assert_eq!(asked(Some(1), false, &[]), [1; 7]);
        assert_eq!(asked(None, false, &[2, 3]), [2, 3, 2, 3, 2, 3, 2]);
        assert_eq!(asked(None, false, &[]), [0; 7]);
    }
}
