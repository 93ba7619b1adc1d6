//! What goes wrong in a run, and when: drawn from the seed, of the kinds the run is for.

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::host::{Death, Host, Surroundings};
use crate::operator::wish;
use crate::wire::{HostId, Weather};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Two sides that do not hear one another.
    Partition,
    /// One that hears, and is not heard.
    OneWay,
    /// Messages lost, late, and sent twice.
    Storm,
    Kill,
    PowerCut,
    /// Every host at once.
    Blackout,
    Pause,
    SlowDisk,
    FailedDisk,
    Restart,
    /// Nothing that fails: somebody moves, drains and hands over meanwhile.
    Operator,
}

impl Kind {
    pub(crate) const ALL: [Self; 11] = [
        Self::Partition,
        Self::OneWay,
        Self::Storm,
        Self::Kill,
        Self::PowerCut,
        Self::Blackout,
        Self::Pause,
        Self::SlowDisk,
        Self::FailedDisk,
        Self::Restart,
        Self::Operator,
    ];
}

/// The time between two faults at most, in milliseconds.
const CALM_MS: u64 = 1_200;
/// How long a fault lasts at most, in milliseconds.
const LASTS_MS: u64 = 2_500;

/// The faults of a run.
pub(crate) struct Faults {
    kinds: Vec<Kind>,
    next_ms: u64,
    /// When the network is well again.
    clears_ms: Option<u64>,
    /// When a slow disk is quick again.
    slow: Vec<(HostId, u64)>,
}

impl Faults {
    pub(crate) fn new(kinds: Vec<Kind>, begins_ms: u64) -> Self {
        Self { kinds, next_ms: begins_ms, clears_ms: None, slow: Vec::new() }
    }

    /// Lets go wrong what does now, and ends what has lasted.
    pub(crate) fn strike(
        &mut self,
        now_ms: u64,
        hosts: &mut [Host],
        around: &Surroundings,
        random: &mut StdRng,
    ) {
        if self.clears_ms.is_some_and(|clears| clears <= now_ms) {
            self.clear_network(now_ms, around);
        }
        self.slow.retain(|(host, until)| {
            let is_slow = *until > now_ms;
            set_slow(&hosts[*host], is_slow);
            is_slow
        });
        if self.next_ms <= now_ms {
            self.next_ms = now_ms + random.random_range(1..=CALM_MS);
            let kind = *self.kinds.choose(random).expect("a run has faults");
            self.let_happen(kind, now_ms, hosts, around, random);
        }
    }

    /// Everything is well again; what is down starts now.
    pub(crate) fn heal(&mut self, now_ms: u64, hosts: &mut [Host], around: &Surroundings) {
        self.clear_network(now_ms, around);
        self.slow.clear();
        for host in hosts {
            set_slow(host, false);
            host.starts_ms = host.starts_ms.min(now_ms);
            if let Some((_, until)) = &mut host.paused {
                *until = now_ms;
            }
            let is_failed = host.process.as_ref().is_some_and(|process| process.disk.has_failed());
            if is_failed {
                host.end(Death::Kill, now_ms);
            }
        }
    }

    fn clear_network(&mut self, now_ms: u64, around: &Surroundings) {
        self.clears_ms = None;
        around.wire.change_weather(|weather| *weather = Weather::default());
        around.trace.note(now_ms, format_args!("the network is well"));
    }

    fn let_happen(
        &mut self,
        kind: Kind,
        now_ms: u64,
        hosts: &mut [Host],
        around: &Surroundings,
        random: &mut StdRng,
    ) {
        let until_ms = now_ms + random.random_range(LASTS_MS / 20..=LASTS_MS);
        let victim = random.random_range(0..hosts.len());
        around.trace.note(now_ms, format_args!("{kind:?} {victim} until {until_ms}"));
        match kind {
            Kind::Partition => {
                let sides: Vec<bool> = hosts.iter().map(|_| random.random()).collect();
                self.block(until_ms, around, hosts.len(), |from, to| sides[from] != sides[to]);
            }
            Kind::OneWay => self.block(until_ms, around, hosts.len(), |from, _| from == victim),
            Kind::Storm => {
                self.clears_ms = Some(until_ms);
                around.wire.change_weather(|weather| {
                    weather.lost_per_mille = random.random_range(0..100);
                    weather.doubled_per_mille = random.random_range(0..200);
                    weather.late_per_mille = random.random_range(0..300);
                    weather.late_ms = random.random_range(10..900);
                });
            }
            Kind::Kill => hosts[victim].end(Death::Kill, until_ms),
            Kind::PowerCut => hosts[victim].end(Death::PowerCut, until_ms),
            Kind::Blackout => hosts.iter_mut().for_each(|host| {
                let starts_ms = random.random_range(now_ms..=until_ms);
                host.end(Death::PowerCut, starts_ms);
            }),
            Kind::Pause => hosts[victim].pause(now_ms, until_ms),
            Kind::SlowDisk => self.slow.push((victim, until_ms)),
            Kind::FailedDisk => {
                if let Some(process) = &hosts[victim].process {
                    process.disk.fail();
                }
                // An operator sees it and starts the process again.
                hosts[victim].is_mended_at(until_ms);
            }
            Kind::Restart => hosts[victim].shut_down(),
            Kind::Operator => wish(now_ms, hosts, around, random),
        }
    }

    fn block(
        &mut self,
        until_ms: u64,
        around: &Surroundings,
        hosts: usize,
        is_blocked: impl Fn(HostId, HostId) -> bool,
    ) {
        self.clears_ms = Some(until_ms);
        around.wire.change_weather(|weather| {
            for from in 0..hosts {
                let ways = (0..hosts).map(|to| (from, to));
                weather.blocked.extend(ways.filter(|(from, to)| from != to && is_blocked(*from, *to)));
            }
        });
    }
}

fn set_slow(host: &Host, is_slow: bool) {
    if let Some(process) = &host.process {
        process.disk.set_slow(is_slow);
    }
}
