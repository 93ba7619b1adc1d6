//! The apply task of one group: openraft's state machine, which hands committed commands to the application's
//! [`Machine`] and its writes to the writer thread.
//!
//! The writes of an entry and the record that it is applied travel in one batch, in their own time
//! ([`crate::storage::behind`]). They follow their entry in the same write-ahead log, so that after a crash the
//! state is never ahead of the log; what of it is missing is applied again. Callers are answered here, after
//! apply, in log order.

use std::io;
use std::sync::Arc;

use futures_util::{Stream, TryStreamExt};
use openraft::EntryPayload;
use openraft::RaftSnapshotBuilder;
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine};
use openraft::type_config::alias::{SnapshotMetaOf, SnapshotOf};
use parking_lot::Mutex;

use crate::group::order::Order;
use crate::group::standing::Standing;
use crate::machine::{ApplyError, Machine, Writes};
use crate::metrics::ClusterMetrics;
use crate::raft::{Commands, Effect, Entry, LogId, StoredMembership, TypeConfig, term_of};
use crate::sabotage::{self, Sabotage};
use crate::storage::Reader;
use crate::storage::behind::Added;
use crate::storage::codec::Applied;
use crate::storage::snapshot::ShardSnapshot;
use crate::storage::staging::Staged;
use crate::storage::state::StateStore;
use crate::storage::writer::{Change, Confirm, Row, Writer};

/// Bytes of writes after which those of the entries so far are handed over.
const WRITES_BYTES_MAX: usize = 1024 * 1024;
/// Entries after which their writes are handed over, so that answers do not wait for a long run.
const ENTRIES_MAX: usize = 64;

/// openraft's state machine of one group.
pub(crate) struct StateMachine {
    /// In a mutex that is never locked: openraft asks for `Sync`, which applications need not be.
    machine: Mutex<Box<dyn Machine>>,
    store: Arc<StateStore>,
    reader: Reader,
    writer: Writer,
    standing: Arc<Standing>,
    metrics: Arc<ClusterMetrics>,
    applied: Applied,
    membership: StoredMembership,
}

/// What was applied and not yet handed to the writer.
#[derive(Default)]
struct Pending {
    writes: Writes,
    entries: usize,
    membership_changed: bool,
    answers: Vec<(ApplyResponder<TypeConfig>, Effect)>,
}

impl StateMachine {
    pub(crate) fn new(
        machine: Box<dyn Machine>,
        store: Arc<StateStore>,
        (applied, membership): (Applied, StoredMembership),
        writer: Writer,
        standing: Arc<Standing>,
        metrics: Arc<ClusterMetrics>,
    ) -> Self {
        let reader = Reader::live(store.clone());
        let machine = Mutex::new(machine);
        Self { machine, store, reader, writer, standing, metrics, applied, membership }
    }

    fn apply_entry(&mut self, entry: Entry, pending: &mut Pending) -> Result<Effect, ApplyError> {
        let log_id = entry.log_id;
        let effect = match entry.payload {
            EntryPayload::Normal(commands) => self.apply_commands(log_id, &commands, &mut pending.writes)?,
            EntryPayload::Blank => Effect::Applied,
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(log_id), membership);
                pending.membership_changed = true;
                Effect::Applied
            }
        };
        self.applied.log_id = Some(log_id);
        pending.entries += 1;
        Ok(effect)
    }

    fn apply_commands(
        &mut self,
        log_id: LogId,
        commands: &Commands,
        writes: &mut Writes,
    ) -> Result<Effect, ApplyError> {
        // openraft would notice too, but what is lost here is lost for good.
        if let Some(before) = self.applied.log_id.filter(|before| before.index + 1 != log_id.index) {
            return Err(ApplyError::new(format!("the entries between {before} and {log_id} are missing")));
        }
        let term = term_of(&log_id);
        let before = Order::of(&self.applied);
        let mut order = before;
        if !order.takes(term, commands.sequence()) && !sabotage::is_on(Sabotage::IgnoreFence) {
            tracing::warn!(%log_id, sequence = commands.sequence(), ?before, "an entry is left out: the one before it is missing");
            return Ok(Effect::Void);
        }
        for command in commands.iter() {
            self.machine.get_mut().apply(log_id.index, command, &self.reader, writes)?;
            if sabotage::is_on(Sabotage::ApplyTwice) {
                self.machine.get_mut().apply(log_id.index, command, &self.reader, writes)?;
            }
            self.metrics.commands_applied.add(1);
        }
        (self.applied.sequence_term, self.applied.sequence) = (term, commands.sequence());
        Ok(Effect::Applied)
    }

    /// Hands over what is pending, to be written some time, then answers.
    async fn hand_over(&mut self, pending: Pending) -> Result<(), io::Error> {
        let Some(log_id) = self.applied.log_id.filter(|_| pending.entries > 0) else { return Ok(()) };
        let membership = pending.membership_changed.then_some(&self.membership);
        if self.store.behind.add(pending.writes, &self.applied, membership) == Added::First {
            self.writer.send(Change::BehindLater(self.store.clone()), Confirm::Nobody).await?;
        }
        self.metrics.entries_applied.add(pending.entries as u64);
        self.standing.applied(log_id.index, term_of(&log_id), Order::of(&self.applied));
        pending.answers.into_iter().for_each(|(responder, effect)| responder.send(effect));
        if self.store.behind.is_full() {
            self.writer.write(Change::Behind(self.store.clone())).await?;
        }
        Ok(())
    }

    fn meta(applied: &Applied, membership: StoredMembership) -> SnapshotMetaOf<TypeConfig> {
        SnapshotMetaOf::<TypeConfig> { last_log_id: applied.log_id, last_membership: membership }
    }

    /// Writes rows beside what is there; they need no flush before the switch to them has its own.
    async fn write(&self, rows: Vec<Row>, flush: bool) -> Result<(), io::Error> {
        Ok(self.writer.write(Change::Rows { rows, flush }).await?)
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = ShardSnapshot;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.applied.log_id, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + Send,
    {
        let mut pending = Pending::default();
        while let Some((entry, responder)) = entries.try_next().await? {
            let log_id = entry.log_id;
            let effect = self.apply_entry(entry, &mut pending).map_err(|error| {
                self.standing.stop(format!("the entry {log_id} can not be applied: {error}"));
                io::Error::other(error)
            })?;
            pending.answers.extend(responder.map(|responder| (responder, effect)));
            if pending.entries >= ENTRIES_MAX || pending.writes.bytes() >= WRITES_BYTES_MAX {
                self.hand_over(std::mem::take(&mut pending)).await?;
            }
        }
        self.hand_over(pending).await
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder { store: self.store.clone(), writer: self.writer.clone() }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMetaOf<TypeConfig>,
        snapshot: ShardSnapshot,
    ) -> Result<(), io::Error> {
        let staged = match snapshot.into_staged() {
            Ok(staged) => staged,
            Err(snapshot) => Staged::receive(self.store.clone(), self.writer.clone(), snapshot).await?,
        };
        // It belongs to what the snapshot replaces.
        self.store.behind.clear();
        let old = self.store.incarnation();
        let (new, (sequence_term, sequence)) = staged.keep();
        let applied = Applied { incarnation: new, log_id: meta.last_log_id, sequence, sequence_term };
        let rows = self.store.record_rows(&applied, &meta.last_membership);
        self.write(rows, true).await?;
        self.store.switch_to(new);
        (self.applied, self.membership) = (applied, meta.last_membership.clone());
        self.machine.get_mut().reset();
        if let Some(log_id) = meta.last_log_id {
            self.store.written.reach(log_id.index);
            self.standing.installed(log_id.index, term_of(&log_id), Order::of(&self.applied));
        }
        self.metrics.snapshots_installed.add(1);
        self.write(self.store.rows_without(old), false).await
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<SnapshotOf<TypeConfig, ShardSnapshot>>, io::Error> {
        let snapshot = take(&self.store, &self.writer).await?;
        Ok(snapshot.meta.last_log_id.is_some().then_some(snapshot))
    }
}

/// Makes snapshots. There is nothing to build: the data is read when a replica needs it.
pub(crate) struct Builder {
    store: Arc<StateStore>,
    writer: Writer,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = ShardSnapshot;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<TypeConfig, ShardSnapshot>, io::Error> {
        take(&self.store, &self.writer).await
    }
}

/// A snapshot of this moment: what is applied is in it. Its index is read in the same moment as its data.
pub(crate) async fn take(
    store: &Arc<StateStore>,
    writer: &Writer,
) -> Result<SnapshotOf<TypeConfig, ShardSnapshot>, io::Error> {
    writer.write(Change::Behind(store.clone())).await?;
    let (pinned, applied, membership) = store.view()?;
    let meta = StateMachine::meta(&applied, membership);
    let snapshot = ShardSnapshot::own(store.group, &applied, pinned);
    Ok(SnapshotOf::<TypeConfig, ShardSnapshot> { meta, snapshot })
}
