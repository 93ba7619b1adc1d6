//! What a shard's leader lends to the node that saves: a view of the shard's data, read chunk by chunk.
//!
//! Each view holds back the disk space of what is deleted meanwhile, so there are few at once, and one that nobody
//! asks about for a while is given up. A view is a task, which waits for questions: what it is asked twice, because
//! the answer was lost, it answers twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::archive::desk::{Answer, Question};
use crate::group::Group;
use crate::network::ShardSnapshot;
use crate::raft::term_of;

/// Views lent at once: a node saves one shard at a time, so these are as many nodes that save.
const LENT_MAX: usize = 8;
/// After so long without a question a view is given up.
const IDLE_MAX: Duration = Duration::from_mins(1);
/// Questions that may wait for one view: who asks waits for its answer.
const QUESTIONS_WAITING_MAX: usize = 4;

/// The views that this node has lent.
pub(crate) struct Lending {
    lent: Mutex<BTreeMap<u64, mpsc::Sender<Asked>>>,
    /// A process numbers its views from 1; behind its epoch, so that a number is of one view only.
    epoch: u64,
    last: AtomicU32,
}

/// A question for a chunk, and who waits for it.
type Asked = (u64, oneshot::Sender<Answer>);

impl Lending {
    pub(crate) fn new(epoch: u64) -> Self {
        Self { lent: Mutex::default(), epoch, last: AtomicU32::new(0) }
    }

    /// Answers a question of a node that saves.
    pub(crate) async fn answer(
        self: &Arc<Self>,
        group: impl Fn(u16) -> Option<Arc<Group>>,
        question: Question,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Answer {
        match question {
            Question::Open(shard) => match group(shard) {
                Some(group) => self.open(&group, tasks, stop).await,
                None => Answer::Failed(format!("there is no shard {shard}")),
            },
            Question::Chunk { view, number } => self.chunk(view, number).await,
            Question::Close(view) => {
                self.lent.lock().remove(&view);
                Answer::End
            }
        }
    }

    /// Lends a view of this moment, if this node leads the shard.
    async fn open(self: &Arc<Self>, group: &Group, tasks: &TaskTracker, stop: &CancellationToken) -> Answer {
        let taken = match group.view_as_leader().await {
            Ok(Some(taken)) => taken,
            Ok(None) => return Answer::NotLeading,
            Err(why) => return Answer::Failed(why),
        };
        let (sender, questions) = mpsc::channel(QUESTIONS_WAITING_MAX);
        let view = (self.epoch << 32) | u64::from(self.last.fetch_add(1, Ordering::Relaxed) + 1);
        {
            let mut lent = self.lent.lock();
            if lent.len() >= LENT_MAX {
                return Answer::Failed(format!("{LENT_MAX} snapshots are being made already"));
            }
            lent.insert(view, sender);
        }
        let (lending, stop) = (self.clone(), stop.clone());
        tasks.spawn(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = serve(taken.snapshot, questions) => {}
            }
            lending.lent.lock().remove(&view);
        });
        let last = taken.meta.last_log_id.as_ref();
        Answer::Open { view, term: last.map_or(0, term_of), index: last.map_or(0, |log_id| log_id.index) }
    }

    async fn chunk(&self, view: u64, number: u64) -> Answer {
        let gone = || Answer::Failed("the view of the shard is gone".to_owned());
        let Some(lent) = self.lent.lock().get(&view).cloned() else { return gone() };
        let (sender, answer) = oneshot::channel();
        match lent.send((number, sender)).await {
            Ok(()) => answer.await.unwrap_or_else(|_| gone()),
            Err(_) => gone(),
        }
    }
}

/// Answers one view's questions, until it is closed or forgotten.
async fn serve(mut snapshot: ShardSnapshot, mut questions: mpsc::Receiver<Asked>) {
    let mut given = (0, Answer::End);
    while let Ok(Some((number, asker))) = tokio::time::timeout(IDLE_MAX, questions.recv()).await {
        if number == given.0 + 1 {
            let answer = match snapshot.next().await {
                Ok(Some(chunk)) => Answer::Chunk(chunk),
                Ok(None) => Answer::End,
                Err(error) => Answer::Failed(error.to_string()),
            };
            given = (number, answer);
        }
        let answer = if number > 0 && number == given.0 {
            given.1.clone()
        } else {
            Answer::Failed(format!("chunk {number} is not the next one"))
        };
        // Whoever asked may be gone.
        let _ = asker.send(answer);
    }
}
