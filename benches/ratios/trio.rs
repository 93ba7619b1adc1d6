//! Three nodes of Stead on this machine, each a process with its own data, joined to one cluster.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::contestant::directory;

pub(crate) const NODES: usize = 3;
/// How long the nodes may take until every shard is on each and the leaders are spread.
const SETTLE_MAX: Duration = Duration::from_mins(1);

/// Three nodes, numbered from 0.
pub(crate) struct Trio {
    nodes: Vec<Node>,
}

struct Node {
    data: tempfile::TempDir,
    address: SocketAddr,
    peer: SocketAddr,
    child: Option<Child>,
}

impl Trio {
    /// Three nodes with every shard on each, and the leaders spread evenly.
    pub(crate) fn start() -> Self {
        let node = |_| Node { data: directory(), address: free(), peer: free(), child: None };
        let mut trio = Self { nodes: (0..NODES).map(node).collect() };
        for number in 0..NODES {
            trio.start_again(number);
        }
        trio.settle();
        trio
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.address).collect()
    }

    /// Starts a node on the data it has.
    pub(crate) fn start_again(&mut self, number: usize) {
        let first = self.nodes[0].peer.to_string();
        let node = &mut self.nodes[number];
        let mut command = Command::new(env!("CARGO_BIN_EXE_stead"));
        command.args([
            "serve",
            "--listen",
            &node.address.to_string(),
            "--peer-listen",
            &node.peer.to_string(),
        ]);
        command.arg("--data").arg(node.data.path());
        if number > 0 {
            command.args(["--join", &first]);
        }
        command.env("STEAD_LOG_FILTER", "error").env("STEAD_JOIN_SECRET", "the secret of a benchmark");
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        node.child = Some(child.expect("a server of ours can be started"));
        let begun = Instant::now();
        while get(node.address, "/ready").is_none() {
            assert!(begun.elapsed() < SETTLE_MAX, "node {number} does not become ready");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until every shard is on each node and the leaders are spread evenly.
    pub(crate) fn settle(&self) {
        let begun = Instant::now();
        while !self.is_settled() {
            assert!(begun.elapsed() < SETTLE_MAX, "the cluster does not settle");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn is_settled(&self) -> bool {
        let Some(answer) = get(self.nodes[0].address, "/v1/shards") else { return false };
        let Some(shards) = answer["shards"].as_array() else { return false };
        let is_whole = |shard: &Value| {
            let replicas = shard["replicas"].as_array().into_iter().flatten();
            let caught_up = |replica: &&Value| {
                replica["role"] == "voter" && replica["lag"].as_u64().is_none_or(|lag| lag < 100)
            };
            replicas.filter(caught_up).count() == NODES
        };
        let led = |node: usize| shards.iter().filter(|shard| shard["leader"] == node as u64 + 1).count();
        shards.iter().all(is_whole) && (0..NODES).all(|node| led(node) == shards.len() / NODES)
    }

    /// Ends a process at once.
    pub(crate) fn kill(&mut self, number: usize) {
        let mut child = self.nodes[number].child.take().expect("it runs");
        child.kill().expect("a process of ours can be killed");
        child.wait().expect("a killed process ends");
    }

    /// Stops a process where it is, or lets it go on: to the others its host is silent.
    pub(crate) fn signal(&self, number: usize, signal: Signal) {
        let id = self.nodes[number].child.as_ref().expect("it runs").id();
        kill(Pid::from_raw(i32::try_from(id).expect("a process id fits")), signal).expect("it is ours");
    }

    /// The processor time that each node has used, in ticks of 10 ms.
    pub(crate) fn ticks(&self) -> Vec<u64> {
        let of = |node: &Node| {
            let id = node.child.as_ref().expect("it runs").id();
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("it runs");
            let (_, fields) = stat.rsplit_once(')').expect("the name of a process ends");
            let fields: Vec<&str> = fields.split_whitespace().collect();
            [fields[11], fields[12]].iter().filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
        };
        self.nodes.iter().map(of).collect()
    }
}

impl Drop for Trio {
    fn drop(&mut self) {
        for child in self.nodes.iter_mut().filter_map(|node| node.child.as_mut()) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// An address that nobody listens on, and that a node keeps over its restarts.
pub(crate) fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound")
}

/// A small answer; none if it is not 200.
fn get(address: SocketAddr, path: &str) -> Option<Value> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200").then(|| serde_json::from_str(body).unwrap_or(Value::Null))
}
