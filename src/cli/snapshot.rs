//! `stead snapshot`: backups of the whole cluster, saved by a server; looked at and restored without one.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::Client;
use super::failure::{Failure, Kind};
use super::operation;
use super::output::{Output, pairs, plain, table};
use crate::config::Config;
use crate::server::snapshot::{self, Contents};

/// Backups of the whole cluster
#[derive(Debug, Subcommand)]
pub(super) enum Snapshot {
    Save(Save),
    /// List the snapshots that the server keeps
    List,
    Inspect(Inspect),
    Restore(Restore),
}

/// Save the whole cluster into a file on the server, while it works
///
/// Everything acknowledged before is in it, and each shard is of one moment. The file lies in the directory that
/// `snapshots_dir` of the server's configuration names, or in `snapshots` of its data directory: copy it elsewhere.
///
///   stead snapshot save
///   stead snapshot save --name before-the-upgrade
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Save {
    /// What to call it [default: from the cluster's identity and the time]
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    wait: operation::Wait,
}

/// Check every checksum of a snapshot and show what is in it; no server is needed
///
///   stead snapshot inspect data/snapshots/before-the-upgrade.snapshot
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Inspect {
    /// The file
    file: PathBuf,
}

/// Make a new cluster of one node from a snapshot; no server is needed
///
/// The cluster has a new identity and a new join secret; other nodes join it as they join any. Alarms that were due
/// meanwhile ring when it starts.
///
///   stead snapshot restore before-the-upgrade.snapshot --data ./restored
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Restore {
    /// The file
    file: PathBuf,
    /// The new node's data directory: one that is empty, or is not there yet
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

impl Snapshot {
    pub(super) async fn run(
        self,
        client: impl FnOnce() -> Result<Client, Failure>,
        output: &Output,
    ) -> Result<(), Failure> {
        match self {
            Self::Save(Save { name, wait }) => {
                let body = name.map_or_else(|| json!({}), |name| json!({ "name": name }));
                let done = |operation: &Value| operation.get("detail").map(plain).unwrap_or_default();
                let (client, path) = (client()?, "/v1/snapshots");
                operation::run_to(&client, output, Method::POST, path, Some(&body), &wait, done).await
            }
            Self::List => {
                let answer = client()?.get("/v1/snapshots").await?;
                output.show(&answer, rows)
            }
            Self::Inspect(Inspect { file }) => inspect(&file, output),
            Self::Restore(Restore { file, data }) => restore(&file, &data, output).await,
        }
    }
}

fn rows(answer: &Value) -> String {
    let text = |value: &Value, field: &str| value.get(field).map(plain).unwrap_or_default();
    let snapshots: Vec<&Value> =
        answer.get("snapshots").and_then(Value::as_array).into_iter().flatten().collect();
    if snapshots.is_empty() {
        return format!("there are no snapshots in {}", text(answer, "directory"));
    }
    let row = |snapshot: &&Value| {
        let made_at = match snapshot.get("problem") {
            Some(problem) => plain(problem),
            None => text(snapshot, "made_at"),
        };
        [
            text(snapshot, "name"),
            made_at,
            text(snapshot, "bytes"),
            text(snapshot, "shards"),
            text(snapshot, "file"),
        ]
    };
    table(["name", "made", "bytes", "shards", "file"], snapshots.iter().map(row))
}

fn inspect(file: &Path, output: &Output) -> Result<(), Failure> {
    let contents = snapshot::inspect(file).map_err(|problem| {
        let kind = if file.exists() { Kind::Failed } else { Kind::NotFound };
        Failure::new(kind, format!("{}: {problem}", file.display()))
    })?;
    output.show(&as_json(&contents), shown)
}

fn as_json(contents: &Contents) -> Value {
    let shards = contents.shards.iter().enumerate().map(|(shard, end)| {
        json!({ "shard": shard, "rows": end.rows, "bytes": end.bytes, "term": end.term, "index": end.index })
    });
    json!({
        "cluster": contents.manifest.cluster,
        "made_at": moment(contents.manifest.made_at_ms),
        "version": contents.manifest.version,
        "replication_factor": contents.manifest.replication_factor,
        "bytes": contents.bytes,
        "sha256": contents.sha256,
        "shards": shards.collect::<Vec<_>>(),
    })
}

fn moment(ms: u64) -> String {
    let moment = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    moment.unwrap_or(jiff::Timestamp::MAX).to_string()
}

fn shown(contents: &Value) -> String {
    let text = |field: &str| contents.get(field).map(plain).unwrap_or_default();
    let shards: Vec<&Value> =
        contents.get("shards").and_then(Value::as_array).into_iter().flatten().collect();
    let fields = ["cluster", "made_at", "version", "replication_factor", "bytes", "sha256"];
    let head = fields.map(|field| (field, text(field)));
    let rows = shards.iter().map(|shard| {
        ["shard", "rows", "bytes", "term", "index"]
            .map(|field| shard.get(field).map(plain).unwrap_or_default())
    });
    let rows = table(["shard", "rows", "bytes", "term", "index"], rows);
    format!("{}\n\n{rows}\n\nevery checksum fits", pairs(head))
}

async fn restore(file: &Path, data: &Path, output: &Output) -> Result<(), Failure> {
    let restored =
        snapshot::restore(file, data).await.map_err(|problem| Failure::failed(problem.to_string()))?;
    let mut answer = as_json(&restored.contents);
    let shards = restored.contents.manifest.shards;
    let mut next = format!("stead serve --data {}", data.display());
    if shards != Config::default().shards {
        next = format!("{next} --shards {shards}");
    }
    let (cluster, from) = (restored.cluster.to_string(), restored.contents.manifest.cluster);
    if let Value::Object(fields) = &mut answer {
        fields.insert("restored_as".to_owned(), cluster.clone().into());
        fields.insert("next".to_owned(), next.clone().into());
    }
    let rows: u64 = restored.contents.shards.iter().map(|shard| shard.rows).sum();
    output.show(&answer, |_| {
        format!(
            "restored {rows} rows in {shards} shards of the cluster {from} as the new cluster {cluster}\n\n\
             start it:             {next}\n\
             show its secret:      stead node secret --data {}\n\
             then let others join: stead serve --join ADDRESS:PORT",
            data.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::{rows, shown};

    #[test]
    fn snapshots_are_listed_with_what_is_wrong() {
        let answer = json!({"directory": "/d", "snapshots": [
            {"name": "a", "file": "/d/a.snapshot", "bytes": 7, "made_at": "2026-11-25T12:36:32.000Z", "cluster": "c", "shards": 12},
            {"name": "b", "file": "/d/b.snapshot", "bytes": 0, "made_at": null, "cluster": null, "shards": null, "problem": "it is not a snapshot of a cluster"},
        ]});
        expect![[r"
            NAME  MADE                               BYTES  SHARDS  FILE
            a     2026-11-25T12:36:32.000Z           7      12      /d/a.snapshot
            b     it is not a snapshot of a cluster  0              /d/b.snapshot"]]
        .assert_eq(&rows(&answer));
        assert_eq!(rows(&json!({"directory": "/d", "snapshots": []})), "there are no snapshots in /d");
    }

    #[test]
    fn what_is_inside_is_shown_by_shard() {
        let contents = json!({
            "cluster": "3fa9", "made_at": "2026-11-25T12:36:32Z", "version": "0.1.0", "replication_factor": 3,
            "bytes": 4096, "sha256": "ab", "shards": [{"shard": 0, "rows": 5, "bytes": 99, "term": 2, "index": 7}],
        });
        expect![[r"
            cluster             3fa9
            made_at             2026-11-25T12:36:32Z
            version             0.1.0
            replication_factor  3
            bytes               4096
            sha256              ab

            SHARD  ROWS  BYTES  TERM  INDEX
            0      5     99     2     7

            every checksum fits"]]
        .assert_eq(&shown(&contents));
    }
}
