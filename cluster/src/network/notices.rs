//! What is committed is told with the next entries.
//!
//! openraft tells each follower of every commit at once, in a request of its own if no entry waits to be sent. Under
//! load an entry follows within a millisecond and tells the same, so a notice waits a little for one, and is left
//! out when it comes: a third fewer messages. Nobody waits for a follower to apply. openraft takes the answer to a
//! request for those before it too, so what is left out is not missed. Without load none waits: it may be the last that
//! a replica hears before it is removed.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, Stream};
use tokio::time::{Instant, timeout_at};

use crate::network::AppendRequest;
use crate::raft::LogId;

/// How long a notice waits for entries.
const NOTICE_WAITS: Duration = Duration::from_millis(5);
/// A group is under load while entries follow one another within so long.
const UNDER_LOAD_WITHIN: Duration = Duration::from_millis(20);

/// The same requests, less the notices that those behind them make needless.
pub(crate) fn with_entries<S>(requests: S) -> impl Stream<Item = AppendRequest> + Send + 'static
where
    S: Stream<Item = AppendRequest> + Send + Unpin + 'static,
{
    // It is asked once more behind its end, when a notice was waiting there.
    let requests = requests.fuse();
    let notices = Notices { requests, sent: None, entries_at: None, is_under_load: false };
    stream::unfold(notices, |mut notices| async move {
        let request = notices.next().await?;
        notices.note(&request);
        Some((request, notices))
    })
}

struct Notices<S> {
    requests: S,
    /// Up to where the log was sent on this stream, if anything was. What comes first on one asks where the
    /// follower's log ends: it is no notice, and its answer is waited for.
    sent: Option<LogId>,
    /// When entries were sent last.
    entries_at: Option<Instant>,
    is_under_load: bool,
}

impl<S: Stream<Item = AppendRequest> + Unpin> Notices<S> {
    async fn next(&mut self) -> Option<AppendRequest> {
        let mut request = self.requests.next().await?;
        let until = Instant::now() + NOTICE_WAITS;
        while self.is_notice(&request) {
            match timeout_at(until, self.requests.next()).await {
                Ok(Some(next)) => request = next,
                Ok(None) | Err(_) => break,
            }
        }
        Some(request)
    }

    fn note(&mut self, request: &AppendRequest) {
        self.sent = request.entries.last().map(|entry| entry.log_id).or(request.prev_log_id);
        if !request.entries.is_empty() {
            let now = Instant::now();
            let before = self.entries_at.replace(now);
            self.is_under_load = before.is_some_and(|before| now - before <= UNDER_LOAD_WITHIN);
        }
    }

    /// Whether a request tells of commits only, and entries that tell the same can be expected.
    fn is_notice(&self, request: &AppendRequest) -> bool {
        self.is_under_load
            && request.entries.is_empty()
            && self.sent.is_some()
            && self.sent == request.prev_log_id
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};
    use openraft::EntryPayload;
    use tokio::sync::mpsc;
    use tokio::time::Instant;

    use super::{NOTICE_WAITS, UNDER_LOAD_WITHIN, with_entries};
    use crate::layout::NodeId;
    use crate::network::AppendRequest;
    use crate::raft::{Entry, Vote, log_id};

    /// A request behind one entry, with so many more, that tells of a commit.
    fn request(prev: u64, entries: u64, commit: u64) -> AppendRequest {
        AppendRequest {
            vote: Vote::new_committed(1, NodeId(1)),
            prev_log_id: Some(log_id(1, prev)),
            entries: (1..=entries)
                .map(|number| Entry { log_id: log_id(1, prev + number), payload: EntryPayload::Blank })
                .collect(),
            leader_commit: Some(log_id(1, commit)),
        }
    }

    /// What is sent of these requests, which come one right after the other: how many entries, what commit.
    async fn sent(requests: Vec<AppendRequest>) -> Vec<(usize, u64)> {
        // As openraft's does, this one panics if it is asked again behind its end.
        let requests = futures_util::stream::unfold(requests.into_iter(), |mut requests| async move {
            Some((requests.next()?, requests))
        });
        let sent = with_entries(requests.boxed());
        let shown = |request: AppendRequest| {
            (request.entries.len(), request.leader_commit.map_or(0, |commit| commit.index))
        };
        sent.map(shown).collect().await
    }

    #[tokio::test]
    async fn entries_tell_what_is_committed() {
        let first = [request(3, 1, 3), request(4, 1, 4)];
        let sent_behind = async |requests: &[AppendRequest]| {
            let sent = sent([first.as_slice(), requests].concat()).await;
            assert_eq!(sent[..2], [(1, 3), (1, 4)]);
            sent[2..].to_vec()
        };
        assert_eq!(sent_behind(&[request(5, 0, 5), request(5, 1, 5)]).await, [(1, 5)]);
        // Of several notices the last is enough.
        assert_eq!(sent_behind(&[request(5, 0, 4), request(5, 0, 5)]).await, [(0, 5)]);
        // What comes first asks where the follower's log ends.
        assert_eq!(sent(vec![request(4, 0, 4), request(4, 1, 4)]).await, [(0, 4), (1, 4)]);
    }

    #[tokio::test]
    async fn a_notice_waits_no_longer_than_a_little() {
        let (sender, requests) = mpsc::channel(4);
        let requests = futures_util::stream::unfold(requests, |mut requests| async move {
            Some((requests.recv().await?, requests))
        });
        let mut sent = with_entries(requests.boxed()).boxed();
        for request in [request(3, 1, 3), request(4, 1, 4), request(5, 0, 5)] {
            sender.send(request).await.expect("it is read");
        }
        for _ in 0..2 {
            assert_eq!(sent.next().await.map(|request| request.entries.len()), Some(1));
        }
        let begun = Instant::now();
        assert_eq!(sent.next().await.map(|request| request.entries.len()), Some(0));
        assert!(begun.elapsed() >= NOTICE_WAITS);
        // What comes later is not lost to the wait that was over.
        tokio::time::sleep(UNDER_LOAD_WITHIN * 2).await;
        sender.send(request(5, 1, 5)).await.expect("it is read");
        assert_eq!(sent.next().await.map(|request| request.entries.len()), Some(1));
        // Nothing else is going on now: it is told at once.
        sender.send(request(6, 0, 6)).await.expect("it is read");
        let at_once = sent.next().now_or_never().expect("it waits for nothing");
        assert_eq!(at_once.map(|request| request.entries.len()), Some(0));
    }
}
