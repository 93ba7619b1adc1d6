//! One client of the closed loop: one connection, one request at a time.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::{Either, select};
use hdrhistogram::Histogram;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::work::{Target, Work};

/// Longest latency the histogram tells apart, in microseconds: ten minutes.
const LATENCY_MAX_US: u64 = 600_000_000;
/// Connections that a client may lose or fail to get before it gives up.
const CONNECTIONS_LOST_MAX: u32 = 100;
/// Pause before a client connects again, in milliseconds.
const PAUSE_MS: u64 = 20;

/// When to measure, and how long to wait for one answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) begin: Instant,
    pub(super) end: Instant,
    pub(super) timeout: Duration,
}

/// What was measured.
#[derive(Debug)]
pub(super) struct Measured {
    /// Latencies of the answers with 2xx, in microseconds.
    pub(super) latency_us: Histogram<u64>,
    /// Other answers, by status; connections that broke and answers that did not come, by a word.
    pub(super) errors: BTreeMap<String, u64>,
}

impl Measured {
    pub(super) fn new() -> Self {
        let latency_us = Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).expect("the bounds are in order");
        Self { latency_us, errors: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.latency_us.add(&other.latency_us).expect("all have the same bounds");
        for (what, count) in &other.errors {
            *self.errors.entry(what.clone()).or_default() += count;
        }
    }

    fn error(&mut self, what: &str) {
        *self.errors.entry(what.to_owned()).or_default() += 1;
    }
}

/// Works until the window ends, and gives what was measured inside it.
pub(super) async fn run(work: Arc<Work>, client: u32, seed: u64, window: Window) -> Measured {
    let server = work.server(client);
    let mut measured = Measured::new();
    let mut choice = Choice(seed | 1);
    let mut lost = 0;
    while Instant::now() < window.end && lost < CONNECTIONS_LOST_MAX {
        if let Err(what) = connected(&work, server, &mut choice, window, &mut measured).await {
            lost += 1;
            measured.error(what);
            tokio::time::sleep(Duration::from_millis(PAUSE_MS)).await;
        }
    }
    measured
}

/// One connection, until the window ends or it breaks.
async fn connected(
    work: &Work,
    server: &Target,
    choice: &mut Choice,
    window: Window,
    measured: &mut Measured,
) -> Result<(), &'static str> {
    let connecting = tokio::time::timeout(window.timeout, TcpStream::connect(server.address));
    let stream = connecting.await.map_err(|_| "timeout")?.map_err(|_| "connect")?;
    stream.set_nodelay(true).map_err(|_| "connect")?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|_| "connect")?;
    // One task drives the connection and uses it: no wake from task to task in the latency.
    let requests = pin!(requests((work, server), sender, choice, window, measured));
    match select(requests, pin!(connection)).await {
        Either::Left((done, _)) => done,
        Either::Right(_) => Err("broken"),
    }
}

async fn requests(
    (work, server): (&Work, &Target),
    mut sender: SendRequest<Full<Bytes>>,
    choice: &mut Choice,
    window: Window,
    measured: &mut Measured,
) -> Result<(), &'static str> {
    loop {
        let begun = Instant::now();
        if begun >= window.end {
            return Ok(());
        }
        let exchange = exchange(&mut sender, work.request(server, choice.next()));
        let status = tokio::time::timeout(window.timeout, exchange).await.map_err(|_| "timeout")??;
        let ended = Instant::now();
        if begun < window.begin || ended > window.end {
            continue;
        }
        if status.is_success() {
            let took_us = u64::try_from((ended - begun).as_micros()).unwrap_or(LATENCY_MAX_US);
            measured.latency_us.saturating_record(took_us);
        } else {
            measured.error(status.as_str());
        }
    }
}

/// One request and its whole answer.
async fn exchange(
    sender: &mut SendRequest<Full<Bytes>>,
    request: http::Request<Full<Bytes>>,
) -> Result<http::StatusCode, &'static str> {
    sender.ready().await.map_err(|_| "broken")?;
    let response = sender.send_request(request).await.map_err(|_| "broken")?;
    let status = response.status();
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        frame.map_err(|_| "broken")?;
    }
    Ok(status)
}

/// A sequence of numbers without pattern (xorshift64*, Vigna 2016), the same for the same seed.
struct Choice(u64);

impl Choice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }
}
