//! Other MCP servers behind this one: their tools, resources and prompts beside ours.
//!
//! Each server of the configuration has a keeper of its own (`keeper`), which starts the child process or connects,
//! lists what the server offers, lists again when that changes, and begins again when it ends. What it offers is
//! shown under names that say whose it is (`offer`). A call goes to one server's connection and waits for nothing
//! else, so a dead or slow server costs the others nothing; the `breaker` refuses at once what has just failed
//! again and again.
//!
//! A server whose connection is gone keeps its names: who calls them is told that its process has terminated, which
//! says more than that there is no such tool.

mod breaker;
mod keeper;
mod line;
mod offer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

use crate::telemetry::Metrics;
use parking_lot::{Mutex, RwLock};
use rmcp::RoleClient;
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, CallToolResult, ClientRequest, CompleteRequest,
    CompleteRequestParams, CompletionInfo, ErrorCode, ErrorData, GetPromptRequest, GetPromptRequestParams,
    GetPromptResult, JsonObject, Prompt, ReadResourceRequest, ReadResourceRequestParams, ReadResourceResult,
    Reference, ResourceTemplate, ServerResult,
};
use rmcp::service::{Peer, PeerRequestOptions, ServiceError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::catalog::{Arguments, Generations, ResourcePage, ToolAnswer};
use super::{Exchange, Failure};
use breaker::Breaker;
pub use line::{Heard, Listener};
use offer::Offer;

/// A server to route to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamOptions {
    /// How it is reached.
    pub way: Way,
    /// The tools that are shown; all where none is named.
    pub tools: Vec<String>,
    /// Tools that are annotated as needing no confirmation.
    pub auto_approve: Vec<String>,
    /// Longest that a call may take.
    pub timeout: Duration,
}

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// A child process that speaks MCP over its standard input and output.
    Command {
        /// The program.
        command: String,
        /// Its arguments.
        args: Vec<String>,
        /// Its environment, beside what a login has.
        env: BTreeMap<String, String>,
    },
    /// A server that speaks MCP over HTTP.
    Url {
        /// Its endpoint.
        url: String,
        /// Headers of every request.
        headers: BTreeMap<String, String>,
    },
}

/// The servers that are routed to. Cheap to clone.
#[derive(Clone)]
pub struct Upstreams(Arc<Shared>);

struct Shared {
    servers: BTreeMap<String, Arc<Server>>,
    /// Counts the changes of what all servers offer.
    changed: Arc<watch::Sender<Generations>>,
    stopping: CancellationToken,
    keepers: TaskTracker,
}

/// One server.
pub(super) struct Server {
    name: String,
    options: UpstreamOptions,
    /// What it offers, as last listed.
    offer: RwLock<Arc<Offer>>,
    /// The connection, while it stands.
    peer: RwLock<Option<Peer<RoleClient>>>,
    breaker: Mutex<Breaker>,
    line: Arc<line::Switchboard>,
    changed: Arc<watch::Sender<Generations>>,
    started: AtomicU64,
}

impl Upstreams {
    /// Begins to reach the servers. Names come from the configuration, which has checked them.
    #[must_use]
    pub fn start(servers: BTreeMap<String, UpstreamOptions>, metrics: &Metrics) -> Self {
        let changed = Arc::new(watch::Sender::new(Generations::default()));
        let (stopping, keepers) = (CancellationToken::new(), TaskTracker::new());
        let servers = servers.into_iter().map(|(name, options)| {
            let server = Arc::new(Server {
                name: name.clone(),
                options,
                offer: RwLock::default(),
                peer: RwLock::default(),
                breaker: Mutex::default(),
                line: Arc::default(),
                changed: changed.clone(),
                started: AtomicU64::new(0),
            });
            keepers.spawn(keeper::keep(server.clone(), keepers.clone(), stopping.clone()));
            (name, server)
        });
        let upstreams = Self(Arc::new(Shared { servers: servers.collect(), changed, stopping, keepers }));
        if !upstreams.0.servers.is_empty() {
            upstreams.show(metrics);
        }
        upstreams
    }

    /// Ends the connections and the child processes.
    pub async fn stop(&self) {
        self.0.stopping.cancel();
        self.0.keepers.close();
        self.0.keepers.wait().await;
    }

    /// Shows how many servers there are, how many can be called, and how often they were begun.
    fn show(&self, metrics: &Metrics) {
        let gauge = |name, help, value: fn(&Server) -> u64| {
            let shared = self.0.clone();
            metrics.show_gauge(name, help, move || {
                let sum: u64 = shared.servers.values().map(|server| value(server)).sum();
                i64::try_from(sum).unwrap_or(i64::MAX)
            });
        };
        gauge("mcp_upstreams", "Other MCP servers that are routed to", |_| 1);
        gauge("mcp_upstreams_connected", "Other MCP servers that can be called now", |server| {
            u64::from(server.peer.read().is_some())
        });
        let shared = self.0.clone();
        metrics.show_counter(
            "mcp_upstream_starts",
            "Times that connections to other MCP servers were begun",
            move || shared.servers.values().map(|server| server.started.load(Ordering::Relaxed)).sum(),
        );
    }

    fn offers<T: Clone>(&self, part: impl Fn(&Offer) -> &Vec<T>) -> Vec<T> {
        self.0.servers.values().flat_map(|server| part(&server.offer.read()).clone()).collect()
    }

    /// Calls a server's tool.
    ///
    /// # Errors
    /// That there is no such server or tool, that it does not answer, or what it says itself.
    async fn call_tool(
        &self,
        name: &str,
        arguments: Option<JsonObject>,
        listener: Option<Listener>,
    ) -> Result<CallToolResult, ErrorData> {
        let (server, tool) = self.find(offer::split_name(name))?;
        let mut params = CallToolRequestParams::new(tool.to_owned());
        params.arguments = arguments;
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
        match server.ask(request, listener).await? {
            ServerResult::CallToolResult(result) => Ok(offer::rename_links(&server.name, result)),
            _ => Err(server.says_nonsense()),
        }
    }

    /// Reads a server's resource.
    ///
    /// # Errors
    /// As [`Upstreams::call_tool`].
    async fn read_resource(&self, uri: &str) -> Result<ReadResourceResult, ErrorData> {
        let (server, own) = self.find(offer::split_uri(uri))?;
        let params = ReadResourceRequestParams::new(own.to_owned());
        let request = ClientRequest::ReadResourceRequest(ReadResourceRequest::new(params));
        match server.ask(request, None).await? {
            ServerResult::ReadResourceResult(result) => Ok(offer::rename_contents(&server.name, result)),
            _ => Err(server.says_nonsense()),
        }
    }

    /// Gets a server's prompt.
    ///
    /// # Errors
    /// As [`Upstreams::call_tool`].
    async fn get_prompt(
        &self,
        name: &str,
        arguments: Option<JsonObject>,
    ) -> Result<GetPromptResult, ErrorData> {
        let (server, prompt) = self.find(offer::split_name(name))?;
        let mut params = GetPromptRequestParams::new(prompt);
        params.arguments = arguments;
        let request = ClientRequest::GetPromptRequest(GetPromptRequest::new(params));
        match server.ask(request, None).await? {
            ServerResult::GetPromptResult(result) => Ok(result),
            _ => Err(server.says_nonsense()),
        }
    }

    /// Completes an argument of a server's prompt or resource template.
    ///
    /// # Errors
    /// As [`Upstreams::call_tool`].
    async fn complete_argument(
        &self,
        mut params: CompleteRequestParams,
    ) -> Result<CompletionInfo, ErrorData> {
        let (server, own) = match &params.r#ref {
            Reference::Prompt(prompt) => self.find(offer::split_name(&prompt.name))?,
            Reference::Resource(template) => self.find(offer::split_uri(&template.uri))?,
            _ => return Err(ErrorData::invalid_params("there is no such reference", None)),
        };
        let own = own.to_owned();
        params.r#ref = match params.r#ref {
            Reference::Prompt(_) => Reference::for_prompt(own),
            _ => Reference::for_resource(own),
        };
        match server.ask(ClientRequest::CompleteRequest(CompleteRequest::new(params)), None).await? {
            ServerResult::CompleteResult(result) => Ok(result.completion),
            _ => Err(server.says_nonsense()),
        }
    }

    fn find<'a>(&self, split: Option<(&str, &'a str)>) -> Result<(&Arc<Server>, &'a str), ErrorData> {
        let found = split.and_then(|(server, own)| Some((self.0.servers.get(server)?, own)));
        found.ok_or_else(|| ErrorData::invalid_params("Server not found", None))
    }
}

impl Server {
    /// Puts one request to the server, within the time that it has.
    async fn ask(
        &self,
        request: ClientRequest,
        listener: Option<Listener>,
    ) -> Result<ServerResult, ErrorData> {
        self.breaker.lock().admit(Instant::now()).map_err(|open| {
            let (name, failures) = (&self.name, open.failures);
            let seconds = open.again_in.as_secs() + 1;
            unavailable(format!(
                "Server unavailable: {name} failed {failures} times in a row; it is tried again in {seconds} s"
            ))
        })?;
        let asked = self.put(request, listener).await;
        let (is_well, answered) = match asked {
            Ok(result) => (true, Ok(result)),
            // It lives: it said so itself.
            Err(ServiceError::McpError(error)) => (true, Err(error)),
            Err(ServiceError::Timeout { timeout }) => {
                let seconds = timeout.as_secs_f64();
                let name = &self.name;
                (
                    false,
                    Err(unavailable(format!("Server timed out: {name} did not answer within {seconds} s"))),
                )
            }
            Err(ServiceError::TransportClosed | ServiceError::TransportSend(_)) => (false, Err(terminated())),
            Err(other) => (false, Err(unavailable(format!("Server failed: {}: {other}", self.name)))),
        };
        self.breaker.lock().record(is_well, Instant::now());
        answered
    }

    async fn put(
        &self,
        request: ClientRequest,
        listener: Option<Listener>,
    ) -> Result<ServerResult, ServiceError> {
        let peer = self.peer.read().clone().ok_or(ServiceError::TransportClosed)?;
        let timeout = self.options.timeout;
        let options = PeerRequestOptions::with_timeout(timeout);
        let handle = tokio::time::timeout(timeout, peer.send_request_with_option(request, options))
            .await
            .map_err(|_| ServiceError::Timeout { timeout })??;
        let _heard = listener.map(|listener| self.line.listen(handle.progress_token.clone(), listener));
        handle.await_response().await
    }

    fn says_nonsense(&self) -> ErrorData {
        unavailable(format!("Server failed: {} answered with something else than was asked for", self.name))
    }

    /// What it offers is another from now on.
    fn offers(&self, offer: Offer) {
        let before = std::mem::replace(&mut *self.offer.write(), Arc::new(offer));
        let now = self.offer.read().clone();
        let is_new = |changed: bool| u64::from(changed);
        let changed = Generations {
            tools: is_new(before.tools != now.tools),
            resources: is_new(before.resources != now.resources || before.templates != now.templates),
            prompts: is_new(before.prompts != now.prompts),
        };
        if changed != Generations::default() {
            self.changed.send_modify(|generations| {
                generations.tools += changed.tools;
                generations.resources += changed.resources;
                generations.prompts += changed.prompts;
            });
        }
    }
}

fn terminated() -> ErrorData {
    unavailable("Server process terminated")
}

fn unavailable(detail: impl Into<std::borrow::Cow<'static, str>>) -> ErrorData {
    ErrorData::new(ErrorCode::INTERNAL_ERROR, detail, None)
}

impl super::Source for Upstreams {
    fn name(&self) -> &'static str {
        "upstream"
    }

    fn tools(&self) -> Vec<super::Tool> {
        self.offers(|offer| &offer.tools).into_iter().map(Into::into).collect()
    }

    fn why_not(&self, tool: &str) -> Option<Failure> {
        let split = offer::split_name(tool)?;
        match self.find(Some(split)) {
            Err(not_found) => Some(not_found.into()),
            Ok((server, _)) if server.peer.read().is_none() => Some(terminated().into()),
            // It is there, and has no such tool.
            Ok(_) => None,
        }
    }

    fn call<'a>(
        &'a self,
        exchange: &'a Exchange,
        tool: &'a str,
        arguments: Arguments,
    ) -> BoxFuture<'a, Result<ToolAnswer, Failure>> {
        Box::pin(async move {
            let listener = exchange.wants_progress().then(|| {
                let reporter = exchange.reporter();
                let listener: Listener = Arc::new(move |heard| {
                    reporter.progress(heard.progress, heard.total, heard.message.as_deref());
                });
                listener
            });
            let result = tokio::select! {
                result = self.call_tool(tool, Some(arguments), listener) => result?,
                () = exchange.cancelled() => return Err(Failure::Cancelled),
            };
            Ok(ToolAnswer::Content(result))
        })
    }

    fn resources<'a>(
        &'a self,
        _: &'a Exchange,
        _: Option<&'a str>,
    ) -> BoxFuture<'a, Result<ResourcePage, Failure>> {
        // The servers have listed them: they fit into one page of theirs, and so of ours.
        Box::pin(async {
            Ok(ResourcePage { resources: self.offers(|offer| &offer.resources), cursor: None })
        })
    }

    fn templates(&self) -> Vec<ResourceTemplate> {
        self.offers(|offer| &offer.templates)
    }

    fn read<'a>(
        &'a self,
        _: &'a Exchange,
        uri: &'a str,
    ) -> BoxFuture<'a, Result<Option<ReadResourceResult>, Failure>> {
        Box::pin(async move {
            if offer::split_uri(uri).is_none() {
                return Ok(None);
            }
            Ok(Some(self.read_resource(uri).await?))
        })
    }

    fn prompts(&self) -> Vec<Prompt> {
        self.offers(|offer| &offer.prompts)
    }

    fn prompt<'a>(
        &'a self,
        _: &'a Exchange,
        name: &'a str,
        arguments: Arguments,
    ) -> BoxFuture<'a, Result<GetPromptResult, Failure>> {
        Box::pin(async move { Ok(self.get_prompt(name, Some(arguments)).await?) })
    }

    fn complete<'a>(
        &'a self,
        _: &'a Exchange,
        asked: &'a CompleteRequestParams,
    ) -> BoxFuture<'a, Result<Option<CompletionInfo>, Failure>> {
        Box::pin(async move {
            let is_ours = match &asked.r#ref {
                Reference::Prompt(prompt) => offer::split_name(&prompt.name).is_some(),
                Reference::Resource(template) => offer::split_uri(&template.uri).is_some(),
                _ => false,
            };
            if !is_ours {
                return Ok(None);
            }
            Ok(Some(self.complete_argument(asked.clone()).await?))
        })
    }

    fn generations(&self) -> Option<watch::Receiver<Generations>> {
        Some(self.0.changed.subscribe())
    }
}
