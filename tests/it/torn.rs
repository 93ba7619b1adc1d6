//! Damage at the end of the log: what was never acknowledged may be torn and is dropped; what was
//! acknowledged is never dropped without a word.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use crate::flush::ForgetfulDisk;
use crate::harness::{Node, seed};
use crate::workload::Workload;

const ROUNDS: usize = 8;

/// Power goes while the log is being written: its last record is on disk in part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torn_last_record_is_survived() {
    let seed = seed("torn");
    let mut random = StdRng::seed_from_u64(seed);
    let (disk, mut node) = ForgetfulDisk::start(false);
    let mut workload = Workload::new("torn", 8, 4, seed);
    for round in 0..ROUNDS {
        let running = workload.start(node.address());
        tokio::time::sleep(Duration::from_millis(random.random_range(50..400))).await; // the moment of the cut
        disk.lose_power(&mut node, Some(&mut random));
        workload = running.ended().await;
        node.start_again();
        let losses = workload.losses(&node).await;
        assert!(losses.is_empty(), "round {round}, SEED={seed}: {losses:#?}");
    }
    workload.settle(node.address()).await.audit(&node).await;
}

/// Rubbish behind the last record, as a torn write of a larger block leaves it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rubbish_behind_the_log_is_survived() {
    let seed = seed("rubbish");
    let mut random = StdRng::seed_from_u64(seed);
    let mut node = Node::start();
    for expected in (0..4_u64).map(|round| round * 20) {
        for _ in 0..20 {
            node.post("/v1/objects/counter/rubbish/methods/increment", &json!({})).await.expect(200);
        }
        node.kill9();
        let rubbish: Vec<u8> = (0..random.random_range(1..5_000)).map(|_| random.random()).collect();
        let log = newest_log(&node.data());
        std::fs::OpenOptions::new()
            .append(true)
            .open(&log)
            .and_then(|mut file| file.write_all(&rubbish))
            .expect("a log can be appended to");
        node.start_again();
        assert_eq!(node.get("/v1/objects/counter/rubbish").await.version(), expected + 20);
    }
}

/// A flipped bit in the middle of what was acknowledged: either the node says so and does not serve,
/// or every acknowledged change is there. A quiet loss is neither.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_record_is_never_dropped_in_silence() {
    let mut node = Node::start();
    for _ in 0..200 {
        node.post("/v1/objects/counter/damaged/methods/increment", &json!({})).await.expect(200);
    }
    node.kill9();
    let log = newest_log(&node.data());
    let mut bytes = std::fs::read(&log).expect("a log can be read");
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("the log is not empty");
    bytes[end / 2] ^= 0x40;
    std::fs::write(&log, bytes).expect("a log can be written");
    if node.try_listen().is_err() {
        return;
    }
    let answer = node.get("/v1/objects/counter/damaged").await;
    if answer.status == 503 {
        assert!(answer.text().contains("damaged"), "it should say why: {}", answer.text());
        assert_eq!(node.get("/health").await.status, 503, "a node with a damaged shard calls itself healthy");
        return;
    }
    assert_eq!(answer.version(), 200, "acknowledged changes are gone and nobody said so: {}", answer.text());
}

/// The log of RocksDB that was written last.
fn newest_log(directory: &Path) -> PathBuf {
    let mut logs = Vec::new();
    gather(directory, &mut logs);
    logs.sort();
    logs.pop().expect("there is a log").1
}

fn gather(directory: &Path, logs: &mut Vec<(std::time::SystemTime, PathBuf)>) {
    for entry in std::fs::read_dir(directory).expect("the data is there").flatten() {
        let path = entry.path();
        if path.is_dir() {
            gather(&path, logs);
        } else if path.extension().is_some_and(|ending| ending == "log") {
            let modified =
                entry.metadata().and_then(|metadata| metadata.modified()).expect("files have times");
            logs.push((modified, path));
        }
    }
}
