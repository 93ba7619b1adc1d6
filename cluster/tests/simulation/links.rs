//! The links of a group to its replicas, over the simulated network.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use stead_cluster::NodeId;
use stead_cluster::network::{
    AppendRequest, AppendResponse, GroupId, Inbound, Lane, NotReached, NotTaken, PeerLink, ShardSnapshot,
    Snapshot, SnapshotResponse, StreamAppendResult, TransferRequest, TransferResponse, Vote, VoteRequest,
    VoteResponse,
};

use crate::network::{Act, Request, SimNetwork};
use crate::wire::Order;

/// Requests of one stream on their way at once.
const APPENDS_IN_FLIGHT_MAX: usize = 16;

/// The link of one group to one replica.
pub(crate) struct Link {
    pub(crate) network: Arc<SimNetwork>,
    pub(crate) group: GroupId,
    pub(crate) node: NodeId,
    pub(crate) address: String,
    pub(crate) lane: Lane,
}

fn act<T, F>(hand: F) -> Act<T>
where
    T: Send + 'static,
    F: FnOnce(&Arc<dyn Inbound>) -> BoxFuture<'static, Result<T, NotTaken>> + Send + 'static,
{
    Box::new(move |inbound| {
        let taking = hand(inbound);
        async move { taking.await.map_err(|not_taken| NotReached(not_taken.to_string())) }.boxed()
    })
}

/// How a request is handed to the group it is for.
type Hand<T, R> = fn(&Arc<dyn Inbound>, GroupId, R) -> BoxFuture<'static, Result<T, NotTaken>>;

impl Link {
    /// Sends a request that a retry could send again; sometimes it is.
    async fn call<T, R>(
        &self,
        name: &'static str,
        request: R,
        timeout: Duration,
        hand: Hand<T, R>,
    ) -> Result<T, NotReached>
    where
        T: Send + 'static,
        R: Clone + Send + 'static,
    {
        let group = self.group;
        let once = |request: R| Request {
            name,
            order: None,
            timeout,
            act: act(move |inbound| hand(inbound, group, request)),
        };
        if self.network.wire.doubles() {
            let again = self.network.call(self.node, &self.address, once(request.clone()));
            let first = self.network.call(self.node, &self.address, once(request));
            // Whichever answer comes first counts; the other is dropped, not its request.
            return futures_util::future::select(Box::pin(first), Box::pin(again)).await.factor_first().0;
        }
        self.network.call(self.node, &self.address, once(request)).await
    }
}

impl PeerLink for Link {
    fn append<'a>(
        &'a mut self,
        requests: BoxStream<'static, AppendRequest>,
        timeout: Duration,
    ) -> BoxStream<'a, Result<StreamAppendResult, NotReached>> {
        let order = Arc::new(Order::default());
        let sent = requests.map(move |request| {
            let (order, group) = (order.clone(), self.group);
            let (network, node, address) = (self.network.clone(), self.node, self.address.clone());
            async move {
                let before = request.prev_log_id;
                let last = request.entries.last().map(|entry| entry.log_id).or(before);
                let act = act(move |inbound| inbound.append(group, request));
                let request = Request { name: "append", order: Some(&order), timeout, act };
                let response = network.call(node, &address, request).await?;
                Ok(response.into_stream_result(before, last))
            }
        });
        sent.buffered(APPENDS_IN_FLIGHT_MAX).boxed()
    }

    fn append_one(
        &mut self,
        request: AppendRequest,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<AppendResponse, NotReached>> {
        let name = if self.lane == Lane::Heartbeat { "heartbeat" } else { "append_one" };
        self.call(name, request, timeout, |inbound, group, request| inbound.append(group, request)).boxed()
    }

    fn vote(
        &mut self,
        request: VoteRequest,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<VoteResponse, NotReached>> {
        self.call("vote", request, timeout, |inbound, group, request| inbound.vote(group, request)).boxed()
    }

    fn pre_vote(
        &mut self,
        request: VoteRequest,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<VoteResponse, NotReached>> {
        self.call("pre_vote", request, timeout, |inbound, group, request| inbound.pre_vote(group, request))
            .boxed()
    }

    fn transfer(
        &mut self,
        request: TransferRequest,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<TransferResponse, NotReached>> {
        self.call("transfer", request, timeout, |inbound, group, request| inbound.transfer(group, request))
            .boxed()
    }

    fn snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: BoxFuture<'static, ()>,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<SnapshotResponse, NotReached>> {
        let sending = self.send_snapshot(vote, snapshot, timeout);
        async move {
            match futures_util::future::select(Box::pin(sending), cancel).await {
                futures_util::future::Either::Left((sent, _)) => sent,
                futures_util::future::Either::Right(((), _)) => {
                    Err(NotReached("it was cancelled".to_owned()))
                }
            }
        }
        .boxed()
    }
}

/// How long one chunk may take.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(2);

impl Link {
    /// Chunk by chunk, each when the one before it has arrived. One that is lost breaks the whole off.
    async fn send_snapshot(
        &self,
        vote: Vote,
        snapshot: Snapshot,
        timeout: Duration,
    ) -> Result<SnapshotResponse, NotReached> {
        let Snapshot { meta, snapshot: mut own } = snapshot;
        let (chunks, theirs) = ShardSnapshot::from_peer();
        let (group, order) = (self.group, Arc::new(Order::default()));
        let begin = act(move |inbound| inbound.snapshot(group, vote, Snapshot { meta, snapshot: theirs }));
        let request = Request { name: "snapshot", order: None, timeout, act: begin };
        let installing = self.network.call(self.node, &self.address, request);
        let sending = async {
            loop {
                let chunk = own.next().await.map_err(|error| NotReached(error.to_string()))?;
                let (is_last, chunks) = (chunk.is_none(), chunks.clone());
                let act: Act<()> = Box::new(move |_| {
                    // One that aborted its install takes no more; it says so itself.
                    async move {
                        drop(chunks.send(Ok(chunk.unwrap_or_default())).await);
                        Ok(())
                    }
                    .boxed()
                });
                let request = Request { name: "chunk", order: Some(&order), timeout: CHUNK_TIMEOUT, act };
                self.network.call(self.node, &self.address, request).await?;
                if is_last {
                    return Ok::<(), NotReached>(());
                }
            }
        };
        let both = futures_util::future::select(Box::pin(installing), Box::pin(sending)).await;
        match both {
            futures_util::future::Either::Left((installed, _)) => installed,
            futures_util::future::Either::Right((Ok(()), installing)) => installing.await,
            futures_util::future::Either::Right((Err(broken), _)) => Err(broken),
        }
    }
}
