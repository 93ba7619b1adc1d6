//! A cluster of several nodes, each a process of its own.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use serde_json::Value;

use super::eventually;
use super::network::{self, Network};
use super::node::{Node, Settings};

/// The nodes of a cluster, by number from 1.
pub(crate) struct Members {
    nodes: Vec<Node>,
}

const SECRET: &str = "the secret of a test's cluster";

impl Members {
    /// Three nodes with every shard on each, and leaders spread over them.
    pub(crate) async fn three() -> Self {
        let mut members = Self::found();
        members.join().await;
        members.join().await;
        members.settled(3).await;
        members
    }

    /// Three nodes, each on a host of its own.
    pub(crate) async fn on_hosts(network: &Network, config: &str) -> Self {
        let mut members = Self { nodes: Vec::new() };
        for host in 1..=3 {
            let address = network::address(host);
            let mut environment = vec![
                ("STEAD_LISTEN".to_owned(), format!("{address}:8080")),
                ("STEAD_PEER_LISTEN".to_owned(), format!("{address}:9080")),
                ("STEAD_JOIN_SECRET".to_owned(), SECRET.to_owned()),
                ("STEAD_INSECURE".to_owned(), "true".to_owned()),
            ];
            if host > 1 {
                environment.push(("STEAD_JOIN".to_owned(), format!("{}:9080", network::address(1))));
            }
            let (config, namespace) = (config.to_owned(), Some(network.namespace(host)));
            members.nodes.push(Node::start_with(Settings { config, environment, namespace, program: None }));
        }
        members.settled(3).await;
        members
    }

    /// One node that others may join.
    pub(crate) fn found() -> Self {
        Self::found_with(Vec::new())
    }

    /// One node that others may join, with more in its environment.
    pub(crate) fn found_with(more: Vec<(String, String)>) -> Self {
        Self::found_on(more, |_| {})
    }

    /// One node that others may join, whose data directory was made by somebody else before it starts.
    pub(crate) fn found_on(more: Vec<(String, String)>, make: impl FnOnce(&Path)) -> Self {
        let own = [peer_listen(free_port()), ("STEAD_JOIN_SECRET".to_owned(), SECRET.to_owned())];
        let environment = own.into_iter().chain(more).collect();
        Self { nodes: vec![Node::start_on(Settings { environment, ..Settings::default() }, make)] }
    }

    /// Starts another node, which joins the first.
    pub(crate) async fn join(&mut self) {
        self.join_with(Vec::new()).await;
    }

    /// Starts another node with more in its environment, which joins the first.
    pub(crate) async fn join_with(&mut self, more: Vec<(String, String)>) {
        let first = self.get(1).get("/v1/nodes").await.expect(200).json();
        let at = first["nodes"][0]["peer_address"].as_str().expect("an address").to_owned();
        let own = [
            peer_listen(free_port()),
            ("STEAD_JOIN_SECRET".to_owned(), SECRET.to_owned()),
            ("STEAD_JOIN".to_owned(), at),
        ];
        let environment = own.into_iter().chain(more).collect();
        self.nodes.push(Node::start_with(Settings { environment, ..Settings::default() }));
    }

    pub(crate) fn get(&self, number: usize) -> &Node {
        &self.nodes[number - 1]
    }

    pub(crate) fn get_mut(&mut self, number: usize) -> &mut Node {
        &mut self.nodes[number - 1]
    }

    pub(crate) fn addresses(&self, numbers: &[usize]) -> Vec<SocketAddr> {
        numbers.iter().map(|number| self.get(*number).address()).collect()
    }

    /// The shards, as a node knows them.
    pub(crate) async fn shards(&self, number: usize) -> Vec<Value> {
        let shards = self.get(number).get("/v1/shards").await.expect(200).json();
        shards["shards"].as_array().expect("a list").clone()
    }

    /// The node that leads an object, as another node says; while it is handed over, nobody does.
    pub(crate) async fn leader_of(&self, asked: usize, object: &str) -> usize {
        eventually("the object to be led", async || {
            let path = format!("/v1/objects/{object}/location");
            let leader = self.get(asked).get(&path).await.expect(200).json()["leader"].as_u64();
            leader.map(|leader| usize::try_from(leader).expect("a node's number"))
        })
        .await
    }

    /// Waits until every shard has so many voters and leaders are spread evenly.
    pub(crate) async fn settled(&self, voters: usize) {
        eventually("the cluster to settle", async || {
            let shards = self.shards(1).await;
            let mut led = vec![0_usize; self.nodes.len() + 1];
            for shard in &shards {
                let replicas = shard["replicas"].as_array().expect("a list");
                let voting = replicas.iter().filter(|replica| replica["role"] == "voter").count();
                let leader = shard["leader"].as_u64()?;
                *led.get_mut(usize::try_from(leader).ok()?)? += 1;
                if voting != voters || shard["changing"] != false {
                    return None;
                }
            }
            let leading = led.iter().filter(|count| **count > 0);
            let (least, most) = (leading.clone().min()?, leading.clone().max()?);
            (leading.count() == voters.min(self.nodes.len()) && most - least <= 1).then_some(())
        })
        .await;
    }

    /// Waits until a node says that the cluster is well.
    pub(crate) async fn well(&self, asked: usize) {
        eventually("the cluster to be well", async || {
            let cluster = self.get(asked).get("/v1/cluster").await.expect(200).json();
            (cluster["state"] == "ok").then_some(())
        })
        .await;
    }
}

fn peer_listen(port: u16) -> (String, String) {
    ("STEAD_PEER_LISTEN".to_owned(), format!("127.0.0.1:{port}"))
}

/// A port that a node keeps over its restarts, as in a real cluster.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}
