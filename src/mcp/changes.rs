//! The tools of change management, as MCP's.
//!
//! What they do is [`crate::changeflow`]'s, for REST and MCP alike; here is only how their words are said.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use rmcp::model::ToolAnnotations;

use super::catalog::{Arguments, Source, Tasks, Tool, ToolAnswer};
use super::{Exchange, Failure};
use crate::changeflow::{self, CallOptions, ChangeFlow, Progress, Refused};

/// Tools that read all changes there are, and so may take long.
const LONG: [&str; 2] = ["compliance_report", "metrics_dashboard"];

/// The tools of change management.
pub struct Changes(ChangeFlow);

impl Changes {
    /// The tools of this change management.
    #[must_use]
    pub fn new(changeflow: ChangeFlow) -> Self {
        Self(changeflow)
    }
}

impl Source for Changes {
    fn name(&self) -> &'static str {
        "changes"
    }

    fn tools(&self) -> Vec<Tool> {
        changeflow::tools().iter().map(shown).collect()
    }

    fn call<'a>(
        &'a self,
        exchange: &'a Exchange,
        tool: &'a str,
        arguments: Arguments,
    ) -> BoxFuture<'a, Result<ToolAnswer, Failure>> {
        Box::pin(async move {
            let options = CallOptions {
                idempotency_key: exchange.idempotency_key().cloned(),
                progress: reporting(exchange),
            };
            match self.0.call(exchange.caller(), tool, arguments, options).await {
                Ok(result) => Ok(ToolAnswer::structured(&result)),
                Err(Refused::Refusal { body, .. }) => Ok(ToolAnswer::refused(&body)),
                Err(Refused::Failed(error)) => Ok(ToolAnswer::error(&error)),
            }
        })
    }
}

/// A way for a long call to tell how far it is, if its client wants to know.
fn reporting(exchange: &Exchange) -> Option<Arc<dyn Fn(Progress) + Send + Sync>> {
    if !exchange.wants_progress() {
        return None;
    }
    let reporter = exchange.reporter();
    Some(Arc::new(move |progress: Progress| {
        let total = progress.total.map(|total| total as f64);
        reporter.progress(progress.done as f64, total, Some(&progress.message));
    }))
}

fn shown(tool: &changeflow::Tool) -> Tool {
    let mut shown = rmcp::model::Tool::new(tool.name, tool.description, tool.input.clone());
    shown.title = Some(tool.title.to_owned());
    shown.output_schema = Some(tool.output.clone());
    shown.annotations = Some(ToolAnnotations::from_raw(
        Some(tool.title.to_owned()),
        Some(tool.read_only),
        Some(tool.destructive),
        Some(tool.idempotent),
        Some(false),
    ));
    let tasks = if LONG.contains(&tool.name) { Tasks::WhenLong } else { Tasks::Never };
    Tool { tool: shown, aliases: tool.aliases.iter().map(|alias| (*alias).into()).collect(), tasks }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_is_shown_with_what_clients_ask_for() {
        for tool in changeflow::tools() {
            let shown = shown(tool);
            let annotations = shown.tool.annotations.expect("annotations");
            assert_eq!(annotations.read_only_hint, Some(tool.read_only), "{}", tool.name);
            assert!(shown.tool.output_schema.is_some() && shown.tool.title.is_some(), "{}", tool.name);
        }
        for long in LONG {
            assert!(changeflow::find(long).is_some(), "{long}");
        }
    }
}
