//! `stead status`: how the cluster is, and what is wrong with it.

use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Client, WriteHeaders};
use super::failure::{Failure, Kind};
use super::output::{Output, pairs, plain};

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
        parts.push(super::shard::rows(Some(shards)));
    }
    let problems = problems(answer);
    if !problems.is_empty() {
        parts.push(problems.join("\n"));
    }
    parts.join("\n\n")
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
