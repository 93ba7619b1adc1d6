//! A process: one node of the cluster in a runtime of its own, whose clock stands still but for what the world
//! lets pass.
//!
//! To kill it is to drop the runtime with all tasks. To pause it is not to run it; going on, its clock jumps as that
//! of a stopped process does. A clock that runs fast or slow is a matter of how much time the world lets pass here.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use parking_lot::Mutex;
use stead_cluster::{Clock, Cluster, Options};
use tokio::runtime::Runtime;

use crate::application::Registers;
use crate::disk::{Disk, Log};
use crate::network::{Door, Doors, SharedNetwork, SimNetwork};
use crate::observer::Observer;
use crate::service::Service;
use crate::wire::{End, Wire};

/// A running process.
pub(crate) struct Process {
    runtime: Runtime,
    /// What runs beside the node's own tasks: opening it, or shutting it down.
    doing: Option<Pin<Box<dyn Future<Output = ()>>>>,
    /// Why it could not be opened, if so.
    failure: Arc<Mutex<Option<String>>>,
    pub(crate) door: Arc<Door>,
    pub(crate) network: Arc<SimNetwork>,
    pub(crate) disk: Disk,
    begun: tokio::time::Instant,
    local_ms: u64,
}

/// What a process is started with.
pub(crate) struct Start<'a> {
    pub(crate) me: End,
    pub(crate) wire: Wire,
    pub(crate) doors: Doors,
    pub(crate) observer: Arc<Observer>,
    pub(crate) data_dir: &'a Path,
    /// What of its write-ahead log is flushed.
    pub(crate) flushed: Option<Log>,
    pub(crate) options: Options,
    pub(crate) seed: u64,
}

/// The wall clock of the simulation: nothing depends on it.
struct NoTime;

impl Clock for NoTime {
    fn now_ms(&self) -> u64 {
        0
    }
}

impl Process {
    pub(crate) fn start(start: Start<'_>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime of one thread needs nothing");
        let Start { me, wire, doors, observer, data_dir, flushed, options, seed } = start;
        let (door, failure) = (Arc::new(Door::default()), Arc::new(Mutex::new(None)));
        doors.lock().insert(me.host, door.clone());
        let network = Arc::new(SimNetwork::new(wire, me, doors));
        let disk = Disk::new(data_dir, seed, flushed);
        let options = Options {
            data_dir: data_dir.to_owned(),
            seed: Some(seed),
            simulated_disk: Some(Arc::new(disk.clone())),
            write_hook: Some(Arc::new(disk.clone())),
            ..options
        };
        let shared = Arc::new(SharedNetwork { network: network.clone(), door: door.clone() });
        let (opened, failed) = (door.clone(), failure.clone());
        let doing = async move {
            let machine = |shard| {
                Box::new(Registers::new(me.host, shard, observer.clone())) as Box<dyn stead_cluster::Machine>
            };
            match Cluster::open(options, shared, Arc::new(NoTime), machine).await {
                Ok(cluster) => {
                    let service = Service::new(me.host, cluster, observer.clone());
                    *opened.service.lock() = Some(Arc::new(service));
                }
                Err(error) => *failed.lock() = Some(error.to_string()),
            }
        };
        runtime.spawn(door.clone().take_all());
        let begun = runtime.block_on(async { tokio::time::Instant::now() });
        let doing = Some(doing.boxed_local());
        Self { runtime, doing, failure, door, network, disk, begun, local_ms: 0 }
    }

    /// The node, once it is open.
    pub(crate) fn service(&self) -> Option<Arc<Service>> {
        self.door.service.lock().clone()
    }

    /// Looks at the node, in its own time.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&Service) -> T) -> Option<T> {
        let _time = self.runtime.enter();
        self.service().map(|service| at(&service))
    }

    /// Why it could not be opened, if so.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }

    /// Whether it does something that ends: being opened, or shutting down.
    pub(crate) fn is_busy(&self) -> bool {
        self.doing.is_some()
    }

    /// Shuts the node down in an orderly way: others lead before it ends.
    pub(crate) fn shut_down(&mut self) {
        if let Some(service) = self.service() {
            let ending = async move {
                service.cluster().hand_over().await;
                service.cluster().shutdown().await;
            };
            self.doing = Some(ending.boxed_local());
        }
    }

    /// Does something on the node, beside its own tasks.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        drop(self.runtime.spawn(work));
    }

    /// Runs for so long by its own clock.
    pub(crate) fn run_ms(&mut self, duration_ms: u64) {
        self.local_ms += duration_ms;
        let until = self.begun + Duration::from_millis(self.local_ms);
        let doing = &mut self.doing;
        self.runtime.block_on(async {
            let sleeping = tokio::time::sleep_until(until);
            tokio::pin!(sleeping);
            std::future::poll_fn(|context| {
                if doing.as_mut().is_some_and(|doing| doing.as_mut().poll(context).is_ready()) {
                    *doing = None;
                }
                sleeping.as_mut().poll(context)
            })
            .await;
        });
    }

    /// Goes on after so long a pause: its clock has run, its tasks have not.
    pub(crate) fn resume_after_ms(&mut self, duration_ms: u64) {
        self.local_ms += duration_ms;
        self.runtime.block_on(tokio::time::advance(Duration::from_millis(duration_ms)));
    }

    /// Ends it as a kill does. Whatever it still held is dropped; it can send nothing any more.
    pub(crate) fn kill(self) -> Disk {
        let Self { runtime, doing, door, disk, .. } = self;
        drop(doing);
        drop(runtime);
        door.close();
        disk
    }
}
