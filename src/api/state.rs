//! What the handlers share: the runtime, the hub, settings, and the count of open sockets.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::listener::dormant::Dormant;
use super::origin::Admission;
use crate::caller::{Caller, Standing};
use crate::changeflow::ChangeFlow;
use crate::clock::Clock;
use crate::config::{Config, Network};
use crate::live::{Hub, Place, Sockets};
use crate::object::{Tenant, Timestamp};
use crate::operate::{Operate, Snapshots};
use crate::runtime::Runtime;
use crate::telemetry::{Metrics, Transport};

/// What an operator decided about this surface.
pub(super) struct Settings {
    /// Proxies whose `X-Forwarded-*` are believed.
    trusted_proxies: Vec<Network>,
    /// Longest a request may take; `X-Request-Timeout` may shorten it.
    pub(super) request_deadline: Duration,
    /// Longest until a request's headers have arrived.
    pub(super) headers_timeout: Duration,
    /// Longest until a request's body has arrived.
    pub(super) body_timeout: Duration,
    /// Between the pings of a socket; it is closed after two without an answer.
    pub(super) ping_interval: Duration,
    /// Connections open at once, sockets among them.
    pub(super) max_connections: usize,
}

impl Settings {
    fn of(config: &Config) -> Self {
        let timing = &config.timing;
        Self {
            trusted_proxies: config.trusted_proxies.clone(),
            request_deadline: Duration::from_millis(timing.request_deadline_ms),
            headers_timeout: Duration::from_millis(timing.headers_timeout_ms),
            body_timeout: Duration::from_millis(timing.body_timeout_ms),
            ping_interval: Duration::from_millis(timing.ping_interval_ms),
            max_connections: config.limits.connections,
        }
    }

    /// Whether the peer at an address is a proxy whose `X-Forwarded-*` are believed.
    pub(super) fn trusts_proxy(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(address))
    }
}

/// The parts of a node that the surface stands on.
pub struct Parts {
    /// The objects.
    pub runtime: Runtime,
    /// Their subscribers.
    pub hub: Hub,
    /// Change management.
    pub changeflow: ChangeFlow,
}

/// What the handlers share. Cheap to clone.
#[derive(Clone)]
pub struct ApiState(Arc<Shared>);

struct Shared {
    operate: Operate,
    runtime: Runtime,
    hub: Hub,
    changeflow: ChangeFlow,
    settings: Settings,
    admission: Admission,
    metrics: Metrics,
    clock: Arc<Clock>,
    started: Instant,
    tenant: Arc<str>,
    subject: Arc<str>,
    roles: Arc<[Arc<str>]>,
    sockets: Sockets,
    stopping: AtomicBool,
    tasks: TaskTracker,
    /// Whatever still runs when the drain's time is over ends.
    over: CancellationToken,
}

impl ApiState {
    /// The state of a node's surface.
    #[must_use]
    pub fn new(config: &Config, parts: Parts, clock: Arc<Clock>, metrics: Metrics) -> Self {
        let Parts { runtime, hub, changeflow } = parts;
        let admission = Admission::new(
            config.advertise.as_deref(),
            config.public_url.as_deref(),
            &config.allowed_hosts,
            &config.allowed_origins,
        );
        let settings = Settings::of(config);
        let snapshots = Snapshots::new(config.snapshots(), clock.clone(), metrics.clone());
        let sockets = Sockets::new(config.limits.sockets, metrics.clone());
        Self(Arc::new(Shared {
            operate: Operate::new(runtime.clone(), snapshots),
            runtime,
            hub,
            changeflow,
            settings,
            admission,
            metrics,
            clock,
            started: Instant::now(),
            tenant: Tenant::standard().into(),
            subject: "local".into(),
            roles: Arc::new([]),
            sockets,
            stopping: AtomicBool::new(false),
            tasks: TaskTracker::new(),
            over: CancellationToken::new(),
        }))
    }

    /// The operator's way to the cluster.
    pub(super) fn operate(&self) -> &Operate {
        &self.0.operate
    }

    /// The caller of a request: `local` of tenant `default` while there is no authentication.
    #[must_use]
    pub(super) fn caller(
        &self,
        address: Option<SocketAddr>,
        request_id: Arc<str>,
        traceparent: Option<Arc<str>>,
        deadline: Instant,
    ) -> Caller {
        let shared = &self.0;
        Caller {
            tenant: shared.tenant.clone(),
            subject: shared.subject.clone(),
            roles: shared.roles.clone(),
            address,
            request_id,
            traceparent,
            deadline,
            standing: Standing::Client,
        }
    }

    pub(super) fn runtime(&self) -> &Runtime {
        &self.0.runtime
    }

    pub(super) fn hub(&self) -> &Hub {
        &self.0.hub
    }

    /// Change management.
    pub(super) fn changeflow(&self) -> &ChangeFlow {
        &self.0.changeflow
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(super) fn admission(&self) -> &Admission {
        &self.0.admission
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp(self.0.clock.now_ms())
    }

    pub(super) fn uptime(&self) -> Duration {
        self.0.started.elapsed()
    }

    /// How many sockets and event streams are open.
    pub(super) fn sockets(&self) -> usize {
        self.0.sockets.open()
    }

    /// A place among the sockets that the node takes; `None` if they are all taken.
    pub(super) fn take_socket(&self, transport: Transport) -> Option<Place> {
        self.0.sockets.take(transport)
    }

    /// The places for sockets, for the surfaces beside this one.
    #[must_use]
    pub fn places(&self) -> Sockets {
        self.0.sockets.clone()
    }

    /// Runs a task until it is done or the drain's time is over.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let over = Dormant::new(self.0.over.clone().cancelled_owned());
        // Boxed, for a future that is handed on takes its room again at every step.
        let task = Box::pin(task);
        self.0.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = over => {}
                () = task => {}
            }
        });
    }

    /// From now on the node is not ready.
    pub(super) fn stop(&self) {
        self.0.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether the node is being stopped.
    pub(super) fn is_stopping(&self) -> bool {
        self.0.stopping.load(Ordering::Relaxed)
    }

    /// Waits for every task, so long as the drain may take; then ends them.
    pub(super) async fn drain(&self, longest: Duration) {
        self.0.tasks.close();
        if tokio::time::timeout(longest, self.0.tasks.wait()).await.is_err() {
            tracing::warn!(tasks = self.0.tasks.len(), "connections did not end in time and are cut");
            self.0.over.cancel();
            self.0.tasks.wait().await;
        }
    }
}
