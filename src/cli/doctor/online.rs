//! What can be asked of a running server.

use std::time::Instant;

use reqwest::Method;
use serde_json::Value;

use super::super::client::{Client, WriteHeaders};
use super::super::failure::Failure;
use super::super::output::plain;
use super::Finding;

/// Above this a small request on the way to the server is slow, in milliseconds.
const SLOW_MS: u128 = 100;

/// Asks the server about itself. That it answers at all is the first finding; without, the command fails.
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
    findings.extend(health(client).await?);
    findings.extend(cluster(client).await?);
    Ok(findings)
}

async fn ready(client: &Client) -> Result<Finding, Failure> {
    let answer = client.send(Method::GET, "/ready", None, &WriteHeaders::default()).await?;
    if answer.status.is_success() {
        return Ok(Finding::good("the node serves requests"));
    }
    let why = answer.body.get("detail").or_else(|| answer.body.get("reason")).map_or_else(String::new, plain);
    Ok(Finding::bad(
        format!("the node does not serve requests {why}").trim_end().to_owned(),
        "wait if it has just started or is ending; else see its log, and whether a majority of the nodes is up",
    ))
}

async fn health(client: &Client) -> Result<Vec<Finding>, Failure> {
    let body = client.send(Method::GET, "/health", None, &WriteHeaders::default()).await?.body;
    let mut findings: Vec<_> = body
        .get("checks")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, check)| of_check(name, check))
        .collect();
    if let Some(version) = body.get("version").and_then(Value::as_str)
        && version != env!("CARGO_PKG_VERSION")
    {
        findings.push(Finding::doubtful(
            format!("the server is version {version}, this program {}", env!("CARGO_PKG_VERSION")),
            "use the program that belongs to the server",
        ));
    }
    Ok(findings)
}

fn of_check(name: &str, check: &Value) -> Finding {
    let detail = check.get("detail").or_else(|| check.get("error")).map(plain).unwrap_or_default();
    if check.get("status").and_then(Value::as_str) == Some("ok") {
        return Finding::good(format!("{name} is well"));
    }
    let to_do = match name {
        "storage" => {
            "see the node's log; stop it, check the disk with the system's means, and let it copy its data anew"
        }
        "consensus" => {
            "see that a majority of the nodes is up and that they reach each other on their peer ports"
        }
        "memory" => {
            "lower limits.active_objects or storage.block_cache_bytes, or give the machine more memory"
        }
        "disk" => "make room on the disk of the data directory, or move it to a larger one",
        _ => "see the node's log",
    };
    Finding::bad(format!("{name} is not well: {detail}").trim_end_matches([':', ' ']).to_owned(), to_do)
}

async fn cluster(client: &Client) -> Result<Vec<Finding>, Failure> {
    let cluster = client.get("/v1/cluster").await?;
    let text = |value: &Value, field: &str| value.get(field).map(plain).unwrap_or_default();
    let mut findings: Vec<_> = cluster
        .get("problems")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|problem| {
            Finding::bad(
                format!("{} ({})", text(problem, "detail"), text(problem, "code")),
                text(problem, "what_to_do"),
            )
        })
        .collect();
    if findings.is_empty() {
        findings.push(Finding::good(format!("the cluster is {}", text(&cluster, "state"))));
    }
    let nodes = cluster.get("nodes").and_then(Value::as_u64).unwrap_or_default();
    if nodes == 1 {
        findings.push(Finding::doubtful(
            "the cluster is a single node: what it holds is as safe as its one disk",
            "keep copies of the data directory, taken while the node is stopped",
        ));
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::show;
    use super::of_check;

    #[test]
    fn checks_come_with_what_to_do() {
        let findings = [
            of_check("storage", &json!({"status": "ok"})),
            of_check("disk", &json!({"status": "failed", "detail": "12 MiB are free"})),
            of_check("memory", &json!({"status": "failed"})),
        ];
        expect_test::expect![[r"
            ok    storage is well
            bad   disk is not well: 12 MiB are free
                  to do: make room on the disk of the data directory, or move it to a larger one
            bad   memory is not well
                  to do: lower limits.active_objects or storage.block_cache_bytes, or give the machine more memory"]]
        .assert_eq(&show(&findings));
    }
}
