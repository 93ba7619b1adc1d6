//! The messages of one group to its replica on one node.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::layout::NodeId;
use crate::network::tcp::Shared;
use crate::network::tcp::handshake::Purpose;
use crate::network::tcp::wire::{
    Ask, NotReadable, decode_append_response, decode_json, encode_append, encode_json,
};
use crate::network::{
    AppendRequest, AppendResponse, AskError, GroupId, NotReached, PeerLink, Snapshot, SnapshotResponse,
    StreamAppendResult, TransferRequest, TransferResponse, Vote, VoteRequest, VoteResponse,
};

/// Requests with entries on their way at once, of one group to one node.
const APPENDS_AHEAD: usize = 16;

pub(super) struct TcpLink {
    pub(super) shared: Arc<Shared>,
    pub(super) group: GroupId,
    pub(super) node: NodeId,
}

impl TcpLink {
    /// Sends one request with entries now; the future waits for its answer.
    fn send_append(
        &self,
        request: &AppendRequest,
        timeout: Duration,
    ) -> impl Future<Output = Result<AppendResponse, NotReached>> + Send + use<> {
        let request = encode_append(self.group, request);
        let asked = self.shared.ask(self.node, Purpose::Raft, request, timeout);
        async move { decode_append_response(asked.await.map_err(not_reached)?).map_err(not_readable) }
    }

    fn ask_json<T: DeserializeOwned>(
        &self,
        ask: Ask,
        request: &impl Serialize,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<T, NotReached>> {
        let asked = self.shared.ask(self.node, Purpose::Raft, ask.encode(&encode_json(request)), timeout);
        async move { decode_json(&asked.await.map_err(not_reached)?).map_err(not_readable) }.boxed()
    }
}

fn not_reached(error: AskError) -> NotReached {
    NotReached(error.to_string())
}

fn not_readable(error: NotReadable) -> NotReached {
    NotReached(error.to_string())
}

impl PeerLink for TcpLink {
    fn append<'a>(
        &'a mut self,
        requests: BoxStream<'static, AppendRequest>,
        timeout: Duration,
    ) -> BoxStream<'a, Result<StreamAppendResult, NotReached>> {
        let answers = requests.map(move |request| {
            let prev = request.prev_log_id;
            let last = request.entries.last().map(|entry| entry.log_id).or(prev);
            // Sent here, in the order of the stream; only the waiting is done side by side.
            let sent = self.send_append(&request, timeout);
            async move { Ok(sent.await?.into_stream_result(prev, last)) }
        });
        answers.buffered(APPENDS_AHEAD).boxed()
    }

    fn append_one(
        &mut self,
        request: AppendRequest,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<AppendResponse, NotReached>> {
        self.send_append(&request, timeout).boxed()
    }

    fn vote(
        &mut self,
        request: VoteRequest,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<VoteResponse, NotReached>> {
        self.ask_json(Ask::Vote(self.group), &request, timeout)
    }

    fn pre_vote(
        &mut self,
        request: VoteRequest,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<VoteResponse, NotReached>> {
        self.ask_json(Ask::PreVote(self.group), &request, timeout)
    }

    fn transfer(
        &mut self,
        request: TransferRequest,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<TransferResponse, NotReached>> {
        self.ask_json(Ask::Transfer(self.group), &request, timeout)
    }

    fn snapshot(
        &mut self,
        vote: Vote,
        mut snapshot: Snapshot,
        cancel: BoxFuture<'static, ()>,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<SnapshotResponse, NotReached>> {
        let sending = async move {
            let connection = self.shared.peer(self.node).and_then(|peer| peer.connection(Purpose::Calls));
            let connection = connection
                .ok_or_else(|| NotReached(format!("there is no connection to node {}", self.node)))?;
            let head = (vote, snapshot.meta.last_log_id, &snapshot.meta.last_membership);
            let head = Ask::Snapshot(self.group).encode(&encode_json(&head));
            let mut sending = connection.begin_snapshot(head).map_err(not_reached)?;
            while let Some(chunk) =
                snapshot.snapshot.next().await.map_err(|error| NotReached(error.to_string()))?
            {
                sending.chunk(chunk).await.map_err(not_reached)?;
            }
            sending.chunk(Bytes::new()).await.map_err(not_reached)?;
            decode_json(&sending.answer().await.map_err(not_reached)?).map_err(not_readable)
        };
        async move {
            tokio::select! {
                biased;
                () = cancel => Err(NotReached("it is not needed any more".to_owned())),
                sent = tokio::time::timeout(timeout, sending) => {
                    sent.unwrap_or_else(|_| Err(NotReached("it took too long".to_owned())))
                }
            }
        }
        .boxed()
    }
}
