//! What Prometheus is to know of the node as a whole: who it is, its disk, its memory, its clock.

use std::sync::Arc;

use stead_cluster::Cluster;

use super::signed;
use crate::clock::Clock;
use crate::runtime::{Room, Runtime};
use crate::telemetry::Metrics;

/// A figure of a disk.
type OfRoom = fn(Room) -> u64;

pub(in super::super) fn show(metrics: &Metrics, cluster: &Cluster, runtime: &Runtime, clock: Arc<Clock>) {
    let of_node = cluster.clone();
    metrics.show_rows("node_info", "The node's number and version", move || {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        vec![(vec![("node", of_node.node_id().to_string()), ("version", version)], 1)]
    });
    let of_storage = runtime.clone();
    metrics.show_gauge("storage_failed", "Whether the disk failed or a shard was stopped here", move || {
        i64::from(of_storage.storage().is_err())
    });
    let rooms: [(&'static str, &'static str, OfRoom); 2] = [
        ("disk_free_bytes", "Bytes free where the data directory lies", |room| room.free_bytes),
        ("disk_size_bytes", "Bytes of the disk where the data directory lies", |room| room.size_bytes),
    ];
    for (name, help, read) in rooms {
        let runtime = runtime.clone();
        metrics.show_gauge(name, help, move || runtime.disk_room().map_or(0, |room| signed(read(room))));
    }
    metrics.show_gauge("resident_memory_bytes", "Memory the process holds", resident_bytes);
    metrics.show_gauge("clock_milliseconds", "The node's clock, in milliseconds since 1970", move || {
        signed(clock.now_ms())
    });
}

/// What the kernel says of this process; 0 where it says nothing.
fn resident_bytes() -> i64 {
    resident(&std::fs::read_to_string("/proc/self/status").unwrap_or_default())
}

fn resident(status: &str) -> i64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<i64>().ok());
    kib.unwrap_or_default().saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::resident;

    #[test]
    fn what_the_kernel_says_is_read() {
        assert_eq!(resident("Name:\tstead\nVmRSS:\t   12 kB\n"), 12 * 1024);
        assert_eq!(resident(""), 0);
    }
}
