//! Logs and metrics: the request id in every line of a request, figures that count.

use serde_json::{Value, json};

use crate::harness::{Node, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_of_a_request_has_its_id() {
    let node = Node::configured("[log]\nformat = \"json\"\nfilter = \"debug\"\n");
    let headers = [("X-Request-Id", "find-me-1")];
    let path = "/v1/objects/counter/logged/methods/increment";
    node.request("POST", path, &headers, b"{}").await.expect(200);
    let line = eventually("a log line with the request's id", || async {
        node.log().lines().find(|line| line.contains("find-me-1")).map(str::to_owned)
    })
    .await;
    let line: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
    for line in node.log().lines().filter(|line| line.starts_with('{')) {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("not JSON ({error}): {line}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_count() {
    let node = Node::start();
    for _ in 0..7 {
        node.post("/v1/objects/counter/metered/methods/increment", &json!({})).await.expect(200);
    }
    node.get("/v1/objects/counter/none").await.expect(404);
    let answer = node.get("/metrics").await.expect(200);
    let text = answer.text();
    assert!(text.contains("# TYPE "), "{text}");
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let value = line.rsplit(' ').next().unwrap_or_default();
        assert!(value.parse::<f64>().is_ok(), "not a sample: {line}");
    }
    let commits: f64 = text
        .lines()
        .filter(|line| line.starts_with("stead_") && line.contains("commits_total"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum();
    assert!(commits >= 7.0, "7 increments are not counted as commits:\n{text}");
}
