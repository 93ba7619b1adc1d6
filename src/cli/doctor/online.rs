//! What can be asked of running servers: the one named, and every node of its cluster.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::Value;

use super::super::client::{Client, WriteHeaders};
use super::super::failure::Failure;
use super::nodes::Answer;
use super::{Finding, array, nodes, number, of_check, shards, text};
use crate::clock::Clock;

/// Above this a small request on the way to the server is slow, in milliseconds.
const SLOW_MS: u128 = 100;
/// How long each node of the cluster is waited for. One of them may well be dead.
const NODE_WITHIN: Duration = Duration::from_secs(5);
/// Problems of a cluster that are found here from what they rest on.
const JUDGED: [&str; 3] = ["node_unreachable", "shards_without_leader", "shards_under_replicated"];

/// Asks the server about itself and its cluster. That it answers at all is the first finding; without, the command
/// fails.
pub(super) async fn examine(client: &Client) -> Result<Vec<Finding>, Failure> {
    let asked = Instant::now();
    client.get("/livez").await?;
    let took_ms = asked.elapsed().as_millis();
    let mut findings = vec![if took_ms > SLOW_MS {
        Finding::doubtful(
            format!("{} answers, after {took_ms} ms", client.base()),
            "see whether the machine or the network is busy",
        )
    } else {
        Finding::good(format!("{} answers", client.base()))
    }];
    findings.push(ready(client).await?);
    let nodes = client.get("/v1/nodes").await?;
    let present = || array(&nodes, "nodes").filter(|node| text(node, "state") != "removed");
    if present().count() <= 1 {
        findings.extend(alone(client, present().next()).await?);
    } else {
        findings.extend(several(client, &nodes).await?);
    }
    Ok(findings)
}

async fn ready(client: &Client) -> Result<Finding, Failure> {
    let answer = client.send(Method::GET, "/ready", None, &WriteHeaders::default()).await?;
    if answer.status.is_success() {
        return Ok(Finding::good("the node serves requests"));
    }
    let why = answer
        .body
        .get("detail")
        .or_else(|| answer.body.get("reason"))
        .map_or_else(String::new, super::plain);
    Ok(Finding::bad(
        format!("the node does not serve requests: {why}").trim_end_matches([':', ' ']).to_owned(),
        "wait if it has just started or is ending; else see its log, and whether a majority of the nodes is up",
    ))
}

/// Of a cluster of one: each check, and what such a cluster is not.
async fn alone(client: &Client, node: Option<&Value>) -> Result<Vec<Finding>, Failure> {
    let answer = ask(client).await;
    let health = answer.health.as_ref().map_err(|why| Failure::unavailable(why.clone()))?;
    let checks = health.get("checks").and_then(Value::as_object).into_iter().flatten();
    let mut findings: Vec<Finding> = checks.map(|(name, check)| of_check("", name, check)).collect();
    findings.extend(program(health));
    let cluster = client.get("/v1/cluster").await?;
    let answers = BTreeMap::from([(node.and_then(|node| number(node, "id")).unwrap_or(1), answer)]);
    findings.extend(nodes::clocks(&answers));
    findings.extend(nodes::problems(&cluster, &BTreeMap::new(), &[]));
    if array(&cluster, "problems").next().is_none() {
        findings.push(Finding::good(format!("the cluster is {}", text(&cluster, "state"))));
    }
    findings.push(Finding::doubtful(
        "the cluster is a single node: what it holds is as safe as its one disk",
        "add nodes with `stead serve --join`, or keep copies of the data elsewhere",
    ));
    Ok(findings)
}

/// Of a cluster of several nodes: each of them, then what they are together.
async fn several(client: &Client, nodes: &Value) -> Result<Vec<Finding>, Failure> {
    let (cluster, shards) = (client.get("/v1/cluster").await?, client.get("/v1/shards").await?);
    let own = client.send(Method::GET, "/health", None, &WriteHeaders::default()).await?.body;
    let answers = ask_each(client, nodes).await;
    let mut findings = nodes::judge(nodes, &answers);
    findings.extend(program(&own));
    findings.extend(nodes::problems(&cluster, &answers, &JUDGED));
    findings.extend(shards::judge(&cluster, nodes, &shards));
    Ok(findings)
}

/// Asks all nodes at once.
async fn ask_each(client: &Client, nodes: &Value) -> BTreeMap<u64, Answer> {
    let present = array(nodes, "nodes").filter(|node| text(node, "state") != "removed");
    let asked = present.filter_map(|node| {
        let (id, address) = (number(node, "id")?, text(node, "address"));
        Some(async move {
            let within = client.timeout().min(NODE_WITHIN);
            let answer = match Client::new(&format!("http://{address}"), within) {
                Ok(node) => ask(&node).await,
                Err(failure) => silent(&failure),
            };
            (id, answer)
        })
    });
    join_all(asked).await.into_iter().collect()
}

async fn ask(node: &Client) -> Answer {
    let clock = Clock::default();
    let before = clock.now_ms();
    let health = node.probe("/health").await;
    let asked_ms = (before, clock.now_ms());
    match health {
        Ok(health) if health.body.is_object() => {
            // Problems that only this node sees; that it answers at all has been shown.
            let cluster = node.get("/v1/cluster").await.unwrap_or_default();
            let problems = array(&cluster, "problems").cloned().collect();
            Answer { health: Ok(health.body), problems, asked_ms }
        }
        Ok(health) => Answer { asked_ms, ..silent(&format!("it answered {} and no health", health.status)) },
        Err(why) => silent(&why),
    }
}

fn silent(why: &impl std::fmt::Display) -> Answer {
    Answer { health: Err(why.to_string()), problems: Vec::new(), asked_ms: (0, 0) }
}

/// Whether this program belongs to the server.
fn program(health: &Value) -> Option<Finding> {
    let version = health.get("version").and_then(Value::as_str)?;
    (version != env!("CARGO_PKG_VERSION")).then(|| {
        Finding::doubtful(
            format!("the server is version {version}, this program {}", env!("CARGO_PKG_VERSION")),
            "use the program that belongs to the server",
        )
    })
}
