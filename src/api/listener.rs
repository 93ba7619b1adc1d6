//! Connections: accepted, bounded, served one request at a time, ended with the server.
//!
//! hyper speaks HTTP. What it refuses before there is a request (a head that is no HTTP, is too large,
//! does not arrive in time) is answered by `refusal`.

pub(super) mod dormant;
mod lingering;
mod patience;
mod refusal;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use prometheus_client::metrics::gauge::Gauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::Front;
use dormant::Dormant;
use lingering::Lingering;
use patience::Patience;
use refusal::Watched;

/// What of a request's head is kept until it is whole, in bytes: more than the front lets pass, so that
/// its precise answer comes first.
const HEAD_MAX_BYTES: usize = 128 * 1024;
/// Pause after a failed accept: the process is out of descriptors, and others must close first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a connection that was refused may take to read why.
const FAREWELL: Duration = Duration::from_secs(2);

/// Serves `front` on a listener until `told`; then no connection is accepted, requests under way are
/// answered, and what does not end within `drain` is cut.
pub async fn listen(listener: TcpListener, front: Front, told: impl Future<Output = ()>, drain: Duration) {
    let server = Server::new(front);
    let mut told = pin!(told);
    loop {
        let accepted = tokio::select! {
            biased;
            () = told.as_mut() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => server.take(stream, peer),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    server.front.state().stop();
    server.shutdown.cancel();
    server.front.state().drain(drain).await;
}

struct Server {
    front: Front,
    http: http1::Builder,
    places: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl Server {
    fn new(front: Front) -> Self {
        let settings = front.state().settings();
        let mut http = http1::Builder::new();
        // Not `pipeline_flush`: with it hyper keeps its refusals to itself while there are bytes unread.
        http.header_read_timeout(settings.headers_timeout).max_buf_size(HEAD_MAX_BYTES);
        let places = Arc::new(Semaphore::new(settings.max_connections.min(Semaphore::MAX_PERMITS)));
        Self { front, http, places, shutdown: CancellationToken::new() }
    }

    /// Serves a connection; beyond the bound the newest is closed.
    fn take(&self, stream: TcpStream, peer: SocketAddr) {
        let Ok(place) = self.places.clone().try_acquire_owned() else { return };
        if stream.set_nodelay(true).is_err() {
            // The connection broke already.
            return;
        }
        let open = self.front.state().metrics().connections.clone();
        let place = Place::take(place, open);
        let (front, mut http, shutdown) = (self.front.clone(), self.http.clone(), self.shutdown.clone());
        http.timer(Patience::default());
        self.front.state().spawn(serve(front, http, stream, peer, shutdown, place));
    }
}

/// A place among the connections.
struct Place {
    _permit: OwnedSemaphorePermit,
    open: Gauge,
}

impl Place {
    fn take(permit: OwnedSemaphorePermit, open: Gauge) -> Self {
        open.inc();
        Self { _permit: permit, open }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.dec();
    }
}

async fn serve(
    front: Front,
    http: http1::Builder,
    stream: TcpStream,
    peer: SocketAddr,
    shutdown: CancellationToken,
    _place: Place,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let front = front.clone();
        let (head, body) = request.into_parts();
        let body = Lingering::body(front.state(), &head.headers, body);
        async move { Ok::<_, Infallible>(front.answer(Request::from_parts(head, body), peer).await) }
    });
    let mut connection = http.serve_connection(Watched::new(stream), service).with_upgrades();
    let ended = tokio::select! {
        biased;
        ended = &mut connection => ended,
        () = Dormant::new(shutdown.cancelled_owned()) => {
            std::pin::Pin::new(&mut connection).graceful_shutdown();
            (&mut connection).await
        }
    };
    let Err(error) = ended else { return };
    tracing::debug!(%peer, %error, "a connection broke");
    // What became a socket is not ours any more.
    let Some(parts) = connection.into_parts() else { return };
    let answer = Box::pin(parts.io.answer(error.is_timeout(), &parts.read_buf));
    // A peer that does not read its answer is let go all the same.
    drop(tokio::time::timeout(FAREWELL, answer).await);
}
