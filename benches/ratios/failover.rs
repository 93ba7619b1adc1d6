//! How long nobody can write when a node dies: the longest time without a successful write that a client
//! sees which tries all nodes.
//!
//! One client for each of some objects, which are spread over all shards; each sends increments under keys, one after
//! the other, and goes to the next node when it gets no answer. Of each death the gap of the object that waited
//! longest counts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::client::exchange;
use crate::figures::{Better, Figures, median};
use crate::trio::{NODES, Trio};

/// Deaths of each kind.
const KILLS: usize = 20;
const SILENCES: usize = 10;
const OBJECTS: usize = 16;
/// How long a client waits for one node before it asks the next.
const TRY_MAX: Duration = Duration::from_millis(150);
/// Writes before a death, and after it.
const BEFORE: Duration = Duration::from_millis(300);
const AFTER: Duration = Duration::from_secs(3);

pub(crate) fn measure(figures: &mut Figures) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let mut trio = Trio::start();
    let mut gaps_ms = |deaths: usize, what: &str, die: fn(&mut Trio, usize), back: fn(&mut Trio, usize)| {
        let mut gaps = Vec::new();
        for round in 0..deaths {
            let victim = round % NODES;
            gaps.push(runtime.block_on(gap_ms(&mut trio, victim, die)));
            back(&mut trio, victim);
            trio.settle();
        }
        gaps.sort_by(f64::total_cmp);
        let shown: Vec<String> = gaps.iter().map(|gap| format!("{gap:.0}")).collect();
        println!("{what}, ms: {}", shown.join(" "));
        gaps
    };
    let killed = gaps_ms(KILLS, "kill -9", Trio::kill, Trio::start_again);
    let silent = gaps_ms(
        SILENCES,
        "silent host",
        |trio, victim| trio.signal(victim, Signal::SIGSTOP),
        |trio, victim| trio.signal(victim, Signal::SIGCONT),
    );
    let worst = |gaps: &[f64]| gaps.iter().copied().fold(0.0, f64::max);
    let count = format!("{KILLS} kills, {OBJECTS} objects");
    let typical = Ok(median(killed.clone()));
    figures.add("no write after kill -9, median", " ms", Better::Less, (40.0, 150.0), typical, count);
    let most = Ok(worst(&killed));
    figures.add("the same, the worst", " ms", Better::Less, (300.0, 1_000.0), most, String::new());
    let remark = format!("{SILENCES} pauses; the worst {:.0} ms", worst(&silent));
    let typical = Ok(median(silent));
    figures.add(
        "no write after a host went silent, median",
        " ms",
        Better::Less,
        (1_300.0, 2_000.0),
        typical,
        remark,
    );
}

/// The longest time without a write of the object that waited longest, over one death.
async fn gap_ms(trio: &mut Trio, victim: usize, die: fn(&mut Trio, usize)) -> f64 {
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    let sent = Arc::new(AtomicU64::new(0));
    for object in 0..OBJECTS {
        clients.spawn(write(trio.addresses(), object, Arc::clone(&sent), Arc::clone(&stop)));
    }
    tokio::time::sleep(BEFORE).await;
    die(trio, victim);
    tokio::time::sleep(AFTER).await;
    stop.store(true, Ordering::Relaxed);
    let mut longest = Duration::ZERO;
    while let Some(gap) = clients.join_next().await {
        longest = longest.max(gap.expect("a client does not panic"));
    }
    longest.as_secs_f64() * 1_000.0
}

/// Writes one object until told to stop; the longest time between two successes.
async fn write(
    addresses: Vec<SocketAddr>,
    object: usize,
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
) -> Duration {
    let (mut longest, mut last) = (Duration::ZERO, Instant::now());
    let mut connection = None;
    let mut node = object;
    while !stop.load(Ordering::Relaxed) {
        let key = format!("{}-{}", std::process::id(), sent.fetch_add(1, Ordering::Relaxed));
        let request = format!(
            "POST /v1/objects/counter/failover-{object}/methods/increment HTTP/1.1\r\nHost: localhost\r\n\
             Idempotency-Key: {key}\r\nContent-Length: 0\r\n\r\n"
        );
        while !ask(&mut connection, addresses[node % addresses.len()], &request).await {
            // Whatever came of it, the key makes asking again safe.
            connection = None;
            node += 1;
        }
        longest = longest.max(last.elapsed());
        last = Instant::now();
    }
    longest
}

/// Asks one node, on the connection there is or a new one. False if it did not succeed in time.
async fn ask(connection: &mut Option<TcpStream>, address: SocketAddr, request: &str) -> bool {
    let asked = timeout(TRY_MAX, async {
        if connection.is_none() {
            let stream = TcpStream::connect(address).await.ok()?;
            stream.set_nodelay(true).ok()?;
            *connection = Some(stream);
        }
        exchange(connection.as_mut()?, request).await.ok()
    });
    let is_answered = matches!(asked.await, Ok(Some(())));
    if !is_answered && connection.is_none() {
        // Refused: the next node may know more.
        tokio::task::yield_now().await;
    }
    is_answered
}
