//! Keeps the connection to one server: begins it, follows what is offered, begins it again when it ends.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rand::RngExt;
use rmcp::RoleClient;
use rmcp::model::{ProtocolVersion, SubscriptionFilter};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt, Peer, RunningService, ServiceError};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::line::Line;
use super::offer::Offer;
use super::{Server, Way};
use crate::limits::{
    UPSTREAM_LIST_WITHIN, UPSTREAM_LOG_LINE_MAX_BYTES, UPSTREAM_PAUSE_FIRST, UPSTREAM_PAUSE_MAX,
    UPSTREAM_START_WITHIN, UPSTREAM_STOPS_WITHIN, UPSTREAM_WELL_AFTER,
};
use crate::outgoing;

/// What a child process has of this one's environment: what a login has, and so no secret of ours.
const INHERITED: [&str; 8] = ["HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "USER"];

type Running = RunningService<RoleClient, Line>;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("its program does not start: {0}")]
    Spawn(std::io::Error),
    #[error(transparent)]
    Trust(#[from] outgoing::Error),
    #[error("a header of its configuration is none: {0}")]
    Header(String),
    #[error("it cannot be asked over HTTP: {0}")]
    Http(reqwest::Error),
    #[error("it does not begin: {0}")]
    Begin(String),
    #[error("it did not begin within {0:?}")]
    Late(Duration),
    #[error("it does not list what it offers: {0}")]
    List(ServiceError),
}

/// Keeps one server until told to stop.
pub(super) async fn keep(server: Arc<Server>, tasks: TaskTracker, stopping: CancellationToken) {
    let mut pause = UPSTREAM_PAUSE_FIRST;
    loop {
        let begun = Instant::now();
        server.started.fetch_add(1, Ordering::Relaxed);
        let ended = tokio::select! {
            () = stopping.cancelled() => return,
            connected = connect(&server, &tasks, &stopping) => match connected {
                Ok(running) => serve(&server, running, &stopping).await,
                Err(failure) => Err(failure),
            }
        };
        if stopping.is_cancelled() {
            return;
        }
        if begun.elapsed() >= UPSTREAM_WELL_AFTER {
            pause = UPSTREAM_PAUSE_FIRST;
        }
        let jittered = pause.mul_f64(rand::rng().random_range(0.75..1.25));
        match ended {
            Ok(()) => {
                tracing::warn!(server = server.name, ?jittered, "an MCP server has ended; it is begun again");
            }
            Err(failure) => {
                tracing::warn!(server = server.name, %failure, ?jittered, "an MCP server is not reached; it is tried again");
            }
        }
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(jittered) => {}
        }
        pause = pause.saturating_mul(2).min(UPSTREAM_PAUSE_MAX);
    }
}

/// Begins the connection.
async fn connect(
    server: &Arc<Server>,
    tasks: &TaskTracker,
    stopping: &CancellationToken,
) -> Result<Running, Failure> {
    let line = Line(server.line.clone());
    // Servers of the new revision have nothing to begin; older ones say that they do not know the question.
    let lifecycle = ClientLifecycleMode::Auto {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        legacy_version: Some(ProtocolVersion::LATEST_WITH_INITIALIZE),
    };
    let begin = async {
        match &server.options.way {
            Way::Command { command, args, env } => {
                let mut child = Command::new(command);
                child.args(args).env_clear();
                child.envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
                child.envs(env);
                // Signals from the terminal are for us; it ends when its input does.
                child.process_group(0);
                let spawned = TokioChildProcess::builder(child).stderr(Stdio::piped()).spawn();
                let (child, stderr) = spawned.map_err(Failure::Spawn)?;
                if let Some(stderr) = stderr {
                    // A child of the child may hold it open for longer.
                    let stopped = stopping.clone().cancelled_owned();
                    let log = log(server.name.clone(), stderr);
                    tasks.spawn(async move {
                        tokio::select! { () = stopped => {}, () = log => {} }
                    });
                }
                line.serve_with_lifecycle(child, lifecycle)
                    .await
                    .map_err(|error| Failure::Begin(error.to_string()))
            }
            Way::Url { url, headers } => {
                let config = StreamableHttpClientTransportConfig::with_uri(url.as_str())
                    .custom_headers(parse_headers(headers)?);
                let is_secret = url.starts_with("https:");
                let client = if is_secret { outgoing::trusting()? } else { outgoing::plain() };
                let client =
                    client.redirect(reqwest::redirect::Policy::none()).build().map_err(Failure::Http)?;
                let transport = StreamableHttpClientTransport::with_client(client, config);
                line.serve_with_lifecycle(transport, lifecycle)
                    .await
                    .map_err(|error| Failure::Begin(error.to_string()))
            }
        }
    };
    tokio::time::timeout(UPSTREAM_START_WITHIN, begin)
        .await
        .map_err(|_| Failure::Late(UPSTREAM_START_WITHIN))?
}

fn parse_headers(
    headers: &std::collections::BTreeMap<String, String>,
) -> Result<HashMap<http::HeaderName, http::HeaderValue>, Failure> {
    let parse = |(name, value): (&String, &String)| {
        let wrong = || Failure::Header(name.clone());
        let parsed = http::HeaderName::try_from(name).map_err(|_| wrong())?;
        let mut value = http::HeaderValue::try_from(value).map_err(|_| wrong())?;
        value.set_sensitive(true);
        Ok((parsed, value))
    };
    headers.iter().map(parse).collect()
}

/// Serves calls over the connection until it ends.
async fn serve(server: &Arc<Server>, running: Running, stopping: &CancellationToken) -> Result<(), Failure> {
    let peer = running.peer().clone();
    list(server, &peer).await?;
    server.breaker.lock().reset();
    *server.peer.write() = Some(peer.clone());
    tracing::info!(server = server.name, tools = server.offer.read().tools.len(), "an MCP server is reached");
    let (name, relist) = (server.name.as_str(), &server.line.relist);
    let following = follow(&peer, relist);
    let listing = async {
        loop {
            relist.notified().await;
            if let Err(failure) = list(server, &peer).await {
                tracing::warn!(server = name, %failure, "what an MCP server offers is not known anew");
            }
        }
    };
    let closing = running.cancellation_token();
    let mut ended = std::pin::pin!(running.waiting());
    tokio::select! {
        () = stopping.cancelled() => {}
        _ = &mut ended => {
            *server.peer.write() = None;
            return Ok(());
        }
        () = listing => {}
        () = following => {}
    }
    *server.peer.write() = None;
    closing.cancel();
    if tokio::time::timeout(UPSTREAM_STOPS_WITHIN, ended).await.is_err() {
        tracing::warn!(server = name, "an MCP server did not end in time and is left");
    }
    Ok(())
}

/// Follows the changes of a server of the new revision, which tells only who listens. One that cannot be listened to, and
/// one of an older revision, is left at what it tells by itself.
async fn follow(peer: &Peer<RoleClient>, relist: &tokio::sync::Notify) {
    let info = peer.peer_info();
    let wanted = SubscriptionFilter::builder()
        .tools_list_changed()
        .prompts_list_changed()
        .resources_list_changed()
        .build();
    let is_new = |version: &ProtocolVersion| version.as_str() >= ProtocolVersion::V_2026_07_28.as_str();
    let wanted = info
        .filter(|info| is_new(&info.protocol_version))
        .map(|info| wanted.supported_by(&info.capabilities))
        .filter(|wanted| *wanted != SubscriptionFilter::new());
    if let Some(wanted) = wanted {
        while let Ok(mut subscription) = peer.listen(wanted.clone()).await {
            // Something may have changed before it listened.
            relist.notify_one();
            while let Ok(Some(_)) = subscription.next().await {
                relist.notify_one();
            }
            tokio::time::sleep(UPSTREAM_PAUSE_FIRST).await;
        }
    }
    std::future::pending::<()>().await;
}

/// Lists what a server offers.
async fn list(server: &Arc<Server>, peer: &Peer<RoleClient>) -> Result<(), Failure> {
    let capabilities = peer.peer_info().map(|info| info.capabilities.clone()).unwrap_or_default();
    let listed = async {
        let tools = if capabilities.tools.is_some() { peer.list_all_tools().await? } else { Vec::new() };
        let resources = if capabilities.resources.is_some() {
            // Templates came later than resources: who does not know them has none.
            let templates = peer.list_all_resource_templates().await.unwrap_or_default();
            (peer.list_all_resources().await?, templates)
        } else {
            (Vec::new(), Vec::new())
        };
        let prompts =
            if capabilities.prompts.is_some() { peer.list_all_prompts().await? } else { Vec::new() };
        Ok(Offer::of(&server.name, &server.options, tools, resources, prompts))
    };
    let offer = tokio::time::timeout(UPSTREAM_LIST_WITHIN, listed)
        .await
        .map_err(|_| Failure::Late(UPSTREAM_LIST_WITHIN))?
        .map_err(Failure::List)?;
    server.offers(offer);
    Ok(())
}

/// Takes a child's standard error into the log, line by line; of a line too long, its pieces.
async fn log(server: String, stderr: impl AsyncRead + Unpin) {
    let mut lines = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        let Ok(buffered) = lines.fill_buf().await else { return };
        if buffered.is_empty() {
            return;
        }
        let end = buffered.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(buffered.len(), |end| end + 1);
        line.extend(buffered.iter().take(taken));
        lines.consume(taken);
        if end.is_some() || line.len() >= UPSTREAM_LOG_LINE_MAX_BYTES {
            let text = String::from_utf8_lossy(&line);
            tracing::info!(server, "{}", text.trim_end());
            line.clear();
        }
    }
}
