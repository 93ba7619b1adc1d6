//! Three nodes of etcd, and clients that put to them over gRPC: the measure of what replication costs.
//!
//! The program comes from the system (Debian: etcd-server). A put is one small message; it is written here by hand, on
//! one HTTP/2 connection a client.

use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::task::JoinSet;

use crate::contestant::{Load, directory};
use crate::trio::{NODES, free};

/// Bytes of a value: about what a commit of an increment has.
const VALUE_BYTES: usize = 100;
/// How long the nodes may take to serve.
const START_MAX: Duration = Duration::from_secs(30);
/// Time before the measured one.
const WARMUP: Duration = Duration::from_millis(300);

pub(crate) struct Etcd {
    children: Vec<Child>,
    addresses: Vec<SocketAddr>,
    data: tempfile::TempDir,
}

impl Etcd {
    /// Three nodes that serve, or why not.
    pub(crate) fn start() -> Result<Self, String> {
        let data = directory();
        let (clients, peers): (Vec<_>, Vec<_>) = (0..NODES).map(|_| (free(), free())).unzip();
        let members: Vec<String> =
            peers.iter().enumerate().map(|(number, peer)| format!("n{number}=http://{peer}")).collect();
        let mut etcd = Self { children: Vec::new(), addresses: clients, data };
        for (number, peer) in peers.iter().enumerate() {
            let (client, peer) = (format!("http://{}", etcd.addresses[number]), format!("http://{peer}"));
            let child = Command::new("etcd")
                .args(["--name", &format!("n{number}"), "--log-level", "error"])
                .arg("--data-dir")
                .arg(etcd.data.path().join(number.to_string()))
                .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
                .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
                .args(["--initial-cluster", &members.join(","), "--initial-cluster-state", "new"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .map_err(|error| format!("etcd is not here ({error}; Debian: etcd-server)"))?;
            etcd.children.push(child);
        }
        let begun = Instant::now();
        for address in &etcd.addresses {
            while TcpStream::connect(address).is_err() {
                if begun.elapsed() > START_MAX {
                    return Err("etcd does not listen".to_owned());
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        while etcd.load(Load { operation: "put", clients: 1, objects: 1 }, 0.1) == 0.0 {
            if begun.elapsed() > START_MAX {
                return Err("etcd does not answer".to_owned());
            }
        }
        Ok(etcd)
    }

    /// Puts a second, the clients spread over the nodes.
    pub(crate) fn load(&self, load: Load, slice_s: f64) -> f64 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let begin = Instant::now() + WARMUP;
        let end = begin + Duration::from_secs_f64(slice_s);
        let done = Arc::new(AtomicU64::new(0));
        runtime.block_on(async {
            let mut clients = JoinSet::new();
            for (number, address) in (0..load.clients).zip(self.addresses.iter().copied().cycle()) {
                let done = Arc::clone(&done);
                clients.spawn(async move {
                    // One that is not served yet counts nothing.
                    let _ = put_on(address, u64::from(number), load.objects, (begin, end), &done).await;
                });
            }
            clients.join_all().await;
        });
        done.load(Ordering::Relaxed) as f64 / slice_s
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Puts, one after the other, on a connection of its own.
async fn put_on(
    address: SocketAddr,
    client: u64,
    objects: u32,
    (begin, end): (Instant, Instant),
    done: &AtomicU64,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = h2::client::handshake(stream).await?;
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let mut choice = client.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    loop {
        let begun = Instant::now();
        if begun >= end {
            return Ok(());
        }
        choice = choice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let key = format!("bench-{}", (choice >> 33) % u64::from(objects));
        sender = sender.ready().await?;
        let is_good = put(&mut sender, address, &key).await?;
        if is_good && begun >= begin && Instant::now() <= end {
            done.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// One `etcdserverpb.KV/Put`; whether it succeeded.
async fn put(sender: &mut SendRequest<Bytes>, address: SocketAddr, key: &str) -> Result<bool, h2::Error> {
    let request = http::Request::post(format!("http://{address}/etcdserverpb.KV/Put"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .expect("the parts are valid");
    let (response, mut body) = sender.send_request(request, false)?;
    body.send_data(message(key), true)?;
    let mut body = response.await?.into_body();
    while let Some(data) = body.data().await {
        let length = data?.len();
        body.flow_control().release_capacity(length)?;
    }
    let status = body.trailers().await?.and_then(|trailers| trailers.get("grpc-status").cloned());
    Ok(status.is_some_and(|status| status == "0"))
}

/// A `PutRequest` of a key and a value, with the prefix gRPC gives a message.
fn message(key: &str) -> Bytes {
    let mut put = vec![0x0a, u8::try_from(key.len()).expect("a short key")];
    put.extend_from_slice(key.as_bytes());
    put.extend_from_slice(&[0x12, u8::try_from(VALUE_BYTES).expect("a short value")]);
    put.extend_from_slice(&[b'v'; VALUE_BYTES]);
    let mut message = vec![0];
    message.extend_from_slice(&u32::try_from(put.len()).expect("it is short").to_be_bytes());
    message.extend_from_slice(&put);
    message.into()
}
