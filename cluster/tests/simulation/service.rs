//! What the application does on a node with what clients ask: a small runtime of objects, as the real one has.
//!
//! The first operation on a register in a term loads it behind the shard's barrier; later ones find it in memory,
//! change it at once and propose, many before the first is confirmed. An answer waits for the verdict on everything
//! it has seen. Some reads go to the disk instead, as those of large objects do.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use stead_cluster::{Cluster, NodeId, Shard, ShardId, Term, Verdict};
use tokio::sync::{oneshot, watch};

use crate::application::{Command, OperationId, Register, read};
use crate::history::Action;
use crate::observer::Observer;
use crate::wire::HostId;

/// What a client asks a node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question {
    pub(crate) operation: OperationId,
    pub(crate) register: Register,
    pub(crate) action: Action,
    /// A read that is not answered from memory.
    pub(crate) from_disk: bool,
}

/// What it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It took effect; the value behind it.
    Done(u64),
    /// It surely took no effect; who may do it.
    NotHere(Option<NodeId>),
    /// It may have taken effect, or may yet.
    Unknown,
}

/// The runtime of one process.
pub(crate) struct Service {
    host: HostId,
    cluster: Cluster,
    observer: Arc<Observer>,
    registers: Mutex<BTreeMap<Register, Arc<tokio::sync::Mutex<Option<Activation>>>>>,
}

/// A register in memory, for one term.
struct Activation {
    term: Term,
    version: u64,
    value: u64,
    verdicts: Arc<watch::Sender<Verdicts>>,
}

/// What is known of an activation's commands, which hear their verdicts in order.
#[derive(Debug, Clone, Copy, Default)]
struct Verdicts {
    applied_version: u64,
    is_broken: bool,
}

impl Service {
    pub(crate) fn new(host: HostId, cluster: Cluster, observer: Arc<Observer>) -> Self {
        Self { host, cluster, observer, registers: Mutex::default() }
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    fn shard_of(&self, register: Register) -> &Shard {
        let count = u32::from(self.cluster.layout().count());
        let number = u16::try_from(register % count).expect("a remainder of a u16 is one");
        self.cluster.shard(ShardId(number))
    }

    /// Answers a client.
    pub(crate) async fn answer(&self, question: Question) -> Answer {
        let shard = self.shard_of(question.register);
        let term = match shard.lead() {
            Ok(term) => term,
            Err(not_leading) => return Answer::NotHere(not_leading.leader),
        };
        if question.from_disk && question.action == Action::Read {
            let value = load(shard, term, question.register).await;
            return value.map_or(Answer::NotHere(None), |(_, value)| Answer::Done(value));
        }
        let slot = self.registers.lock().entry(question.register).or_default().clone();
        let mut slot = slot.lock().await;
        if slot.as_ref().is_none_or(|activation| activation.term < term) {
            *slot = activate(shard, term, question.register).await;
        }
        let Some(activation) = slot.as_mut().filter(|activation| {
            // One that is broken is not loaded again in its term: its commands may not all have a verdict.
            activation.term == term && !activation.verdicts.borrow().is_broken
        }) else {
            return Answer::NotHere(None);
        };
        match question.action {
            Action::Read => {
                let (value, version) = (activation.value, activation.version);
                let verdicts = activation.verdicts.subscribe();
                drop(slot);
                let is_seen = wait_applied(verdicts, version).await;
                let may_answer = is_seen && shard.lead() == Ok(term);
                if may_answer { Answer::Done(value) } else { Answer::NotHere(None) }
            }
            Action::Write(value) => {
                let verdict = self.change(shard, activation, question, value);
                drop(slot);
                self.confirm(question, value, verdict).await
            }
            Action::Add(added) => {
                let value = activation.value.wrapping_add(added);
                let verdict = self.change(shard, activation, question, value);
                drop(slot);
                self.confirm(question, value, verdict).await
            }
        }
    }

    /// Changes memory and proposes.
    fn change(
        &self,
        shard: &Shard,
        activation: &mut Activation,
        question: Question,
        value: u64,
    ) -> oneshot::Receiver<Verdict> {
        let Question { operation, register, .. } = question;
        let command = Command { operation, register, base: activation.version, value };
        activation.version += 1;
        activation.value = value;
        let (verdicts, version) = (activation.verdicts.clone(), activation.version);
        let (sender, verdict) = oneshot::channel();
        let (observer, told, term) = (self.observer.clone(), shard.clone(), activation.term);
        let done = move |verdict: Verdict| {
            observer.judge_verdict(operation, &verdict, told.applied(), told.lead() == Ok(term));
            verdicts.send_modify(|known| match verdict {
                Verdict::Applied { .. } if !known.is_broken => known.applied_version = version,
                Verdict::Applied { .. } | Verdict::NotProposed(_) | Verdict::Unknown(_) => {
                    known.is_broken = true;
                }
            });
            // Its client may have given up.
            drop(sender.send(verdict));
        };
        shard.propose(activation.term, command.encode(), Box::new(done));
        verdict
    }

    async fn confirm(&self, question: Question, value: u64, verdict: oneshot::Receiver<Verdict>) -> Answer {
        match verdict.await {
            Ok(Verdict::Applied { .. }) => {
                self.observer.confirmed(question.operation, self.host);
                Answer::Done(value)
            }
            Ok(Verdict::NotProposed(_)) => {
                self.observer.refused(question.operation, self.host);
                Answer::NotHere(None)
            }
            Ok(Verdict::Unknown(_)) => Answer::Unknown,
            Err(_) => {
                self.observer.violation(format!("operation {} heard no verdict", question.operation));
                Answer::Unknown
            }
        }
    }
}

async fn activate(shard: &Shard, term: Term, register: Register) -> Option<Activation> {
    let (version, value) = load(shard, term, register).await?;
    let known = Verdicts { applied_version: version, is_broken: false };
    Some(Activation { term, version, value, verdicts: Arc::new(watch::channel(known).0) })
}

/// Reads from the disk what is applied, if this node may answer for it before and after.
async fn load(shard: &Shard, term: Term, register: Register) -> Option<(u64, u64)> {
    if shard.lead() != Ok(term) {
        return None;
    }
    shard.wait_written(shard.applied()).await.ok()?;
    let stored = read(&shard.reader(), register).ok()?;
    (shard.lead() == Ok(term)).then_some(stored)
}

async fn wait_applied(mut verdicts: watch::Receiver<Verdicts>, version: u64) -> bool {
    let seen = verdicts.wait_for(|known| known.is_broken || known.applied_version >= version).await;
    seen.is_ok_and(|known| known.applied_version >= version)
}
