//! What the logs, the links and the shards count for themselves, shown among the server's metrics.

use std::sync::Arc;

use stead_cluster::network::tcp::LinkMetrics;
use stead_cluster::{Cluster, ClusterMetrics, NodeId, ShardStatus};

use crate::telemetry::Metrics;

/// Shows among the server's metrics what the logs count for themselves.
pub(super) fn show(metrics: &Metrics, cluster: &Cluster, links: &Arc<LinkMetrics>) {
    type Counted = fn(&ClusterMetrics) -> u64;
    let counters: [(&'static str, &'static str, Counted); 12] = [
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
        ("log_elections", "Elections this node began", |log| log.elections.get()),
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
    show_shards(metrics, cluster);
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

/// What Prometheus is to know of each shard here, and of each peer.
fn show_shards(metrics: &Metrics, cluster: &Cluster) {
    type OfShard = fn(&ShardStatus, NodeId) -> i64;
    let families: [(&'static str, &'static str, OfShard); 4] = [
        ("shard_leader", "Whether this node leads the shard", |shard, own| {
            i64::from(shard.leader == Some(own))
        }),
        ("shard_term", "The latest term of the shard seen here", |shard, _| signed(shard.term)),
        ("shard_commit_index", "The last entry known to be on a majority", |shard, _| {
            signed(shard.commit.unwrap_or_default())
        }),
        ("shard_applied_index", "The last entry applied here", |shard, _| {
            signed(shard.applied.unwrap_or_default())
        }),
    ];
    for (name, help, read) in families {
        let cluster = cluster.clone();
        metrics.show_rows(name, help, move || {
            let own = cluster.node_id();
            let shards = cluster.shards().iter().map(stead_cluster::Shard::status);
            shards.map(|shard| (vec![("shard", shard.id.to_string())], read(&shard, own))).collect()
        });
    }
    let of_lag = cluster.clone();
    metrics.show_rows(
        "shard_lag_entries",
        "Entries a follower is behind, where this node leads",
        move || {
            let shards = of_lag.shards().iter().map(stead_cluster::Shard::status);
            let rows = shards.flat_map(|shard| {
                let of = shard.id.to_string();
                let lags =
                    shard.replicas.into_iter().filter_map(|replica| Some((replica.node, replica.lag?)));
                lags.map(move |(node, lag)| {
                    (vec![("shard", of.clone()), ("node", node.to_string())], signed(lag))
                })
            });
            rows.collect()
        },
    );
    let of_peers = cluster.clone();
    metrics.show_rows("peer_connected", "Whether a link with the other node stands", move || {
        let peers = of_peers.peers();
        let rows =
            peers.iter().map(|(node, peer)| (vec![("node", node.to_string())], i64::from(peer.connected)));
        rows.collect()
    });
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
