//! The network as a process sees it: [`stead_cluster::Network`] over the [`Wire`].

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use parking_lot::Mutex;
use stead_cluster::network::{
    Desk, GroupId, Inbound, JoinError, JoinRequest, Joined, Lane, Member, NotReached, Peer, PeerLink,
    PeerStates,
};
use stead_cluster::{AskError, Network, NodeId};
use tokio::sync::{Notify, oneshot, watch};

use crate::links::Link;
use crate::service::Service;
use crate::wire::{Arrival, End, HostId, Order, Wire};

/// How long joining a member may take.
const JOIN_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a link that loses something takes to notice.
const BREAKS_WITHIN: Duration = Duration::from_secs(2);

/// What a process does with a message; polled once before the next one is taken.
pub(crate) type Work = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;

/// Where a process is reached. What arrives waits until the process takes it; a paused one does when it goes on.
#[derive(Default)]
pub(crate) struct Door {
    waiting: Mutex<VecDeque<Work>>,
    came: Notify,
    /// The node's own side, once it listens.
    pub(crate) inbound: OnceLock<Arc<dyn Inbound>>,
    /// The application's side, once the node is open.
    pub(crate) service: Mutex<Option<Arc<Service>>>,
}

/// The doors of the running processes, by host.
pub(crate) type Doors = Arc<Mutex<BTreeMap<HostId, Arc<Door>>>>;

impl Door {
    pub(crate) fn put(&self, work: Work) {
        self.waiting.lock().push_back(work);
        self.came.notify_one();
    }

    /// Drops what waits, and the node.
    pub(crate) fn close(&self) {
        self.waiting.lock().clear();
        drop(self.service.lock().take());
    }

    /// Takes what comes, in its order, for the life of the process.
    pub(crate) async fn take_all(self: Arc<Self>) {
        let tasks = tokio_util::task::TaskTracker::new();
        loop {
            let next = self.waiting.lock().pop_front();
            match next {
                Some(work) => {
                    let mut doing = work();
                    if futures_util::poll!(&mut doing).is_pending() {
                        tasks.spawn(doing);
                    }
                }
                None => self.came.notified().await,
            }
        }
    }
}

/// The network of one process.
pub(crate) struct SimNetwork {
    pub(crate) wire: Wire,
    pub(crate) me: End,
    pub(crate) doors: Doors,
    pub(crate) member: OnceLock<Member>,
    pub(crate) peers: watch::Sender<PeerStates>,
    addresses: Mutex<BTreeMap<NodeId, String>>,
}

/// The address of a host.
pub(crate) fn address_of(host: HostId) -> String {
    format!("host-{host}")
}

/// The host of an address.
pub(crate) fn host_of(address: &str) -> Option<HostId> {
    address.strip_prefix("host-")?.parse().ok()
}

impl SimNetwork {
    pub(crate) fn new(wire: Wire, me: End, doors: Doors) -> Self {
        let peers = watch::channel(PeerStates::new()).0;
        Self { wire, me, doors, member: OnceLock::new(), peers, addresses: Mutex::default() }
    }

    /// Where a node is now, as far as this process knows.
    pub(crate) fn host(&self, node: NodeId, fallback: &str) -> Option<HostId> {
        let addresses = self.addresses.lock();
        host_of(addresses.get(&node).map_or(fallback, String::as_str))
    }

    fn refusal(&self, node: NodeId) -> Option<String> {
        self.peers.borrow().get(&node).and_then(|state| state.refused.clone())
    }

    /// Sends a request to a node and waits for the answer.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        node: NodeId,
        fallback: &str,
        request: Request<'_, T>,
    ) -> Result<T, NotReached> {
        if let Some(reason) = self.refusal(node) {
            return Err(NotReached(reason));
        }
        let host =
            self.host(node, fallback).ok_or_else(|| NotReached("its address is not known".to_owned()))?;
        self.call_host(host, request).await
    }

    pub(crate) async fn call_host<T: Send + 'static>(
        &self,
        host: HostId,
        request: Request<'_, T>,
    ) -> Result<T, NotReached> {
        let (sender, answer) = oneshot::channel();
        let to = self.wire.end_of(host);
        let door = self.doors.lock().get(&host).cloned();
        let back = request.order.map(|_| Arc::new(Order::default()));
        let (wire, me, name, act) = (self.wire.clone(), self.me, request.name, request.act);
        let parcel = move |arrival| match (arrival, door) {
            (Arrival::Taken, Some(door)) => door.clone().put(Box::new(move || {
                let acting = door.inbound.get().map(act);
                async move {
                    let result = match acting {
                        Some(acting) => acting.await,
                        None => Err(NotReached("it does not listen yet".to_owned())),
                    };
                    // One that gave up waiting does not want to know.
                    let reply = move |_: Arrival| drop(sender.send(result));
                    wire.send(to, me, name, back.as_ref(), Box::new(reply));
                }
                .boxed()
            })),
            (Arrival::Taken | Arrival::Refused, _) => {
                drop(sender.send(Err(NotReached("nobody listens".to_owned()))));
            }
        };
        self.wire.send(self.me, to, name, request.order, Box::new(parcel));
        let answered = tokio::time::timeout(request.timeout, async {
            if let Ok(result) = answer.await {
                return result;
            }
            // Lost on the way, or with the process that had it: nobody tells, but the link breaks in time.
            tokio::time::sleep(BREAKS_WITHIN).await;
            Err(NotReached("the link broke".to_owned()))
        });
        let answered = answered.await.unwrap_or_else(|_| Err(NotReached("no answer in time".to_owned())));
        if let (Err(_), Some(order)) = (&answered, request.order) {
            order.break_off();
        }
        answered
    }
}

/// A request to another process.
pub(crate) struct Request<'a, T> {
    pub(crate) name: &'static str,
    pub(crate) order: Option<&'a Arc<Order>>,
    pub(crate) timeout: Duration,
    pub(crate) act: Act<T>,
}

/// What the other process does with it.
pub(crate) type Act<T> =
    Box<dyn FnOnce(&Arc<dyn Inbound>) -> BoxFuture<'static, Result<T, NotReached>> + Send>;

/// The network of one process, shared with its links.
pub(crate) struct SharedNetwork {
    pub(crate) network: Arc<SimNetwork>,
    pub(crate) door: Arc<Door>,
}

impl Network for SharedNetwork {
    fn start(&self, me: Member, inbound: Arc<dyn Inbound>) {
        assert!(self.network.member.set(me).is_ok(), "a network is started once");
        assert!(self.door.inbound.set(inbound).is_ok(), "a network is started once");
    }

    fn know(&self, addresses: BTreeMap<NodeId, String>) {
        *self.network.addresses.lock() = addresses;
    }

    fn join(&self, address: String, request: JoinRequest) -> BoxFuture<'static, Result<Joined, JoinError>> {
        let network = self.network.clone();
        async move {
            let host =
                host_of(&address).ok_or_else(|| JoinError::Refused("what address is that".to_owned()))?;
            let act: Act<_> = Box::new(move |inbound| {
                let joining = inbound.join(request);
                async move { Ok(joining.await) }.boxed()
            });
            let request = Request { name: "join", order: None, timeout: JOIN_TIMEOUT, act };
            match network.call_host(host, request).await {
                Ok(joined) => joined,
                Err(NotReached(why)) => Err(JoinError::NotReached(why)),
            }
        }
        .boxed()
    }

    fn link(&self, group: GroupId, node: NodeId, peer: &Peer, lane: Lane) -> Box<dyn PeerLink> {
        Box::new(Link { network: self.network.clone(), group, node, address: peer.address.clone(), lane })
    }

    fn ask(
        &self,
        node: NodeId,
        desk: Desk,
        request: Bytes,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<Bytes, AskError>> {
        let network = self.network.clone();
        async move {
            let is_connected = network.peers.borrow().get(&node).is_some_and(|state| state.connected);
            let Some(me) = network.member.get().map(|member| member.node).filter(|_| is_connected) else {
                return Err(AskError::NotSent("there is no link to it".to_owned()));
            };
            let act: Act<_> = Box::new(move |inbound| {
                let answering = inbound.answer(me, desk, request);
                async move { Ok(answering.await) }.boxed()
            });
            let request = Request { name: "ask", order: None, timeout, act };
            network.call(node, "", request).await.map_err(|NotReached(why)| AskError::Lost(why))
        }
        .boxed()
    }

    fn stream(&self, _: NodeId, _: Bytes) -> BoxStream<'static, Bytes> {
        // The application of the simulation asks for none.
        futures_util::stream::empty().boxed()
    }

    fn peers(&self) -> watch::Receiver<PeerStates> {
        self.network.peers.subscribe()
    }

    fn stop(&self) -> BoxFuture<'static, ()> {
        let network = self.network.clone();
        async move {
            network.doors.lock().remove(&network.me.host);
        }
        .boxed()
    }
}
