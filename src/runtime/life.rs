//! The life of a node's objects: how the runtime starts, and how it stops.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use stead_cluster::Cluster;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::activation::Supervisor;
use super::forward::Hints;
use super::handle::Inner;
use super::neighbour::Neighbour;
use super::parts::Parts;
use super::registry::Registry;
use super::streams::Streams;
use super::timers::Timers;
use super::{Options, Runtime, alarms, passivation};
use crate::class::Classes;
use crate::clock::Clock;
use crate::telemetry::Metrics;

impl Runtime {
    /// Starts the objects of this node: the supervisor, passivation and alarms.
    ///
    /// # Errors
    ///
    /// When the supervisor cannot be started.
    pub async fn start(
        cluster: Cluster,
        classes: Classes,
        options: Options,
        clock: Arc<Clock>,
        metrics: Metrics,
    ) -> Result<Self, ractor::SpawnErr> {
        let (supervisor, _) = ractor::Actor::spawn(None, Supervisor::new(metrics.clone()), ()).await?;
        let parts = Parts {
            supervisor,
            streams: Streams::default(),
            timers: Timers::default(),
            clock,
            metrics: metrics.clone(),
            own_subject: "stead".into(),
        };
        let runtime = Self(Arc::new(Inner {
            cluster,
            classes,
            registry: Registry::new(options.max_active_objects, metrics),
            parts: Arc::new(parts),
            options,
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            requests_waiting: AtomicUsize::new(0),
            hints: Hints::default(),
        }));
        runtime.0.cluster.serve(Arc::new(Neighbour::new(&runtime)));
        runtime.0.tasks.spawn(passivation::run(runtime.clone()));
        runtime.0.tasks.spawn(alarms::run(runtime.clone()));
        Ok(runtime)
    }

    /// The replicated logs, for what operates them.
    pub(crate) fn logs(&self) -> &Cluster {
        &self.0.cluster
    }

    /// Runs something beside the objects, until the runtime stops.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.0.stopping.clone();
        self.0.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = stopping.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// Stops the timers, lets the turns under way finish, and drops the activations.
    pub async fn stop(&self) {
        self.0.stopping.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
        self.0.registry.passivate(Duration::ZERO);
        self.0.parts.supervisor.stop(None);
    }
}
