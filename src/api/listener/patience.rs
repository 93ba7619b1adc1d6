//! hyper's timer, one timer of the runtime a connection.
//!
//! hyper makes a new timer for the head of every request and drops it when the head is there. Each costs an
//! entry in the runtime's wheel and its removal, behind a lock. Here a connection keeps the entry of its first
//! head: it is only looked at, and moved when it goes off before the newest deadline.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use hyper::rt::{Sleep, Timer};
use parking_lot::Mutex;

/// The timer of one connection.
#[derive(Clone, Default)]
pub(super) struct Patience(Arc<Mutex<Option<Pin<Box<tokio::time::Sleep>>>>>);

/// Over at a deadline.
struct Until {
    deadline: Instant,
    patience: Patience,
}

impl Timer for Patience {
    fn sleep(&self, duration: std::time::Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Until { deadline, patience: self.clone() })
    }
}

impl Sleep for Until {}

impl Future for Until {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline.into();
        let mut kept = self.patience.0.lock();
        let sleep = kept.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(context).is_ready() {
            if tokio::time::Instant::now() >= deadline {
                return Poll::Ready(());
            }
            // It was set for an earlier head.
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Patience")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper::rt::Timer as _;
    use tokio::time::Instant;

    use super::Patience;

    #[tokio::test]
    async fn each_head_has_its_own_deadline() {
        let patience = Patience::default();
        let begun = Instant::now();
        let at = |ms: u64| (begun + Duration::from_millis(ms)).into_std();
        // The first head comes in time; its timer stays in the runtime.
        let first = patience.sleep_until(at(40));
        assert!(tokio::time::timeout(Duration::from_millis(5), first).await.is_err());
        patience.sleep_until(at(80)).await;
        assert!(begun.elapsed() >= Duration::from_millis(80), "not at the deadline of the first");
        // A kept timer that is later than the deadline does not make it late.
        let late = patience.sleep_until(at(60_000));
        assert!(tokio::time::timeout(Duration::from_millis(5), late).await.is_err());
        patience.sleep_until(at(120)).await;
        assert!((120..60_000).contains(&begun.elapsed().as_millis()));
    }
}
