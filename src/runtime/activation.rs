//! The activation: an object in memory as a ractor actor, one turn at a time.
//!
//! The actor takes a call from its mailbox, runs the turn, hands the commit to the shard and goes on
//! to the next call at once; what the turn gives out waits at the gate. It ends when nobody has used
//! it for a while, when its node no longer leads, when a commit fails, or when a class panics, and what
//! it had not begun goes to its successor.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef, ActorRuntime, SupervisionEvent};
use stead_cluster::{Shard, Space, Term};

use super::active::Active;
use super::failure;
use super::gate::{Gate, Output};
use super::parts::Parts;
use super::presence::Presence;
use super::recent::Recent;
use super::storage::{Keys, unreadable};
use super::turns::Turned;
use super::work::Work;
use crate::class::Class;
use crate::error::{Code, Error};
use crate::limits;
use crate::object::{Meta, ObjectAddress, StorageError, codec, keys};
use crate::telemetry::Metrics;

/// Starts an object's activation. It takes calls at once, and turns once it has loaded.
pub(crate) fn start(
    parts: &Arc<Parts>,
    shard: Shard,
    term: Term,
    address: ObjectAddress,
    class: Arc<dyn Class>,
    presence: Arc<Presence>,
) -> Result<ActorRef<Work>, Error> {
    let birth = Birth { parts: parts.clone(), shard, term, address, class, presence };
    let supervisor = parts.supervisor.get_cell();
    match ActorRuntime::spawn_linked_instant(None, Activation, birth, supervisor) {
        Ok((actor, _)) => Ok(actor),
        Err(error) => Err(Error::new(Code::Unavailable, format!("the object cannot be activated: {error}"))),
    }
}

/// The actor.
struct Activation;

/// What an activation begins with.
struct Birth {
    parts: Arc<Parts>,
    shard: Shard,
    term: Term,
    address: ObjectAddress,
    class: Arc<dyn Class>,
    presence: Arc<Presence>,
}

/// The actor's state. However it is dropped, the registry learns that the activation has ended.
struct State {
    loaded: Result<Active, Error>,
    life: Life,
}

struct Life(Arc<Presence>);

impl Drop for Life {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Actor for Activation {
    type Msg = Work;
    type State = State;
    type Arguments = Birth;

    async fn pre_start(&self, _myself: ActorRef<Work>, birth: Birth) -> Result<State, ActorProcessingErr> {
        let life = Life(birth.presence.clone());
        Ok(State { loaded: load(birth).await, life })
    }

    async fn handle(
        &self,
        myself: ActorRef<Work>,
        work: Work,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let active = match &mut state.loaded {
            Ok(active) => active,
            Err(error) => {
                work.begin().2.send(Err(error.clone()));
                end(&myself, &state.life);
                return Ok(());
            }
        };
        active.gate.at_most(limits::COMMITS_IN_FLIGHT_MAX - 1).await;
        if active.keys_too_large() {
            active.shed_keys().await;
        }
        if active.gate.failed() || active.shard.lead().ok() != Some(active.term) {
            // Dropped, the call and all behind it go to the successor.
            drop(work);
            end(&myself, &state.life);
            return Ok(());
        }
        let (task, caller, reply) = work.begin();
        match active.take(task, &caller) {
            Turned::Read(answer) => {
                // Asked again after the read: the process may have been paused since, and led no longer.
                let answer = answer.and_then(|answer| match active.shard.lead() {
                    Ok(term) if term == active.term => Ok(answer),
                    Ok(_) => Err(failure::rests_on_failed()),
                    Err(refused) => Err(failure::not_leading(&refused)),
                });
                active.gate.after_reads(Output { update: None, timer: None, reply, answer });
            }
            Turned::Commit { command, update, timer, answer } => {
                let number = active.gate.after_commit(Output { update, timer, reply, answer: Ok(answer) });
                let gate = active.gate.clone();
                active.shard.propose(
                    active.term,
                    command,
                    Box::new(move |verdict| gate.settle(number, &verdict)),
                );
            }
        }
        Ok(())
    }
}

fn end(myself: &ActorRef<Work>, life: &Life) {
    life.0.end();
    myself.stop(None);
}

/// Reads what an activation needs, after everything acknowledged before is there to be read.
async fn load(birth: Birth) -> Result<Active, Error> {
    let Birth { parts, shard, term, address, class, .. } = birth;
    if let Err(stopped) = shard.wait_written(shard.applied()).await {
        return Err(Error::new(
            Code::Unavailable,
            format!("the object's shard has stopped on this node: {stopped}"),
        ));
    }
    let (meta, keys) = read(&shard, &address).map_err(|error| failure::unreadable(&error))?;
    parts.metrics.activations.inc();
    Ok(Active {
        gate: Arc::new(Gate::new(address.clone(), parts.clone())),
        parts,
        shard,
        term,
        address,
        class,
        meta,
        keys,
        recent: Recent::default(),
        history: None,
        decoded: None,
        commits: 0,
    })
}

fn read(shard: &Shard, address: &ObjectAddress) -> Result<(Meta, Keys), StorageError> {
    let reader = shard.reader();
    let meta = reader.get(Space::State, &keys::meta(address)).map_err(unreadable)?;
    let Some(meta) = meta.map(|meta| codec::decode_meta(&meta)).transpose().map_err(unreadable)? else {
        return Ok((Meta::default(), Keys::none(address.clone(), 0, reader)));
    };
    let keys = if meta.keys == 0 {
        Keys::none(address.clone(), meta.generation, reader)
    } else {
        Keys::load(address.clone(), meta.generation, reader)?
    };
    Ok((meta, keys))
}

impl Active {
    fn keys_too_large(&self) -> bool {
        self.keys.too_large()
    }

    /// Lets go of the keys in memory, once everything in there is written.
    async fn shed_keys(&mut self) {
        self.gate.at_most(0).await;
        let index = self.gate.settled().index;
        if self.shard.wait_written(index).await.is_ok() {
            self.keys.drop_cache();
        }
    }
}

/// The supervisor of all activations: what one of them does never reaches another.
pub(crate) struct Supervisor {
    metrics: Metrics,
}

impl Supervisor {
    pub(crate) fn new(metrics: Metrics) -> Self {
        Self { metrics }
    }
}

impl Actor for Supervisor {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _myself: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<()>,
        event: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(_, error) = event {
            // The call has been answered `internal`, and the next one starts another activation.
            tracing::error!(%error, "a class panicked; its activation is dropped");
            self.metrics.class_panics.inc();
        }
        Ok(())
    }
}
