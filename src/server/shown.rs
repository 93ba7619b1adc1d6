//! What the logs, the links, the shards and the node count for themselves, shown among the server's metrics.
//!
//! The dashboard and the alert rules in `deploy/` stand on these names; a test holds that they are there.

mod node;
mod shards;

pub(super) use node::show as show_node;

use std::sync::Arc;

use stead_cluster::network::tcp::LinkMetrics;
use stead_cluster::{Cluster, ClusterMetrics};

use crate::telemetry::Metrics;

/// Shows among the server's metrics what the logs count for themselves.
pub(super) fn show(metrics: &Metrics, cluster: &Cluster, links: &Arc<LinkMetrics>) {
    type Counted = fn(&ClusterMetrics) -> u64;
    let counters: [(&'static str, &'static str, Counted); 11] = [
        ("log_fsyncs", "Batches written with a flush to disk", |log| log.fsyncs.get()),
        ("log_batches", "Batches written, flushed or not", |log| log.batches.get()),
        ("log_written_bytes", "Bytes of all batches", |log| log.bytes_written.get()),
        ("log_entries_proposed", "Entries handed to Raft", |log| log.entries_proposed.get()),
        ("log_commands_proposed", "Commits in those entries", |log| log.commands_proposed.get()),
        ("log_entries_applied", "Entries applied", |log| log.entries_applied.get()),
        ("log_commands_applied", "Commits applied", |log| log.commands_applied.get()),
        ("log_commands_refused", "Commits refused before they reached a log", |log| {
            log.commands_refused.get()
        }),
        ("log_commands_unknown", "Commits whose outcome is unknown", |log| log.commands_unknown.get()),
        ("log_purges", "Times a shard's log was purged", |log| log.log_purges.get()),
        ("log_fsync_microseconds", "Time spent in batches with a flush", |log| log.fsync_time.sum_us()),
    ];
    for (name, help, read) in counters {
        let cluster = cluster.clone();
        metrics.show_counter(name, help, move || read(cluster.metrics()));
    }
    let gauges: [(&'static str, &'static str, Counted); 2] = [
        ("log_writer_queue", "Writes that wait for the writer thread", |log| log.writer_queue.get()),
        ("log_commands_waiting", "Commits that wait for their entry", |log| log.commands_waiting.get()),
    ];
    for (name, help, read) in gauges {
        let cluster = cluster.clone();
        metrics.show_gauge(name, help, move || i64::try_from(read(cluster.metrics())).unwrap_or(i64::MAX));
    }
    show_links(metrics, links);
    show_peers(metrics, cluster);
    shards::show(metrics, cluster);
}

fn show_links(metrics: &Metrics, links: &Arc<LinkMetrics>) {
    type Counted = fn(&LinkMetrics) -> u64;
    let counters: [(&'static str, &'static str, Counted); 5] = [
        ("link_connections", "Connections with other nodes that shook hands", |link| link.connections.get()),
        ("link_sent_bytes", "Bytes written to other nodes", |link| link.bytes_sent.get()),
        ("link_received_bytes", "Bytes read from other nodes", |link| link.bytes_received.get()),
        ("link_requests", "Requests sent to other nodes", |link| link.requests.get()),
        ("link_requests_failed", "Requests to other nodes without an answer", |link| {
            link.requests_failed.get()
        }),
    ];
    for (name, help, read) in counters {
        let links = links.clone();
        metrics.show_counter(name, help, move || read(&links));
    }
}

/// What Prometheus is to know of each peer.
fn show_peers(metrics: &Metrics, cluster: &Cluster) {
    let of_peers = cluster.clone();
    metrics.show_rows("peer_connected", "Whether a link with the other node stands", move || {
        let peers = of_peers.peers();
        let rows =
            peers.iter().map(|(node, peer)| (vec![("node", node.to_string())], i64::from(peer.connected)));
        rows.collect()
    });
    let of_refusals = cluster.clone();
    metrics.show_rows(
        "peer_refused",
        "Whether the other node refuses this one, or is refused by it",
        move || {
            let peers = of_refusals.peers();
            let rows = peers
                .iter()
                .map(|(node, peer)| (vec![("node", node.to_string())], i64::from(peer.refused.is_some())));
            rows.collect()
        },
    );
    let of_trips = cluster.clone();
    metrics.show_rows(
        "peer_round_trip_microseconds",
        "How long the last ping took there and back",
        move || {
            let peers = of_trips.peers();
            let rows = peers.iter().filter_map(|(node, peer)| {
                Some((vec![("node", node.to_string())], signed(peer.round_trip_us?)))
            });
            rows.collect()
        },
    );
}

/// Prometheus's gauges are signed.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
