//! What a configuration must hold; each complaint says what to do.

use std::net::SocketAddr;

use super::{Config, Error};

/// Most shards of a cluster: beyond it the elections of so many groups are a load of their own.
const SHARDS_MAX: u16 = 4_096;
/// Most copies of a shard: more make every write slower and nothing safer.
const REPLICAS_MAX: u8 = 7;
/// Longest time that may be configured, in milliseconds: a day.
const TIME_MAX_MS: u64 = 24 * 60 * 60 * 1_000;

impl Config {
    /// Checks what the types cannot.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] with every complaint, each with what to do.
    pub fn validate(&self) -> Result<(), Error> {
        let mut problems = Vec::new();
        self.check_cluster(&mut problems);
        self.check_peer_tls(&mut problems);
        self.check_names(&mut problems);
        self.check_listeners(&mut problems);
        self.check_timing(&mut problems);
        self.check_limits(&mut problems);
        super::mcp_servers::check(&self.mcp_servers, &mut problems);
        if let Err(error) = self.changeflow.validate() {
            problems.push(format!("changeflow.{error}"));
        }
        if problems.is_empty() { Ok(()) } else { Err(Error::Invalid(problems)) }
    }

    /// What is allowed but should be known at every start.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.open_listeners()
            .into_iter()
            .map(|(key, address)| {
                format!(
                    "{key} {address} is reachable from other machines, without authentication and without TLS \
                     (insecure = true): anyone who reaches it may read and change everything"
                )
            })
            .collect()
    }

    fn check_cluster(&self, problems: &mut Vec<String>) {
        if self.data.as_os_str().is_empty() {
            problems.push("data is empty: name the directory that holds what the node keeps".into());
        }
        if !(1..=SHARDS_MAX).contains(&self.shards) {
            problems.push(format!("shards is {}: choose 1 to {SHARDS_MAX}", self.shards));
        }
        if !(1..=REPLICAS_MAX).contains(&self.replicas) || self.replicas.is_multiple_of(2) {
            problems.push(format!(
                "replicas is {}: choose 1, 3, 5 or 7 (an even number survives no more failures than the odd one below)",
                self.replicas
            ));
        }
        if self.join_secret.is_some() && self.join_secret_file.is_some() {
            problems.push("STEAD_JOIN_SECRET and join_secret_file are both given: leave one out".into());
        }
        if self.join.is_some() && self.join_secret.is_none() && self.join_secret_file.is_none() {
            problems.push(
                "join needs the cluster's secret: give join_secret_file or STEAD_JOIN_SECRET; `stead node secret --data \
                 DIR` shows it on the first node"
                    .into(),
            );
        }
    }

    fn check_peer_tls(&self, problems: &mut Vec<String>) {
        let files = [&self.peer_certificate_file, &self.peer_key_file, &self.peer_authority_file];
        if files.iter().any(|file| file.is_some()) && files.iter().any(|file| file.is_none()) {
            problems.push(
                "TLS between nodes needs peer_certificate_file, peer_key_file and peer_authority_file: give all \
                 three, or none"
                    .into(),
            );
        }
    }

    fn check_names(&self, problems: &mut Vec<String>) {
        if let Some(host) = &self.advertise
            && !is_host(host)
        {
            problems.push(format!(
                "advertise is `{host}`: give a host name or IP address, without scheme and port"
            ));
        }
        for host in &self.allowed_hosts {
            if !is_host(host) {
                problems
                    .push(format!("allowed_hosts has `{host}`: give host names, without scheme and port"));
            }
        }
        if let Some(url) = &self.public_url
            && !is_origin(url.strip_suffix('/').unwrap_or(url))
        {
            problems.push(format!(
                "public_url is `{url}`: give http://host[:port] or https://host[:port], without a path"
            ));
        }
        for origin in &self.allowed_origins {
            if !is_origin(origin) {
                problems.push(format!(
                    "allowed_origins has `{origin}`: give each as the browser sends it, like https://app.example.net, without a path"
                ));
            }
        }
    }

    fn check_listeners(&self, problems: &mut Vec<String>) {
        if self.listen == self.peer_listen && self.listen.port() != 0 {
            problems
                .push(format!("listen and peer_listen are both {}: give them different ports", self.listen));
        }
        if self.insecure {
            return;
        }
        for (key, address) in self.open_listeners() {
            problems.push(format!(
                "{key} {address} would be reachable from other machines, and there is no authentication yet: \
                 listen on 127.0.0.1, or allow it with --insecure (insecure = true)"
            ));
        }
    }

    /// The listeners that other machines reach and nothing protects.
    fn open_listeners(&self) -> Vec<(&'static str, SocketAddr)> {
        [("listen", self.listen), ("peer_listen", self.peer_listen)]
            .into_iter()
            .filter(|(_, address)| !address.ip().to_canonical().is_loopback())
            .filter(|(key, _)| *key != "peer_listen" || self.peer_certificate_file.is_none())
            .collect()
    }

    fn check_timing(&self, problems: &mut Vec<String>) {
        let timing = &self.timing;
        for (key, value) in [
            ("request_deadline_ms", timing.request_deadline_ms),
            ("headers_timeout_ms", timing.headers_timeout_ms),
            ("body_timeout_ms", timing.body_timeout_ms),
            ("passivation_idle_ms", timing.passivation_idle_ms),
            ("ping_interval_ms", timing.ping_interval_ms),
            ("heartbeat_ms", timing.heartbeat_ms),
            ("election_min_ms", timing.election_min_ms),
            ("election_max_ms", timing.election_max_ms),
            ("replace_after_ms", timing.replace_after_ms),
            ("metrics_sample_ms", timing.metrics_sample_ms),
            ("reservation_settles_ms", timing.reservation_settles_ms),
        ] {
            if !(1..=TIME_MAX_MS).contains(&value) {
                problems.push(format!("timing.{key} is {value}: choose 1 to {TIME_MAX_MS}"));
            }
        }
        if timing.drain_ms > TIME_MAX_MS {
            problems.push(format!("timing.drain_ms is {}: choose 0 to {TIME_MAX_MS}", timing.drain_ms));
        }
        if timing.heartbeat_ms.saturating_mul(2) > timing.election_min_ms {
            problems.push(format!(
                "timing.election_min_ms is {}: choose at least twice heartbeat_ms ({}), or one late heartbeat deposes a leader",
                timing.election_min_ms, timing.heartbeat_ms
            ));
        }
        if timing.election_min_ms >= timing.election_max_ms {
            problems.push(format!(
                "timing.election_max_ms is {}: choose more than election_min_ms ({}), or candidates keep colliding",
                timing.election_max_ms, timing.election_min_ms
            ));
        }
    }

    fn check_limits(&self, problems: &mut Vec<String>) {
        let limits = &self.limits;
        for (key, value) in [
            ("active_objects", limits.active_objects),
            ("sockets", limits.sockets),
            ("subscriptions", limits.subscriptions),
            ("requests_waiting", limits.requests_waiting),
            ("connections", limits.connections),
        ] {
            if value == 0 {
                problems.push(format!("limits.{key} is 0, and nothing could be served: choose 1 or more"));
            }
        }
        if self.storage.block_cache_bytes == 0 {
            problems
                .push("storage.block_cache_bytes is 0: choose some memory, 268435456 is the default".into());
        }
    }
}

/// A host name, an IPv4 address, or an IPv6 address with or without brackets; no port.
fn is_host(text: &str) -> bool {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse::<std::net::IpAddr>().is_ok()
        || (!text.is_empty()
            && text.len() <= 253
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')))
}

/// `scheme://host[:port]`, as browsers write an origin.
fn is_origin(text: &str) -> bool {
    let Ok(uri) = text.parse::<http::Uri>() else { return false };
    let known = matches!(uri.scheme_str(), Some("http" | "https"));
    known
        && uri.host().is_some_and(is_host)
        && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
        && text.matches('/').count() == 2
        && uri.query().is_none()
}
