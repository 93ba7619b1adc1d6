//! The activation: an object in memory as a ractor actor, one turn at a time.
//!
//! The actor takes a call from its mailbox (those that found nobody before them have taken their turn
//! already, see [`super::stage`]), runs the turn, hands the commit to the shard and goes on to the next
//! call at once; what the turn gives out waits at the gate. It ends when nobody has used it for a while, when its node no longer leads, when a commit fails, or when a class panics, and what
//! it had not begun goes to its successor.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef, ActorRuntime, SupervisionEvent};
use stead_cluster::{Shard, Space, Term};

use super::active::Active;
use super::failure;
use super::gate::Gate;
use super::parts::Parts;
use super::presence::Presence;
use super::recent::Recent;
use super::stage::Stage;
use super::storage::{Keys, unreadable};
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
    loaded: Result<Loaded, Error>,
    life: Life,
}

/// What the actor waits on before a turn.
struct Loaded {
    gate: Arc<Gate>,
    shard: Shard,
    term: Term,
}

struct Life(Arc<Presence>);

impl Drop for Life {
    fn drop(&mut self) {
        self.0.end();
        self.0.stage.close();
    }
}

impl Actor for Activation {
    type Msg = Work;
    type State = State;
    type Arguments = Birth;

    async fn pre_start(&self, _myself: ActorRef<Work>, birth: Birth) -> Result<State, ActorProcessingErr> {
        let life = Life(birth.presence.clone());
        // Boxed, for else the actor's task keeps room for it as long as it lives.
        let loaded = Box::pin(load(birth)).await.map(|active| {
            let loaded = Loaded { gate: active.gate.clone(), shard: active.shard.clone(), term: active.term };
            life.0.stage.open(active);
            loaded
        });
        Ok(State { loaded, life })
    }

    /// Takes the turn of a call in the mailbox. Until it is over nobody else takes one.
    async fn handle(
        &self,
        myself: ActorRef<Work>,
        work: Work,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let loaded = match &state.loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                work.begin().reply.send(Err(error.clone()));
                end(&myself, &state.life);
                return Ok(());
            }
        };
        let stage = &state.life.0.stage;
        loaded.gate.at_most(limits::COMMITS_IN_FLIGHT_MAX - 1).await;
        if stage.lock().as_ref().is_some_and(Active::keys_too_large) {
            Box::pin(loaded.shed_keys(stage)).await;
        }
        let mut active = stage.lock();
        // Asked once nobody else can be in a turn, whose commit may be refused.
        let is_over = loaded.gate.is_over() || loaded.shard.lead().ok() != Some(loaded.term);
        let Some(object) = active.as_mut().filter(|_| !is_over) else {
            drop(active);
            // Dropped, the call and all behind it go to the successor.
            drop(work);
            end(&myself, &state.life);
            return Ok(());
        };
        let begun = work.begin();
        match catch_unwind(AssertUnwindSafe(|| object.take(begun.task, &begun.caller))) {
            Ok(turned) => object.let_out(turned, begun.reply),
            Err(panic) => {
                *active = None;
                drop(active);
                resume_unwind(panic); // to the supervisor
            }
        }
        drop(active);
        drop(begun.queued);
        Ok(())
    }
}

impl Loaded {
    /// Lets go of the keys in memory, once everything in there is written.
    async fn shed_keys(&self, stage: &Stage) {
        self.gate.at_most(0).await;
        let index = self.gate.settled().index;
        if self.shard.wait_written(index).await.is_ok()
            && let Some(active) = stage.lock().as_mut()
        {
            active.keys.drop_cache();
        }
    }
}

fn end(myself: &ActorRef<Work>, life: &Life) {
    life.0.end();
    life.0.stage.close();
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
    pub(super) fn keys_too_large(&self) -> bool {
        self.keys.too_large()
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
