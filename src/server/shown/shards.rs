//! What Prometheus is to know of each shard here. The group that keeps the cluster's map is shown as the shard `map`.

use stead_cluster::{Cluster, NodeId, Shard, ShardMetrics, ShardStatus};

use super::signed;
use crate::telemetry::Metrics;

/// The shards here and the group of the map, each with its label.
fn groups(cluster: &Cluster) -> impl Iterator<Item = (String, &Shard)> {
    let shards = cluster.shards().iter().map(|shard| (shard.id().to_string(), shard));
    shards.chain([("map".to_owned(), cluster.meta())])
}

pub(super) fn show(metrics: &Metrics, cluster: &Cluster) {
    show_standing(metrics, cluster);
    show_queues(metrics, cluster);
    show_counts(metrics, cluster);
    show_lag(metrics, cluster);
}

fn show_standing(metrics: &Metrics, cluster: &Cluster) {
    type OfShard = fn(&ShardStatus, NodeId) -> i64;
    let families: [(&'static str, &'static str, OfShard); 5] = [
        ("shard_leader", "Whether this node leads the shard", |shard, own| {
            i64::from(shard.leader == Some(own))
        }),
        ("shard_stopped", "Whether the shard was stopped on this node", |shard, _| {
            i64::from(shard.stopped.is_some())
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
            let rows =
                groups(&cluster).map(|(label, shard)| (vec![("shard", label)], read(&shard.status(), own)));
            rows.collect()
        });
    }
}

fn show_queues(metrics: &Metrics, cluster: &Cluster) {
    type OfQueues = fn((usize, usize)) -> usize;
    let families: [(&'static str, &'static str, OfQueues); 2] = [
        ("shard_commands_waiting", "Commits of the shard that wait for their entry", |(waiting, _)| waiting),
        ("shard_entries_in_flight", "Entries of the shard on their way to a majority", |(_, sent)| sent),
    ];
    for (name, help, read) in families {
        let cluster = cluster.clone();
        metrics.show_rows(name, help, move || {
            let rows = groups(&cluster).map(|(label, shard)| {
                (vec![("shard", label)], i64::try_from(read(shard.queued())).unwrap_or(i64::MAX))
            });
            rows.collect()
        });
    }
}

fn show_counts(metrics: &Metrics, cluster: &Cluster) {
    type Counted = fn(&ShardMetrics) -> u64;
    let families: [(&'static str, &'static str, Counted); 9] = [
        ("shard_elections", "Terms for which this node stood as a candidate", |shard| shard.elections.get()),
        ("shard_leaderships", "Terms in which this node led", |shard| shard.leaderships.get()),
        ("shard_transfers", "Times this node handed the leadership over", |shard| shard.transfers.get()),
        ("shard_transfers_failed", "Times the leadership could not be handed over", |shard| {
            shard.transfers_failed.get()
        }),
        ("shard_snapshots_sent", "Snapshots sent to other replicas", |shard| shard.snapshots_sent.get()),
        ("shard_snapshots_received", "Snapshots received from other replicas", |shard| {
            shard.snapshots_received.get()
        }),
        ("shard_snapshots_failed", "Snapshots that broke off on their way", |shard| {
            shard.snapshots_failed.get()
        }),
        ("shard_snapshot_sent_bytes", "Bytes of snapshots sent", |shard| shard.snapshot_bytes_sent.get()),
        ("shard_snapshot_received_bytes", "Bytes of snapshots received", |shard| {
            shard.snapshot_bytes_received.get()
        }),
    ];
    for (name, help, read) in families {
        let cluster = cluster.clone();
        metrics.show_counter_rows(name, help, move || {
            let rows = groups(&cluster)
                .map(|(label, shard)| (vec![("shard", label)], signed(read(shard.metrics()))));
            rows.collect()
        });
    }
}

fn show_lag(metrics: &Metrics, cluster: &Cluster) {
    let cluster = cluster.clone();
    let help = "Entries a follower is behind, where this node leads";
    metrics.show_rows("shard_lag_entries", help, move || {
        let rows = groups(&cluster).flat_map(|(label, shard)| {
            let replicas = shard.status().replicas.into_iter();
            let lags = replicas.filter_map(|replica| Some((replica.node, replica.lag?)));
            lags.map(move |(node, lag)| {
                (vec![("shard", label.clone()), ("node", node.to_string())], signed(lag))
            })
        });
        rows.collect()
    });
}
