//! Clients that come and go: they leave at random, come back to random nodes with the last version that they saw,
//! while leaders move, nodes die and histories overflow. Each must see every version once and in order, or be given
//! the whole state, and what it makes of that must be the object's state at each version.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Connection, Frame, Members, Socket, eventually, seed, within};

const OBJECTS: usize = 4;
const CLIENTS: usize = 12;
/// Versions of each object: several histories long.
const VERSIONS: u64 = 1_200;
/// More than a history keeps.
const AWAY: u64 = 300;

type State = BTreeMap<String, Value>;

/// The nodes that live now.
type Living = Arc<Mutex<Vec<SocketAddr>>>;

/// What one client saw: each version, and the state that it made of it.
#[derive(Default)]
struct Seen {
    states: BTreeMap<u64, State>,
    resumed: u64,
    inits: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_sees_every_version_once_or_the_whole_state() {
    let seed = seed("resume");
    let mut random = StdRng::seed_from_u64(seed);
    let mut members = Members::three().await;
    let living: Living = Arc::new(Mutex::new(members.addresses(&[1, 2, 3])));
    let written: Arc<Vec<AtomicU64>> = Arc::new((0..OBJECTS).map(|_| AtomicU64::new(0)).collect());

    let mut writers = JoinSet::new();
    for object in 0..OBJECTS {
        let random = StdRng::seed_from_u64(random.random());
        writers.spawn(write(object, living.clone(), written.clone(), random));
    }
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let random = StdRng::seed_from_u64(random.random());
        let object = number % OBJECTS;
        clients.spawn(client(object, living.clone(), written.clone(), random));
    }
    // Meanwhile leaders die and come back.
    for round in 0..3 {
        let at = VERSIONS * (2 * round + 1) / 7;
        eventually_written(&written, at).await;
        let node = random.random_range(1..=3);
        let address = members.get(node).address();
        living.lock().expect("nobody panicked").retain(|other| *other != address);
        members.get_mut(node).kill9();
        eventually_written(&written, at + VERSIONS / 7).await;
        members.get_mut(node).start_again();
        members.settled(3).await;
        *living.lock().expect("nobody panicked") = members.addresses(&[1, 2, 3]);
    }

    let mut truth = vec![BTreeMap::new(); OBJECTS];
    while let Some(wrote) = writers.join_next().await {
        let (object, states) = wrote.expect("a writer ends well");
        truth[object] = states;
    }
    let (mut resumed, mut inits, mut compared) = (0, 0, 0);
    while let Some(saw) = clients.join_next().await {
        let (object, seen) = saw.expect("a client ends well");
        assert_eq!(seen.states.keys().next_back(), Some(&VERSIONS), "object {object}");
        for (version, state) in &seen.states {
            assert_eq!(Some(state), truth[object].get(version), "object {object} at version {version}");
        }
        (resumed, inits, compared) =
            (resumed + seen.resumed, inits + seen.inits, compared + seen.states.len());
    }
    println!("resume: {resumed} resumed, {inits} began anew, {compared} states compared");
    assert!(resumed > CLIENTS as u64, "hardly anybody was served from the history");
    assert!(inits > CLIENTS as u64, "no history was too short");
}

async fn eventually_written(written: &[AtomicU64], version: u64) {
    eventually("the writers", async || {
        written.iter().all(|written| written.load(Ordering::Relaxed) >= version).then_some(())
    })
    .await;
}

/// Writes an object's versions one after the other, each until it is known to be written; gives the state at each.
async fn write(
    object: usize,
    living: Living,
    written: Arc<Vec<AtomicU64>>,
    mut random: StdRng,
) -> (usize, BTreeMap<u64, State>) {
    let mut state = State::new();
    let mut states = BTreeMap::from([(0, state.clone())]);
    let mut connection: Option<Connection> = None;
    for version in 1..=VERSIONS {
        let key = format!("k{}", random.random_range(0..6));
        let value = json!(random.random::<u32>());
        let is_put = !state.contains_key(&key) || random.random_bool(0.8);
        let path = format!("/v1/objects/object/resume-{object}/state/{key}");
        let body = json!({ "value": value }).to_string();
        let once = format!("{object}-{version}");
        let headers = [("Idempotency-Key", once.as_str())];
        let answer = within("a write", async {
            loop {
                let open = match connection.take() {
                    Some(open) => Ok(open),
                    None => Connection::open(pick(&living, &mut random)).await,
                };
                let Ok(mut open) = open else { continue };
                let (verb, body) = if is_put { ("PUT", body.as_bytes()) } else { ("DELETE", &b""[..]) };
                let sent = open.request(verb, &path, &headers, body).await;
                match sent {
                    Ok(answer) if answer.status < 300 => {
                        connection = Some(open);
                        return answer;
                    }
                    Ok(answer) => assert!(answer.status >= 500, "{}", answer.text()),
                    Err(_) => {}
                }
            }
        })
        .await;
        assert_eq!(answer.version(), version, "one writer takes every version");
        if is_put {
            state.insert(key, value);
        } else {
            state.remove(&key);
        }
        states.insert(version, state.clone());
        written[object].store(version, Ordering::Relaxed);
    }
    (object, states)
}

fn pick(living: &Living, random: &mut StdRng) -> SocketAddr {
    *living.lock().expect("nobody panicked").choose(random).expect("somebody lives")
}

/// A client: it reads a while, leaves without a word, and comes back somewhere else.
async fn client(
    object: usize,
    living: Living,
    written: Arc<Vec<AtomicU64>>,
    mut random: StdRng,
) -> (usize, Seen) {
    let mut seen = Seen::default();
    let mut last: Option<(u64, State)> = None;
    loop {
        let since = last.as_ref().map_or_else(String::new, |(version, _)| format!("?since={version}"));
        let path = format!("/v1/objects/object/resume-{object}/live{since}");
        let Ok(mut socket) = Socket::try_open(pick(&living, &mut random), &path, &[]).await else { continue };
        let mut frames = random.random_range(1..80);
        while frames > 0 {
            let frame = match socket.next().await {
                Frame::Text(text) => serde_json::from_str(&text).expect("frames are JSON"),
                _ => break,
            };
            frames -= 1;
            follow(&mut seen, &mut last, &frame);
            if last.as_ref().is_some_and(|(version, _)| *version == VERSIONS) {
                return (object, seen);
            }
        }
        drop(socket);
        if random.random_bool(0.15) {
            let back_at = last.as_ref().map_or(0, |(version, _)| version + AWAY).min(VERSIONS);
            eventually("the history to overflow", async || {
                (written[object].load(Ordering::Relaxed) >= back_at).then_some(())
            })
            .await;
        }
    }
}

/// Takes in a frame as a client does.
fn follow(seen: &mut Seen, last: &mut Option<(u64, State)>, frame: &Value) {
    let version = frame["version"].as_u64().expect("a frame has a version");
    match frame["type"].as_str() {
        Some("init") => {
            seen.inits += 1;
            let state: State = serde_json::from_value(frame["state"].clone()).expect("a state");
            let before = last.as_ref().map_or(0, |(version, _)| *version);
            assert!(version >= before, "it began anew at {version}, after {before}");
            *last = Some((version, state));
        }
        Some("resumed") => {
            seen.resumed += 1;
            return;
        }
        Some("update") => {
            let (before, state) = last.as_mut().expect("an opening comes first");
            assert_eq!(version, *before + 1, "a version is missing or repeated");
            let changes: State = serde_json::from_value(frame["changes"].clone()).expect("changes");
            state.extend(changes);
            for key in frame["deleted"].as_array().expect("a list") {
                state.remove(key.as_str().expect("a key"));
            }
            *before = version;
        }
        other => panic!("an unexpected frame: {other:?}"),
    }
    let (version, state) = last.as_ref().expect("it was just set");
    seen.states.insert(*version, state.clone());
}
