//! What happened in a run, in order, as one number: two runs of a seed are the same run if it is the same.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use parking_lot::Mutex;

/// The trace of a run; a cheap handle.
#[derive(Clone, Default)]
pub(crate) struct Trace(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    hasher: DefaultHasher,
    events: u64,
    is_shown: bool,
}

impl Trace {
    /// A trace that is also printed, for whoever looks into one seed.
    pub(crate) fn shown() -> Self {
        let trace = Self::default();
        trace.0.lock().is_shown = true;
        trace
    }

    /// Notes an event at a time.
    pub(crate) fn note(&self, now_ms: u64, event: fmt::Arguments<'_>) {
        let mut state = self.0.lock();
        let event = fmt::format(event);
        (now_ms, &event).hash(&mut state.hasher);
        state.events += 1;
        if state.is_shown {
            eprintln!("{now_ms:>7} {event}");
        }
    }

    /// How many events there were, and the number that stands for all of them.
    pub(crate) fn fingerprint(&self) -> (u64, u64) {
        let state = self.0.lock();
        (state.events, state.hasher.finish())
    }
}
