//! The prompts: what a person asks a model to do with change requests, written out with what the model needs to know.
//!
//! Each brings the change as it is now along, so that the model begins with facts and not with a tool call.

use futures_util::future::BoxFuture;
use rmcp::model::{
    CompleteRequestParams, CompletionInfo, GetPromptResult, Prompt, PromptArgument, PromptMessage, Reference,
    Role,
};
use serde_json::{Map, Value as Json};

use super::catalog::{Arguments, Source};
use super::{Exchange, Failure};
use crate::changeflow::{CallOptions, ChangeFlow, Refused};
use crate::limits::COMPLETIONS_MAX;
use crate::object::ClassName;
use crate::runtime::{ListQuery, Runtime};

const CHANGE: &str = "changeId";
const FRAMEWORK: &str = "framework";
const APPROVER: &str = "approverId";
const FRAMEWORKS: [&str; 4] = ["sox", "pci_dss", "gdpr", "all"];

/// The prompts of change management.
pub struct Prompts {
    changeflow: ChangeFlow,
    runtime: Runtime,
}

impl Prompts {
    /// The prompts over this change management; the runtime knows which changes there are.
    #[must_use]
    pub fn new(changeflow: ChangeFlow, runtime: Runtime) -> Self {
        Self { changeflow, runtime }
    }

    /// What a tool answers, as text for a model. What it refuses is an error in the prompt's arguments.
    async fn look(&self, exchange: &Exchange, tool: &str, arguments: Arguments) -> Result<String, Failure> {
        match self.changeflow.call(exchange.caller(), tool, arguments, CallOptions::default()).await {
            Ok(found) => Ok(serde_json::to_string_pretty(&found).expect("JSON has a text")),
            Err(refused @ Refused::Refusal { .. }) => {
                Err(Failure::invalid_params(refused.detail().to_owned()))
            }
            Err(Refused::Failed(error)) => Err(error.into()),
        }
    }

    async fn write(
        &self,
        exchange: &Exchange,
        name: &str,
        arguments: &Arguments,
    ) -> Result<GetPromptResult, Failure> {
        let (task, tool, given) = match name {
            "change_risk_analysis" => {
                let id = required(arguments, CHANGE)?;
                let task = format!(
                    "Analyse the risk of the change {id}, given below as it is now. Say what could fail and whom it would \
                     hit, whether the score and level fit, which mitigations and which way back are missing, and whether it \
                     should go ahead as planned. If it has no assessment yet, say that assess_risk makes one. Rest on what is \
                     given; name what you would have to know."
                );
                (task, "get_change_status", change(&id))
            }
            "approval_recommendation" => {
                let id = required(arguments, CHANGE)?;
                let who = match arguments.get(APPROVER).and_then(Json::as_str).filter(|who| !who.is_empty()) {
                    Some(who) => format!(" You advise the approver {who}."),
                    None => String::new(),
                };
                let task = format!(
                    "Recommend a decision on the change {id}, given below as it is now: approved, rejected or needs_info.{who} \
                     Give the reasons in the order of their weight, what is missing, and the comment to record with \
                     approve_change. Do not call approve_change yourself: a person decides. Nobody approves their own request."
                );
                (task, "get_change_status", change(&id))
            }
            "compliance_check" => {
                let framework = match arguments.get(FRAMEWORK).and_then(Json::as_str) {
                    None | Some("") => "all".to_owned(),
                    Some(framework) => framework.to_owned(),
                };
                let task = format!(
                    "Check the compliance of change management against {framework}. The report below is computed from the \
                     audit trail. For each control that did not pass, name the violations and what would mend them and keep \
                     them from coming back; then sum up in a paragraph for an auditor. Use the report's figures only."
                );
                let given = Map::from_iter([(FRAMEWORK.to_owned(), framework.into())]);
                (task, "compliance_report", given)
            }
            other => return Err(Failure::invalid_params(format!("Unknown prompt: {other}"))),
        };
        let facts = self.look(exchange, tool, given).await?;
        let messages = vec![
            PromptMessage::new_text(Role::User, task),
            PromptMessage::new_text(Role::User, format!("Result of {tool}:\n{facts}")),
        ];
        let described =
            all().into_iter().find(|prompt| prompt.name == name).and_then(|prompt| prompt.description);
        let mut result = GetPromptResult::new(messages);
        result.description = described;
        Ok(result)
    }
}

impl Source for Prompts {
    fn name(&self) -> &'static str {
        "prompts"
    }

    fn prompts(&self) -> Vec<Prompt> {
        all()
    }

    fn prompt<'a>(
        &'a self,
        exchange: &'a Exchange,
        name: &'a str,
        arguments: Arguments,
    ) -> BoxFuture<'a, Result<GetPromptResult, Failure>> {
        Box::pin(async move { self.write(exchange, name, &arguments).await })
    }

    fn complete<'a>(
        &'a self,
        exchange: &'a Exchange,
        asked: &'a CompleteRequestParams,
    ) -> BoxFuture<'a, Result<Option<CompletionInfo>, Failure>> {
        Box::pin(async move {
            let Reference::Prompt(prompt) = &asked.r#ref else { return Ok(None) };
            let (argument, begun) = (&*asked.argument.name, &*asked.argument.value);
            let Some(prompt) = all().into_iter().find(|known| known.name == prompt.name) else {
                return Ok(None);
            };
            let has = prompt.arguments.iter().flatten().any(|known| known.name == argument);
            let (values, has_more) = match argument {
                CHANGE if has => {
                    let class =
                        ClassName::parse("change-request").expect("the name of a class of ours is one");
                    let query = ListQuery { prefix: begun.to_owned(), limit: COMPLETIONS_MAX, cursor: None };
                    let page = self.runtime.list(exchange.caller(), &class, query).await?;
                    let ids = page.objects.iter().map(|object| object.name.to_string());
                    (ids.collect(), page.cursor.is_some())
                }
                FRAMEWORK if has => {
                    let begins = FRAMEWORKS.iter().filter(|known| known.starts_with(begun));
                    (begins.map(|known| (*known).to_owned()).collect(), false)
                }
                _ => (Vec::new(), false),
            };
            let total = (!has_more).then(|| u32::try_from(values.len()).unwrap_or(u32::MAX));
            Ok(CompletionInfo::with_pagination(values, total, has_more).ok())
        })
    }
}

/// The prompts, in the order in which they are shown.
fn all() -> Vec<Prompt> {
    let change =
        || PromptArgument::new(CHANGE).with_description("The change's id, CHG-…").with_required(true);
    let approver =
        PromptArgument::new(APPROVER).with_description("The approver who is advised").with_required(false);
    let framework = PromptArgument::new(FRAMEWORK)
        .with_description("sox, pci_dss, gdpr, or all, which is what counts when absent")
        .with_required(false);
    vec![
        Prompt::new(
            "change_risk_analysis",
            Some("Analyse the risk of a change, with its record at hand"),
            Some(vec![change()]),
        )
        .with_title("Analyse the risk of a change"),
        Prompt::new(
            "approval_recommendation",
            Some("Recommend a decision on a change to an approver, who takes it"),
            Some(vec![change(), approver]),
        )
        .with_title("Recommend a decision"),
        Prompt::new(
            "compliance_check",
            Some("Explain the compliance report, control by control"),
            Some(vec![framework]),
        )
        .with_title("Check compliance"),
    ]
}

fn required(arguments: &Arguments, name: &str) -> Result<String, Failure> {
    let given = arguments.get(name).and_then(Json::as_str).filter(|text| !text.is_empty());
    given
        .map(str::to_owned)
        .ok_or_else(|| Failure::invalid_params(format!("Missing required parameters: {name}")))
}

fn change(id: &str) -> Arguments {
    Map::from_iter([(CHANGE.to_owned(), id.into())])
}
