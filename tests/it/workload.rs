//! Writers that count, and the account they keep: what the crash tests are made of.
//!
//! Every write is an increment by one of a counter, under an idempotency key. So at any moment a
//! counter's value, its version and the number of calls that took effect are the same number; a lost,
//! doubled or torn write breaks that. A call whose outcome is unknown is sent again, under its key,
//! until it is known.
//!
//! Counters that only grow are linearizable exactly if no read gives less than was known before it began,
//! nor more than was asked for before it ended: that is what readers beside the writers check, as they go.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::harness::{Answer, Connection, Node, eventually};

/// An increment that was answered with 200.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Acknowledged {
    pub(crate) object: usize,
    pub(crate) key: String,
    pub(crate) version: u64,
    pub(crate) value: i64,
}

/// One client; it goes on where it was when the server comes back.
pub(crate) struct Writer {
    name: String,
    random: StdRng,
    sent: u64,
    pending: Option<(usize, String)>,
    pub(crate) acknowledged: Vec<Acknowledged>,
}

/// Many writers on a few counters.
pub(crate) struct Workload {
    prefix: String,
    objects: usize,
    writers: Vec<Writer>,
    known: Arc<Vec<Known>>,
}

/// What is known of a counter while it is written.
#[derive(Debug, Default)]
struct Known {
    /// The highest version that anybody was answered.
    version: AtomicU64,
    /// Increments that were sent.
    sent: AtomicU64,
}

/// Writers at work, until the server dies or they are told to stop.
pub(crate) struct Running {
    workload: Workload,
    tasks: JoinSet<Writer>,
    readers: JoinSet<u64>,
    stop: Arc<AtomicBool>,
}

impl Workload {
    pub(crate) fn new(prefix: &str, writers: usize, objects: usize, seed: u64) -> Self {
        let writers = (0..writers)
            .map(|number| Writer {
                name: format!("w{number}"),
                random: StdRng::seed_from_u64(seed.wrapping_add(number as u64)),
                sent: 0,
                pending: None,
                acknowledged: Vec::new(),
            })
            .collect();
        let known = Arc::new((0..objects).map(|_| Known::default()).collect());
        Self { prefix: prefix.to_owned(), objects, writers, known }
    }

    /// Sets the writers to work.
    pub(crate) fn start(self, address: SocketAddr) -> Running {
        self.start_through(&[address])
    }

    /// Sets the writers to work, each through one of several nodes.
    pub(crate) fn start_through(mut self, addresses: &[SocketAddr]) -> Running {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        let through = addresses.iter().copied().cycle();
        for (writer, address) in std::mem::take(&mut self.writers).into_iter().zip(through) {
            tasks.spawn(writer.work(
                address,
                self.prefix.clone(),
                Arc::clone(&self.known),
                Arc::clone(&stop),
            ));
        }
        Running { workload: self, tasks, readers: JoinSet::new(), stop }
    }

    /// Sends every call whose outcome is unknown again, until it is known.
    pub(crate) async fn settle(self, address: SocketAddr) -> Self {
        let running = self.start(address);
        running.stop.store(true, Ordering::Relaxed);
        let workload = running.ended().await;
        let left: Vec<_> = workload.writers.iter().filter_map(|writer| writer.pending.as_ref()).collect();
        assert!(left.is_empty(), "calls without an answer from a node that runs: {left:?}");
        workload
    }

    pub(crate) fn path(&self, object: usize) -> String {
        path(&self.prefix, object)
    }

    pub(crate) fn acknowledged(&self) -> impl Iterator<Item = &Acknowledged> {
        self.writers.iter().flat_map(|writer| &writer.acknowledged)
    }

    /// What of the acknowledged is missing on the node now, one line each. Calls may still be pending,
    /// so there may be more than was acknowledged, never less.
    pub(crate) async fn losses(&self, node: &Node) -> Vec<String> {
        let mut losses = Vec::new();
        for object in 0..self.objects {
            let mine = || self.acknowledged().filter(|one| one.object == object);
            let newest = mine().map(|one| one.version).max().unwrap_or(0);
            let pending =
                self.writers.iter().filter(|w| matches!(&w.pending, Some((o, _)) if *o == object)).count();
            let (version, value) = read(node, &self.path(object)).await;
            if version < newest {
                losses.push(format!("{}: version {version}, acknowledged was {newest}", self.path(object)));
            }
            if value != i64::try_from(version).expect("a test's version fits") {
                losses.push(format!("{}: value {value} at version {version}", self.path(object)));
            }
            let count = mine().count() as u64;
            if version < count || version > count + pending as u64 {
                losses.push(format!(
                    "{}: version {version} after {count} acknowledged and {pending} unknown increments",
                    self.path(object)
                ));
            }
        }
        losses
    }

    /// The whole account, once nothing is pending: every version was acknowledged exactly once, values
    /// go with versions, a retry gets the first answer, and the history says the same.
    pub(crate) async fn audit(&self, node: &Node) {
        let losses = self.losses(node).await;
        assert!(losses.is_empty(), "{losses:#?}");
        for object in 0..self.objects {
            let path = self.path(object);
            let mut by_version: BTreeMap<u64, &Acknowledged> = BTreeMap::new();
            for one in self.acknowledged().filter(|one| one.object == object) {
                assert_eq!(one.value, i64::try_from(one.version).expect("it fits"), "{path}: {one:?}");
                let other = by_version.insert(one.version, one);
                assert_eq!(other, None, "{path}: two calls were given one version");
            }
            let (version, _) = read(node, &path).await;
            let expected: Vec<u64> = (1..=version).collect();
            let found: Vec<u64> = by_version.keys().copied().collect();
            assert_eq!(found, expected, "{path}: versions have gaps");
            audit_history(node, &path, version).await;
            for one in by_version.values().rev().step_by(7).take(20) {
                let answer = retry(node, &path, &one.key).await;
                let again = acknowledged(object, one.key.clone(), &answer);
                assert_eq!(again, **one, "{path}: a retry was not given the first answer");
            }
            assert_eq!(read(node, &path).await.0, version, "{path}: a retry took effect again");
        }
    }
}

impl Running {
    /// Lets a reader of its own ask each of these nodes, again and again, as long as the writers work.
    pub(crate) fn and_read_through(mut self, addresses: &[SocketAddr]) -> Self {
        for address in addresses {
            let (prefix, known) = (self.workload.prefix.clone(), Arc::clone(&self.workload.known));
            self.readers.spawn(read_on(*address, prefix, known, Arc::clone(&self.stop)));
        }
        self
    }

    /// Waits until every counter has been written from now on.
    pub(crate) async fn in_full_swing(&self) {
        let versions = || self.workload.known.iter().map(|known| known.version.load(Ordering::SeqCst));
        let before: Vec<u64> = versions().collect();
        eventually("every counter to be written", async || {
            versions().zip(&before).all(|(now, before)| now > *before + 2).then_some(())
        })
        .await;
    }

    /// Tells the writers to stop once what they have sent is answered, and waits for that.
    pub(crate) async fn stop(self) -> Workload {
        self.stop.store(true, Ordering::Relaxed);
        self.ended().await
    }

    /// Waits for the writers' end, which the death of the server brings.
    pub(crate) async fn ended(mut self) -> Workload {
        while let Some(writer) = self.tasks.join_next().await {
            self.workload.writers.push(writer.expect("a writer does not panic"));
        }
        self.stop.store(true, Ordering::Relaxed);
        while let Some(reads) = self.readers.join_next().await {
            reads.expect("every read was linearizable");
        }
        self.workload
    }
}

impl Writer {
    async fn work(
        mut self,
        address: SocketAddr,
        prefix: String,
        known: Arc<Vec<Known>>,
        stop: Arc<AtomicBool>,
    ) -> Self {
        let Ok(mut connection) = Connection::open(address).await else { return self };
        loop {
            let (object, key) = match self.pending.take() {
                Some(pending) => pending,
                None if stop.load(Ordering::Relaxed) => return self,
                None => {
                    self.sent += 1;
                    let object = self.random.random_range(0..known.len());
                    known[object].sent.fetch_add(1, Ordering::SeqCst);
                    (object, format!("{}-{}", self.name, self.sent))
                }
            };
            let path = format!("{}/methods/increment", path(&prefix, object));
            let answer = connection.request("POST", &path, &[("Idempotency-Key", &key)], b"").await;
            match answer {
                Ok(answer) if answer.status == 200 => {
                    let acknowledged = acknowledged(object, key, &answer);
                    known[object].version.fetch_max(acknowledged.version, Ordering::SeqCst);
                    self.acknowledged.push(acknowledged);
                }
                Ok(answer) if matches!(answer.status, 429 | 503 | 504) => self.pending = Some((object, key)),
                Ok(answer) => panic!("{} {}", answer.status, answer.text()),
                Err(_) => {
                    self.pending = Some((object, key));
                    return self;
                }
            }
        }
    }
}

/// Reads one counter after the other through one node; how many reads were answered.
async fn read_on(address: SocketAddr, prefix: String, known: Arc<Vec<Known>>, stop: Arc<AtomicBool>) -> u64 {
    let mut answered = 0;
    let Ok(mut connection) = Connection::open(address).await else { return answered };
    for (object, known) in known.iter().enumerate().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let path = path(&prefix, object);
        let before = known.version.load(Ordering::SeqCst);
        let Ok(answer) = connection.request("GET", &path, &[], b"").await else { break };
        let version = match answer.status {
            200 => answer.json()["version"].as_u64().expect("a version"),
            404 => 0,
            429 | 503 => continue,
            _ => panic!("{} {}", answer.status, answer.text()),
        };
        let sent = known.sent.load(Ordering::SeqCst);
        assert!(before <= version, "{path} through {address}: a stale read, {version} after {before}");
        assert!(version <= sent, "{path} through {address}: version {version} after {sent} increments");
        known.version.fetch_max(version, Ordering::SeqCst);
        answered += 1;
    }
    answered
}

fn path(prefix: &str, object: usize) -> String {
    format!("/v1/objects/counter/{prefix}-{object}")
}

fn acknowledged(object: usize, key: String, answer: &Answer) -> Acknowledged {
    let body = answer.json();
    let version = body["version"].as_u64().unwrap_or_else(|| panic!("no version: {body}"));
    let value = body["result"]["value"].as_i64().unwrap_or_else(|| panic!("no value: {body}"));
    assert_eq!(answer.version(), version, "header and body disagree: {body}");
    Acknowledged { object, key, version, value }
}

pub(crate) async fn retry(node: &Node, path: &str, key: &str) -> Answer {
    node.request("POST", &format!("{path}/methods/increment"), &[("Idempotency-Key", key)], b"")
        .await
        .expect(200)
}

/// Version and value of a counter; both 0 where it was never written.
pub(crate) async fn read(node: &Node, path: &str) -> (u64, i64) {
    let answer = node.get(path).await;
    if answer.status == 404 {
        return (0, 0);
    }
    let body = answer.expect(200).json();
    let version = body["version"].as_u64().expect("a version");
    (version, body["state"]["value"].as_i64().unwrap_or_else(|| panic!("no value: {body}")))
}

/// The last updates: no version missing, none twice, and the last one is the state.
pub(crate) async fn audit_history(node: &Node, path: &str, version: u64) {
    let since = version.saturating_sub(256);
    let page = node.get(&format!("{path}/updates?since={since}&limit=1000")).await.expect(200).json();
    let updates = page["updates"].as_array().expect("updates are a list");
    let versions: Vec<u64> = updates.iter().filter_map(|update| update["version"].as_u64()).collect();
    let first = version + 1 - versions.len() as u64;
    assert_eq!(versions, (first..=version).collect::<Vec<_>>(), "{path}: history has gaps");
    assert_eq!(page["complete"], first == since + 1, "{path}: {first} {since}");
    assert!(versions.len() as u64 >= version.min(200), "{path}: history is short: {}", versions.len());
    for update in updates {
        assert_eq!(update["changes"]["value"], update["version"], "{path}: {update}");
        assert_eq!(update["method"], Value::from("increment"), "{path}");
    }
}
