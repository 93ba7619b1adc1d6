//! Saves the whole cluster into one file: every shard from whoever leads it, one after the other, so that memory and
//! disk are spared however large the cluster is.
//!
//! A shard whose leader goes away half-way is begun again with the next one.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::archive::desk::{Answer, Question};
use crate::archive::writing::Writing;
use crate::archive::{Manifest, Saved};
use crate::groups::{Cluster, Inner};
use crate::layout::{NodeId, ShardId};
use crate::network::{AskError, Desk, ShardSnapshot};
use crate::raft::term_of;

/// How long a leader of a shard is looked for.
const LEADER_WITHIN: Duration = Duration::from_secs(30);
/// Between two rounds of looking.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long a node is waited for: it may have to write what it has applied, or read a large row.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How often a chunk is asked for before the shard is begun again.
const ASKS_MAX: usize = 3;
/// How often a shard is begun. Leaders do not change that often while anything works.
const TRIES_MAX: usize = 10;

/// How far a save has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaveProgress {
    /// Shards that are saved.
    pub saved: u16,
    /// Shards there are.
    pub shards: u16,
    /// Bytes written.
    pub bytes: u64,
}

/// Why the cluster could not be saved. There is no file then.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The file can not be written.
    #[error("{} can not be written: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A shard can not be had.
    #[error("shard {shard} can not be saved now: {why}; try again when it has a leader")]
    Shard {
        /// Which.
        shard: ShardId,
        /// Why.
        why: String,
    },
    /// Whoever watches ended it.
    #[error("{0}")]
    Ended(String),
    /// The node stops.
    #[error("the node is shutting down; try again on another")]
    Stopping,
}

impl Cluster {
    /// Saves the whole cluster into a file, which must not be there yet. Everything acknowledged before the call is
    /// in it; each shard is of one moment, all together are not.
    ///
    /// `watch` hears how far it is, and ends it with an error.
    ///
    /// # Errors
    ///
    /// When the file can not be written, or a shard has no leader for long.
    pub async fn save(
        &self,
        path: PathBuf,
        made_at_ms: u64,
        watch: impl FnMut(SaveProgress) -> Result<(), String> + Send,
    ) -> Result<Saved, SaveError> {
        let node = &self.0;
        tokio::select! {
            biased;
            () = node.stop.cancelled() => Err(SaveError::Stopping),
            saved = save(node, path, made_at_ms, watch) => saved,
        }
    }
}

async fn save(
    node: &Arc<Inner>,
    path: PathBuf,
    made_at_ms: u64,
    mut watch: impl FnMut(SaveProgress) -> Result<(), String> + Send,
) -> Result<Saved, SaveError> {
    let shards = node.layout.count();
    let manifest = Manifest {
        cluster: node.identity.cluster.to_string(),
        made_at_ms,
        version: node.options.version.clone(),
        shards,
        replication_factor: node.map.borrow().replication_factor,
    };
    let mut file = Background { node: node.clone(), path: path.clone(), writing: None };
    file.create(manifest).await?;
    for shard in (0..shards).map(ShardId) {
        let mut progress =
            |bytes| watch(SaveProgress { saved: shard.0, shards, bytes }).map_err(SaveError::Ended);
        copy(node, shard, &mut file, &mut progress).await?;
    }
    file.finish().await
}

/// Copies one shard into the file, from as many leaders as it takes.
async fn copy(
    node: &Inner,
    shard: ShardId,
    file: &mut Background,
    progress: &mut (impl FnMut(u64) -> Result<(), SaveError> + Send),
) -> Result<(), SaveError> {
    let mut why = String::new();
    for _ in 0..TRIES_MAX {
        let mut view = open(node, shard).await?;
        loop {
            match view.next(node).await {
                Ok(Some(chunk)) => progress(file.data(chunk).await?)?,
                Ok(None) => {
                    view.close(node).await;
                    return file.end_shard(view.term, view.index).await;
                }
                Err(reason) => {
                    tracing::info!(%shard, reason, "a shard is saved from its beginning again");
                    why = reason;
                    break;
                }
            }
        }
        file.begin_again().await?;
    }
    Err(SaveError::Shard { shard, why })
}

/// A shard as its leader has it, wherever that is.
struct View {
    source: Source,
    term: u64,
    index: u64,
}

enum Source {
    Here(Box<ShardSnapshot>),
    There { node: NodeId, view: u64, number: u64 },
}

/// Finds the leader of a shard and has a view of it.
async fn open(node: &Inner, shard: ShardId) -> Result<View, SaveError> {
    let until = Instant::now() + LEADER_WITHIN;
    let mut why = "nobody leads it".to_owned();
    loop {
        match open_once(node, shard).await {
            Ok(view) => return Ok(view),
            Err(reason) => why = reason.unwrap_or(why),
        }
        if Instant::now() >= until {
            return Err(SaveError::Shard { shard, why });
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn open_once(node: &Inner, shard: ShardId) -> Result<View, Option<String>> {
    let here = node.shards.get(usize::from(shard.0)).expect("shards come from the layout");
    if let Some(taken) = here.group().view_as_leader().await.map_err(Some)? {
        let last = taken.meta.last_log_id.as_ref();
        let (term, index) = (last.map_or(0, term_of), last.map_or(0, |log_id| log_id.index));
        return Ok(View { source: Source::Here(Box::new(taken.snapshot)), term, index });
    }
    let known = *here.leader().borrow();
    let placed = {
        let map = node.map.borrow();
        let placed = map.placements.get(usize::from(shard.0));
        placed.map_or_else(Vec::new, |placed| {
            placed.preferred_leader.iter().chain(&placed.replicas).copied().collect()
        })
    };
    let mut why = None;
    let mut asked = vec![node.identity.node];
    for other in known.into_iter().chain(placed) {
        if asked.contains(&other) {
            continue;
        }
        asked.push(other);
        match ask(node, other, Question::Open(shard.0)).await {
            Ok(Answer::Open { view, term, index }) => {
                return Ok(View { source: Source::There { node: other, view, number: 0 }, term, index });
            }
            Ok(Answer::NotLeading) => {}
            Ok(Answer::Failed(reason)) => why = Some(format!("node {other}: {reason}")),
            Ok(answer) => why = Some(format!("node {other} answers what it was not asked: {answer:?}")),
            Err(AskError::NotSent(reason) | AskError::Lost(reason)) => {
                why = Some(format!("node {other}: {reason}"));
            }
        }
    }
    Err(why)
}

impl View {
    /// The next chunk. Why there is none, where the view is lost.
    async fn next(&mut self, node: &Inner) -> Result<Option<Bytes>, String> {
        match &mut self.source {
            Source::Here(snapshot) => snapshot.next().await.map_err(|error| error.to_string()),
            Source::There { node: other, view, number } => {
                *number += 1;
                let question = Question::Chunk { view: *view, number: *number };
                let mut lost = String::new();
                for _ in 0..ASKS_MAX {
                    match ask(node, *other, question).await {
                        Ok(Answer::Chunk(chunk)) => return Ok(Some(chunk)),
                        Ok(Answer::End) => return Ok(None),
                        Ok(Answer::Failed(why)) => return Err(format!("node {other}: {why}")),
                        Ok(answer) => return Err(format!("node {other} answers {answer:?}")),
                        Err(AskError::NotSent(why) | AskError::Lost(why)) => {
                            lost = format!("node {other}: {why}");
                        }
                    }
                }
                Err(lost)
            }
        }
    }

    /// Gives the view back. Where nobody hears of it, it is given up in time.
    async fn close(&self, node: &Inner) {
        if let Source::There { node: other, view, .. } = &self.source {
            let _ = ask(node, *other, Question::Close(*view)).await;
        }
    }
}

async fn ask(node: &Inner, other: NodeId, question: Question) -> Result<Answer, AskError> {
    let answer = node.network.ask(other, Desk::Archive, question.encode(), ANSWER_WITHIN).await?;
    Answer::decode(answer).ok_or_else(|| AskError::Lost("its answer is not understood".to_owned()))
}

/// The file, written where waiting for the disk holds up nobody.
struct Background {
    node: Arc<Inner>,
    path: PathBuf,
    writing: Option<Writing>,
}

impl Background {
    async fn create(&mut self, manifest: Manifest) -> Result<(), SaveError> {
        let path = self.path.clone();
        self.writing = Some(self.run(move || Writing::create(path, &manifest)).await?);
        Ok(())
    }

    /// Adds a chunk; gives how many bytes there are.
    async fn data(&mut self, chunk: Bytes) -> Result<u64, SaveError> {
        self.change(move |writing| writing.data(&chunk)).await?;
        Ok(self.writing.as_ref().map_or(0, Writing::bytes))
    }

    async fn begin_again(&mut self) -> Result<(), SaveError> {
        self.change(Writing::begin_again).await
    }

    async fn end_shard(&mut self, term: u64, index: u64) -> Result<(), SaveError> {
        self.change(move |writing| writing.end_shard(term, index)).await
    }

    async fn finish(&mut self) -> Result<Saved, SaveError> {
        let writing = self.writing.take().expect("it is created first");
        self.run(move || writing.finish()).await
    }

    async fn change(
        &mut self,
        act: impl FnOnce(&mut Writing) -> io::Result<()> + Send + 'static,
    ) -> Result<(), SaveError> {
        let mut writing = self.writing.take().expect("it is created first, and a failed save ends");
        let changed = self.run(move || act(&mut writing).map(|()| writing)).await?;
        self.writing = Some(changed);
        Ok(())
    }

    async fn run<T: Send + 'static>(
        &self,
        act: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, SaveError> {
        let done =
            self.node.tasks.spawn_blocking(act).await.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        done.map_err(|error| SaveError::File { path: self.path.clone(), error })
    }
}
