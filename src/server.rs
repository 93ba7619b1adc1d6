//! The server: the only place that builds the parts and joins them.
//!
//! Read from top to bottom in the order of a life: [`start`] opens the store, recovers, and binds;
//! [`Server::run_until`] serves; what follows drains, from the outside in: no new requests, sockets
//! closed with a reason, turns finished, logs closed.

pub mod directory;
mod shown;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use stead_cluster::network::tcp::secret::{self, JoinSecret, SecretError};
use stead_cluster::network::tcp::tls::{Tls, TlsError, TlsFiles};
use stead_cluster::network::tcp::{LinkMetrics, TcpNetwork, TcpOptions};
use stead_cluster::{Cluster, OpenError};
use tokio::net::TcpListener;

use crate::api;
use crate::changeflow::{self, ChangeFlow};
use crate::class::Classes;
use crate::clock::Clock;
use crate::config::{Config, McpServer};
use crate::limits;
use crate::live::Hub;
use crate::mcp::upstream::{UpstreamOptions, Upstreams, Way};
use crate::mcp::{self, Catalog, Changes, Mcp, Objects, Prompts, Source};
use crate::runtime::{self, ObjectMachine, Runtime};
use crate::telemetry::Metrics;

/// Why a server could not start or serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The listener's address cannot be had.
    #[error("cannot listen on {address}: {source}; choose another with --{flag}")]
    Listen {
        /// The address as configured.
        address: SocketAddr,
        /// The flag that would change it.
        flag: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// The store or the logs cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is no secret to prove to other nodes.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The certificates for the links between nodes do not do.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The supervisor of the objects cannot be started.
    #[error("the supervisor of the objects did not start: {0}")]
    Supervisor(#[from] ractor::SpawnErr),
    /// The configuration says what no server can do.
    #[error("{0}")]
    Config(String),
}

/// A node that is open and bound, but not yet serving.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    cluster: Cluster,
    runtime: Runtime,
    hub: Hub,
    changeflow: ChangeFlow,
    api: api::ApiState,
    metrics: Metrics,
    sources: Vec<Arc<dyn Source>>,
    upstreams: Upstreams,
    body_timeout: Duration,
    drain: Duration,
}

impl stead_cluster::Clock for Clock {
    fn now_ms(&self) -> u64 {
        Clock::now_ms(self)
    }
}

/// Opens the store, recovers every shard, and binds the listener.
///
/// # Errors
///
/// When the address is taken, or the data directory cannot be opened or does not fit.
pub async fn start(config: Config, classes: Classes) -> Result<Server, Error> {
    let in_listen = |source| Error::Listen { address: config.listen, flag: "listen", source };
    let listener = TcpListener::bind(config.listen).await.map_err(in_listen)?;
    let address = listener.local_addr().map_err(in_listen)?;
    let clock = Arc::new(Clock::default());
    let metrics = Metrics::new();

    let (cluster, links) = open_cluster(&config, address, clock.clone()).await?;
    let runtime_options = runtime_options(&config)?;
    let runtime =
        Runtime::start(cluster.clone(), classes, runtime_options, clock.clone(), metrics.clone()).await?;
    let deadline = Duration::from_millis(config.timing.request_deadline_ms);
    let hub = Hub::new(runtime.clone(), config.limits.subscriptions, deadline, metrics.clone());
    shown::show(&metrics, &cluster, &links);
    shown::show_node(&metrics, &cluster, &runtime, clock.clone());
    let drain = Duration::from_millis(config.timing.drain_ms);
    let body_timeout = Duration::from_millis(config.timing.body_timeout_ms);
    let changeflow = changeflow(&config, &cluster, runtime.clone(), (clock.clone(), metrics.clone()));
    let upstreams = Upstreams::start(upstreams(&config), &metrics);
    let sources: Vec<Arc<dyn Source>> = vec![
        Arc::new(Changes::new(changeflow.clone())),
        Arc::new(Objects::new(runtime.clone(), hub.clone())),
        Arc::new(Prompts::new(changeflow.clone(), runtime.clone())),
        Arc::new(upstreams.clone()),
    ];
    let parts = api::Parts { runtime: runtime.clone(), hub: hub.clone(), changeflow: changeflow.clone() };
    let api = api::ApiState::new(&config, parts, clock, metrics.clone());
    tracing::info!(%address, cluster = %cluster.id(), node = %cluster.node_id(), "the node is open");
    Ok(Server {
        listener,
        address,
        cluster,
        runtime,
        hub,
        changeflow,
        api,
        metrics,
        sources,
        upstreams,
        body_timeout,
        drain,
    })
}

impl Server {
    /// Where clients reach it; the port is the real one, where the configuration said 0.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The same server, which offers MCP clients what this source has too.
    #[must_use]
    pub fn offering(mut self, source: Arc<dyn Source>) -> Self {
        self.sources.push(source);
        self
    }

    /// Serves until told to stop, then drains: ready says no, sockets are closed with a reason, turns
    /// under way are finished, the logs are closed.
    ///
    /// # Errors
    ///
    /// None today; what serving may come to need.
    pub async fn run_until(self, told: impl Future<Output = ()> + Send) -> Result<(), Error> {
        let Self { listener, cluster, runtime, hub, changeflow, api, drain, .. } = self;
        let Self { metrics, sources, upstreams, body_timeout, .. } = self;
        let mcp = Mcp::new(mcp::Parts {
            runtime: runtime.clone(),
            hub: hub.clone(),
            sockets: api.places(),
            catalog: Catalog::new(sources),
            metrics,
            body_timeout,
        });
        let routes = api::router(&api).merge(mcp.router());
        let front = api::Front::new(api, routes);
        changeflow.start();
        let cluster_too = cluster.clone();
        let told = async {
            told.await;
            // First, while everything still answers: what is asked of this node from here on goes elsewhere.
            cluster_too.hand_over().await;
            hub.close();
        };
        api::listen(listener, front, told, drain).await;
        mcp.stop(drain).await;
        upstreams.stop().await;
        changeflow.stop().await;
        runtime.stop().await;
        cluster.shutdown().await;
        tracing::info!("the node has stopped; nothing acknowledged is lost");
        Ok(())
    }
}

/// Change management over the objects of this node.
fn changeflow(
    config: &Config,
    cluster: &Cluster,
    runtime: Runtime,
    (clock, metrics): (Arc<Clock>, Metrics),
) -> ChangeFlow {
    let options = changeflow::Options {
        policy: config.changeflow.clone(),
        node: cluster.node_id().0,
        sample_every: Duration::from_millis(config.timing.metrics_sample_ms),
        reservation_settles: Duration::from_millis(config.timing.reservation_settles_ms),
    };
    ChangeFlow::new(runtime, clock, metrics, options)
}

async fn open_cluster(
    config: &Config,
    address: SocketAddr,
    clock: Arc<Clock>,
) -> Result<(Cluster, Arc<LinkMetrics>), Error> {
    let ms = Duration::from_millis;
    let advertised = |listener: SocketAddr| match &config.advertise {
        Some(host) => format!("{host}:{}", listener.port()),
        None => listener.to_string(),
    };
    let in_peer_listen = |source| Error::Listen { address: config.peer_listen, flag: "peer-listen", source };
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let tcp = TcpOptions {
        listen: config.peer_listen,
        secret: join_secret(config)?,
        version,
        tls: peer_tls(config)?,
    };
    let network = TcpNetwork::bind(tcp).await.map_err(in_peer_listen)?;
    let options = stead_cluster::Options {
        data_dir: config.data.clone(),
        shards: config.shards,
        replication_factor: u16::from(config.replicas),
        address: advertised(address),
        peer_address: advertised(network.local_addr()),
        zone: config.zone.clone(),
        join: config.join.clone(),
        replace_after: ms(config.timing.replace_after_ms),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        heartbeat: ms(config.timing.heartbeat_ms),
        election_min: ms(config.timing.election_min_ms),
        election_max: ms(config.timing.election_max_ms),
        entry_bytes_max: limits::ENTRY_MAX_BYTES,
        log_kept_entries: limits::LOG_KEPT_ENTRIES,
        log_kept_bytes: limits::LOG_KEPT_BYTES,
        block_cache_bytes: usize::try_from(config.storage.block_cache_bytes).unwrap_or(usize::MAX),
        ..stead_cluster::Options::default()
    };
    let machine = |_shard| -> Box<dyn stead_cluster::Machine> { Box::new(ObjectMachine::new()) };
    let links = network.metrics();
    Ok((Cluster::open(options, network, clock, machine).await?, links))
}

/// What encrypts the links between nodes, if they are to be.
fn peer_tls(config: &Config) -> Result<Option<Tls>, TlsError> {
    let Config { peer_certificate_file, peer_key_file, peer_authority_file, .. } = config;
    match (peer_certificate_file.clone(), peer_key_file.clone(), peer_authority_file.clone()) {
        (Some(certificate), Some(key), Some(authority)) => {
            Tls::load(&TlsFiles { certificate, key, authority }).map(Some)
        }
        _ => Ok(None),
    }
}

/// Snapshots of a cluster as files, without a server.
pub mod snapshot {
    pub use stead_cluster::archive::{Contents, inspect, restore};
}

/// The file in a data directory that keeps the join secret made there.
pub const JOIN_SECRET_FILE: &str = secret::FILE;

/// The join secret that was made in a data directory, for an operator to give to other nodes.
///
/// # Errors
///
/// When there is none.
pub fn join_secret_in(data: &Path) -> Result<String, Error> {
    Ok(JoinSecret::read(&data.join(JOIN_SECRET_FILE))?.reveal().to_owned())
}

/// What the members of the cluster share: as given, or made in the data directory.
fn join_secret(config: &Config) -> Result<JoinSecret, SecretError> {
    match (&config.join_secret, &config.join_secret_file) {
        (Some(secret), _) => JoinSecret::new(&secret.0),
        (None, Some(file)) => JoinSecret::read(file),
        (None, None) => JoinSecret::of_directory(&config.data),
    }
}

/// The other MCP servers of the configuration, but for those left out for now.
fn upstreams(config: &Config) -> BTreeMap<String, UpstreamOptions> {
    let enabled = config.mcp_servers.iter().filter(|(_, server)| !server.disabled);
    let options = |server: &McpServer| UpstreamOptions {
        way: match (&server.command, &server.url) {
            (Some(command), _) => {
                Way::Command { command: command.clone(), args: server.args.clone(), env: server.env.clone() }
            }
            (None, url) => Way::Url { url: url.clone().unwrap_or_default(), headers: server.headers.clone() },
        },
        tools: server.tools.clone(),
        auto_approve: server.auto_approve.clone(),
        timeout: Duration::from_millis(server.timeout_ms),
    };
    enabled.map(|(name, server)| (name.clone(), options(server))).collect()
}

fn runtime_options(config: &Config) -> Result<runtime::Options, Error> {
    let max_active_objects = NonZeroUsize::new(config.limits.active_objects)
        .ok_or_else(|| Error::Config("limits.active_objects must be at least 1".to_owned()))?;
    Ok(runtime::Options {
        max_active_objects,
        max_requests_waiting: config.limits.requests_waiting,
        replication_factor: u16::from(config.replicas),
        passivation_idle: Duration::from_millis(config.timing.passivation_idle_ms),
        data_dir: config.data.clone(),
        disk_free_min_bytes: config.storage.disk_free_min_bytes,
        request_deadline: Duration::from_millis(config.timing.request_deadline_ms),
    })
}
