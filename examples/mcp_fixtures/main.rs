//! Tools, resources and prompts of one's own beside those of the server, served by one's own `main`: the fixtures that the
//! MCP conformance suite asks for. No release has them; `tests/conformance.sh` runs the suite against this program.
//!
//! ```sh
//! cargo run --release --example mcp_fixtures
//! curl http://127.0.0.1:8080/mcp --json '{"jsonrpc":"2.0","id":1,"method":"tools/call",
//!      "params":{"name":"greet","arguments":{"name":"you"}}}'
//! ```
//!
//! Configuration comes from the environment (`STEAD_DATA`, `STEAD_LISTEN`, …), as for `stead serve`.

#![expect(clippy::print_stdout, reason = "a program that is started by hand says where it listens")]

mod asking;
mod content;
mod prompts;
mod resources;
mod schemas;
mod tasks;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use rmcp::model::{
    CompleteRequestParams, CompletionInfo, GetPromptResult, Prompt, ReadResourceResult, ResourceTemplate,
};
use serde_json::{Map, Value, json};
use stead::caller::Caller;
use stead::class::Classes;
use stead::config::Config;
use stead::mcp::{
    Arguments, Exchange, Failure, Followed, Generations, ResourcePage, Source, Tasks, Tool, ToolAnswer,
};
use tokio::sync::watch;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A pixel.
const IMAGE: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";

/// What the suite asks for.
struct Fixtures {
    changed: watch::Sender<Generations>,
}

/// A tool that takes no arguments.
fn bare(name: &'static str, description: &'static str) -> Tool {
    taking(name, description, json!({ "type": "object", "properties": {} }))
}

/// A tool whose arguments fit a schema.
fn taking(name: &'static str, description: &'static str, schema: Value) -> Tool {
    let schema = match schema {
        Value::Object(schema) => schema,
        _ => Map::new(),
    };
    rmcp::model::Tool::new(name, description, schema).into()
}

/// The same tool, whose calls may become tasks.
fn long(tool: Tool, tasks: Tasks) -> Tool {
    Tool { tasks, ..tool }
}

impl Source for Fixtures {
    fn name(&self) -> &'static str {
        "fixtures"
    }

    fn tools(&self) -> Vec<Tool> {
        let mut tools = content::tools();
        tools.extend(asking::tools());
        tools.extend(tasks::tools());
        tools.push(bare("test_trigger_tool_change", "Says that the list of tools has changed"));
        tools.push(bare("test_trigger_prompt_change", "Says that the list of prompts has changed"));
        tools
    }

    fn call<'a>(
        &'a self,
        exchange: &'a Exchange,
        tool: &'a str,
        arguments: Arguments,
    ) -> BoxFuture<'a, Result<ToolAnswer, Failure>> {
        Box::pin(async move {
            match tool {
                "test_trigger_tool_change" => {
                    self.changed.send_modify(|generations| generations.tools += 1);
                    Ok(ToolAnswer::text("the tools have changed"))
                }
                "test_trigger_prompt_change" => {
                    self.changed.send_modify(|generations| generations.prompts += 1);
                    Ok(ToolAnswer::text("the prompts have changed"))
                }
                _ => {
                    if let Some(answer) = content::call(exchange, tool, &arguments).await {
                        return answer;
                    }
                    if let Some(answer) = asking::call(exchange, tool, &arguments).await {
                        return answer;
                    }
                    tasks::call(exchange, tool, &arguments).await
                }
            }
        })
    }

    fn resources<'a>(
        &'a self,
        _: &'a Exchange,
        _: Option<&'a str>,
    ) -> BoxFuture<'a, Result<ResourcePage, Failure>> {
        Box::pin(async { Ok(ResourcePage { resources: resources::all(), cursor: None }) })
    }

    fn templates(&self) -> Vec<ResourceTemplate> {
        resources::templates()
    }

    fn read<'a>(
        &'a self,
        _: &'a Exchange,
        uri: &'a str,
    ) -> BoxFuture<'a, Result<Option<ReadResourceResult>, Failure>> {
        Box::pin(async move { Ok(resources::read(uri)) })
    }

    fn follow<'a>(
        &'a self,
        _: &'a Caller,
        uri: &'a str,
        _: Option<u64>,
    ) -> BoxFuture<'a, Result<Option<Followed>, Failure>> {
        Box::pin(async move { Ok(resources::follow(uri)) })
    }

    fn prompts(&self) -> Vec<Prompt> {
        prompts::all()
    }

    fn prompt<'a>(
        &'a self,
        exchange: &'a Exchange,
        name: &'a str,
        arguments: Arguments,
    ) -> BoxFuture<'a, Result<GetPromptResult, Failure>> {
        Box::pin(prompts::get(exchange, name, arguments))
    }

    fn complete<'a>(
        &'a self,
        _: &'a Exchange,
        asked: &'a CompleteRequestParams,
    ) -> BoxFuture<'a, Result<Option<CompletionInfo>, Failure>> {
        Box::pin(async move { Ok(prompts::complete(&asked.r#ref, &asked.argument.value)) })
    }

    fn generations(&self) -> Option<watch::Receiver<Generations>> {
        Some(self.changed.subscribe())
    }
}

fn main() -> anyhow::Result<()> {
    let environment: Vec<(String, String)> = std::env::vars().collect();
    let config = Config::load(None, &environment, &[])?;
    stead::telemetry::install(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let server = stead::server::start(config, Classes::builtin()).await?;
        let server = server.offering(Arc::new(Fixtures { changed: watch::Sender::default() }));
        println!("listening on http://{}", server.addr());
        let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        let told = async move {
            tokio::select! {
                _ = terminated.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        };
        Ok(server.run_until(told).await?)
    })
}
