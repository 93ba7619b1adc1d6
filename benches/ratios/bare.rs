//! The measure of what HTTP costs: an axum handler that answers the JSON that Stead does, and stores
//! nothing.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct Called {
    pub(crate) result: Counter,
    pub(crate) version: u64,
}

#[derive(Serialize)]
pub(crate) struct Counter {
    pub(crate) value: u64,
}

#[derive(Serialize)]
struct Read {
    class: &'static str,
    name: String,
    version: u64,
    state: Counter,
    updated_at: &'static str,
}

/// When everything happened that this handler tells of.
pub(crate) const TIMESTAMP: &str = "2026-11-21T02:11:36.224Z";

/// The routes.
pub(crate) fn router() -> Router {
    Router::new()
        .route("/v1/objects/counter/{name}/methods/increment", post(increment))
        .route("/v1/objects/counter/{name}", get(read))
        .with_state(Arc::new(AtomicU64::new(0)))
}

/// Serves until the process is killed; says its address on the first line.
pub(crate) fn serve(router: Router) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        println!("listening on http://{}", listener.local_addr().expect("it is bound"));
        std::io::stdout().flush().expect("the output is open");
        axum::serve(listener, router).await.expect("it serves");
    });
}

async fn increment(State(count): State<Arc<AtomicU64>>, Path(_name): Path<String>) -> Json<Called> {
    let value = count.fetch_add(1, Ordering::Relaxed) + 1;
    Json(Called { result: Counter { value }, version: value })
}

async fn read(State(count): State<Arc<AtomicU64>>, Path(name): Path<String>) -> Json<Read> {
    let version = count.load(Ordering::Relaxed);
    Json(Read { class: "counter", name, version, state: Counter { value: version }, updated_at: TIMESTAMP })
}
