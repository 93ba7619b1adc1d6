//! A future that is looked at only when it woke the task itself.
//!
//! A connection waits all its life for the word that the server ends. Whoever waits for two things is polled for
//! both whenever one of them moves, and to ask for that word takes a lock that all connections share.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// A future that is polled once, and then only when it asked for it.
pub(in crate::api) struct Dormant<F> {
    future: Pin<Box<F>>,
    bell: Arc<Bell>,
    waker: Waker,
}

struct Bell {
    has_rung: AtomicBool,
    task: AtomicWaker,
}

impl<F: Future> Dormant<F> {
    pub(in crate::api) fn new(future: F) -> Self {
        let bell = Arc::new(Bell { has_rung: AtomicBool::new(true), task: AtomicWaker::new() });
        let waker = bell.clone().into();
        Self { future: Box::pin(future), bell, waker }
    }
}

impl<F: Future> Future for Dormant<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // Before the look, so that a ring between the two is not missed.
        self.bell.task.register(context.waker());
        if !self.bell.has_rung.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let Self { future, waker, .. } = &mut *self;
        future.as_mut().poll(&mut Context::from_waker(waker))
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.has_rung.store(true, Ordering::Release);
        self.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::AtomicUsize;
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn it_is_polled_when_it_asks_for_it_and_not_otherwise() {
        let polls = Arc::new(AtomicUsize::new(0));
        let (sender, mut receiver) = tokio::sync::oneshot::channel::<u8>();
        let counted = polls.clone();
        let mut dormant = Dormant::new(poll_fn(move |context| {
            counted.fetch_add(1, Ordering::Relaxed);
            Pin::new(&mut receiver).poll(context)
        }));
        for _ in 0..3 {
            poll_fn(|context| {
                assert!(Pin::new(&mut dormant).poll(context).is_pending());
                Poll::Ready(())
            })
            .await;
        }
        assert_eq!(polls.load(Ordering::Relaxed), 1);
        let (answer, ()) = tokio::join!(dormant, async move {
            tokio::task::yield_now().await;
            sender.send(7).expect("it is waited for");
        });
        assert_eq!(answer, Ok(7));
        assert_eq!(polls.load(Ordering::Relaxed), 2);
    }
}
