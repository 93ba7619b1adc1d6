//! `stead dev`: a cluster of real processes on this machine, for trying things out.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use super::client::Client;
use super::failure::Failure;
use super::output::{note, print};
use crate::server;

/// The HTTP port of the first node; the others follow.
const PORT: u16 = 8080;
/// How much higher the port for other nodes is.
const PEER_PORT_ABOVE: u16 = 1_000;
/// Most nodes that are of use on one machine.
const NODES_MAX: u16 = 9;
/// How long a node may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long a node may take to end.
const END_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks at what is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Run a cluster of real processes on this machine
///
/// The nodes serve on ports 8080, 8081, … and are reached by one another a thousand ports higher. Ctrl-C stops
/// all of them; their data is kept for the next time. Kill one of them by its pid, and watch the others take over.
///
///   stead dev --nodes 3
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Dev {
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=i64::from(NODES_MAX)))]
    nodes: u16,
    /// Where their data and logs are kept
    #[arg(long, value_name = "DIR", default_value = "data/dev")]
    dir: PathBuf,
    /// The HTTP port of the first node
    #[arg(long, value_name = "PORT", default_value_t = PORT)]
    port: u16,
    /// Forget what was kept
    #[arg(long)]
    fresh: bool,
}

/// A node that runs.
struct Running {
    number: u16,
    child: Child,
    url: String,
    log: PathBuf,
}

impl Dev {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let highest = self.port.checked_add(self.nodes).and_then(|port| port.checked_add(PEER_PORT_ABOVE));
        if highest.is_none() {
            return Err(Failure::usage(format!(
                "--port {} leaves no room for the others: choose a lower one",
                self.port
            )));
        }
        if self.fresh {
            self.forget()?;
        }
        let listen = |kind| signal(kind).map_err(|problem| Failure::failed(problem.to_string()));
        let (mut interrupt, mut terminate) =
            (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        let mut nodes = Vec::new();
        let told = async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        let served = tokio::select! {
            served = self.serve(&mut nodes) => served,
            () = told => Ok(()),
        };
        note("stopping the nodes");
        for node in &mut nodes {
            end(node).await;
        }
        served
    }

    /// Starts the nodes and watches over them. Ends when one cannot start, or none is left.
    async fn serve(&self, nodes: &mut Vec<Running>) -> Result<(), Failure> {
        for number in 1..=self.nodes {
            nodes.push(self.start(number)?);
            let Some(node) = nodes.last_mut() else { continue };
            ready(node).await?;
            print(&format!(
                "node {number} at {}, pid {}, log {}",
                node.url,
                node.child.id().unwrap_or_default(),
                node.log.display()
            ))?;
        }
        let first = nodes.first().map(|node| node.url.clone()).unwrap_or_default();
        if !replicated(&first, self.nodes).await? {
            note("not every shard has all its replicas yet; `stead status` shows what is missing");
        }
        print(&format!(
            "\nThe cluster runs. Try, in another terminal:\n  stead --server {first} status\n  curl -X POST {first}/v1/objects/counter/visits/methods/increment\n\nCtrl-C stops it; its data is kept in {}.",
            self.dir.display()
        ))?;
        loop {
            for node in nodes.iter_mut() {
                if let Ok(Some(status)) = node.child.try_wait() {
                    note(&format!(
                        "node {} ended ({status}); its log is {}",
                        node.number,
                        node.log.display()
                    ));
                }
            }
            nodes.retain(|node| node.child.id().is_some());
            if nodes.is_empty() {
                return Err(Failure::failed("no node runs any more"));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn start(&self, number: u16) -> Result<Running, Failure> {
        let failed = |what: &str, problem: std::io::Error| Failure::failed(format!("{what}: {problem}"));
        let program =
            std::env::current_exe().map_err(|problem| failed("this program cannot be found", problem))?;
        let data = self.data(number);
        let log = self.dir.join(format!("node-{number}.log"));
        std::fs::create_dir_all(&data)
            .map_err(|problem| failed("the data directory cannot be made", problem))?;
        let output = File::create(&log).map_err(|problem| failed("the log cannot be made", problem))?;
        let port = self.port + number - 1;
        let mut command = Command::new(program);
        command.arg("serve").arg("--data").arg(&data);
        command.arg("--listen").arg(format!("127.0.0.1:{port}"));
        command.arg("--peer-listen").arg(format!("127.0.0.1:{}", port + PEER_PORT_ABOVE));
        let secret = self.data(1).join(server::JOIN_SECRET_FILE);
        if number > 1 {
            command.arg("--join").arg(format!("127.0.0.1:{}", self.port + PEER_PORT_ABOVE));
            command.arg("--join-secret-file").arg(secret);
        }
        // A Ctrl-C is for this program, which ends them in order.
        command.process_group(0).stdin(Stdio::null()).kill_on_drop(true);
        let errors = output.try_clone().map_err(|problem| failed("the log cannot be shared", problem))?;
        command.stdout(output).stderr(errors);
        let child = command.spawn().map_err(|problem| failed("a node cannot be started", problem))?;
        Ok(Running { number, child, url: format!("http://127.0.0.1:{port}"), log })
    }

    fn data(&self, number: u16) -> PathBuf {
        self.dir.join(format!("node-{number}"))
    }

    /// Removes the data of the nodes, and nothing else that may be there.
    fn forget(&self) -> Result<(), Failure> {
        for number in 1..=NODES_MAX {
            remove(&self.data(number))?;
        }
        Ok(())
    }
}

fn remove(directory: &Path) -> Result<(), Failure> {
    match std::fs::remove_dir_all(directory) {
        Err(problem) if problem.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::failed(format!("{} cannot be removed: {problem}", directory.display())))
        }
        _ => Ok(()),
    }
}

/// Waits until a node is ready.
async fn ready(node: &mut Running) -> Result<(), Failure> {
    let until = Instant::now() + READY_WITHIN;
    let http = crate::outgoing::plain().no_proxy().timeout(LOOK_EVERY * 20).build();
    let http = http.map_err(|problem| Failure::failed(problem.to_string()))?;
    loop {
        let asked = http.get(format!("{}/ready", node.url)).send().await;
        if asked.is_ok_and(|answer| answer.status().is_success()) {
            return Ok(());
        }
        let ended = node.child.try_wait().ok().flatten();
        if ended.is_some() || Instant::now() > until {
            let said = std::fs::read_to_string(&node.log).unwrap_or_default();
            let last: Vec<&str> = said.lines().rev().take(5).collect();
            let last: Vec<&str> = last.into_iter().rev().collect();
            return Err(Failure::failed(format!(
                "node {} did not become ready:\n{}",
                node.number,
                last.join("\n")
            )));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Waits until every shard is led and has as many replicas as these nodes can give it: before that, losing one of them
/// could stop some. False if it takes too long, for nodes of an earlier time may be missing.
async fn replicated(url: &str, nodes: u16) -> Result<bool, Failure> {
    let client = Client::new(url, READY_WITHIN)?;
    let factor = client.get("/v1/cluster").await?.get("replication_factor").and_then(Value::as_u64);
    let wanted = factor.unwrap_or_default().min(u64::from(nodes));
    let until = Instant::now() + READY_WITHIN;
    while !is_replicated(&client.get("/v1/shards").await?, wanted) {
        if Instant::now() > until {
            return Ok(false);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(true)
}

/// Whether each of these shards is led, has so many voters and is not about to have others.
fn is_replicated(shards: &Value, wanted: u64) -> bool {
    let is_whole = |shard: &Value| {
        let replicas = shard.get("replicas").and_then(Value::as_array).into_iter().flatten();
        let votes = |replica: &&Value| replica.get("role").is_some_and(|role| role == "voter");
        shard.get("leader").is_some_and(Value::is_u64)
            && shard.get("changing") == Some(&Value::Bool(false))
            && replicas.filter(votes).count() as u64 >= wanted
    };
    shards.get("shards").and_then(Value::as_array).is_some_and(|shards| shards.iter().all(is_whole))
}

/// Ends a node: it hands over, drains, and is gone.
async fn end(node: &mut Running) {
    let pid = node.child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // One that has ended meanwhile is ended.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    if tokio::time::timeout(END_WITHIN, node.child.wait()).await.is_err() {
        note(&format!("node {} does not end; it is killed", node.number));
        let _ = node.child.kill().await;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::is_replicated;

    #[test]
    fn a_shard_counts_once_it_can_lose_a_node() {
        let shards = |leader: Option<u64>, changing: bool, roles: &[&str]| {
            let replicas: Vec<_> = roles.iter().map(|role| json!({ "role": role })).collect();
            json!({ "shards": [{ "leader": leader, "changing": changing, "replicas": replicas }] })
        };
        assert!(is_replicated(&shards(Some(1), false, &["voter", "voter", "voter"]), 3));
        assert!(!is_replicated(&shards(None, false, &["voter", "voter", "voter"]), 3));
        assert!(!is_replicated(&shards(Some(1), true, &["voter", "voter", "voter"]), 3));
        assert!(!is_replicated(&shards(Some(1), false, &["voter", "voter", "learner"]), 3));
    }
}
