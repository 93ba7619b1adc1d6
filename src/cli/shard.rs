//! `stead shard`: where the shards are, and moving them.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Client, WriteHeaders};
use super::failure::Failure;
use super::operation;
use super::output::{Output, pairs, plain, table};

/// The shards of the cluster
#[derive(Debug, Subcommand)]
pub(super) enum Shard {
    /// List the shards, with who leads and holds them
    List,
    /// Show one shard
    Describe {
        /// The shard's number
        shard: u16,
    },
    Move(Move),
    Transfer(Transfer),
    Rebalance(Rebalance),
}

/// Move a shard's replica from one node to another
///
///   stead shard move 3 --from 1 --to 4
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Move {
    /// The shard's number
    shard: u16,
    /// The node that has the replica
    #[arg(long, value_name = "NODE")]
    from: u64,
    /// The node that is to have it
    #[arg(long, value_name = "NODE")]
    to: u64,
    #[command(flatten)]
    wait: operation::Wait,
}

/// Have a shard led by one of its replicas
///
///   stead shard transfer 3 --to 2
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Transfer {
    /// The shard's number
    shard: u16,
    /// The node that is to lead
    #[arg(long, value_name = "NODE")]
    to: u64,
    #[command(flatten)]
    wait: operation::Wait,
}

/// Spread replicas and leaders evenly over the nodes
///
///   stead shard rebalance --dry-run
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Rebalance {
    /// Only say what would be moved
    #[arg(long)]
    dry_run: bool,
}

impl Shard {
    pub(super) async fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        match self {
            Self::List => {
                let answer = client.get("/v1/shards").await?;
                output.show(&answer, |answer| rows(answer.get("shards")))
            }
            Self::Describe { shard } => {
                let answer = client.get(&format!("/v1/shards/{shard}")).await?;
                output.show(&answer, describe)
            }
            Self::Move(Move { shard, from, to, wait }) => {
                let body = json!({ "from": from, "to": to });
                let path = format!("/v1/shards/{shard}/move");
                operation::run(client, output, Method::POST, &path, Some(&body), &wait).await
            }
            Self::Transfer(Transfer { shard, to, wait }) => {
                let (body, path) = (json!({ "to": to }), format!("/v1/shards/{shard}/transfer"));
                operation::run(client, output, Method::POST, &path, Some(&body), &wait).await
            }
            Self::Rebalance(Rebalance { dry_run }) => {
                let body = json!({ "dry_run": dry_run });
                let path = "/v1/shards/rebalance";
                let answer =
                    client.succeed(Method::POST, path, Some(&body), &WriteHeaders::default()).await?;
                output.show(&answer, |answer| moves(answer, dry_run))
            }
        }
    }
}

fn text(value: &Value, field: &str) -> String {
    value.get(field).map(plain).unwrap_or_default()
}

fn replicas(shard: &Value) -> impl Iterator<Item = &Value> {
    shard.get("replicas").and_then(Value::as_array).into_iter().flatten()
}

/// The table of the shards.
pub(super) fn rows(shards: Option<&Value>) -> String {
    let shards = shards.and_then(Value::as_array).into_iter().flatten();
    let row = |shard: &Value| {
        let held = replicas(shard).map(|replica| match text(replica, "role").as_str() {
            "voter" => text(replica, "node"),
            role => format!("{} ({role})", text(replica, "node")),
        });
        let lag = replicas(shard).filter_map(|replica| replica.get("lag")?.as_u64()).max();
        [
            text(shard, "id"),
            text(shard, "leader"),
            held.collect::<Vec<_>>().join(" "),
            text(shard, "term"),
            text(shard, "applied_index"),
            lag.map(|lag| lag.to_string()).unwrap_or_default(),
        ]
    };
    table(["shard", "leader", "replicas", "term", "applied", "lag"], shards.map(row))
}

fn describe(shard: &Value) -> String {
    let slots = shard.get("slots").and_then(Value::as_array).into_iter().flatten();
    let slots: Vec<String> = slots.map(plain).collect();
    let head = pairs([
        ("shard", text(shard, "id")),
        ("slots", slots.join(" to ")),
        ("leader", text(shard, "leader")),
        ("term", text(shard, "term")),
        ("committed", text(shard, "commit_index")),
        ("applied", text(shard, "applied_index")),
    ]);
    let rows = replicas(shard).map(|replica| ["node", "role", "lag"].map(|field| text(replica, field)));
    format!("{head}\n\n{}", table(["node", "role", "lag"], rows))
}

fn moves(answer: &Value, is_dry_run: bool) -> String {
    let moves: Vec<&Value> = answer.get("moves").and_then(Value::as_array).into_iter().flatten().collect();
    if moves.is_empty() {
        return "the shards are spread evenly; nothing is to be moved".to_owned();
    }
    let rows = moves.iter().map(|moved| ["shard", "kind", "from", "to"].map(|field| text(moved, field)));
    let table = table(["shard", "what", "from", "to"], rows);
    if is_dry_run { format!("{table}\n\nnothing was moved (--dry-run)") } else { table }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{moves, rows};

    #[test]
    fn shards_are_shown_with_who_holds_them() {
        let shards = json!([{
            "id": 0, "slots": [0, 1365], "leader": 2, "term": 7, "commit_index": 9, "applied_index": 9,
            "replicas": [{"node": 1, "role": "voter", "lag": 0}, {"node": 2, "role": "voter", "lag": null},
                         {"node": 3, "role": "learner", "lag": 12}],
        }]);
        expect_test::expect![[r"
            SHARD  LEADER  REPLICAS         TERM  APPLIED  LAG
            0      2       1 2 3 (learner)  7     9        12"]]
        .assert_eq(&rows(Some(&shards)));
    }

    #[test]
    fn a_dry_run_says_that_it_was_one() {
        let answer = json!({"moves": [{"shard": 3, "kind": "replica", "from": 1, "to": 4}]});
        assert!(moves(&answer, true).ends_with("nothing was moved (--dry-run)"));
        assert!(moves(&json!({"moves": []}), false).contains("spread evenly"));
    }
}
