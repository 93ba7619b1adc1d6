//! What this server offers: tools, resources, prompts, from several [`Source`]s, as one.
//!
//! A source is asked by name; the catalog knows which has what. Lists are made once a generation and kept as the text
//! that is sent, for most clients begin with them.

pub(super) mod generations;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use parking_lot::RwLock;
use rmcp::model::{
    CallToolResult, CompleteRequestParams, CompletionInfo, GetPromptResult, Prompt, ReadResourceResult,
    Resource, ResourceTemplate,
};
use serde_json::{Map, Value as Json};
use tokio::sync::watch;

use self::generations::total;
use super::headers::{self, Mirrored};
use super::{Exchange, Failure};
use crate::caller::Caller;
use crate::error::Error;

pub use generations::Generations;

/// Arguments of a tool or prompt.
pub type Arguments = Map<String, Json>;

/// A tool of a source.
#[derive(Debug, Clone)]
pub struct Tool {
    /// What clients are shown.
    pub tool: rmcp::model::Tool,
    /// Other names that it is called by; they are not listed.
    pub aliases: Vec<Cow<'static, str>>,
    /// Whether a call of it may become a task.
    pub tasks: Tasks,
}

impl From<rmcp::model::Tool> for Tool {
    fn from(tool: rmcp::model::Tool) -> Self {
        Self { tool, aliases: Vec::new(), tasks: Tasks::Never }
    }
}

/// When a call of a tool becomes a task, for clients that know tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tasks {
    /// Its calls are answered.
    Never,
    /// A call becomes one that takes longer than a moment, or says so itself ([`Exchange::detach`]).
    WhenLong,
    /// The same, and clients that do not know tasks are refused.
    Required,
}

/// What a tool answers.
#[derive(Debug, Clone)]
pub enum ToolAnswer {
    /// A JSON object: shown as `structuredContent`, and as text in `content[0].text`.
    Structured {
        /// Its text.
        json: String,
        /// Whether it says that the tool refused.
        is_error: bool,
    },
    /// Content of any kind.
    Content(CallToolResult),
    /// A result as another server gave it.
    Passed(Map<String, Json>),
}

impl ToolAnswer {
    /// A result that is a JSON object.
    #[must_use]
    pub fn structured(json: &Json) -> Self {
        Self::Structured { json: json.to_string(), is_error: false }
    }

    /// A refusal that is a JSON object.
    #[must_use]
    pub fn refused(json: &Json) -> Self {
        Self::Structured { json: json.to_string(), is_error: true }
    }

    /// The public error as a refusal of the tool: something a model can read and mend.
    #[must_use]
    pub fn error(error: &Error) -> Self {
        Self::refused(&serde_json::json!({
            "success": false, "error": error.detail, "code": error.code.as_str(), "retry": error.retry,
        }))
    }

    /// A text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Content(CallToolResult::success(vec![rmcp::model::ContentBlock::text(text.into())]))
    }
}

/// A page of resources.
#[derive(Debug, Clone, Default)]
pub struct ResourcePage {
    /// The resources, in an order that is the same each time.
    pub resources: Vec<Resource>,
    /// Where the next page begins, unless this was the last.
    pub cursor: Option<String>,
}

/// A resource that is followed: its version when that began, and those that came after.
pub struct Followed {
    /// Its version now; 0 where it has none.
    pub version: u64,
    /// Each change, with the version after it. It ends when the server does.
    pub changes: BoxStream<'static, u64>,
}

/// What one part of the server offers. Every method but [`Source::name`] has a default: offers none of it.
pub trait Source: Send + Sync + 'static {
    /// What it is called in log lines.
    fn name(&self) -> &str;

    /// Its tools, in the order in which they are shown.
    fn tools(&self) -> Vec<Tool> {
        Vec::new()
    }

    /// Calls one of its tools, by the name that it is listed under.
    fn call<'a>(
        &'a self,
        exchange: &'a Exchange,
        tool: &'a str,
        arguments: Arguments,
    ) -> BoxFuture<'a, Result<ToolAnswer, Failure>> {
        let _ = (exchange, arguments);
        Box::pin(async move { Err(Failure::invalid_params(format!("Unknown tool: {tool}"))) })
    }

    /// Why a tool that is not listed cannot be called, where its name is one that this source would have.
    fn why_not(&self, tool: &str) -> Option<Failure> {
        let _ = tool;
        None
    }

    /// A page of its resources.
    fn resources<'a>(
        &'a self,
        exchange: &'a Exchange,
        cursor: Option<&'a str>,
    ) -> BoxFuture<'a, Result<ResourcePage, Failure>> {
        let _ = (exchange, cursor);
        Box::pin(async { Ok(ResourcePage::default()) })
    }

    /// Its templates.
    fn templates(&self) -> Vec<ResourceTemplate> {
        Vec::new()
    }

    /// Reads a resource; none if the address is not one of its own.
    fn read<'a>(
        &'a self,
        exchange: &'a Exchange,
        uri: &'a str,
    ) -> BoxFuture<'a, Result<Option<ReadResourceResult>, Failure>> {
        let _ = (exchange, uri);
        Box::pin(async { Ok(None) })
    }

    /// Follows a resource, from a version on if one is given: then what changed since counts as the first change. None
    /// if the address is not one of its own.
    fn follow<'a>(
        &'a self,
        caller: &'a Caller,
        uri: &'a str,
        since: Option<u64>,
    ) -> BoxFuture<'a, Result<Option<Followed>, Failure>> {
        let _ = (caller, uri, since);
        Box::pin(async { Ok(None) })
    }

    /// Its prompts, in the order in which they are shown.
    fn prompts(&self) -> Vec<Prompt> {
        Vec::new()
    }

    /// One of its prompts, filled in.
    fn prompt<'a>(
        &'a self,
        exchange: &'a Exchange,
        name: &'a str,
        arguments: Arguments,
    ) -> BoxFuture<'a, Result<GetPromptResult, Failure>> {
        let _ = (exchange, arguments);
        Box::pin(async move { Err(Failure::invalid_params(format!("Unknown prompt: {name}"))) })
    }

    /// Values for an argument of a prompt or a template, with those that are given already; none if that is not one of its own.
    fn complete<'a>(
        &'a self,
        exchange: &'a Exchange,
        asked: &'a CompleteRequestParams,
    ) -> BoxFuture<'a, Result<Option<CompletionInfo>, Failure>> {
        let _ = (exchange, asked);
        Box::pin(async { Ok(None) })
    }

    /// How often its lists have changed, where they can.
    fn generations(&self) -> Option<watch::Receiver<Generations>> {
        None
    }
}

/// All sources as one. Cheap to clone.
#[derive(Clone)]
pub struct Catalog(Arc<Inner>);

struct Inner {
    sources: Vec<Arc<dyn Source>>,
    changing: Vec<watch::Receiver<Generations>>,
    listed: RwLock<Arc<Listed>>,
}

/// A tool, found by its name.
pub(super) struct Named {
    /// The place of its source.
    pub(super) place: usize,
    pub(super) tool: Arc<Tool>,
    /// Arguments that headers repeat.
    pub(super) mirrored: Arc<[Mirrored]>,
}

/// What there is in one generation.
pub(super) struct Listed {
    pub(super) generations: Generations,
    pub(super) tools: Vec<Arc<Tool>>,
    pub(super) templates: Vec<ResourceTemplate>,
    pub(super) prompts: Vec<Prompt>,
    /// Each name and alias.
    tool_names: HashMap<String, Named>,
    prompt_names: HashMap<String, usize>,
    /// The list of tools as the text that is sent, once somebody has asked.
    pub(super) tools_text: OnceLock<String>,
}

impl Catalog {
    /// The catalog of these sources. Of tools and prompts with the same name, the first source's is called.
    #[must_use]
    pub fn new(sources: Vec<Arc<dyn Source>>) -> Self {
        let changing: Vec<_> = sources.iter().filter_map(|source| source.generations()).collect();
        let listed = RwLock::new(Arc::new(Listed::of(&sources, total(&changing))));
        Self(Arc::new(Inner { sources, changing, listed }))
    }

    /// What there is now.
    pub(super) fn listed(&self) -> Arc<Listed> {
        let inner = &self.0;
        let listed = inner.listed.read().clone();
        if inner.changing.is_empty() || listed.generations == total(&inner.changing) {
            return listed;
        }
        // Read before the lists are: one that changes meanwhile is made again next time.
        let fresh = Arc::new(Listed::of(&inner.sources, total(&inner.changing)));
        *inner.listed.write() = fresh.clone();
        fresh
    }

    /// What changes the lists, for those who are told.
    pub(super) fn changing(&self) -> Vec<watch::Receiver<Generations>> {
        self.0.changing.clone()
    }

    /// How often the lists have changed.
    pub(super) fn generations(&self) -> Generations {
        total(&self.0.changing)
    }

    pub(super) fn sources(&self) -> &[Arc<dyn Source>] {
        &self.0.sources
    }

    /// Why there is no tool of this name.
    pub(super) fn why_not(&self, tool: &str) -> Failure {
        let said = self.sources().iter().find_map(|source| source.why_not(tool));
        said.unwrap_or_else(|| Failure::invalid_params(format!("Unknown tool: {tool}")))
    }

    pub(super) fn source(&self, place: usize) -> Option<&Arc<dyn Source>> {
        self.0.sources.get(place)
    }

    /// Follows a resource, whichever source has it.
    pub(super) async fn follow(
        &self,
        caller: &Caller,
        uri: &str,
        since: Option<u64>,
    ) -> Result<Followed, Failure> {
        for source in self.sources() {
            if let Some(followed) = source.follow(caller, uri, since).await? {
                return Ok(followed);
            }
        }
        Err(Failure::no_resource(uri))
    }
}

impl Listed {
    fn of(sources: &[Arc<dyn Source>], generations: Generations) -> Self {
        let mut listed = Self {
            generations,
            tools: Vec::new(),
            templates: Vec::new(),
            prompts: Vec::new(),
            tool_names: HashMap::new(),
            prompt_names: HashMap::new(),
            tools_text: OnceLock::new(),
        };
        for (place, source) in sources.iter().enumerate() {
            for tool in source.tools() {
                listed.add_tool(place, source.name(), tool);
            }
            for prompt in source.prompts() {
                if listed.prompt_names.contains_key(&prompt.name) {
                    tracing::warn!(
                        source = source.name(),
                        prompt = prompt.name,
                        "another source has such a prompt"
                    );
                    continue;
                }
                listed.prompt_names.insert(prompt.name.clone(), place);
                listed.prompts.push(prompt);
            }
            listed.templates.extend(source.templates());
        }
        listed
    }

    fn add_tool(&mut self, place: usize, source: &str, tool: Tool) {
        let tool = Arc::new(tool);
        if self.tool_names.contains_key(&*tool.tool.name) {
            tracing::warn!(source, tool = %tool.tool.name, "another source has such a tool");
            return;
        }
        let mirrored: Arc<[Mirrored]> = headers::mirrored(&tool.tool.input_schema).into();
        for name in std::iter::once(&tool.tool.name).chain(&tool.aliases) {
            let named = || Named { place, tool: tool.clone(), mirrored: mirrored.clone() };
            self.tool_names.entry(name.clone().into_owned()).or_insert_with(named);
        }
        self.tools.push(tool);
    }

    /// The tool of a name or alias.
    pub(super) fn tool(&self, name: &str) -> Option<&Named> {
        self.tool_names.get(name)
    }

    /// The place of the source that has a prompt.
    pub(super) fn prompt(&self, name: &str) -> Option<usize> {
        self.prompt_names.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source with the tools that it is told of.
    struct Named {
        name: &'static str,
        tools: RwLock<Vec<&'static str>>,
        changed: watch::Sender<Generations>,
    }

    impl Named {
        fn new(name: &'static str, tools: &[&'static str]) -> Arc<Self> {
            Arc::new(Self { name, tools: RwLock::new(tools.to_vec()), changed: watch::Sender::default() })
        }
    }

    impl Source for Named {
        fn name(&self) -> &str {
            self.name
        }

        fn tools(&self) -> Vec<Tool> {
            let tool = |name: &&'static str| {
                let tool = rmcp::model::Tool::new(*name, self.name, Map::new());
                Tool { aliases: vec![format!("{name}_alias").into()], ..tool.into() }
            };
            self.tools.read().iter().map(tool).collect()
        }

        fn generations(&self) -> Option<watch::Receiver<Generations>> {
            Some(self.changed.subscribe())
        }
    }

    fn check(catalog: &Catalog, listed: &[&str], found: &[(&str, Option<usize>)]) {
        let now = catalog.listed();
        assert_eq!(now.tools.iter().map(|tool| &*tool.tool.name).collect::<Vec<_>>(), listed);
        for (name, place) in found {
            assert_eq!(now.tool(name).map(|named| named.place), *place, "{name}");
        }
    }

    #[test]
    fn the_first_source_with_a_tool_has_it() {
        let (one, other) = (Named::new("one", &["a", "b"]), Named::new("other", &["b", "c"]));
        let catalog = Catalog::new(vec![one, other]);
        let found = [("a", Some(0)), ("b", Some(0)), ("c", Some(1)), ("c_alias", Some(1)), ("d", None)];
        check(&catalog, &["a", "b", "c"], &found);
    }

    #[test]
    fn a_list_that_changed_is_made_again() {
        let source = Named::new("one", &["a"]);
        let catalog = Catalog::new(vec![source.clone()]);
        check(&catalog, &["a"], &[("b", None)]);
        source.tools.write().push("b");
        check(&catalog, &["a"], &[("b", None)]);
        source.changed.send_modify(|generations| generations.tools += 1);
        check(&catalog, &["a", "b"], &[("b", Some(0))]);
        assert_eq!(catalog.generations().tools, 1);
    }
}
