//! Kill -9 at random moments under concurrent writers: nothing acknowledged is lost, nothing takes
//! effect twice, versions have no gaps, and the history says what the state says. A subscriber that
//! comes back each time with the version it has misses nothing either.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::harness::{Frame, Node, Socket, seed};
use crate::workload::Workload;

const ROUNDS: usize = 30;
const WRITERS: usize = 16;
const OBJECTS: usize = 5;
/// No round begins after this: the test stays bounded on a slow machine.
const LONGEST: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_under_writers() {
    let seed = seed("crash");
    let mut random = StdRng::seed_from_u64(seed);
    let begun = Instant::now();
    let mut node = Node::start();
    let mut workload = Workload::new("crash", WRITERS, OBJECTS, seed);
    let mut follower = Follower { path: format!("{}/live", workload.path(0)), version: 0, jumps: 0 };
    let mut rounds = 0;
    while rounds < ROUNDS && begun.elapsed() < LONGEST {
        let mut following = JoinSet::new();
        following.spawn(follower.follow(node.address()));
        let running = workload.start(node.address());
        tokio::time::sleep(Duration::from_millis(random.random_range(20..900))).await; // the crash's moment
        node.kill9();
        workload = running.ended().await;
        follower = following.join_next().await.expect("one follows").expect("a follower does not panic");
        node.start_again();
        let losses = workload.losses(&node).await;
        assert!(losses.is_empty(), "round {rounds}, SEED={seed}: {losses:#?}");
        follower.check_kept(&node, &workload.path(0)).await;
        rounds += 1;
    }
    workload = workload.settle(node.address()).await;
    workload.audit(&node).await;
    let count = workload.acknowledged().count();
    println!(
        "crash: {rounds} rounds, {count} increments acknowledged, the follower saw {} versions with {} jumps",
        follower.version, follower.jumps
    );
    assert!(rounds >= 5, "only {rounds} rounds in {LONGEST:?}");
    assert!(count > 100 * rounds, "too few increments to prove anything: {count}");
}

/// A subscriber over many lives of the server.
struct Follower {
    path: String,
    version: u64,
    jumps: usize,
}

impl Follower {
    /// Follows until the server is gone.
    async fn follow(mut self, address: std::net::SocketAddr) -> Self {
        let path = format!("{}?since={}", self.path, self.version);
        let Ok(mut socket) = Socket::try_open(address, &path, &[]).await else { return self };
        loop {
            match socket.next().await {
                Frame::Text(text) => self.take(&serde_json::from_str(&text).expect("frames are JSON")),
                Frame::Closed(..) | Frame::Gone => return self,
                Frame::Ping | Frame::Binary(_) => {}
            }
        }
    }

    fn take(&mut self, frame: &Value) {
        let version = frame["version"].as_u64().unwrap_or_else(|| panic!("no version: {frame}"));
        match frame["type"].as_str() {
            Some("update") => {
                assert_eq!(version, self.version + 1, "a subscriber missed or was sent twice: {frame}");
                assert_eq!(frame["changes"]["value"], version, "{frame}");
                self.version = version;
            }
            Some("resumed") => assert!(version >= self.version, "{frame} after version {}", self.version),
            Some("init") => {
                assert!(
                    version >= self.version,
                    "the server forgot what it showed: {frame}, {}",
                    self.version
                );
                self.jumps += usize::from(self.version > 0);
                self.version = version;
            }
            _ => panic!("not a frame that was due: {frame}"),
        }
    }

    /// What a subscriber saw is durable, acknowledged or not.
    async fn check_kept(&self, node: &Node, path: &str) {
        let version = node.get(path).await.json()["version"].as_u64().unwrap_or(0);
        assert!(version >= self.version, "a subscriber saw version {}, kept is {version}", self.version);
    }
}
