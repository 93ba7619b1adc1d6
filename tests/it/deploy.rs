//! What `deploy/` has for Prometheus and Grafana stands on metrics that a node really shows.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::Members;

fn deploy(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn yaml(file: &str) -> Value {
    serde_saphyr::from_str(&deploy(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The values of a field, wherever it stands.
fn collect(value: &Value, field: &str, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, field, found)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == field => found.push(text.clone()),
                    _ => collect(value, field, found),
                }
            }
        }
        _ => {}
    }
}

/// The names of our metrics in expressions.
fn named(expressions: &[String]) -> BTreeSet<String> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = expressions.iter().flat_map(|text| text.split(|c| !is_of_name(c)));
    words.filter(|word| word.starts_with("stead_")).map(str::to_owned).collect()
}

/// The names that Prometheus gives to what `/metrics` shows.
fn shown(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').expect("a type stands behind a name");
        let endings: &[&str] = match kind {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        names.extend(endings.iter().map(|ending| format!("{name}{ending}")));
    }
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dashboard_and_alerts_name_metrics_that_a_node_shows() {
    let dashboard: Value =
        serde_json::from_str(&deploy("grafana/stead.json")).expect("the dashboard is JSON");
    let (mut of_dashboard, mut of_rules) = (Vec::new(), Vec::new());
    collect(&dashboard, "expr", &mut of_dashboard);
    collect(&dashboard["templating"], "query", &mut of_dashboard);
    collect(&yaml("prometheus/rules.yml"), "expr", &mut of_rules);
    assert!(of_dashboard.len() > 30 && of_rules.len() > 10, "the expressions were not found");
    let members = Members::three().await;
    let node = members.get(1);
    node.post("/v1/objects/counter/shown/methods/increment", &json!({})).await.expect(200);
    let refused = json!({"by": 0.5});
    for number in 0..12 {
        // Some of these are led here.
        let path = format!("/v1/objects/counter/refused-{number}/methods/increment");
        node.post(&path, &refused).await.expect_problem(422, "invalid_parameters");
    }
    let metrics = node.get("/metrics").await.expect(200);
    let shown = shown(&metrics.text());
    let used = named(&[of_dashboard, of_rules].concat());
    assert!(used.len() > 30, "{used:?}");
    let missing: Vec<&String> = used.difference(&shown).collect();
    assert!(missing.is_empty(), "no node shows {missing:?}");
    // What is told of shards and peers is told with values, and of the map too.
    let text = metrics.text();
    for line in [
        "stead_shard_elections_total{shard=\"map\"}",
        "stead_shard_transfers_total{shard=\"0\"}",
        "stead_shard_snapshot_sent_bytes_total{shard=\"0\"}",
        "stead_shard_commands_waiting{shard=\"0\"} 0",
        "stead_shard_entries_in_flight{shard=\"0\"} 0",
        "stead_shard_stopped{shard=\"11\"} 0",
        "stead_peer_connected{node=\"3\"} 1",
        "stead_peer_refused{node=\"3\"} 0",
        "stead_node_info{node=\"1\",version=\"",
    ] {
        assert!(text.lines().any(|have| have.starts_with(line)), "no `{line}` in\n{text}");
    }
    for (name, least) in [
        ("stead_disk_size_bytes", 1e6),
        ("stead_resident_memory_bytes", 1e6),
        ("stead_clock_milliseconds", 1.6e12),
    ] {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        assert!(value.is_some_and(|value| value > least), "{name} is {value:?}");
    }
    // Leadership was begun by somebody in each shard, and node 1 handed some of it over as the others came.
    let sum = |name: &str| -> f64 {
        let rows = text.lines().filter(|line| line.starts_with(name));
        rows.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    };
    assert!(sum("stead_shard_leaderships_total") >= 13.0, "{text}");
    assert!(sum("stead_shard_transfers_total") >= 1.0, "{text}");
}

#[test]
fn every_alert_says_what_happened_and_what_to_do() {
    let rules = yaml("prometheus/rules.yml");
    let alerts: Vec<&Value> = rules["groups"]
        .as_array()
        .expect("groups")
        .iter()
        .flat_map(|group| group["rules"].as_array().expect("rules"))
        .collect();
    assert!(alerts.len() > 10, "{}", alerts.len());
    for alert in alerts {
        for field in
            ["/alert", "/expr", "/labels/severity", "/annotations/summary", "/annotations/what_to_do"]
        {
            let said = alert.pointer(field).and_then(Value::as_str).unwrap_or_default();
            assert!(said.len() > 3, "{alert} has no {field}");
        }
    }
    let config = yaml("prometheus/prometheus.yml");
    assert_eq!(config["rule_files"], json!(["rules.yml"]));
    assert_eq!(config["scrape_configs"][0]["job_name"], "stead");
}
