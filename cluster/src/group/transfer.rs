//! Handing leadership over without a failed request.
//!
//! The term is fenced first: from then on this node answers nothing for the shard and takes nothing, so that its
//! lease may be broken; what waits is given back as surely not proposed, and whoever asked goes to the next
//! leader. What is on its way to the log comes to its end, so nothing is of unknown outcome. Only then is the
//! other node asked to take over.

use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use tokio::time::{Instant, timeout_at};

use crate::group::Group;
use crate::layout::NodeId;

/// Why leadership was not handed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotTransferred {
    #[error("this node does not lead the shard")]
    NotLeading,
    #[error("leadership is being handed over already")]
    UnderWay,
    #[error("the other node did not take over in time")]
    Late,
}

impl Group {
    /// Hands leadership over to a voter, and returns when somebody else leads.
    pub(crate) async fn transfer(&self, to: NodeId, within: Duration) -> Result<(), NotTransferred> {
        let Some(running) = &self.raft else { return Err(NotTransferred::NotLeading) };
        let Ok(term) = self.lead() else { return Err(NotTransferred::NotLeading) };
        if self.is_handing_over.swap(true, Ordering::AcqRel) {
            return Err(NotTransferred::UnderWay);
        }
        let deadline = Instant::now() + within;
        let mut settled = self.proposer.watch_settled();
        self.proposer.fence(term);
        while !self.proposer.is_idle() {
            if !matches!(timeout_at(deadline, settled.changed()).await, Ok(Ok(()))) {
                break;
            }
        }
        let mut server = running.server.clone();
        let asked = running.raft.trigger().transfer_leader(to).await;
        let result = loop {
            let vote = server.borrow_and_update().vote;
            if vote.committed && vote.leader_id.term > term {
                break Ok(());
            }
            if asked.is_err() || !matches!(timeout_at(deadline, server.changed()).await, Ok(Ok(()))) {
                break Err(NotTransferred::Late);
            }
        };
        let count = if result.is_ok() { &self.metrics.transfers } else { &self.metrics.transfers_failed };
        count.add(1);
        // From here on the ticker sees to a fenced term that still stands.
        self.is_handing_over.store(false, Ordering::Release);
        result
    }
}
