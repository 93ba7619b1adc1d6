//! What it costs to tell many of a change: deliveries a second, against a bare axum server that broadcasts the same
//! frames and stores nothing; how late they come; and that one who never reads makes nobody later.
//!
//! Both are driven alike: a few callers increment as fast as they are answered, but not further ahead of the
//! subscribers than a queue holds, so nobody is closed for being slow. The subscribers are all in this process.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::Plan;
use crate::client::{exchange_for, increment, open_socket};
use crate::contestant::Contestant;
use crate::figures::{Better, Figures, median};

/// Callers that increment at the same time.
const CALLERS: usize = 64;
/// Updates that the subscribers may be behind, on average: an eighth of what a queue holds.
const BEHIND_MAX: u64 = 128;
/// Of so many subscribers one notes when each update comes.
const NOTED_EVERY: usize = 10;

/// Objects, and subscribers of each.
#[derive(Debug, Clone, Copy)]
struct Crowd {
    objects: usize,
    subscribers: usize,
}

/// What one slice showed.
struct Slice {
    deliveries_per_second: f64,
    p99_ms: f64,
}

pub(crate) fn measure(plan: &Plan, figures: &mut Figures) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let one = Crowd { objects: 1, subscribers: 1_000 };
    let (ratio, p99_ms) = runtime.block_on(against_bare(plan, one));
    let remark = format!("delivery p99 {p99_ms:.0} ms from the request on");
    figures.add(
        "1,000 subscribers of one object / bare broadcast",
        "",
        Better::More,
        (0.8, 0.5),
        Ok(ratio),
        remark,
    );
    let many = Crowd { objects: 100, subscribers: 10 };
    let (ratio, p99_ms) = runtime.block_on(against_bare(plan, many));
    let remark = format!("delivery p99 {p99_ms:.0} ms");
    figures.add(
        "100 objects with 10 subscribers each / bare",
        "",
        Better::More,
        (0.8, 0.5),
        Ok(ratio),
        remark,
    );
    let ratio = runtime.block_on(beside_one_who_never_reads(plan));
    figures.add(
        "delivery p99 beside one who never reads / without",
        "",
        Better::Less,
        (1.1, 1.5),
        Ok(ratio),
        "100 subscribers".to_owned(),
    );
}

async fn against_bare(plan: &Plan, crowd: Crowd) -> (f64, f64) {
    let (stead, bare) = (Contestant::stead(), Contestant::broadcast());
    let (mut ratios, mut late) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        let ours = slice(stead.address, crowd, plan.slice_s).await;
        let theirs = slice(bare.address, crowd, plan.slice_s).await;
        ratios.push(ours.deliveries_per_second / theirs.deliveries_per_second);
        late.push(ours.p99_ms);
    }
    (median(ratios), median(late))
}

async fn beside_one_who_never_reads(plan: &Plan) -> f64 {
    let stead = Contestant::stead();
    let crowd = Crowd { objects: 1, subscribers: 100 };
    let mut ratios = Vec::new();
    for _ in 0..plan.rounds {
        let without = slice(stead.address, crowd, plan.slice_s).await;
        let idle =
            open_socket(stead.address, "/v1/objects/counter/bench-0/live").await.expect("a socket opens");
        let beside = slice(stead.address, crowd, plan.slice_s).await;
        drop(idle);
        ratios.push(beside.p99_ms / without.p99_ms);
    }
    median(ratios)
}

/// What the subscribers and callers of one slice share.
#[derive(Default)]
struct Shared {
    issued: AtomicU64,
    delivered: AtomicU64,
    moved: Notify,
    over: AtomicBool,
    /// When each update came to one that notes it: object, version, when.
    came: Mutex<Vec<(usize, u64, Instant)>>,
    /// When each increment was sent.
    sent: Mutex<HashMap<(usize, u64), Instant>>,
}

async fn slice(address: SocketAddr, crowd: Crowd, slice_s: f64) -> Slice {
    let shared = Arc::new(Shared::default());
    let mut subscribers = JoinSet::new();
    for number in 0..crowd.objects * crowd.subscribers {
        let object = number % crowd.objects;
        let path = format!("/v1/objects/counter/bench-{object}/live");
        let socket = open_socket(address, &path).await.expect("a socket opens");
        let notes = (number / crowd.objects).is_multiple_of(NOTED_EVERY);
        subscribers.spawn(subscribe(socket, object, notes, shared.clone()));
    }
    let begun = Instant::now();
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        callers.spawn(call(address, caller, crowd, shared.clone()));
    }
    tokio::time::sleep(Duration::from_secs_f64(slice_s)).await;
    shared.over.store(true, Ordering::Relaxed);
    shared.moved.notify_waiters();
    while let Some(called) = callers.join_next().await {
        called.expect("a caller does not panic").expect("every increment is answered");
    }
    let all = shared.issued.load(Ordering::Relaxed) * crowd.subscribers as u64;
    while shared.delivered.load(Ordering::Relaxed) < all {
        shared.moved.notified().await;
    }
    let deliveries_per_second = all as f64 / begun.elapsed().as_secs_f64();
    subscribers.shutdown().await;
    let sent = shared.sent.lock();
    let came = shared.came.lock();
    let mut late: Vec<f64> = came
        .iter()
        .filter_map(|(object, version, when)| Some(when.duration_since(*sent.get(&(*object, *version))?)))
        .map(|late| late.as_secs_f64() * 1_000.0)
        .collect();
    late.sort_by(f64::total_cmp);
    let p99_ms = late[late.len() * 99 / 100];
    Slice { deliveries_per_second, p99_ms }
}

async fn call(address: SocketAddr, caller: usize, crowd: Crowd, shared: Arc<Shared>) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut number = caller;
    while !shared.over.load(Ordering::Relaxed) {
        let behind = shared.issued.load(Ordering::Relaxed) * crowd.subscribers as u64;
        if behind > shared.delivered.load(Ordering::Relaxed) + BEHIND_MAX * crowd.subscribers as u64 {
            shared.moved.notified().await;
            continue;
        }
        shared.issued.fetch_add(1, Ordering::Relaxed);
        let object = number % crowd.objects;
        number += CALLERS;
        let began = Instant::now();
        let answer = exchange_for(&mut stream, &increment(object)).await?;
        let version = version_in(answer.as_bytes()).ok_or_else(|| io::Error::other(answer))?;
        shared.sent.lock().insert((object, version), began);
    }
    Ok(())
}

async fn subscribe(mut socket: TcpStream, object: usize, notes: bool, shared: Arc<Shared>) -> io::Result<()> {
    let mut received = Vec::with_capacity(64 * 1024);
    loop {
        if socket.read_buf(&mut received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (mut at, mut frames) = (0, 0);
        while let Some((payload, next)) = frame(&received, at) {
            if notes && let Some(version) = version_in(&received[payload]) {
                shared.came.lock().push((object, version, Instant::now()));
            }
            (at, frames) = (next, frames + 1);
        }
        received.drain(..at);
        if frames > 0 {
            shared.delivered.fetch_add(frames, Ordering::Relaxed);
            shared.moved.notify_waiters();
        }
    }
}

/// The payload of the text frame that begins at `at`, and where the next begins; none if it is not whole.
fn frame(bytes: &[u8], at: usize) -> Option<(std::ops::Range<usize>, usize)> {
    let short = usize::from(*bytes.get(at + 1)?);
    let (start, length) = match short {
        126 => (at + 4, usize::from(u16::from_be_bytes([*bytes.get(at + 2)?, *bytes.get(at + 3)?]))),
        _ => (at + 2, short),
    };
    (start + length <= bytes.len()).then_some((start..start + length, start + length))
}

/// The number behind `"version":`.
fn version_in(text: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"\"version\":";
    let start = text.windows(NAME.len()).position(|window| window == NAME)? + NAME.len();
    let digits = text[start..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}
