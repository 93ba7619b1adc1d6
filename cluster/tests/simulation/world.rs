//! The world of a run: it lets time pass, millisecond by millisecond, and everything happen in one order.
//!
//! In each millisecond first what goes wrong does, then messages arrive, then every process runs for as long as its
//! own clock says, then the clients act. A message takes at least a millisecond, so that the order in which the
//! processes run within one has no effect.
//!
//! A run has four parts: the cluster forms; everything goes wrong at once while clients write and read; everything is
//! well again and must answer; the replicas are compared.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use stead_cluster::sabotage::{self, Sabotage};
use stead_cluster::{NodeId, Options, Shard, ShardId, Space};

use crate::clients::Clients;
use crate::faults::{Faults, Kind};
use crate::host::{Host, Surroundings};
use crate::observer::Observer;
use crate::peers::Peers;
use crate::trace::Trace;
use crate::wire::{HostId, Wire};

/// What kind of run it is.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) kinds: Vec<Kind>,
    /// How wrong clocks may run, in parts of a million.
    pub(crate) skew_max_ppm: i64,
    /// How long things go wrong, in milliseconds.
    pub(crate) chaos_ms: u64,
    /// How the protocol is broken, if it is.
    pub(crate) sabotage: Option<Sabotage>,
}

impl Plan {
    /// Runs with these faults above all; some of the others come too.
    pub(crate) fn of(kinds: &[Kind]) -> Self {
        Self { kinds: kinds.to_vec(), skew_max_ppm: 40_000, chaos_ms: 12_000, sabotage: None }
    }
}

/// A run that is over, for the invariants to judge.
pub(crate) struct Run {
    pub(crate) observer: Arc<Observer>,
    /// What there was in the trace, and the number that stands for it.
    pub(crate) fingerprint: (u64, u64),
    /// Registers that did not answer after healing, or replicas that never became equal.
    pub(crate) silent: Vec<String>,
    /// By shard, what each replica holds in the end.
    pub(crate) replicas: Vec<(ShardId, HostId, Rows)>,
}

/// The keys of a replica, with their values.
pub(crate) type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// Shards of the simulated cluster.
pub(crate) const SHARDS: u16 = 2;
/// How long the cluster may take to form, in milliseconds.
const FORMS_MS: u64 = 60_000;
/// How long after healing everything must answer, in milliseconds.
const HEALS_MS: u64 = 30_000;
/// How often the leaders are looked at, in milliseconds.
const LEADERS_MS: u64 = 3;

/// Runs a seed.
pub(crate) fn run(seed: u64, plan: &Plan, trace: Trace) -> Run {
    sabotage::commit(plan.sabotage);
    let mut world = World::new(seed, plan, trace);
    let formed = world.until(FORMS_MS, World::is_formed);
    if !formed {
        world.silent.push("the cluster did not form".to_owned());
    }
    let chaos_ms = if formed { plan.chaos_ms } else { 0 };
    world.are_clients_busy = true;
    world.faults = Some(Faults::new(plan.kinds.clone(), world.now_ms));
    world.until(chaos_ms, |_| false);
    world.heal();
    if formed && !world.until(HEALS_MS, |world| world.clients.have_all_answered() && world.clients.are_done())
    {
        let answered = &world.clients.answered;
        let answered = format!("only these registers answered after healing: {answered:?}");
        world.give_up(answered);
    }
    if world.silent.is_empty() && !world.until(HEALS_MS, World::are_replicas_level) {
        world.give_up("the replicas did not become level after healing".to_owned());
    }
    world.end()
}

struct World {
    now_ms: u64,
    random: StdRng,
    around: Surroundings,
    hosts: Vec<Host>,
    clients: Clients,
    are_clients_busy: bool,
    peers: Peers,
    faults: Option<Faults>,
    silent: Vec<String>,
    directory: tempfile::TempDir,
}

impl World {
    fn new(seed: u64, plan: &Plan, trace: Trace) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let count = *[3, 3, 4, 5].choose(&mut random).expect("there are some");
        let wire = Wire::new(random.random(), trace.clone());
        let options = Options {
            shards: SHARDS,
            // Small, so that a replica that was away needs a snapshot.
            log_kept_entries: *[5, 40, 1_000].choose(&mut random).expect("there are some"),
            log_cached_entries: 4,
            entries_in_flight: *[1, 3].choose(&mut random).expect("there are some"),
            // Soon, so that replicas move while everything goes wrong.
            replace_after: *[Duration::from_millis(1_500), Duration::from_secs(4), Duration::from_mins(5)]
                .choose(&mut random)
                .expect("there are some"),
            join_within: Duration::from_secs(5),
            block_cache_bytes: 1024 * 1024,
            ..Options::default()
        };
        let around = Surroundings { wire, trace, doors: Arc::default(), observer: Arc::default(), options };
        let directory = directory();
        let host = |id| {
            let skew_ppm = random.random_range(-plan.skew_max_ppm..=plan.skew_max_ppm);
            Host::new(id, directory.path().join(format!("host-{id}")), skew_ppm, around.clone())
        };
        let hosts = (0..count).map(host).collect();
        Self {
            now_ms: 0,
            random,
            around,
            hosts,
            clients: Clients::new(),
            are_clients_busy: false,
            peers: Peers::default(),
            faults: None,
            silent: Vec::new(),
            directory,
        }
    }

    /// Lets time pass until it is so, at most so long; whether it is.
    fn until(&mut self, at_most_ms: u64, is_so: impl Fn(&Self) -> bool) -> bool {
        let end_ms = self.now_ms + at_most_ms;
        while self.now_ms < end_ms {
            if is_so(self) {
                return true;
            }
            self.step();
        }
        is_so(self)
    }

    fn step(&mut self) {
        self.now_ms += 1;
        if let Some(faults) = &mut self.faults {
            faults.strike(self.now_ms, &mut self.hosts, &self.around, &mut self.random);
        }
        self.around.wire.advance(self.now_ms);
        self.peers.look(self.now_ms, &self.hosts, &self.around.wire);
        for host in &mut self.hosts {
            if host.process.is_none() && host.starts_ms <= self.now_ms {
                host.start(self.random.random());
            }
            host.run(self.now_ms);
        }
        if self.now_ms.is_multiple_of(LEADERS_MS) {
            self.note_leaders();
        }
        if self.are_clients_busy {
            self.clients.act(self.now_ms, &self.hosts, &self.around, &mut self.random);
        }
    }

    fn note_leaders(&self) {
        for host in self.hosts.iter().filter(|host| host.is_up()) {
            let Some(process) = &host.process else { continue };
            process.look(|service| {
                let node = service.cluster().node_id();
                for shard in service.cluster().shards() {
                    if let Ok(term) = shard.lead() {
                        self.around.observer.leads(shard.id(), term, node);
                    }
                }
            });
        }
    }

    fn heal(&mut self) {
        self.around.trace.note(self.now_ms, format_args!("everything is well again"));
        if let Some(mut faults) = self.faults.take() {
            faults.heal(self.now_ms, &mut self.hosts, &self.around);
        }
        self.clients.close();
    }

    /// For each shard on each host that is up: what `look` says.
    fn replicas<T>(&self, look: impl Fn(&Shard) -> T) -> Vec<(ShardId, HostId, T)> {
        let mut replicas = Vec::new();
        for host in &self.hosts {
            let looked = host.process.as_ref().and_then(|process| {
                process.look(|service| {
                    let shards = service.cluster().shards().iter();
                    shards.map(|shard| (shard.id(), host.id, look(shard))).collect::<Vec<_>>()
                })
            });
            replicas.extend(looked.unwrap_or_default());
        }
        replicas.sort_by_key(|(shard, host, _)| (*shard, *host));
        replicas
    }

    /// Whether every shard has a leader and all its replicas.
    fn is_formed(&self) -> bool {
        let wanted = self.hosts.len().min(3);
        let leading = self.replicas(|shard| shard.lead().is_ok() && voters(shard).len() == wanted);
        let is_led = |number| leading.iter().any(|(shard, _, is_so)| *shard == ShardId(number) && *is_so);
        (0..SHARDS).all(is_led)
    }

    /// Whether every replica of a shard has applied, and written, what its leader has in its log.
    fn are_replicas_level(&self) -> bool {
        let reached = self.replicas(|shard| (shard.status().applied, shard.written()));
        (0..SHARDS).map(ShardId).all(|number| {
            let Some((last, voters)) = self.led(number) else { return false };
            let is_level = |voter: &NodeId| {
                let is_it = |(shard, host, _): &&(ShardId, HostId, _)| {
                    *shard == number && self.hosts[*host].node() == Some(*voter)
                };
                reached
                    .iter()
                    .find(is_it)
                    .is_some_and(|(_, _, reached)| *reached == (last, last.unwrap_or_default()))
            };
            voters.iter().all(is_level)
        })
    }

    /// What a shard's leader has in its log, and its voters.
    fn led(&self, number: ShardId) -> Option<(Option<u64>, Vec<NodeId>)> {
        let led = self.replicas(|shard| shard.lead().ok().map(|_| (shard.status().last_log, voters(shard))));
        led.into_iter().find_map(|(shard, _, led)| led.filter(|_| shard == number))
    }

    /// Notes that a run does not end well, and in the trace how everything is.
    fn give_up(&mut self, why: String) {
        let statuses = self.replicas(|shard| format!("{:?} leads: {:?}", shard.status(), shard.lead()));
        for (_, host, status) in statuses {
            self.around.trace.note(self.now_ms, format_args!("host {host}: {status}"));
        }
        let stopped = self.replicas(|shard| shard.status().stopped);
        self.silent.push(why);
        for (shard, host, stopped) in stopped {
            self.silent
                .extend(stopped.map(|reason| format!("shard {shard} is stopped on host {host}: {reason}")));
        }
    }

    fn end(mut self) -> Run {
        let everything = Vec::new()..vec![u8::MAX];
        let replicas = self.replicas(|shard| {
            let rows = shard.reader().scan(Space::State, everything.clone());
            rows.collect::<Result<Vec<_>, _>>().unwrap_or_default()
        });
        let voters: Vec<_> =
            (0..SHARDS).map(|number| self.led(ShardId(number)).map_or(Vec::new(), |led| led.1)).collect();
        let is_member = |shard: ShardId, host: HostId| {
            self.hosts[host].node().is_some_and(|node| voters[usize::from(shard.0)].contains(&node))
        };
        let replicas = replicas.into_iter().filter(|(shard, host, _)| is_member(*shard, *host)).collect();
        for host in &mut self.hosts {
            host.end(crate::host::Death::Kill, u64::MAX);
        }
        drop(self.directory);
        Run {
            observer: self.around.observer,
            fingerprint: self.around.trace.fingerprint(),
            silent: self.silent,
            replicas,
        }
    }
}

fn voters(shard: &Shard) -> Vec<NodeId> {
    let replicas = shard.status().replicas;
    replicas.into_iter().filter(|replica| replica.is_voter).map(|replica| replica.node).collect()
}

/// A directory for the data of a run, in memory where there is such a place.
fn directory() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a temporary directory")
}
