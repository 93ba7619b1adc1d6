//! Three nodes, and what can happen to the disk of one: it is slow, it is full, all that was on it is gone.

use serde_json::json;

use crate::flush::preloaded;
use crate::harness::{Members, eventually, network, seed, within};
use crate::workload::Workload;

const WRITERS: usize = 9;
const OBJECTS: usize = 24;

/// Whether no shard is led by this node.
async fn leads_nothing(members: &Members, asked: usize, node: usize) -> bool {
    members
        .shards(asked)
        .await
        .iter()
        .all(|shard| shard["leader"].as_u64().is_some_and(|leader| leader != node as u64))
}

/// A write to every object through a node.
async fn write_all(members: &Members, through: usize, name: &str) {
    for object in 0..OBJECTS {
        let path = format!("/v1/objects/counter/{name}-{object}/methods/increment");
        // Under a key: one that was on its way when its leader stopped may have had its effect, and is sent again.
        let key = [("Idempotency-Key", name)];
        within("a write", members.get(through).request("POST", &path, &key, b"")).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_disk_delays_and_loses_nothing() {
    let home = tempfile::tempdir().expect("a directory");
    let (library, slow) = (home.path().join("slow.so"), home.path().join("slow"));
    preloaded("slow.c", &library);
    let mut members = Members::found();
    members.join().await;
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let slowed = [("LD_PRELOAD".to_owned(), text(&library)), ("SLOW_WHILE".to_owned(), text(&slow))];
    members.join_with(slowed.to_vec()).await;
    members.settled(3).await;
    let all = members.addresses(&[1, 2, 3]);
    let workload = Workload::new("slow", WRITERS, OBJECTS, seed("a_slow_disk"));
    let running = workload.start_through(&all).and_read_through(&all);
    std::fs::write(&slow, "").expect("it can be written");
    let fsyncs = async || members.get(3).metric("stead_log_fsyncs_total").await;
    let before = fsyncs().await;
    for round in 0..3 {
        write_all(&members, 1, &format!("round-{round}")).await;
    }
    eventually("the slow disk to flush, too", async || (fsyncs().await > before).then_some(())).await;
    std::fs::remove_file(&slow).expect("it is there");
    let workload = running.stop().await.settle(members.get(2).address()).await;
    workload.audit(members.get(3)).await;
    members.well(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_disk_is_full_leads_nothing_and_comes_back() {
    // In a namespace the test may mount a small disk.
    if !network::enter("disks::a_node_whose_disk_is_full_leads_nothing_and_comes_back") {
        return;
    }
    network::loopback();
    let disk = tempfile::tempdir().expect("a directory");
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=160m", "small"])
        .arg(disk.path())
        .status();
    assert!(mounted.is_ok_and(|status| status.success()), "a small disk can be mounted");
    let mut members = Members::found();
    members.join().await;
    let data = disk.path().join("data").to_string_lossy().into_owned();
    let few = ("STEAD_STORAGE_DISK_FREE_MIN_BYTES".to_owned(), "1048576".to_owned());
    members.join_with(vec![("STEAD_DATA".to_owned(), data), few]).await;
    members.settled(3).await;

    let workload = Workload::new("full", WRITERS, OBJECTS, seed("a_full_disk"));
    let running = workload.start_through(&members.addresses(&[1, 2]));
    let filler = disk.path().join("filler");
    fill(&filler);
    eventually("the others to lead everything", async || leads_nothing(&members, 1, 3).await.then_some(()))
        .await;
    write_all(&members, 2, "meanwhile").await;
    let health = members.get(3).get("/health").await.expect(503).json();
    assert_ne!(health["checks"]["storage"]["status"], "ok", "{health}");
    let cluster = members.get(1).get("/v1/cluster").await.expect(200).json();
    assert!(cluster["problems"].as_array().is_some_and(|all| !all.is_empty()), "{cluster}");

    members.get_mut(3).kill9();
    std::fs::remove_file(&filler).expect("it is there");
    members.get_mut(3).start_again();
    members.settled(3).await;
    let workload = running.stop().await.settle(members.get(3).address()).await;
    workload.audit(members.get(3)).await;
    members.well(2).await;
}

/// Writes until nothing fits any more.
fn fill(file: &std::path::Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(file).expect("there is room for a name");
    for block in [1 << 20, 1 << 12, 1] {
        while file.write(&vec![1; block]).is_ok_and(|written| written > 0) {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_lost_its_data_joins_anew_and_gets_everything() {
    let mut members = Members::three().await;
    let workload = Workload::new("lost", WRITERS, OBJECTS, seed("a_lost_directory"));
    let running = workload.start_through(&members.addresses(&[1, 2]));
    write_all(&members, 1, "before").await;
    members.get_mut(3).kill9();
    std::fs::remove_dir_all(members.get(3).data()).expect("the data is there");
    // It comes as a new node, for what it had promised as the old one it does not know any more.
    members.get_mut(3).start_again();
    let nodes = members.get(1).get("/v1/nodes").await.expect(200).json();
    assert_eq!(nodes["nodes"].as_array().map(Vec::len), Some(4), "{nodes}");
    write_all(&members, 3, "as-the-fourth").await;
    members.get(1).delete("/v1/nodes/3").await.expect(202);
    eventually("the fourth to take the place of the third", async || {
        let shards = members.shards(2).await;
        let nodes = |shard: &serde_json::Value| {
            let replicas = shard["replicas"].as_array().expect("a list").iter();
            replicas
                .filter(|replica| replica["role"] == "voter")
                .map(|replica| replica["node"].clone())
                .collect::<Vec<_>>()
        };
        shards.iter().all(|shard| nodes(shard) == [json!(1), json!(2), json!(4)]).then_some(())
    })
    .await;
    let workload = running.stop().await;
    // What the two others had is on the new one: with one of them gone it makes the majority.
    members.get_mut(1).kill9();
    let workload = workload.settle(members.get(2).address()).await;
    workload.audit(members.get(3)).await;
}
