//! The generic tools and resources: every object is a tool and a resource.

use futures_util::future::BoxFuture;
use rmcp::model::{JsonObject, Tool as RmcpTool, ToolAnnotations};
use serde_json::{Map, Value as Json, json};

use super::catalog::{Arguments, Source, Tool, ToolAnswer};
use super::{Exchange, Failure};
use crate::error::{Code, Error};
use crate::live::Hub;
use crate::object::ObjectAddress;
use crate::runtime::{Action, Outcome, Runtime};

/// The objects of this server, as tools and resources.
pub struct Objects {
    runtime: Runtime,
    #[expect(dead_code, reason = "resources are followed through it, next")]
    hub: Hub,
}

impl Objects {
    /// The objects that a runtime reaches, followed through a hub.
    #[must_use]
    pub fn new(runtime: Runtime, hub: Hub) -> Self {
        Self { runtime, hub }
    }

    async fn get(&self, exchange: &Exchange, arguments: &Arguments) -> Result<ToolAnswer, Failure> {
        let text = |name: &str| {
            let missing = || Failure::invalid_params(format!("{name} is required and a text"));
            arguments.get(name).and_then(Json::as_str).ok_or_else(missing)
        };
        let caller = exchange.caller();
        let parsed = ObjectAddress::parse(&caller.tenant, text("class")?, text("name")?);
        let address = match parsed {
            Ok(address) => address,
            Err(error) => return Ok(ToolAnswer::error(&Error::new(Code::InvalidRequest, error.to_string()))),
        };
        let answer = match self.runtime.call(caller, &address, Action::State.into()).await {
            Ok(answer) => answer,
            Err(error) => return Ok(ToolAnswer::error(&error)),
        };
        let Outcome::State { exists, entries, updated_at } = answer.outcome else {
            unreachable!("a state is answered by a state")
        };
        if !exists {
            let detail = format!("there is no {} named {:?}", address.class(), address.name().as_str());
            return Ok(ToolAnswer::error(&Error::new(Code::ObjectNotFound, detail)));
        }
        let state: Map<String, Json> =
            entries.iter().map(|(key, value)| (key.as_str().to_owned(), value.to_json())).collect();
        Ok(ToolAnswer::structured(&json!({
            "class": address.class().as_str(), "name": address.name().as_str(), "version": answer.version.0,
            "state": state, "updated_at": updated_at.to_string(),
        })))
    }
}

impl Source for Objects {
    fn name(&self) -> &'static str {
        "objects"
    }

    fn tools(&self) -> Vec<Tool> {
        let input = json!({
            "type": "object",
            "properties": { "class": { "type": "string" }, "name": { "type": "string" } },
            "required": ["class", "name"],
        });
        let mut tool = RmcpTool::new("object_get", "Reads an object's whole state.", object(input));
        tool.title = Some("Read an object".to_owned());
        tool.annotations = Some(ToolAnnotations::new().read_only(true));
        vec![tool.into()]
    }

    fn call<'a>(
        &'a self,
        exchange: &'a Exchange,
        _: &'a str,
        arguments: Arguments,
    ) -> BoxFuture<'a, Result<ToolAnswer, Failure>> {
        Box::pin(async move { self.get(exchange, &arguments).await })
    }
}

fn object(json: Json) -> JsonObject {
    match json {
        Json::Object(map) => map,
        _ => Map::new(),
    }
}
