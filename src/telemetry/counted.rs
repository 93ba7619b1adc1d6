//! What a gauge counts for as long as it stands: it may end by being dropped, at any await.

use prometheus_client::metrics::gauge::Gauge;

/// One of those that a gauge counts.
#[derive(Debug)]
pub struct Counted(Gauge);

impl Counted {
    /// One more.
    #[must_use]
    pub fn on(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_counted_no_more() {
        let gauge = Gauge::default();
        let (one, other) = (Counted::on(&gauge), Counted::on(&gauge));
        assert_eq!(gauge.get(), 2);
        drop(one);
        assert_eq!(gauge.get(), 1);
        drop(other);
        assert_eq!(gauge.get(), 0);
    }
}
