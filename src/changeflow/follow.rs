//! What change management does beside its calls: it follows the policy, and writes samples.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::objects::{Class, Objects, own_caller};
use super::policy::{self, Current};
use super::samples::RATE_LOOK_EVERY;
use super::{ChangeFlow, Inner};
use crate::caller::Caller;
use crate::error::Error;
use crate::runtime::StreamEvent;

/// Pause before a policy is read again that could not be.
const READ_AGAIN_AFTER: Duration = Duration::from_millis(500);

impl ChangeFlow {
    /// Begins to write samples of what the node counts.
    pub fn start(&self) {
        let flow = self.0.clone();
        self.spawn(async move { flow.sample().await });
        let flow = self.0.clone();
        self.spawn(async move {
            let mut ticks = tokio::time::interval(RATE_LOOK_EVERY);
            loop {
                ticks.tick().await;
                flow.rate.look(Instant::now(), flow.metrics.totals().requests);
            }
        });
    }

    /// Ends what runs beside the calls, and waits for its end.
    pub async fn stop(&self) {
        self.0.stopping.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        Inner::spawn(&self.0, task);
    }
}

impl Inner {
    fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.stopping.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = stopping.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// The policy that is to be used now. Whoever asks first makes this node follow it.
    pub(super) async fn policy(self: &Arc<Self>, caller: &Caller) -> Result<Arc<Current>, Error> {
        if !self.follows.swap(true, Ordering::Relaxed) {
            let flow = self.clone();
            self.spawn(async move { flow.follow().await });
        }
        self.policies.current(caller).await
    }

    /// Follows the policy, wherever its object is led: whatever happens to it, it is read again.
    async fn follow(self: Arc<Self>) {
        let caller = own_caller("policy");
        let opened = Objects::address(&caller, Class::Policy, policy::NAME)
            .and_then(|address| self.objects.runtime().stream(&caller.through_module(), &address));
        let upstream = match opened {
            Ok(upstream) => upstream,
            Err(error) => return tracing::error!(%error, "the policy is not followed, and read at each call"),
        };
        let stirred = |event: StreamEvent| {
            if !matches!(event, StreamEvent::Moved(_) | StreamEvent::Signal(_)) {
                self.policies.followed.stirred.notify_one();
            }
        };
        let read = async {
            loop {
                self.policies.followed.stirred.notified().await;
                while let Err(error) = self.policies.look(&own_caller("policy")).await {
                    tracing::debug!(%error, "the policy is read again");
                    tokio::time::sleep(READ_AGAIN_AFTER).await;
                }
            }
        };
        tokio::select! {
            () = upstream.run(stirred) => {}
            () = read => {}
        }
    }
}
