//! `stead status`: how the cluster is, and what is wrong with it, on one screen.

use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Client, WriteHeaders};
use super::failure::{Failure, Kind};
use super::output::{Output, pairs, plain};

/// Shards shown one by one; of more only those that are not well, so that it stays one screen.
const SHARDS_SHOWN_MAX: usize = 24;
/// Entries a replica may be behind for its shard to count as well.
const LAG_WELL_ENTRIES: u64 = 1_000;

/// Shows the cluster, its nodes and its problems. Fails when it is degraded, so that scripts can ask.
pub(super) async fn run(client: &Client, output: &Output) -> Result<(), Failure> {
    let cluster = client.get("/v1/cluster").await?;
    let nodes = client.get("/v1/nodes").await?;
    let health = client.send(Method::GET, "/health", None, &WriteHeaders::default()).await?.body;
    let is_alone = cluster.get("nodes").and_then(Value::as_u64).is_none_or(|nodes| nodes <= 1);
    let mut answer = json!({
        "cluster": cluster,
        "nodes": nodes.get("nodes").cloned().unwrap_or_default(),
        "health": health,
    });
    // Of one node there is nothing to tell of the shards that the node's line does not.
    if !is_alone && let Some(fields) = answer.as_object_mut() {
        let shards = client.get("/v1/shards").await?;
        fields.insert("shards".to_owned(), shards.get("shards").cloned().unwrap_or_default());
    }
    output.show(&answer, show)?;
    verdict(&answer)
}

fn show(answer: &Value) -> String {
    let cluster = |field: &str| answer.pointer(&format!("/cluster/{field}")).map(plain).unwrap_or_default();
    let mut parts = vec![pairs([
        ("state", cluster("state")),
        ("cluster", cluster("id")),
        ("nodes", cluster("nodes")),
        ("shards", format!("{}, up to {} copies of each", cluster("shards"), cluster("replication_factor"))),
    ])];
    parts.push(super::node::rows(answer.get("nodes")));
    if let Some(shards) = answer.get("shards").filter(|shards| !shards.is_null()) {
        parts.extend(shard_rows(shards));
    }
    let notes = notes(answer);
    if !notes.is_empty() {
        parts.push(notes.join("\n"));
    }
    let problems = problems(answer);
    if !problems.is_empty() {
        parts.push(problems.join("\n"));
    }
    parts.join("\n\n")
}

/// The table of the shards, and how many are left out of it.
fn shard_rows(shards: &Value) -> Vec<String> {
    let all: Vec<&Value> = shards.as_array().into_iter().flatten().collect();
    if all.len() <= SHARDS_SHOWN_MAX {
        return vec![super::shard::rows(Some(shards))];
    }
    let voters = |shard: &Value| {
        let replicas = shard.get("replicas").and_then(Value::as_array).into_iter().flatten();
        replicas.filter(|replica| replica.get("role").and_then(Value::as_str) == Some("voter")).count()
    };
    let most = all.iter().map(|shard| voters(shard)).max().unwrap_or_default();
    let is_well = |shard: &&&Value| {
        let replicas = shard.get("replicas").and_then(Value::as_array).into_iter().flatten();
        let lag = replicas.filter_map(|replica| replica.get("lag")?.as_u64()).max().unwrap_or_default();
        let is_led = shard.get("leader").is_some_and(Value::is_u64);
        is_led && voters(shard) == most && lag <= LAG_WELL_ENTRIES
    };
    let unwell: Vec<Value> =
        all.iter().filter(|shard| !is_well(shard)).map(|shard| (*shard).clone()).collect();
    let well = all.len() - unwell.len();
    let mut parts = Vec::new();
    if !unwell.is_empty() {
        let shown = unwell.iter().take(SHARDS_SHOWN_MAX).cloned().collect();
        parts.push(super::shard::rows(Some(&Value::Array(shown))));
    }
    let hidden = unwell.len().saturating_sub(SHARDS_SHOWN_MAX);
    let unshown = if hidden > 0 { format!("{hidden} more are not well; ") } else { String::new() };
    parts.push(format!("{unshown}{well} shards are well; `stead shard list` shows all"));
    parts
}

/// What is as somebody wished it, and easily forgotten.
fn notes(answer: &Value) -> Vec<String> {
    let nodes = answer.get("nodes").and_then(Value::as_array).into_iter().flatten();
    let draining = nodes.filter(|node| node.get("state").and_then(Value::as_str) == Some("draining"));
    let note = |node: &Value| {
        let text = |field: &str| node.get(field).map(plain).unwrap_or_default();
        let (id, leaders) = (text("id"), text("leaders"));
        let leads =
            if leaders == "0" { "it leads nothing".to_owned() } else { format!("it still leads {leaders}") };
        format!("note: node {id} is draining, {leads}; `stead node undrain {id}` lets it lead again")
    };
    draining.map(note).collect()
}

/// What is wrong, each with what to do.
pub(super) fn problems(answer: &Value) -> Vec<String> {
    let listed = answer.pointer("/cluster/problems").and_then(Value::as_array).into_iter().flatten();
    let mut said: Vec<_> = listed
        .map(|problem| {
            let text = |field: &str| problem.get(field).map(plain).unwrap_or_default();
            format!("problem: {} ({})\n  to do: {}", text("detail"), text("code"), text("what_to_do"))
        })
        .collect();
    let checks = answer.pointer("/health/checks").and_then(Value::as_object).into_iter().flatten();
    for (name, check) in checks {
        if check.get("status").and_then(Value::as_str) != Some("ok") {
            let detail = check.get("detail").or_else(|| check.get("error")).map(plain).unwrap_or_default();
            said.push(
                format!("problem: the node asked fails its check of {name} {detail}").trim_end().to_owned(),
            );
        }
    }
    said
}

fn verdict(answer: &Value) -> Result<(), Failure> {
    let state = answer.pointer("/cluster/state").and_then(Value::as_str).unwrap_or("unknown");
    match state {
        "ok" if problems(answer).is_empty() => Ok(()),
        "unavailable" => Err(Failure::unavailable("the cluster is unavailable")),
        _ => Err(Failure::new(Kind::Failed, "the cluster is not well; `stead doctor` looks closer")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{show, verdict};

    fn answer(state: &str, problems: Value, storage: &str) -> Value {
        json!({
            "cluster": {"id": "c1", "nodes": 1, "shards": 12, "replication_factor": 3, "state": state, "problems": problems},
            "nodes": [{
                "id": 1, "address": "127.0.0.1:8080", "peer_address": "127.0.0.1:9080", "zone": null, "state": "up",
                "reachable": true, "version": "0.1.0", "started_at": "2026-11-21T10:00:00.000Z", "leaders": 12, "replicas": 12,
            }],
            "health": {"status": "healthy", "checks": {"storage": {"status": storage}, "disk": {"status": "ok"}}},
        })
    }

    #[test]
    fn a_healthy_cluster_is_shown() {
        let answer = answer("ok", json!([]), "ok");
        expect_test::expect![[r"
            state    ok
            cluster  c1
            nodes    1
            shards   12, up to 3 copies of each

            NODE  ADDRESS         ZONE  STATE  REACHABLE  LEADERS  REPLICAS  VERSION  STARTED
            1     127.0.0.1:8080        up     yes        12       12        0.1.0    2026-11-21T10:00:00.000Z"]]
        .assert_eq(&show(&answer));
        assert!(verdict(&answer).is_ok());
    }

    #[test]
    fn one_of_three_is_dead_and_one_drains() {
        let node = |id: u64, state: &str, is_reachable: bool, leaders: u64| {
            json!({"id": id, "address": format!("10.0.0.{id}:8080"), "zone": null, "state": state, "reachable": is_reachable,
                "leaders": leaders, "replicas": 2, "version": "0.1.0", "started_at": "2026-11-21T10:00:00.000Z"})
        };
        let shard = |id: u64| {
            let replica = |node: u64, lag: u64| json!({"node": node, "role": "voter", "lag": lag});
            json!({"id": id, "leader": 1, "term": 4, "applied_index": 90, "replicas": [replica(1, 0), replica(2, 0), replica(3, 12)]})
        };
        let problem = json!([{"code": "node_unreachable", "detail": "node 3 at 10.0.0.3:9080 cannot be reached",
            "what_to_do": "start it again or mend its network; if it is gone for good, `stead node remove 3`"}]);
        let mut answer = answer("degraded", problem, "ok");
        answer["cluster"]["nodes"] = json!(3);
        answer["nodes"] =
            json!([node(1, "up", true, 2), node(2, "draining", true, 0), node(3, "up", false, 0)]);
        answer["shards"] = json!([shard(0), shard(1)]);
        expect_test::expect![[r"
            state    degraded
            cluster  c1
            nodes    3
            shards   12, up to 3 copies of each

            NODE  ADDRESS        ZONE  STATE     REACHABLE  LEADERS  REPLICAS  VERSION  STARTED
            1     10.0.0.1:8080        up        yes        2        2         0.1.0    2026-11-21T10:00:00.000Z
            2     10.0.0.2:8080        draining  yes        0        2         0.1.0    2026-11-21T10:00:00.000Z
            3     10.0.0.3:8080        up        no         0        2         0.1.0    2026-11-21T10:00:00.000Z

            SHARD  LEADER  REPLICAS  TERM  APPLIED  LAG
            0      1       1 2 3     4     90       12
            1      1       1 2 3     4     90       12

            note: node 2 is draining, it leads nothing; `stead node undrain 2` lets it lead again

            problem: node 3 at 10.0.0.3:9080 cannot be reached (node_unreachable)
              to do: start it again or mend its network; if it is gone for good, `stead node remove 3`"]]
        .assert_eq(&show(&answer));
    }

    #[test]
    fn many_shards_are_one_screen() {
        let shard = |id: u64| {
            let leader = if id == 7 { json!(null) } else { json!(1) };
            let replicas = [json!({"node": 1, "role": "voter", "lag": if id == 9 { 5_000 } else { 3 }})];
            json!({"id": id, "leader": leader, "term": 4, "applied_index": 90, "replicas": replicas})
        };
        let mut answer = answer("degraded", json!([]), "ok");
        answer["shards"] = (0..100).map(shard).collect();
        let shown = show(&answer);
        let (_, shards) = shown.split_once("SHARD").unwrap_or_default();
        expect_test::expect![[r"
              LEADER  REPLICAS  TERM  APPLIED  LAG
            7              1         4     90       3
            9      1       1         4     90       5000

            98 shards are well; `stead shard list` shows all"]]
        .assert_eq(shards);
    }

    #[test]
    fn problems_come_with_what_to_do() {
        let problem =
            json!([{"code": "disk_full", "detail": "the disk of node 1 is full", "what_to_do": "make room"}]);
        let answer = answer("degraded", problem, "failed");
        let shown = show(&answer);
        assert!(
            shown.contains("problem: the disk of node 1 is full (disk_full)\n  to do: make room"),
            "{shown}"
        );
        assert!(shown.ends_with("problem: the node asked fails its check of storage"), "{shown}");
        assert!(verdict(&answer).is_err());
    }
}
