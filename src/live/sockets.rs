//! How many sockets and event streams are open on a node, whichever surface they belong to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::telemetry::{Counted, Metrics, Transport};

/// The places for sockets and event streams that a node has. Cheap to clone.
#[derive(Clone)]
pub struct Sockets(Arc<Inner>);

struct Inner {
    open: AtomicUsize,
    most: usize,
    metrics: Metrics,
}

impl Sockets {
    /// So many places.
    #[must_use]
    pub fn new(most: usize, metrics: Metrics) -> Self {
        Self(Arc::new(Inner { open: AtomicUsize::new(0), most, metrics }))
    }

    /// How many are taken.
    #[must_use]
    pub fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    /// A place; `None` if they are all taken.
    #[must_use]
    pub fn take(&self, transport: Transport) -> Option<Place> {
        let counted = Counted::on(&self.0.metrics.sockets_of(transport));
        let taken = self.0.open.fetch_add(1, Ordering::Relaxed);
        let place = Place { sockets: self.clone(), _counted: counted };
        (taken < self.0.most).then_some(place)
    }
}

/// A place among the sockets; dropping it makes room.
pub struct Place {
    sockets: Sockets,
    _counted: Counted,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.sockets.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_back() {
        let sockets = Sockets::new(1, Metrics::new());
        let first = sockets.take(Transport::native);
        assert!(first.is_some() && sockets.take(Transport::events).is_none());
        assert_eq!(sockets.open(), 1);
        drop(first);
        assert!(sockets.take(Transport::events).is_some());
    }
}
