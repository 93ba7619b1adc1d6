//! `stead node`: the nodes of the cluster, drained, let lead again, removed; and the secret they share.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;

use super::client::{Client, WriteHeaders};
use super::confirm::confirm;
use super::failure::{Failure, Kind};
use super::operation;
use super::output::{Output, plain, print, table};
use crate::server;

/// The nodes of the cluster
#[derive(Debug, Subcommand)]
pub(super) enum Node {
    /// List the nodes, with what they lead and hold
    List,
    Drain(Drain),
    Undrain(Undrain),
    Remove(Remove),
    Secret(Secret),
}

/// Move the leaders off a node and keep them off, so that it can be stopped or looked at
///
/// Its replicas stay, and it goes on serving as a gateway. `stead node undrain` takes it back.
///
///   stead node drain 2
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Drain {
    /// The node's number
    node: u64,
    #[command(flatten)]
    wait: operation::Wait,
}

/// Let a drained node lead again
///
///   stead node undrain 2
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Undrain {
    /// The node's number
    node: u64,
    #[command(flatten)]
    wait: operation::Wait,
}

/// Remove a node for good: its replicas go to others first
///
/// It asks. Where no spare node exists shards will have fewer replicas; that needs --allow-fewer.
///
///   stead node remove 2 --yes
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Remove {
    /// The node's number
    node: u64,
    /// Go on although shards will have fewer replicas than they should
    #[arg(long)]
    allow_fewer: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    wait: operation::Wait,
}

/// Show the secret that nodes need to join this one's cluster
///
///   stead node secret --data ./data
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Secret {
    /// The data directory of a node that made the secret
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
}

impl Node {
    pub(super) async fn run(
        self,
        client: impl FnOnce() -> Result<Client, Failure>,
        output: &Output,
    ) -> Result<(), Failure> {
        match self {
            Self::Secret(secret) => secret.run(),
            Self::List => list(&client()?, output).await,
            Self::Drain(drain) => {
                let path = format!("/v1/nodes/{}/drain", drain.node);
                operation::run(&client()?, output, Method::POST, &path, None, &drain.wait).await
            }
            Self::Undrain(undrain) => {
                let path = format!("/v1/nodes/{}/undrain", undrain.node);
                operation::run(&client()?, output, Method::POST, &path, None, &undrain.wait).await
            }
            Self::Remove(remove) => {
                let (node, fewer) = (remove.node, remove.allow_fewer);
                let client = client()?;
                confirm(
                    &format!("Remove node {node} from the cluster at {} for good?", client.base()),
                    remove.yes,
                )?;
                let path = format!("/v1/nodes/{node}?allow_fewer={fewer}");
                operation::run(&client, output, Method::DELETE, &path, None, &remove.wait).await
            }
        }
    }
}

impl Secret {
    fn run(self) -> Result<(), Failure> {
        let secret = server::join_secret_in(&self.data);
        print(&secret.map_err(|problem| Failure::new(Kind::NotFound, problem.to_string()))?)
    }
}

async fn list(client: &Client, output: &Output) -> Result<(), Failure> {
    let answer = client.succeed(Method::GET, "/v1/nodes", None, &WriteHeaders::default()).await?;
    output.show(&answer, |answer| rows(answer.get("nodes")))
}

/// The table of the nodes.
pub(super) fn rows(nodes: Option<&Value>) -> String {
    let nodes = nodes.and_then(Value::as_array).into_iter().flatten();
    let fields =
        ["id", "address", "zone", "state", "reachable", "leaders", "replicas", "version", "started_at"];
    table(
        ["node", "address", "zone", "state", "reachable", "leaders", "replicas", "version", "started"],
        nodes.map(|node| fields.map(|field| node.get(field).map(cell).unwrap_or_default())),
    )
}

/// A value in a table: yes and no instead of true and false.
fn cell(value: &Value) -> String {
    match value {
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => plain(other),
    }
}
