//! What an activation's last commits wrote that may not be in RocksDB yet: updates and idempotency
//! records. A look-up goes here first, then to the disk.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use stead_cluster::LogIndex;

use super::gate::Settled;
use crate::limits;
use crate::object::Update;
use crate::object::idempotency::{IdempotencyKey, Record, RecordSlot};

/// The last commits of an activation.
#[derive(Default)]
pub(crate) struct Recent {
    updates: VecDeque<(u64, Arc<Update>)>,
    order: VecDeque<(u64, RecordSlot)>,
    records: HashMap<IdempotencyKey, Arc<Record>>,
    /// Commits up to this number are written once the log's index is.
    checkpoint: Option<Settled>,
}

impl Recent {
    /// Takes in what commit `number` of the activation wrote.
    pub(crate) fn add(&mut self, number: u64, update: Option<&Arc<Update>>, record: Option<&Record>) {
        if let Some(update) = update {
            self.updates.push_back((number, update.clone()));
            if self.updates.len() as u64 > limits::HISTORY_MAX_UPDATES {
                // Older than the history itself.
                self.updates.pop_front();
            }
        }
        if let Some(record) = record {
            self.order.push_back((number, record.slot()));
            self.records.insert(record.key.clone(), Arc::new(record.clone()));
        }
    }

    /// Forgets what is written by now.
    pub(crate) fn forget_written(&mut self, settled: Settled, written: LogIndex) {
        if self.updates.is_empty() && self.order.is_empty() {
            return;
        }
        if let Some(checkpoint) = self.checkpoint.filter(|checkpoint| checkpoint.index <= written) {
            while self.updates.front().is_some_and(|(number, _)| *number <= checkpoint.number) {
                self.updates.pop_front();
            }
            while self.order.front().is_some_and(|(number, _)| *number <= checkpoint.number) {
                if let Some((_, slot)) = self.order.pop_front() {
                    self.records.remove(&slot.key);
                }
            }
            self.checkpoint = None;
        }
        self.checkpoint.get_or_insert(settled);
        if self.updates.is_empty() && self.order.is_empty() {
            // An idle activation keeps no memory for the burst it once had.
            *self = Self::default();
        }
    }

    /// The record of an idempotency key, if it is among these.
    pub(crate) fn record(&self, key: &IdempotencyKey) -> Option<Arc<Record>> {
        self.records.get(key).cloned()
    }

    /// The records among these, oldest first.
    pub(crate) fn record_slots(&self) -> impl Iterator<Item = &RecordSlot> {
        self.order.iter().map(|(_, slot)| slot)
    }

    /// The updates among these, oldest first.
    pub(crate) fn updates(&self) -> impl Iterator<Item = &Arc<Update>> {
        self.updates.iter().map(|(_, update)| update)
    }
}
