//! What lies between the hosts: every message of a run waits here until it is due, is lost, or comes twice.
//!
//! A message is a closure that the receiving process runs, or the network runs for it where nobody listens. How
//! long it takes is drawn from the seed. Messages of one [`Order`] arrive in the order they were sent; once one of
//! them is lost none behind it arrives, as on a connection. All others overtake one another as they like.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::trace::Trace;

/// The number of a host: a machine with a disk, on which one process after the other runs.
pub(crate) type HostId = usize;
/// Which process of a host it is, from 1.
pub(crate) type Incarnation = u64;
/// The host of the clients: it never fails.
pub(crate) const CLIENTS: HostId = usize::MAX;

/// One end of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) host: HostId,
    /// Which process; messages to one that is gone come to nobody.
    pub(crate) incarnation: Incarnation,
}

/// How a message came to its end.
pub(crate) enum Arrival {
    /// The process got it.
    Taken,
    /// The host answers that nobody listens.
    Refused,
}

/// What is sent.
pub(crate) type Parcel = Box<dyn FnOnce(Arrival) + Send>;

/// The order of a connection.
#[derive(Default)]
pub(crate) struct Order {
    last_due_ms: AtomicU64,
    is_broken: AtomicBool,
}

impl Order {
    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Relaxed)
    }

    pub(crate) fn break_off(&self) {
        self.is_broken.store(true, Ordering::Relaxed);
    }
}

/// How the network is at the moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Weather {
    /// Messages of a thousand that are lost.
    pub(crate) lost_per_mille: u32,
    /// Requests of a thousand that come twice, where a retry could have sent them.
    pub(crate) doubled_per_mille: u32,
    /// Messages of a thousand that take much longer.
    pub(crate) late_per_mille: u32,
    /// How long those take at most, in milliseconds.
    pub(crate) late_ms: u64,
    /// The ways, from and to, on which nothing arrives.
    pub(crate) blocked: BTreeSet<(HostId, HostId)>,
}

/// How long a message takes at most in good weather, in milliseconds.
const DELAY_MAX_MS: u64 = 4;

/// The network; a cheap handle.
#[derive(Clone)]
pub(crate) struct Wire(Arc<Mutex<State>>);

struct State {
    now_ms: u64,
    sent: u64,
    waiting: BTreeMap<(u64, u64), Message>,
    /// The process that runs on each host, if one does.
    running: BTreeMap<HostId, Incarnation>,
    /// Hosts without power: they do not even refuse.
    silent: BTreeSet<HostId>,
    weather: Weather,
    random: StdRng,
    trace: Trace,
}

struct Message {
    from: End,
    to: End,
    name: &'static str,
    order: Option<Arc<Order>>,
    parcel: Parcel,
}

impl Wire {
    pub(crate) fn new(seed: u64, trace: Trace) -> Self {
        Self(Arc::new(Mutex::new(State {
            now_ms: 0,
            sent: 0,
            waiting: BTreeMap::new(),
            running: BTreeMap::from([(CLIENTS, 1)]),
            silent: BTreeSet::new(),
            weather: Weather::default(),
            random: StdRng::seed_from_u64(seed),
            trace,
        })))
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.0.lock().now_ms
    }

    pub(crate) fn change_weather(&self, change: impl FnOnce(&mut Weather)) {
        change(&mut self.0.lock().weather);
    }

    pub(crate) fn is_blocked(&self, from: HostId, to: HostId) -> bool {
        self.0.lock().weather.blocked.contains(&(from, to))
    }

    /// A process starts to run on a host, or none does any more.
    pub(crate) fn set_running(&self, host: HostId, incarnation: Option<Incarnation>, is_silent: bool) {
        let mut state = self.0.lock();
        match incarnation {
            Some(incarnation) => drop(state.running.insert(host, incarnation)),
            None => drop(state.running.remove(&host)),
        }
        if is_silent {
            state.silent.insert(host);
        } else {
            state.silent.remove(&host);
        }
    }

    /// The end of whatever process runs on a host; of one that never was where none does.
    pub(crate) fn end_of(&self, host: HostId) -> End {
        let incarnation = self.0.lock().running.get(&host).copied().unwrap_or_default();
        End { host, incarnation }
    }

    /// Sends a message. Whether it arrives the sender does not learn.
    pub(crate) fn send(
        &self,
        from: End,
        to: End,
        name: &'static str,
        order: Option<&Arc<Order>>,
        parcel: Parcel,
    ) {
        let mut state = self.0.lock();
        if state.running.get(&from.host) != Some(&from.incarnation) {
            return; // its process is gone, what is left of it is being dropped
        }
        if order.is_some_and(|order| order.is_broken()) {
            return;
        }
        let lost = state.weather.lost_per_mille;
        if state.random.random_ratio(lost, 1_000) {
            state.trace.note(state.now_ms, format_args!("lost {name} {} -> {}", from.host, to.host));
            if let Some(order) = order {
                order.break_off();
            }
            return;
        }
        let mut due = state.now_ms + state.delay_ms();
        if let Some(order) = order {
            due = due.max(order.last_due_ms.load(Ordering::Relaxed));
            order.last_due_ms.store(due, Ordering::Relaxed);
        }
        state.sent += 1;
        let key = (due, state.sent);
        state.waiting.insert(key, Message { from, to, name, order: order.cloned(), parcel });
    }

    /// Whether a request is to be sent a second time.
    pub(crate) fn doubles(&self) -> bool {
        let mut state = self.0.lock();
        let doubled = state.weather.doubled_per_mille;
        state.random.random_ratio(doubled, 1_000)
    }

    /// Lets time come to `now_ms`, and what is due arrive.
    pub(crate) fn advance(&self, now_ms: u64) {
        self.0.lock().now_ms = now_ms;
        loop {
            // One by one and unlocked: what arrives may send.
            let Some((message, arrival)) = self.0.lock().next_due() else { return };
            if let Some(arrival) = arrival {
                (message.parcel)(arrival);
            }
        }
    }
}

impl State {
    fn delay_ms(&mut self) -> u64 {
        let usual = self.random.random_range(1..=DELAY_MAX_MS);
        let is_late = self.random.random_ratio(self.weather.late_per_mille, 1_000);
        if is_late { usual + self.random.random_range(0..=self.weather.late_ms) } else { usual }
    }

    /// The next message that is due, and how it arrives, if it does.
    fn next_due(&mut self) -> Option<(Message, Option<Arrival>)> {
        let key = *self.waiting.first_key_value().filter(|((due, _), _)| *due <= self.now_ms)?.0;
        let message = self.waiting.remove(&key)?;
        let (from, to) = (message.from, message.to);
        let is_broken = message.order.as_ref().is_some_and(|order| order.is_broken());
        let is_cut = is_broken
            || self.weather.blocked.contains(&(from.host, to.host))
            || self.silent.contains(&to.host);
        let arrival = if is_cut {
            if let Some(order) = &message.order {
                order.break_off();
            }
            None
        } else if self.running.get(&to.host) == Some(&to.incarnation) {
            Some(Arrival::Taken)
        } else {
            Some(Arrival::Refused)
        };
        let how = match arrival {
            None => "cut",
            Some(Arrival::Taken) => "got",
            Some(Arrival::Refused) => "refused",
        };
        self.trace.note(self.now_ms, format_args!("{how} {} {} -> {}", message.name, from.host, to.host));
        Some((message, arrival))
    }
}
