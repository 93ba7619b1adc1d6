//! From a method to its answer: what every revision has, over the catalog.

use std::fmt::Write as _;
use std::time::Instant;

use rmcp::model::{CompleteRequestParams, ErrorCode, ErrorData};
use serde_json::{Map, Value as Json, json};

use super::catalog::{Arguments, Listed, Source, Tool};
use super::done::{Done, error_of};
use super::exchange::{Asking, Exchange};
use super::params::{arguments, text};
use super::reply::{self, Cache, Kind};
use super::revision::Era;
use super::work::{Origin, Work};
use super::{Failure, Mcp, introduction, task};
use crate::limits::MCP_PAGE;

/// How long a client may keep a list: it is told when one changes.
const LISTS: Cache = Cache { ttl_ms: 300_000, scope: "public" };
/// What a resource says now may be old at once.
const NOW: Cache = Cache { ttl_ms: 0, scope: "private" };

/// Does what is asked for; an answer is a result, an error, or what the client is asked first.
pub(super) async fn run(mcp: &Mcp, exchange: &Exchange, work: Work, origin: &Origin) -> Done {
    match mcp.work(exchange, work).await {
        Err(Failure::InputRequired) => mcp.input_required(exchange, origin).await,
        answered => answered,
    }
    .map_err(|failure| error_of(failure, exchange.era))
}

impl Mcp {
    async fn work(&self, exchange: &Exchange, work: Work) -> Result<reply::Result, Failure> {
        match work {
            Work::Tool { source, tool, arguments, .. } => {
                self.call(exchange, &*source, &tool, arguments).await
            }
            Work::Other { method, params } => self.other(exchange, &method, params).await,
        }
    }

    async fn call(
        &self,
        exchange: &Exchange,
        source: &dyn Source,
        tool: &Tool,
        arguments: Arguments,
    ) -> Result<reply::Result, Failure> {
        let started = Instant::now();
        let name = &*tool.tool.name;
        let answered = source.call(exchange, name, arguments).await;
        let (took, result) = (started.elapsed(), answered.map(reply::Result::of_tool));
        let outcome = match &result {
            Ok(result) if result.fields.ends_with(r#""isError":true"#) => "refused",
            Ok(_) => "answered",
            Err(Failure::InputRequired) => "asked",
            Err(Failure::Cancelled) => "cancelled",
            Err(Failure::Rpc(_)) => "failed",
        };
        self.metrics().tool_called(name, outcome, took);
        let took_us = took.as_micros();
        if let Err(Failure::Rpc(error)) = &result {
            tracing::info!(tool = name, outcome, took_us, code = error.code.0, error = %error.message, "called");
        } else {
            tracing::debug!(tool = name, outcome, took_us, "called");
        }
        result
    }

    async fn other(
        &self,
        exchange: &Exchange,
        method: &str,
        mut params: Map<String, Json>,
    ) -> Result<reply::Result, Failure> {
        match method {
            "tools/list" => self.tools(&params),
            "prompts/list" => {
                let listed = self.catalog().listed();
                page("prompts", &listed.prompts, &params)
            }
            "resources/templates/list" => {
                let listed = self.catalog().listed();
                page("resourceTemplates", &listed.templates, &params)
            }
            "resources/list" => self.resources(exchange, &params).await,
            "resources/read" => self.read(exchange, text(&params, "uri")?).await,
            "prompts/get" => {
                let name = text(&params, "name")?.to_owned();
                let source = self.catalog().listed().prompt(&name);
                let source = source.and_then(|place| self.catalog().source(place));
                let source =
                    source.ok_or_else(|| Failure::invalid_params(format!("Unknown prompt: {name}")))?;
                let prompt = source.prompt(exchange, &name, arguments(&mut params)?).await?;
                Ok(reply::Result::of(&prompt))
            }
            "completion/complete" => self.complete(exchange, params).await,
            "server/discover" if exchange.era == Era::Modern => Ok(introduction::discover()),
            "tasks/get" | "tasks/update" | "tasks/cancel" if exchange.era == Era::Modern => {
                task::answer(self, exchange, method, &params).await
            }
            "ping" if exchange.era == Era::Legacy => Ok(reply::Result::default()),
            _ => Err(unknown_method(method)),
        }
    }

    fn tools(&self, params: &Map<String, Json>) -> Result<reply::Result, Failure> {
        let listed = self.catalog().listed();
        if params.get("cursor").is_none_or(Json::is_null) && listed.tools.len() <= MCP_PAGE {
            return Ok(cached(listed.all_tools().to_owned(), LISTS));
        }
        let shown: Vec<_> = listed.tools.iter().map(|tool| &tool.tool).collect();
        page("tools", &shown, params)
    }

    /// One source after the other; a cursor says which, and where in it.
    async fn resources(
        &self,
        exchange: &Exchange,
        params: &Map<String, Json>,
    ) -> Result<reply::Result, Failure> {
        let refused = || Failure::invalid_params("the cursor is not one that this server gave");
        let (first, cursor) = match params.get("cursor") {
            None | Some(Json::Null) => (0, None),
            Some(Json::String(cursor)) => {
                let (place, within) = cursor.split_once(':').ok_or_else(refused)?;
                let place: usize = place.parse().map_err(|_| refused())?;
                (place, (!within.is_empty()).then_some(within))
            }
            Some(_) => return Err(refused()),
        };
        let mut shown = Vec::new();
        let mut cursor = cursor;
        for (place, source) in self.catalog().sources().iter().enumerate().skip(first) {
            let page = source.resources(exchange, cursor.take()).await?;
            shown.extend(page.resources);
            let next = page.cursor.map(|within| format!("{place}:{within}"));
            let next = next.or_else(|| (shown.len() >= MCP_PAGE).then(|| format!("{}:", place + 1)));
            if let Some(next) = next {
                let mut fields = list_field("resources", &shown);
                fields.push_str(r#","nextCursor":"#);
                reply::push_text(&mut fields, &next);
                return Ok(cached(fields, NOW));
            }
        }
        Ok(cached(list_field("resources", &shown), NOW))
    }

    async fn read(&self, exchange: &Exchange, uri: &str) -> Result<reply::Result, Failure> {
        for source in self.catalog().sources() {
            if let Some(read) = source.read(exchange, uri).await? {
                return Ok(
                    reply::Result { cache: Some(NOW), ..reply::Result::of(&read) }.without_cache_fields()
                );
            }
        }
        Err(Failure::no_resource(uri))
    }

    async fn complete(
        &self,
        exchange: &Exchange,
        params: Map<String, Json>,
    ) -> Result<reply::Result, Failure> {
        let wrong = |_| {
            Failure::invalid_params("completion/complete has the parameters ref and argument{name,value}")
        };
        let asked: CompleteRequestParams = serde_json::from_value(Json::Object(params)).map_err(wrong)?;
        for source in self.catalog().sources() {
            if let Some(completion) = source.complete(exchange, &asked).await? {
                return Ok(reply::Result::of(&json!({ "completion": completion })));
            }
        }
        Ok(reply::Result::of_fields(r#""completion":{"values":[],"total":0,"hasMore":false}"#))
    }

    async fn input_required(&self, exchange: &Exchange, origin: &Origin) -> Result<reply::Result, Failure> {
        let Asking::Rounds(rounds) = &exchange.asking else {
            return Err(Failure::internal(
                "the request asks its client in a way that its revision does not have",
            ));
        };
        let rounds = rounds.lock().clone();
        let params = origin.params();
        let state =
            self.seal().close(self.runtime(), &exchange.caller, &origin.method, &params, &rounds).await?;
        let mut fields = String::new();
        if !rounds.open.is_empty() {
            let open: Map<String, Json> =
                rounds.open.iter().map(|(key, question)| (key.clone(), question.input())).collect();
            fields.push_str(r#""inputRequests":"#);
            fields.push_str(&Json::Object(open).to_string());
        }
        if let Some(state) = state {
            if !fields.is_empty() {
                fields.push(',');
            }
            fields.push_str(r#""requestState":"#);
            reply::push_text(&mut fields, &state);
        }
        Ok(reply::Result { kind: Kind::InputRequired, ..reply::Result::of_fields(fields) })
    }
}

impl reply::Result {
    /// What the types of the protocol write of it themselves, and this server writes once.
    fn without_cache_fields(self) -> Self {
        let mut object: Map<String, Json> =
            serde_json::from_str(&format!("{{{}}}", self.fields)).unwrap_or_default();
        if object.remove("ttlMs").is_none() && object.remove("cacheScope").is_none() {
            return self;
        }
        Self { fields: reply::inner(&Json::Object(object).to_string()).to_owned(), ..self }
    }
}

impl Listed {
    /// The whole list of tools, as the text that is sent.
    fn all_tools(&self) -> &str {
        self.tools_text.get_or_init(|| {
            let shown: Vec<_> = self.tools.iter().map(|tool| &tool.tool).collect();
            list_field("tools", &shown)
        })
    }
}

fn unknown_method(method: &str) -> Failure {
    Failure::Rpc(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, format!("Method not found: {method}"), None))
}

fn cached(fields: String, cache: Cache) -> reply::Result {
    reply::Result { cache: Some(cache), ..reply::Result::of_fields(fields) }
}

fn list_field(name: &str, rows: &[impl serde::Serialize]) -> String {
    format!(r#""{name}":{}"#, serde_json::to_string(rows).expect("rows have a form in JSON"))
}

/// A page of a list that is in memory; a cursor is the place in it.
fn page(
    name: &str,
    rows: &[impl serde::Serialize],
    params: &Map<String, Json>,
) -> Result<reply::Result, Failure> {
    let refused = || Failure::invalid_params("the cursor is not one that this server gave");
    let first: usize = match params.get("cursor") {
        None | Some(Json::Null) => 0,
        Some(Json::String(cursor)) => cursor.parse().map_err(|_| refused())?,
        Some(_) => return Err(refused()),
    };
    let rest = rows.get(first..).ok_or_else(refused)?;
    let shown = rest.get(..MCP_PAGE).unwrap_or(rest);
    let mut fields = list_field(name, shown);
    if rest.len() > shown.len() {
        write!(fields, r#","nextCursor":"{}""#, first + shown.len()).expect("a string takes all");
    }
    Ok(cached(fields, LISTS))
}
