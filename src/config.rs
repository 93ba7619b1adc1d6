//! What an operator may decide: defaults < file < environment < flags.
//!
//! Every source is a TOML table; they are laid over each other key by key and read once into
//! [`Config`], whose fields and defaults are the documentation. [`KEYS`] names every key with its kind
//! and a sentence; the environment's variables, `--print-config` and the example file come from it,
//! and a test holds it equal to the struct. `[changeflow]` alone comes from a file only: it is a policy, whole tables
//! and lists, of the same form that `/v1/changes/policy` has. An unknown key of a file is refused, never ignored.
//! Nothing here reads the process's environment: [`Config::load`] is given it.

mod keys;
mod mcp_servers;
mod network;
mod validate;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::class::change_request::Policy;

pub use keys::{KEYS, Key, Kind};
pub use mcp_servers::McpServer;
pub use network::Network;

/// The variable of the environment that holds the secret which members share.
const JOIN_SECRET: &str = "STEAD_JOIN_SECRET";

/// The configuration of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The directory that holds everything the node keeps.
    pub data: PathBuf,
    /// The directory that snapshots of the cluster are saved to, if not `snapshots` in that of the data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshots_dir: Option<PathBuf>,
    /// Where clients are served.
    pub listen: SocketAddr,
    /// Where other nodes are served.
    pub peer_listen: SocketAddr,
    /// The host under which clients and nodes reach this one, when it is not that of the listeners.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertise: Option<String>,
    /// A member's peer address: the cluster to join.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join: Option<String>,
    /// The file with the secret that members of the cluster share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join_secret_file: Option<PathBuf>,
    /// The secret itself, from the environment's `STEAD_JOIN_SECRET` only: it is never shown.
    #[serde(skip)]
    pub join_secret: Option<Secret>,
    /// The file with this node's certificate for the links between nodes; with the next two, or none of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_certificate_file: Option<PathBuf>,
    /// The file with that certificate's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_key_file: Option<PathBuf>,
    /// The file with the certificates of the authority that signed every node's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_authority_file: Option<PathBuf>,
    /// The failure zone; the replicas of a shard are spread over zones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Shards of a cluster that is made now; fixed from then on.
    pub shards: u16,
    /// Copies of each shard, as far as there are nodes for them.
    pub replicas: u8,
    /// Allow listeners beyond loopback without authentication and TLS.
    pub insecure: bool,
    /// The address under which people reach the server, `https://host[:port]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
    /// Further values of `Host` that are this server's.
    pub allowed_hosts: Vec<String>,
    /// Origins whose pages may call this server.
    pub allowed_origins: Vec<String>,
    /// Networks whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub trusted_proxies: Vec<Network>,
    /// What is logged, and how.
    pub log: Log,
    /// Times, all in milliseconds.
    pub timing: Timing,
    /// Bounds of one node.
    pub limits: Limits,
    /// RocksDB and the disk.
    pub storage: Storage,
    /// Other MCP servers to route to, by name; of the file only.
    #[serde(rename = "mcpServers", skip_serializing_if = "BTreeMap::is_empty")]
    pub mcp_servers: BTreeMap<String, McpServer>,
    /// The policy of change management, as it begins; from then on the cluster keeps it. Of the file only.
    pub changeflow: Policy,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("data"),
            snapshots_dir: None,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            peer_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9080)),
            advertise: None,
            join: None,
            join_secret_file: None,
            join_secret: None,
            peer_certificate_file: None,
            peer_key_file: None,
            peer_authority_file: None,
            zone: None,
            shards: 12,
            replicas: 3,
            insecure: false,
            public_url: None,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            log: Log::default(),
            timing: Timing::default(),
            limits: Limits::default(),
            storage: Storage::default(),
            mcp_servers: BTreeMap::new(),
            changeflow: Policy::default(),
        }
    }
}

/// Text that is not to be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The form of a line.
    pub format: LogFormat,
    /// A level (`error`, `warn`, `info`, `debug`, `trace`), or directives like `info,stead=debug`. By
    /// default openraft speaks only of errors: it tells every step of every shard.
    pub filter: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info,openraft=error".to_owned() }
    }
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Times, all in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timing {
    /// Longest a request may take; `X-Request-Timeout` may shorten it.
    pub request_deadline_ms: u64,
    /// Longest until a request's headers have arrived.
    pub headers_timeout_ms: u64,
    /// Longest until a request's body has arrived.
    pub body_timeout_ms: u64,
    /// Idle time after which an object leaves memory.
    pub passivation_idle_ms: u64,
    /// Between the pings of a WebSocket; it is closed after two without an answer.
    pub ping_interval_ms: u64,
    /// Longest that SIGTERM waits for turns and sockets to end.
    pub drain_ms: u64,
    /// Between the heartbeats of a shard's leader.
    pub heartbeat_ms: u64,
    /// Shortest silence of a leader after which an election begins.
    pub election_min_ms: u64,
    /// Longest silence of a leader before an election begins; also the length of its lease, the time
    /// it may serve reads after a majority last heard from it.
    pub election_max_ms: u64,
    /// How long a node may be silent before its replicas are given to others.
    pub replace_after_ms: u64,
    /// Between two samples of what a node counts; they are kept for 90 days.
    pub metrics_sample_ms: u64,
    /// How long scheduling a change may take; a reservation of more than twice that age whose change is not scheduled
    /// by it is let go when its day looks full.
    pub reservation_settles_ms: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            request_deadline_ms: 10_000,
            headers_timeout_ms: 10_000,
            body_timeout_ms: 30_000,
            passivation_idle_ms: 60_000,
            ping_interval_ms: 30_000,
            drain_ms: 10_000,
            heartbeat_ms: 200,
            election_min_ms: 500,
            election_max_ms: 600,
            replace_after_ms: 300_000,
            metrics_sample_ms: 60_000,
            reservation_settles_ms: 10_000,
        }
    }
}

/// Bounds of one node; beyond each there is a clear error, never growth without end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Objects in memory; beyond it the one least recently used leaves.
    pub active_objects: usize,
    /// WebSockets and event streams open at once; beyond it 4529 or 429.
    pub sockets: usize,
    /// Subscriptions of all sockets on this node; beyond it 4529.
    pub subscriptions: usize,
    /// Requests being served or waiting at once; beyond it 429 `overloaded`.
    pub requests_waiting: usize,
    /// Connections open at once, sockets among them; beyond it the newest is closed.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            active_objects: 100_000,
            sockets: 50_000,
            subscriptions: 500_000,
            requests_waiting: 200_000,
            connections: 100_000,
        }
    }
}

/// RocksDB and the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// Memory for blocks read from disk, in bytes.
    pub block_cache_bytes: u64,
    /// Free space below which the node calls its disk full, in bytes.
    pub disk_free_min_bytes: u64,
}

impl Default for Storage {
    fn default() -> Self {
        Self { block_cache_bytes: 256 * 1024 * 1024, disk_free_min_bytes: 256 * 1024 * 1024 }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML, or has a key or value that does not belong there.
    #[error("in the configuration {}: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        message: String,
    },
    /// A variable of the environment, or a flag, has a value that does not fit.
    #[error("{origin}: {detail}")]
    Value {
        /// The variable or flag.
        origin: String,
        /// What would fit.
        detail: String,
    },
    /// Values that do not go together or may not be; all of them.
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
}

impl Config {
    /// Reads the configuration: defaults < `file` < `environment` < `flags`, and checks it.
    ///
    /// `flags` holds only what was given: the path of a key in [`KEYS`] and its text. A variable
    /// `STEAD_…` that is no key is ignored, for the environment is not ours alone (Kubernetes puts
    /// `STEAD_SERVICE_HOST` there); [`Config::foreign_variables`] names them for a warning.
    ///
    /// # Errors
    ///
    /// Each says which key of which source, and what would do.
    pub fn load(
        file: Option<&Path>,
        environment: &[(String, String)],
        flags: &[(&str, String)],
    ) -> Result<Self, Error> {
        let mut table = match file {
            Some(path) => read_file(path)?,
            None => toml::Table::new(),
        };
        lay_over(&mut table, keys::from_environment(environment)?);
        if let Some((_, port)) = environment.iter().find(|(name, _)| name == "PORT") {
            change_port(&mut table, port)?;
        }
        lay_over(&mut table, keys::from_flags(flags)?);
        let mut config: Self = table
            .try_into()
            .map_err(|problem: toml::de::Error| Error::Invalid(vec![problem.message().to_owned()]))?;
        let secret = environment.iter().find(|(name, _)| name == JOIN_SECRET);
        config.join_secret = secret.map(|(_, secret)| Secret(secret.clone()));
        config.validate()?;
        Ok(config)
    }

    /// Where snapshots of the cluster are saved to.
    #[must_use]
    pub fn snapshots(&self) -> PathBuf {
        self.snapshots_dir.clone().unwrap_or_else(|| self.data.join("snapshots"))
    }

    /// The configuration as a commented file that reads back as itself.
    #[must_use]
    pub fn to_toml(&self) -> String {
        keys::render(self)
    }

    /// The value of the key at `path` as a file would have it; `None` where it has none.
    #[must_use]
    pub fn shown(&self, path: &str) -> Option<String> {
        keys::shown(self, path)
    }

    /// Variables that look like ours and are no key: probably misspelt.
    #[must_use]
    pub fn foreign_variables(environment: &[(String, String)]) -> Vec<&str> {
        keys::foreign_variables(environment)
    }
}

fn read_file(path: &Path) -> Result<toml::Table, Error> {
    let text =
        std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let said = |problem: toml::de::Error| Error::File {
        path: path.to_owned(),
        message: problem.to_string().trim_end().to_owned(),
    };
    // Once as a whole configuration, for an error that shows the line; once as what was given.
    toml::from_str::<Config>(&text).map_err(said)?;
    toml::from_str(&text).map_err(said)
}

/// Lays `upper` over `lower`, table by table.
fn lay_over(lower: &mut toml::Table, upper: toml::Table) {
    for (key, value) in upper {
        match (lower.get_mut(&key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => lay_over(below, above),
            (_, value) => {
                lower.insert(key, value);
            }
        }
    }
}

/// `PORT=N`, as hosting platforms set it, changes the port of the listener and nothing else.
fn change_port(table: &mut toml::Table, port: &str) -> Result<(), Error> {
    let wrong = |detail: String| Error::Value { origin: "PORT".to_owned(), detail };
    let port: u16 = port
        .trim()
        .parse()
        .map_err(|_| wrong(format!("`{port}` is no port: give a number from 0 to 65535")))?;
    let mut listen: SocketAddr = match table.get("listen").and_then(toml::Value::as_str) {
        Some(text) => text.parse().map_err(|_| {
            wrong(format!("cannot be put into the listener `{text}`: give it as ADDRESS:PORT"))
        })?,
        None => Config::default().listen,
    };
    listen.set_port(port);
    table.insert("listen".to_owned(), toml::Value::String(listen.to_string()));
    Ok(())
}

#[cfg(test)]
mod tests;
