//! Changes of the cluster's map, made wherever its leader is; and a node's own entry in it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::group::{Shard, Verdict};
use crate::groups::desk::{Question, Reply, decode_reply, encode};
use crate::groups::{Cluster, Inner, OpenError};
use crate::layout::{LogIndex, NodeId};
use crate::map::MapCommand;
use crate::network::{AskError, Desk};

/// How long one node is waited for before another is asked.
const ASK_WITHIN: Duration = Duration::from_secs(1);
/// Between two rounds of asking, while there is no leader.
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// How long a change is tried for before its maker is told.
pub(super) const CHANGE_WITHIN: Duration = Duration::from_secs(10);

/// The map could not be changed, or it is not known whether it was.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the cluster's map can not be changed now: {0}")]
pub struct ChangeError(pub(crate) String);

/// Changes the map, and returns when the change is known here. Every command may be made twice without harm, so
/// one of unknown outcome is made again.
pub(super) async fn change(node: &Inner, command: &MapCommand, within: Duration) -> Result<(), ChangeError> {
    let deadline = Instant::now() + within;
    let late = |why: String| ChangeError(why);
    let mut hint = None;
    let mut why = "no node leads the meta group".to_owned();
    loop {
        match change_once(node, command, hint).await {
            Ok(index) => {
                let known = tokio::time::timeout_at(deadline, node.meta.wait_written(index)).await;
                return match known {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(stopped)) => Err(late(stopped.to_string())),
                    Err(_) => Err(late("it was made, but has not come back to this node yet".to_owned())),
                };
            }
            Err((leader, reason)) => {
                hint = leader;
                why = reason.unwrap_or(why);
            }
        }
        if Instant::now() >= deadline {
            return Err(late(why));
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

type NotChanged = (Option<NodeId>, Option<String>);

async fn change_once(
    node: &Inner,
    command: &MapCommand,
    hint: Option<NodeId>,
) -> Result<LogIndex, NotChanged> {
    let known = match change_here(&node.meta, command).await {
        Reply::Changed(index) => return Ok(index),
        Reply::NotLeading(leader) => leader,
        Reply::Unknown(why) => return Err((None, Some(why))),
        other => return Err((None, Some(format!("{other:?}")))),
    };
    let others: Vec<NodeId> = node.map.borrow().nodes.keys().copied().collect();
    let first = [hint, known].into_iter().flatten();
    let question = encode(&Question::Change(command.clone()));
    let mut why = None;
    for other in first.chain(others).filter(|other| *other != node.identity.node) {
        match node.network.ask(other, Desk::Cluster, question.clone(), ASK_WITHIN).await {
            Ok(reply) => match decode_reply(&reply) {
                Reply::Changed(index) => return Ok(index),
                Reply::NotLeading(Some(leader)) if leader != other => return Err((Some(leader), why)),
                Reply::NotLeading(_) => {}
                Reply::Unknown(reason) => why = Some(reason),
                other => why = Some(format!("{other:?}")),
            },
            Err(AskError::NotSent(reason) | AskError::Lost(reason)) => why = Some(reason),
        }
    }
    Err((None, why))
}

/// Changes the map if this node leads the meta group.
pub(super) async fn change_here(meta: &Shard, command: &MapCommand) -> Reply {
    let term = match meta.lead() {
        Ok(term) => term,
        Err(refused) => {
            return Reply::NotLeading(refused.leader.filter(|leader| *leader != meta.group().node));
        }
    };
    let (sender, verdict) = oneshot::channel();
    // Whoever asks may be gone by then.
    let done = move |verdict| drop(sender.send(verdict));
    meta.propose(term, command.encode(), Box::new(done));
    match verdict.await {
        Ok(Verdict::Applied { index }) => Reply::Changed(index),
        Ok(Verdict::NotProposed(_)) => Reply::NotLeading(None),
        Ok(Verdict::Unknown(why)) => Reply::Unknown(why.to_string()),
        Err(_) => Reply::Unknown("the meta group ended".to_owned()),
    }
}

/// Says in the cluster's map that this node has started: at once where this node leads the map alone, else as
/// soon as somebody leads it.
pub(super) async fn register(cluster: &Cluster, now_ms: u64) -> Result<(), OpenError> {
    let node = &cluster.0;
    let options = &node.options;
    let register = MapCommand::Register {
        node: node.identity.node,
        address: options.address.clone(),
        peer_address: options.peer_address.clone(),
        zone: options.zone.clone(),
        version: options.version.clone(),
        started_at_ms: now_ms,
    };
    if node.meta.lead().is_ok() {
        let create = MapCommand::Create {
            cluster: node.identity.cluster.to_string(),
            shards: node.identity.shards,
            replication_factor: options.replication_factor,
            founder: node.identity.node,
        };
        for command in [create, register] {
            let changed = change(node, &command, CHANGE_WITHIN).await;
            changed.map_err(|error| OpenError::Recovery(error.to_string()))?;
        }
    } else {
        node.tasks.spawn(register_later(Arc::downgrade(node), register, node.stop.clone()));
    }
    Ok(())
}

async fn register_later(
    node: std::sync::Weak<Inner>,
    register: MapCommand,
    stop: tokio_util::sync::CancellationToken,
) {
    while let Some(node) = node.upgrade() {
        let changed = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            changed = change(&node, &register, CHANGE_WITHIN) => changed,
        };
        match changed {
            Ok(()) => return,
            Err(error) => {
                tracing::warn!(%error, "the map does not know yet that this node has started; trying again");
            }
        }
    }
}
