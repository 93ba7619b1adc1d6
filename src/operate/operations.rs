//! Operations under way, as the node they were begun on follows them. They are a view, not the work: a node that is
//! started again has forgotten them, and the cluster goes on all the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;
use stead_cluster::ClusterStatus;
use utoipa::ToSchema;

use super::SURVEY_WITHIN;
use crate::runtime::Runtime;

/// Operations remembered; the oldest is forgotten for a new one.
const OPERATIONS_MAX: usize = 1_000;
/// How often an operation is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long an operation is followed. What it wished stays wished.
const FOLLOW_WITHIN: Duration = Duration::from_hours(1);

/// How far something that takes long has come.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Operation {
    /// Its number on this node.
    pub id: u64,
    /// What it is.
    pub kind: String,
    /// Whether it is done.
    pub state: OperationState,
    /// How far it has come, from 0 to 1.
    pub progress: f64,
    /// Where it stands, in a sentence.
    pub detail: String,
}

/// Whether an operation is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperationState {
    /// It goes on.
    Running,
    /// It is done.
    Done,
    /// It failed; or it is not followed any more, and what it wished may yet come about.
    Failed,
}

/// The operations begun on this node.
#[derive(Default)]
pub(super) struct Operations {
    known: Arc<Mutex<BTreeMap<u64, Operation>>>,
}

impl Operations {
    pub(super) fn get(&self, id: u64) -> Option<Operation> {
        self.known.lock().get(&id).cloned()
    }

    /// Begins an operation that says by itself how far it has come.
    pub(super) fn begin(&self, kind: String) -> u64 {
        let mut known = self.known.lock();
        let id = known.last_key_value().map_or(1, |(last, _)| last + 1);
        let (state, detail) = (OperationState::Running, "it has begun".to_owned());
        known.insert(id, Operation { id, kind, state, progress: 0.0, detail });
        if known.len() > OPERATIONS_MAX {
            known.pop_first();
        }
        id
    }

    /// Says how far such an operation has come, from 0 to 1.
    pub(super) fn change(&self, id: u64, progress: f64, detail: String) {
        if let Some(operation) = self.known.lock().get_mut(&id) {
            (operation.progress, operation.detail) = (progress, detail);
        }
    }

    /// Says what came of such an operation.
    pub(super) fn end(&self, id: u64, ended: Result<String, String>) {
        if let Some(operation) = self.known.lock().get_mut(&id) {
            match ended {
                Ok(detail) => {
                    (operation.state, operation.progress, operation.detail) =
                        (OperationState::Done, 1.0, detail);
                }
                Err(detail) => (operation.state, operation.detail) = (OperationState::Failed, detail),
            }
        }
    }

    /// Follows an operation until nothing is left of it. `left` says how much is left, of how much, and where it
    /// stands.
    pub(super) fn follow(
        &self,
        runtime: &Runtime,
        kind: String,
        left: impl Fn(&ClusterStatus) -> (usize, usize, String) + Send + Sync + 'static,
    ) -> u64 {
        let id = self.begin(kind);
        let (known, cluster) = (self.known.clone(), runtime.logs().clone());
        let until = Instant::now() + FOLLOW_WITHIN;
        runtime.spawn(async move {
            let mut most = 1;
            loop {
                let status = cluster.survey(SURVEY_WITHIN).await;
                let (still, of, detail) = left(&status);
                most = most.max(of);
                let state = match still {
                    0 => OperationState::Done,
                    _ if Instant::now() > until => OperationState::Failed,
                    _ => OperationState::Running,
                };
                if let Some(operation) = known.lock().get_mut(&id) {
                    operation.progress = 1.0 - (still as f64 / most as f64).min(1.0);
                    (operation.state, operation.detail) = (state, detail);
                }
                if state != OperationState::Running {
                    return;
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        id
    }
}
