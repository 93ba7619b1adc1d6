//! The table of keys: what the environment, `--print-config` and the example file are made from.

use std::fmt::Write as _;

use super::{Config, Error};

const TAKES_TEXT: &str = "a string takes all text";

/// A key of the configuration.
#[derive(Debug)]
pub struct Key {
    /// Its place, `key` or `table.key`.
    pub path: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// An example, as TOML, for a key that has no default; else empty.
    pub example: &'static str,
    /// A sentence on it.
    pub doc: &'static str,
}

/// What the value of a key is; the environment's text is read accordingly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// Several texts; in the environment with commas between them.
    List,
}

const fn key(path: &'static str, kind: Kind, example: &'static str, doc: &'static str) -> Key {
    Key { path, kind, example, doc }
}

/// Every key, in the order in which the file shows them.
pub const KEYS: &[Key] = &[
    key("data", Kind::Text, "", "Directory that holds everything the node keeps."),
    key(
        "snapshots_dir",
        Kind::Text,
        "\"/var/backups/stead\"",
        "Directory that snapshots of the cluster are saved to, if not snapshots in that of the data.",
    ),
    key(
        "listen",
        Kind::Text,
        "",
        "Address and port where clients are served. PORT=N in the environment changes the port only.",
    ),
    key("peer_listen", Kind::Text, "", "Address and port where other nodes are served."),
    key(
        "advertise",
        Kind::Text,
        "\"stead-1.example.net\"",
        "Host under which clients and nodes reach this node, if not that of the listeners.",
    ),
    key("join", Kind::Text, "\"10.0.0.1:9080\"", "Peer address of any member: the cluster to join."),
    key(
        "join_secret_file",
        Kind::Text,
        "\"/etc/stead/join-secret\"",
        "File with the secret that the members share.",
    ),
    key(
        "peer_certificate_file",
        Kind::Text,
        "\"/etc/stead/peer.pem\"",
        "File with this node's certificate, for TLS between nodes: on all of them, or on none.",
    ),
    key("peer_key_file", Kind::Text, "\"/etc/stead/peer.key\"", "File with the certificate's key."),
    key(
        "peer_authority_file",
        Kind::Text,
        "\"/etc/stead/peer-authority.pem\"",
        "File with the certificates of the authority that signed every node's.",
    ),
    key("zone", Kind::Text, "\"rack-1\"", "Failure zone; the replicas of a shard are spread over zones."),
    key("shards", Kind::Integer, "", "Shards of a cluster that is made now; fixed from then on."),
    key("replicas", Kind::Integer, "", "Copies of each shard, as far as there are nodes."),
    key(
        "insecure",
        Kind::Boolean,
        "",
        "Allow listeners beyond loopback, although there is no authentication and no TLS.",
    ),
    key(
        "public_url",
        Kind::Text,
        "\"https://stead.example.net\"",
        "Address under which people reach the server.",
    ),
    key(
        "allowed_hosts",
        Kind::List,
        "",
        "Further host names that are this server's; a request for any other is answered 421.",
    ),
    key(
        "allowed_origins",
        Kind::List,
        "",
        "Origins whose pages may call this server, like \"https://app.example.net\".",
    ),
    key(
        "trusted_proxies",
        Kind::List,
        "",
        "Addresses and networks whose X-Forwarded-For is believed, like \"10.0.0.0/8\".",
    ),
    key("log.format", Kind::Text, "", "\"text\" for people, \"json\" for machines."),
    key(
        "log.filter",
        Kind::Text,
        "",
        "error, warn, info, debug or trace, for all or for parts; add \"stead::api=debug\" to see each request.",
    ),
    key(
        "timing.request_deadline_ms",
        Kind::Integer,
        "",
        "Longest a request may take; the header X-Request-Timeout may shorten it.",
    ),
    key("timing.headers_timeout_ms", Kind::Integer, "", "Longest until a request's headers have arrived."),
    key("timing.body_timeout_ms", Kind::Integer, "", "Longest until a request's body has arrived."),
    key("timing.passivation_idle_ms", Kind::Integer, "", "Idle time after which an object leaves memory."),
    key(
        "timing.ping_interval_ms",
        Kind::Integer,
        "",
        "Between the pings of a WebSocket; it is closed after two without an answer.",
    ),
    key("timing.drain_ms", Kind::Integer, "", "Longest that SIGTERM waits for turns and sockets to end."),
    key("timing.heartbeat_ms", Kind::Integer, "", "Between the heartbeats of a shard's leader."),
    key(
        "timing.election_min_ms",
        Kind::Integer,
        "",
        "Shortest silence of a leader after which an election begins.",
    ),
    key(
        "timing.election_max_ms",
        Kind::Integer,
        "",
        "Longest silence of a leader before an election begins; also how long its lease lasts.",
    ),
    key(
        "timing.replace_after_ms",
        Kind::Integer,
        "",
        "How long a node may be silent before its replicas are given to others.",
    ),
    key(
        "timing.metrics_sample_ms",
        Kind::Integer,
        "",
        "Between two samples of what a node counts; they are kept for 90 days.",
    ),
    key(
        "timing.reservation_settles_ms",
        Kind::Integer,
        "",
        "How long scheduling a change may take; a place on the calendar held twice as long in vain is given back.",
    ),
    key(
        "limits.active_objects",
        Kind::Integer,
        "",
        "Objects in memory; beyond it the one least recently used leaves.",
    ),
    key("limits.sockets", Kind::Integer, "", "WebSockets and event streams open at once; beyond it 4529."),
    key(
        "limits.subscriptions",
        Kind::Integer,
        "",
        "Subscriptions of all sockets on this node; beyond it 4529.",
    ),
    key(
        "limits.requests_waiting",
        Kind::Integer,
        "",
        "Requests being served or waiting at once; beyond it 429.",
    ),
    key("limits.connections", Kind::Integer, "", "Connections open at once, sockets among them."),
    key("storage.block_cache_bytes", Kind::Integer, "", "Memory for blocks read from disk, in bytes."),
    key(
        "storage.disk_free_min_bytes",
        Kind::Integer,
        "",
        "Free space below which the node calls its disk full, in bytes.",
    ),
];

/// The table that has no keys of the environment: it is a policy, made of tables and lists.
pub(super) const POLICY: &str = "changeflow";

/// What begins with `STEAD_` and is read elsewhere.
const OTHER_VARIABLES: &[&str] = &["STEAD_CONFIG", "STEAD_URL", "STEAD_JOIN_SECRET"];

impl Key {
    /// The variable of the environment that sets it: `STEAD_LOG_FORMAT` for `log.format`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("STEAD_{}", self.path.replace('.', "_").to_uppercase())
    }

    /// The flag that sets it: `log-format` for `log.format`.
    #[must_use]
    pub fn flag(&self) -> String {
        self.path.replace(['.', '_'], "-")
    }

    /// Puts the value that `text` stands for into `table`. It is tried alone first, so that the
    /// error names its `origin`.
    fn put_text(&self, table: &mut toml::Table, text: &str, origin: String) -> Result<(), Error> {
        let value = match self.parse(text) {
            Ok(value) => value,
            Err(detail) => return Err(Error::Value { origin, detail }),
        };
        let mut alone = toml::Table::new();
        put(&mut alone, self.path, value.clone());
        match alone.try_into::<Config>() {
            Ok(_) => put(table, self.path, value),
            Err(problem) => return Err(Error::Value { origin, detail: problem.message().to_owned() }),
        }
        Ok(())
    }

    fn parse(&self, text: &str) -> Result<toml::Value, String> {
        match self.kind {
            Kind::Text => Ok(toml::Value::String(text.to_owned())),
            Kind::Integer => text
                .trim()
                .parse()
                .map(toml::Value::Integer)
                .map_err(|_| format!("`{text}` is no whole number")),
            Kind::Boolean => match text.trim() {
                "true" | "1" => Ok(toml::Value::Boolean(true)),
                "false" | "0" | "" => Ok(toml::Value::Boolean(false)),
                _ => Err(format!("`{text}` is neither true nor false")),
            },
            Kind::List => Ok(toml::Value::Array(
                text.split(',')
                    .map(str::trim)
                    .filter(|part| !part.is_empty())
                    .map(|part| toml::Value::String(part.to_owned()))
                    .collect(),
            )),
        }
    }
}

/// The part of the environment that is configuration.
pub(super) fn from_environment(environment: &[(String, String)]) -> Result<toml::Table, Error> {
    let mut table = toml::Table::new();
    for key in KEYS {
        let variable = key.variable();
        if let Some((_, text)) = environment.iter().find(|(name, _)| *name == variable) {
            key.put_text(&mut table, text, variable)?;
        }
    }
    Ok(table)
}

/// The flags that were given.
pub(super) fn from_flags(flags: &[(&str, String)]) -> Result<toml::Table, Error> {
    let mut table = toml::Table::new();
    for (path, text) in flags {
        let Some(key) = KEYS.iter().find(|key| key.path == *path) else {
            return Err(Error::Value { origin: format!("--{path}"), detail: "there is no such key".into() });
        };
        key.put_text(&mut table, text, format!("--{}", key.flag()))?;
    }
    Ok(table)
}

pub(super) fn foreign_variables(environment: &[(String, String)]) -> Vec<&str> {
    environment
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| name.starts_with("STEAD_"))
        .filter(|name| !OTHER_VARIABLES.contains(name))
        // What Kubernetes makes for a service called `stead`.
        .filter(|name| !name.starts_with("STEAD_SERVICE_") && !name.starts_with("STEAD_PORT"))
        .filter(|name| KEYS.iter().all(|key| key.variable() != *name))
        .collect()
}

/// Puts a value at `table.key` or `key`.
pub(super) fn put(table: &mut toml::Table, path: &str, value: toml::Value) {
    match path.split_once('.') {
        Some((name, key)) => {
            let inner = table.entry(name).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            if let toml::Value::Table(inner) = inner {
                inner.insert(key.to_owned(), value);
            }
        }
        None => {
            table.insert(path.to_owned(), value);
        }
    }
}

/// The value at `table.key` or `key`.
pub(super) fn get<'table>(table: &'table toml::Table, path: &str) -> Option<&'table toml::Value> {
    match path.split_once('.') {
        Some((name, key)) => table.get(name)?.as_table()?.get(key),
        None => table.get(path),
    }
}

/// The value of one key, as TOML.
pub(super) fn shown(config: &Config, path: &str) -> Option<String> {
    get(&values(config), path).map(ToString::to_string)
}

fn values(config: &Config) -> toml::Table {
    toml::Table::try_from(config).expect("every configuration is a TOML table")
}

/// The configuration as a commented file.
pub(super) fn render(config: &Config) -> String {
    let values = values(config);
    let mut text = String::from(
        "# Configuration of a Stead node. Read as: defaults < this file < STEAD_… in the environment < flags.\n\
         # Names that end in _ms are milliseconds, in _bytes bytes.\n",
    );
    let mut table = "";
    for key in KEYS {
        let (section, name) = key.path.split_once('.').unwrap_or(("", key.path));
        if section != table {
            write!(text, "\n[{section}]\n").expect(TAKES_TEXT);
            table = section;
        }
        write!(text, "\n# {}\n", key.doc).expect(TAKES_TEXT);
        match get(&values, key.path) {
            Some(value) => writeln!(text, "{name} = {value}").expect(TAKES_TEXT),
            None => writeln!(text, "# {name} = {}", key.example).expect(TAKES_TEXT),
        }
    }
    super::mcp_servers::render(&config.mcp_servers, &mut text);
    text.push_str(
        "\n# The policy of change management, as a new cluster begins with it; from then on the cluster keeps it, and it is\n\
         # read and put at /v1/changes/policy. What is left out here is as it is shipped.\n",
    );
    let policy = values.get(POLICY).cloned().expect("every configuration has a policy");
    let alone = toml::Table::from_iter([(POLICY.to_owned(), policy)]);
    text.push_str(&toml::to_string(&alone).expect("every table has a form in TOML"));
    text
}
