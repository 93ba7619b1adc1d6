//! An operator, who wishes things of the cluster while everything goes wrong.

use std::sync::Arc;

use rand::RngExt;
use rand::rngs::StdRng;
use stead_cluster::{NodeId, ShardId, WishError};

use crate::host::{Host, Surroundings};
use crate::service::Service;
use crate::world::SHARDS;

/// What an operator wishes.
#[derive(Debug, Clone, Copy)]
enum Wish {
    Drain(NodeId),
    Undrain(NodeId),
    Move(ShardId, NodeId, NodeId),
    Prefer(ShardId, NodeId),
    Rebalance,
    HandOver,
}

/// Wishes something of a node that runs. What cannot be is refused; that is as good.
pub(crate) fn wish(now_ms: u64, hosts: &[Host], around: &Surroundings, random: &mut StdRng) {
    let mut nodes = || hosts[random.random_range(0..hosts.len())].node();
    let (Some(node), Some(other)) = (nodes(), nodes()) else { return };
    let shard = ShardId(random.random_range(0..SHARDS));
    let wish = match random.random_range(0..8) {
        0 => Wish::Drain(node),
        1 => Wish::Undrain(node),
        2..5 => Wish::Move(shard, node, other),
        5 => Wish::Prefer(shard, node),
        6 => Wish::Rebalance,
        _ => Wish::HandOver,
    };
    let asked = &hosts[random.random_range(0..hosts.len())];
    let Some((process, service)) =
        asked.process.as_ref().and_then(|process| Some((process, process.service()?)))
    else {
        return;
    };
    around.trace.note(now_ms, format_args!("wish of host {}: {wish:?}", asked.id));
    let around = around.clone();
    process.spawn(async move {
        let came = fulfil(service, wish).await;
        around.trace.note(around.wire.now_ms(), format_args!("{wish:?} came to {came:?}"));
    });
}

async fn fulfil(service: Arc<Service>, wish: Wish) -> Result<(), WishError> {
    let cluster = service.cluster();
    match wish {
        Wish::Drain(node) => cluster.drain(node, true).await,
        Wish::Undrain(node) => cluster.drain(node, false).await,
        Wish::Move(shard, from, to) => cluster.move_replica(shard, from, to).await,
        Wish::Prefer(shard, node) => cluster.prefer_leader(shard, node).await,
        Wish::Rebalance => cluster.rebalance(false).await.map(drop),
        Wish::HandOver => {
            cluster.hand_over().await;
            Ok(())
        }
    }
}
