//! `stead doctor`: look for what is wrong, and say what to do.
//!
//! Each check gives a [`Finding`]; nothing is changed. Against a server it asks over HTTP (`online`), every node of
//! the cluster, and judges what they answered (`nodes`, `shards`: pure); with `--offline` it looks at a data
//! directory, also of a node that does not start.

mod nodes;
mod offline;
mod online;
mod owner;
mod shards;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::client::Client;
use super::failure::{Failure, Kind};
use super::output::{Output, plain};

/// Look for what is wrong, and say what to do
///
/// It changes nothing.
///
///   stead doctor
///   stead doctor --offline /var/lib/stead     # of a node that does not start
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Doctor {
    /// Look at this data directory instead of a server
    #[arg(long, value_name = "DIR")]
    offline: Option<PathBuf>,
    /// Ask only whether the process answers (/livez), for the health check of a container
    #[arg(long, conflicts_with = "offline")]
    alive: bool,
}

/// What one check found.
#[derive(Debug)]
struct Finding {
    verdict: Verdict,
    what: String,
    to_do: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    Doubtful,
    Bad,
}

impl Finding {
    fn good(what: impl Into<String>) -> Self {
        Self { verdict: Verdict::Good, what: what.into(), to_do: None }
    }

    fn doubtful(what: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self { verdict: Verdict::Doubtful, what: what.into(), to_do: Some(to_do.into()) }
    }

    fn bad(what: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self { verdict: Verdict::Bad, what: what.into(), to_do: Some(to_do.into()) }
    }

    fn word(&self) -> &'static str {
        match self.verdict {
            Verdict::Good => "ok",
            Verdict::Doubtful => "look",
            Verdict::Bad => "bad",
        }
    }
}

impl Doctor {
    pub(super) async fn run(self, server: &str, timeout: Duration, output: &Output) -> Result<(), Failure> {
        if self.alive {
            let answer = Client::new(server, timeout)?.get("/livez").await?;
            return output.show(&answer, |_| "alive".to_owned());
        }
        let findings = match &self.offline {
            Some(directory) => offline::examine(directory)?,
            None => online::examine(&Client::new(server, timeout)?).await?,
        };
        let answer = json!({ "findings": findings.iter().map(to_json).collect::<Vec<_>>() });
        output.show(&answer, |_| show(&findings))?;
        match findings.iter().filter(|finding| finding.verdict == Verdict::Bad).count() {
            0 => Ok(()),
            1 => Err(Failure::new(Kind::Failed, "one thing is wrong")),
            wrong => Err(Failure::new(Kind::Failed, format!("{wrong} things are wrong"))),
        }
    }
}

fn to_json(finding: &Finding) -> Value {
    json!({ "verdict": finding.word(), "what": finding.what, "what_to_do": finding.to_do })
}

fn show(findings: &[Finding]) -> String {
    let mut lines = Vec::new();
    for finding in findings {
        lines.push(format!("{:<4}  {}", finding.word(), finding.what));
        if let Some(to_do) = &finding.to_do {
            lines.push(format!("      to do: {to_do}"));
        }
    }
    lines.join("\n")
}

/// What is to be said of one of the checks of `/health`.
fn of_check(whose: &str, name: &str, check: &Value) -> Finding {
    let detail = check.get("detail").or_else(|| check.get("error")).map(plain).unwrap_or_default();
    if check.get("status").and_then(Value::as_str) == Some("ok") {
        return Finding::good(format!("{whose}{name} is well"));
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
    let what = format!("{whose}{name} is not well: {detail}");
    Finding::bad(what.trim_end_matches([':', ' ']).to_owned(), to_do)
}

/// The list in a field; empty where there is none.
fn array<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}

fn number(value: &Value, field: &str) -> Option<u64> {
    value.get(field).and_then(Value::as_u64)
}

fn text(value: &Value, field: &str) -> String {
    value.get(field).map(plain).unwrap_or_default()
}

/// A number of bytes for people.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = UNITS.iter();
    let mut name = unit.next().unwrap_or(&"bytes");
    while value >= 1024.0 {
        let Some(next) = unit.next() else { break };
        value /= 1024.0;
        name = next;
    }
    if *name == "bytes" { format!("{bytes} bytes") } else { format!("{value:.1} {name}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Finding, of_check, show, size};

    #[test]
    fn sizes_are_for_people() {
        assert_eq!(size(1023), "1023 bytes");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(u64::MAX), "16777216.0 TiB");
    }

    #[test]
    fn checks_come_with_what_to_do() {
        let findings = [
            of_check("", "storage", &json!({"status": "ok"})),
            of_check("node 2: ", "disk", &json!({"status": "failed", "detail": "12 MiB are free"})),
            of_check("", "memory", &json!({"status": "failed"})),
        ];
        expect_test::expect![[r"
            ok    storage is well
            bad   node 2: disk is not well: 12 MiB are free
                  to do: make room on the disk of the data directory, or move it to a larger one
            bad   memory is not well
                  to do: lower limits.active_objects or storage.block_cache_bytes, or give the machine more memory"]]
        .assert_eq(&show(&findings));
    }

    #[test]
    fn findings_are_lines() {
        let findings = [
            Finding::good("the server answers within 1 ms"),
            Finding::doubtful("the disk is nearly full", "make room"),
            Finding::bad("the data directory belongs to somebody else", "start as that user"),
        ];
        expect_test::expect![[r"
            ok    the server answers within 1 ms
            look  the disk is nearly full
                  to do: make room
            bad   the data directory belongs to somebody else
                  to do: start as that user"]]
        .assert_eq(&show(&findings));
    }
}
