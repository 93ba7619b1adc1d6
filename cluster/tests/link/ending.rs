//! When a process has surely ended, and when it has not: with real processes, killed and stopped.
//!
//! A peer process is this test's own binary, started again with the name of one test and where its parent listens.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use stead_cluster::{Network, NodeId};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::node::{Node, member, options, until};

const PARENT: &str = "STEAD_LINK_TEST_PARENT";
const EPOCH: &str = "STEAD_LINK_TEST_EPOCH";
const ADDRESS: &str = "listens on ";
const PEER: NodeId = NodeId(2);

/// Node 2, as a process of its own.
struct Process {
    child: Child,
    input: Option<ChildStdin>,
    address: SocketAddr,
}

impl Process {
    fn start(parent: &Node, epoch: u64) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["ending::a_process_that_is_told_to_is_node_2", "--exact", "--nocapture"])
            .env(PARENT, parent.address().to_string())
            .env(EPOCH, epoch.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines
            .map(Result::unwrap)
            .find_map(|line| line.split_once(ADDRESS).map(|(_, address)| address.parse().unwrap()));
        let input = child.stdin.take();
        Self { child, input, address: address.expect("it says where it listens") }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Has it forget node 1, and so close its connections, and know it again.
    fn let_go(&mut self) {
        self.input.as_mut().unwrap().write_all(b"l").unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// It does nothing unless it is started by one of the tests below.
#[test]
fn a_process_that_is_told_to_is_node_2() {
    let Ok(parent) = std::env::var(PARENT) else { return };
    let epoch = std::env::var(EPOCH).unwrap().parse().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let node = runtime.block_on(Node::start_as(member(PEER.0, epoch), options("127.0.0.1:0")));
    let _entered = runtime.enter();
    let parent = [(NodeId(1), parent)];
    node.knows(&parent);
    println!("{ADDRESS}{}", node.address());
    // It ends with its parent at the latest.
    for command in std::io::stdin().lock().bytes() {
        assert_eq!(command.unwrap(), b'l');
        node.knows(&[]);
        node.knows(&parent);
    }
    std::process::exit(0);
}

async fn with_process() -> (Node, Process) {
    let one = Node::start(1).await;
    let process = Process::start(&one, 3);
    one.knows(&[(PEER, process.address.to_string())]);
    connected(&one).await;
    (one, process)
}

/// Waits until both sides have dialled: only what is dialled shows whose socket it is.
async fn connected(one: &Node) {
    one.sees(PEER, "is connected", |state| state.connected && state.round_trip_us.is_some()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_has_ended_and_that_is_known_at_once() {
    let (one, process) = with_process().await;
    assert_eq!(one.state_of(PEER).ended, 2);
    let begun = Instant::now();
    process.signal(Signal::SIGKILL);
    let state = one.sees(PEER, "has ended", |state| state.ended == 3).await;
    let took = begun.elapsed();
    println!("the end of a killed process was known after {took:?}");
    assert!(took < Duration::from_millis(500), "it took {took:?}");
    assert_eq!(state.epoch, 3);
    one.sees(PEER, "is not connected", |state| !state.connected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_process_has_not_ended() {
    let (one, process) = with_process().await;
    process.signal(Signal::SIGSTOP);
    let state = one.sees(PEER, "is silent", |state| !state.connected).await;
    assert_eq!(state.ended, 2, "only this side has closed the connections");
    process.signal(Signal::SIGCONT);
    let state = one.sees(PEER, "is back", |state| state.connected).await;
    assert_eq!(state.ended, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_closes_its_connections_and_still_listens_has_not_ended() {
    let (one, mut process) = with_process().await;
    // All four stand, seen from there as well: one that is still being made there would not be let go.
    until("all are connected", || async {
        let desk = stead_cluster::network::Desk::Application;
        let asked = one.network.ask(PEER, desk, bytes::Bytes::new(), Duration::from_secs(1));
        one.network.metrics().connections.get() >= 4 && asked.await.is_ok()
    })
    .await;
    let before = one.network.metrics().connections.get();
    process.let_go();
    // Four anew: two dialled here, two there. By then the port was tried.
    until("all are connected again", || async { one.network.metrics().connections.get() >= before + 4 })
        .await;
    connected(&one).await;
    assert_eq!(one.state_of(PEER).ended, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_proxy_is_not_the_end_of_the_process_behind_it() {
    let one = Node::start(1).await;
    let process = Process::start(&one, 3);
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (at, behind) = (proxy.local_addr().unwrap().to_string(), process.address);
    let mut carrying = JoinSet::new();
    carrying.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (mut near, _) = proxy.accept().await.unwrap();
            connections.spawn(async move {
                let mut far = TcpStream::connect(behind).await.unwrap();
                let _ = copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    one.knows(&[(PEER, at)]);
    connected(&one).await;
    let failed = one.network.metrics().connections.get();
    assert!(failed >= 3, "Raft and calls through the proxy, and what the peer dialled");
    // Its port is closed with all it carries, as a kill would.
    carrying.shutdown().await;
    until("the way through the proxy is gone", || async {
        let asked = one.network.ask(
            PEER,
            stead_cluster::network::Desk::Cluster,
            bytes::Bytes::new(),
            Duration::from_secs(1),
        );
        asked.await.is_err()
    })
    .await;
    // The process itself dies as well: even that is not sure from here.
    process.signal(Signal::SIGKILL);
    let state = one.sees(PEER, "is not connected", |state| !state.connected).await;
    assert_eq!(state.ended, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_process_shows_that_the_older_has_ended() {
    let (one, process) = with_process().await;
    process.signal(Signal::SIGSTOP);
    let newer = Process::start(&one, 4);
    let state = one.sees(PEER, "has a newer process", |state| state.epoch == 4).await;
    assert_eq!(state.ended, 3);
    drop(newer);
}
