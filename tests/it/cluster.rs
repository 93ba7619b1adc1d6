//! Three real nodes: any takes any request, and losing one loses nothing.

use serde_json::{Value, json};

use crate::harness::{Connection, Frame, Members, eventually, seed, within};
use crate::workload::Workload;

/// Writers and counters of a workload.
const WRITERS: usize = 8;
const OBJECTS: usize = 24;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_node_answers_for_every_object() {
    let members = Members::three().await;
    for number in 1..=12 {
        let path = format!("/v1/objects/counter/c{number:02}/methods/increment");
        for node in 1..=3 {
            let answer = members.get(node).post(&path, &json!({})).await.expect(200);
            assert_eq!(answer.json()["version"], node);
        }
    }
    for node in 1..=3 {
        let members = members.get(node);
        let page = members.get("/v1/objects/counter?limit=5").await.expect(200).json();
        let names: Vec<&str> = names(&page);
        assert_eq!(names, ["c01", "c02", "c03", "c04", "c05"]);
        let cursor = page["cursor"].as_str().expect("there is more");
        let rest =
            members.get(&format!("/v1/objects/counter?limit=100&cursor={cursor}")).await.expect(200).json();
        assert_eq!((names_count(&rest), &rest["cursor"]), (7, &Value::Null));
    }
    // What a class refuses, and what is not there, is the same from everywhere.
    for node in 1..=3 {
        let node = members.get(node);
        node.post("/v1/objects/counter/c01/methods/increment", &json!({"by": 0.5}))
            .await
            .expect_problem(422, "invalid_parameters");
        node.get("/v1/objects/counter/none").await.expect_problem(404, "object_not_found");
        let mismatch = [("If-Match", "\"99\"")];
        node.request("POST", "/v1/objects/counter/c01/methods/increment", &mismatch, b"")
            .await
            .expect_problem(412, "version_mismatch");
    }
}

fn names(page: &Value) -> Vec<&str> {
    let objects = page["objects"].as_array().expect("a list");
    objects.iter().filter_map(|object| object["name"].as_str()).collect()
}

fn names_count(page: &Value) -> usize {
    names(page).len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_node_loses_nothing_and_its_shards_go_on() {
    let mut members = Members::three().await;
    let mut workload = Workload::new("killed", WRITERS, OBJECTS, seed("a_killed_node"));
    for round in 0..3 {
        let victim = 1 + (round + 1) % 3;
        let others: Vec<usize> = (1..=3).filter(|number| *number != victim).collect();
        let running = workload.start_through(&members.addresses(&others));
        running.in_full_swing().await;
        members.get_mut(victim).kill9();
        // Every shard is led by one of the others, so every object can be written.
        for object in 0..OBJECTS {
            let path = format!("/v1/objects/counter/probe-{object}/methods/increment");
            // Under a key: one that was sent just before the kill may have had its effect, and is sent again.
            let key = format!("probe-{round}");
            let key = [("Idempotency-Key", &*key)];
            within("a write", members.get(others[0]).request("POST", &path, &key, b"")).await.expect(200);
        }
        workload = running.stop().await;
        members.get_mut(victim).start_again();
        for number in 1..=3 {
            let losses = workload.losses(members.get(number)).await;
            assert!(losses.is_empty(), "round {round}, through node {number}: {losses:#?}");
        }
    }
    workload.audit(members.get(1)).await;
    members.settled(3).await;
    members.well(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_of_another_node_outlives_the_leader_and_misses_nothing() {
    let mut members = Members::three().await;
    let object = "counter/watched";
    let call = format!("/v1/objects/{object}/methods/increment");
    members.get(1).post(&call, &json!({})).await.expect(200);
    let leader = members.leader_of(1, object).await;
    let gateway = (1..=3).find(|number| *number != leader).expect("there are others");
    let mut socket = members.get(gateway).socket(&format!("/v1/objects/{object}/live")).await;
    let init = next(&mut socket).await;
    assert_eq!((init["type"].as_str(), init["version"].as_u64()), (Some("init"), Some(1)));
    for _ in 0..5 {
        members.get(gateway).post(&call, &json!({})).await.expect(200);
    }
    members.get_mut(leader).kill9();
    for number in 0..5 {
        let key = format!("after-{number}");
        let keyed = [("Idempotency-Key", &*key)];
        members.get(gateway).request("POST", &call, &keyed, b"").await.expect(200);
    }
    members.get_mut(leader).start_again();
    members.settled(3).await;
    for _ in 0..5 {
        members.get(leader).post(&call, &json!({})).await.expect(200);
    }
    for version in 2..=16 {
        let update = next(&mut socket).await;
        assert_eq!(update["type"], "update", "{update}");
        assert_eq!(update["version"], version, "{update}");
        assert_eq!(update["changes"]["value"], version, "{update}");
    }
}

async fn next(socket: &mut crate::harness::Socket) -> Value {
    loop {
        match within("a frame", socket.next()).await {
            Frame::Text(text) => return serde_json::from_str(&text).expect("a frame is JSON"),
            Frame::Ping => {}
            end => panic!("the socket ended: {end:?}"),
        }
    }
}

/// Sends increments without a key, one after the other, until told to stop; every one must succeed.
async fn write_without_a_failure(
    address: std::net::SocketAddr,
    name: String,
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
) -> u64 {
    let mut connection = Connection::open(address).await.expect("the node accepts");
    let path = format!("/v1/objects/counter/{name}/methods/increment");
    let mut count = 0;
    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
        let answer = connection.request("POST", &path, &[], b"").await.expect("the node answers");
        assert_eq!(answer.status, 200, "{}", answer.text());
        count += 1;
        assert_eq!(answer.version(), count, "an increment was applied twice, or lost");
    }
    count
}

/// Runs writers without keys through some nodes while something is done to others.
async fn without_a_failure(members: &mut Members, through: &[usize], act: impl AsyncFnOnce(&mut Members)) {
    let stop = std::sync::Arc::default();
    let mut writers = tokio::task::JoinSet::new();
    for (number, address) in members.addresses(through).into_iter().cycle().take(16).enumerate() {
        let name = format!("steady-{}-{number}", rand::random::<u32>());
        writers.spawn(write_without_a_failure(address, name, std::sync::Arc::clone(&stop)));
    }
    act(members).await;
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut counts = Vec::new();
    while let Some(count) = writers.join_next().await {
        counts.push(count.expect("no request failed"));
    }
    assert!(counts.iter().all(|count| *count > 0), "somebody was never served: {counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_fails_no_request() {
    let mut members = Members::three().await;
    for restarted in [2, 3] {
        without_a_failure(&mut members, &[1], async |members| {
            assert!(members.get_mut(restarted).term().success(), "it drains and ends well");
            members.get_mut(restarted).start_again();
            members.settled(3).await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_and_a_removal_fail_no_request() {
    let mut members = Members::three().await;
    without_a_failure(&mut members, &[1, 2, 3], async |members| {
        let node = members.get(1);
        begin(node, "POST", "/v1/nodes/2/drain").await;
        let led = |shards: &[Value]| shards.iter().filter(|shard| shard["leader"] == 2).count();
        assert_eq!(led(&members.shards(3).await), 0, "a drained node leads nothing");
        begin(node, "POST", "/v1/nodes/2/undrain").await;
        members.settled(3).await;
    })
    .await;
    let refused = members.get(1).delete("/v1/nodes/3").await.expect_problem(409, "conflict");
    assert!(refused.text().contains("2 replicas instead of 3"), "{}", refused.text());
    without_a_failure(&mut members, &[1, 2], async |members| {
        begin(members.get(1), "DELETE", "/v1/nodes/3?allow_fewer=true").await;
        for shard in members.shards(2).await {
            let replicas = shard["replicas"].as_array().expect("a list");
            assert!(replicas.iter().all(|replica| replica["node"] != 3), "{shard}");
        }
    })
    .await;
    let nodes = members.get(2).get("/v1/nodes").await.expect(200).json();
    assert_eq!(nodes["nodes"][2]["state"], "removed");
}

/// Many commits of one object are on their way when its leader hands over; those behind the first are refused at once,
/// before it has its verdict.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_hot_object_goes_on_while_its_leader_is_drained() {
    let members = Members::three().await;
    let object = "counter/hot";
    let path = format!("/v1/objects/{object}/methods/increment");
    members.get(1).post(&path, &json!({})).await.expect(200);
    let stop: std::sync::Arc<std::sync::atomic::AtomicBool> = std::sync::Arc::default();
    let mut writers = tokio::task::JoinSet::new();
    for address in members.addresses(&[1, 2, 3]).into_iter().cycle().take(64) {
        let (path, stop) = (path.clone(), std::sync::Arc::clone(&stop));
        writers.spawn(async move {
            let mut connection = Connection::open(address).await.expect("the node accepts");
            let mut count = 0_u64;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let answer = connection.request("POST", &path, &[], b"").await.expect("the node answers");
                assert_eq!(answer.status, 200, "{}", answer.text());
                count += 1;
            }
            count
        });
    }
    for _ in 0..3 {
        let leader = members.leader_of(1, object).await;
        begin(members.get(1), "POST", &format!("/v1/nodes/{leader}/drain")).await;
        begin(members.get(1), "POST", &format!("/v1/nodes/{leader}/undrain")).await;
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut count = 1;
    while let Some(written) = within("the writers to end", writers.join_next()).await {
        count += written.expect("no request failed");
    }
    let state = members.get(2).get(&format!("/v1/objects/{object}")).await.expect(200).json();
    assert_eq!((&state["version"], &state["state"]["value"]), (&json!(count), &json!(count)));
}

/// Begins an operation and waits until it is done.
async fn begin(node: &crate::harness::Node, verb: &str, path: &str) {
    let begun = node.request(verb, path, &[], b"").await.expect(202).json();
    let id = begun["operation"].as_u64().expect("a number");
    eventually(path, async || {
        let operation = node.get(&format!("/v1/operations/{id}")).await.expect(200).json();
        (operation["state"] == "done").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_killed_as_a_whole_comes_back_with_everything() {
    let mut members = Members::three().await;
    let workload = Workload::new("all", WRITERS, OBJECTS, seed("a_cluster_killed_as_a_whole"));
    let running = workload.start_through(&members.addresses(&[1, 2, 3]));
    running.in_full_swing().await;
    for number in 1..=3 {
        members.get_mut(number).kill9();
    }
    let workload = running.ended().await;
    for number in 1..=3 {
        members.get_mut(number).try_listen().expect("it starts");
    }
    members.settled(3).await;
    let workload = workload.settle(members.get(2).address()).await;
    workload.audit(members.get(3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_leader_that_wakes_answers_nothing_stale() {
    let members = Members::three().await;
    let object = "counter/paused";
    let (call, read) =
        (format!("/v1/objects/{object}/methods/increment"), format!("/v1/objects/{object}/state/value"));
    members.get(1).post(&call, &json!({})).await.expect(200);
    for round in 1..=3 {
        let leader = members.leader_of(1, object).await;
        let other = (1..=3).find(|number| *number != leader).expect("there are others");
        members.get(leader).pause();
        // Under a key: what was sent to the paused leader may take effect when it wakes, and so is sent again.
        let key = format!("round-{round}");
        let keyed = [("Idempotency-Key", &*key)];
        let written = members.get(other).request("POST", &call, &keyed, b"");
        let written = within("the others to take over", written).await;
        assert_eq!(written.expect(200).version(), round + 1);
        members.get(leader).resume();
        let answer = members.get(leader).get(&read).await.expect(200).json();
        assert_eq!(answer["value"], round + 1, "the woken leader answered what is no more");
        members.settled(3).await;
    }
}

/// The nodes whose replicas of a shard vote.
fn voters(shard: &Value) -> Vec<u64> {
    let replicas = shard["replicas"].as_array().expect("a list").iter();
    replicas
        .filter(|replica| replica["role"] == "voter")
        .filter_map(|replica| replica["node"].as_u64())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_are_spread_over_zones_and_those_of_a_dead_node_are_replaced() {
    let in_zone = |zone: &str| {
        vec![
            ("STEAD_ZONE".to_owned(), zone.to_owned()),
            ("STEAD_TIMING_REPLACE_AFTER_MS".to_owned(), "1500".to_owned()),
        ]
    };
    let mut members = Members::found_with(in_zone("a"));
    for zone in ["b", "c", "c"] {
        members.join_with(in_zone(zone)).await;
    }
    // One replica in each zone, and the two of the last share its work.
    eventually("replicas to be spread over the zones", async || {
        let shards = members.shards(1).await;
        let with = |nodes: [u64; 3]| shards.iter().filter(|shard| voters(shard) == nodes).count();
        (with([1, 2, 3]) == shards.len() / 2 && with([1, 2, 4]) == shards.len() / 2).then_some(())
    })
    .await;
    for object in 0..OBJECTS {
        let path = format!("/v1/objects/counter/zoned-{object}/methods/increment");
        members.get(4).post(&path, &json!({})).await.expect(200);
    }
    members.get_mut(4).kill9();
    eventually("the other node of its zone to take its replicas", async || {
        let shards = members.shards(1).await;
        shards.iter().all(|shard| voters(shard) == [1, 2, 3]).then_some(())
    })
    .await;
    // What it had was copied from the others: with one of them gone, it is needed.
    members.get_mut(1).kill9();
    for object in 0..OBJECTS {
        let read = members.get(3).get(&format!("/v1/objects/counter/zoned-{object}")).await.expect(200);
        assert_eq!(read.version(), 1);
    }
}
