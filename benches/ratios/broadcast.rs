//! The measure of what telling many costs: axum handlers that count, broadcast the frames that Stead does, and store
//! nothing.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use axum::extract::{Path, State, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use parking_lot::Mutex;
use tokio::sync::broadcast;

use crate::bare::{Called, Counter, TIMESTAMP};

/// Updates that wait for a subscriber: as many as with Stead.
const WAITING: usize = 1_024;

/// The counters there are. Each is found, counted and told of as simply as can be.
type Counters = Arc<Mutex<HashMap<String, Counted>>>;

struct Counted {
    value: u64,
    told: broadcast::Sender<Utf8Bytes>,
}

impl Default for Counted {
    fn default() -> Self {
        Self { value: 0, told: broadcast::channel(WAITING).0 }
    }
}

/// The routes.
pub(crate) fn router() -> Router {
    Router::new()
        .route("/v1/objects/counter/{name}/methods/increment", post(increment))
        .route("/v1/objects/counter/{name}/live", get(watch))
        .with_state(Counters::default())
}

async fn increment(State(counters): State<Counters>, Path(name): Path<String>) -> Json<Called> {
    let mut counters = counters.lock();
    let counted = match counters.get_mut(&name) {
        Some(counted) => counted,
        None => counters.entry(name.clone()).or_default(),
    };
    counted.value += 1;
    let value = counted.value;
    if counted.told.receiver_count() > 0 {
        let frame = format!(
            r#"{{"type":"update","object":"counter/{name}","version":{value},"changes":{{"value":{value}}},"deleted":[],"method":"increment","by":"local","timestamp":"{TIMESTAMP}"}}"#
        );
        let _ = counted.told.send(frame.into());
    }
    Json(Called { result: Counter { value }, version: value })
}

async fn watch(
    State(counters): State<Counters>,
    Path(name): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let told = counters.lock().entry(name).or_default().told.subscribe();
    upgrade.on_upgrade(|socket| pass_on(socket, told))
}

async fn pass_on(mut socket: WebSocket, mut told: broadcast::Receiver<Utf8Bytes>) {
    let mut next = Utf8Bytes::from_static(r#"{"type":"init"}"#);
    while socket.send(Message::Text(next)).await.is_ok() {
        match told.recv().await {
            Ok(frame) => next = frame,
            Err(_) => return,
        }
    }
}
