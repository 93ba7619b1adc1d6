//! `stead doctor`: look for what is wrong, and say what to do.
//!
//! Each check gives a [`Finding`]; nothing is changed. Against a server it asks over HTTP; with
//! `--offline` it looks at a data directory, also of a node that does not start.

mod offline;
mod online;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::client::Client;
use super::failure::{Failure, Kind};
use super::output::Output;

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

#[cfg(test)]
mod tests {
    use super::{Finding, show};

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
