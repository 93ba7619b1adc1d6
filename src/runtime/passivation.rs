//! Puts objects to sleep that nobody has used for a while. Their state stays where it is, on disk.

use std::time::Duration;

use super::Runtime;

/// How often idle activations are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Sweeps until the runtime stops.
pub(super) async fn run(runtime: Runtime) {
    let inner = runtime.inner();
    let idle = inner.options.passivation_idle;
    let mut sweep = tokio::time::interval(SWEEP_EVERY.min(idle.max(Duration::from_millis(10))));
    loop {
        tokio::select! {
            () = inner.stopping.cancelled() => return,
            _ = sweep.tick() => {}
        }
        while inner.registry.passivate(idle) == crate::limits::PASSIVATIONS_A_SWEEP {
            tokio::task::yield_now().await;
        }
    }
}
