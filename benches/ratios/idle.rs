//! What a cluster of three uses when nobody asks anything of it.

use std::time::Duration;

use crate::figures::{Better, Figures};
use crate::trio::{NODES, Trio};

/// Time to come to rest, and time that is measured.
const REST: Duration = Duration::from_secs(5);
const MEASURED: Duration = Duration::from_secs(20);
const TICKS_PER_SECOND: f64 = 100.0;

pub(crate) fn measure(figures: &mut Figures) {
    let trio = Trio::start();
    std::thread::sleep(REST);
    let before = trio.ticks();
    std::thread::sleep(MEASURED);
    let used: u64 = trio.ticks().iter().zip(before).map(|(after, before)| after - before).sum();
    let percent = used as f64 / TICKS_PER_SECOND / MEASURED.as_secs_f64() / NODES as f64 * 100.0;
    let remark = format!("over {} s", MEASURED.as_secs());
    figures.add("an idle node of three, of one core", " %", Better::Less, (1.5, 3.0), Ok(percent), remark);
}
