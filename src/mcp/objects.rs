//! The objects of this server as tools and resources: every object of a class that clients may reach.
//!
//! A tool answers what the HTTP API answers to the same question; a resource is an object's state.

mod arguments;
mod resources;
mod tools;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use rmcp::model::{CompleteRequestParams, CompletionInfo, ReadResourceResult, ResourceTemplate};

use super::catalog::{Arguments, Followed, ResourcePage, Source, Tool, ToolAnswer};
use super::{Exchange, Failure};
use crate::caller::Caller;
use crate::error::{Code, Error};
use crate::live::Hub;
use crate::object::{ObjectAddress, Tenant};
use crate::runtime::{Action, Answer, Request, Runtime};

/// The objects of this server, as tools and resources.
pub struct Objects {
    runtime: Runtime,
    hub: Hub,
}

impl Objects {
    /// The objects that a runtime reaches, followed through a hub.
    #[must_use]
    pub fn new(runtime: Runtime, hub: Hub) -> Self {
        Self { runtime, hub }
    }

    /// Asks an object.
    async fn ask(
        &self,
        exchange: &Exchange,
        address: &ObjectAddress,
        request: impl Into<Request>,
    ) -> Result<Answer, Error> {
        self.runtime.call(exchange.caller(), address, request.into()).await
    }

    /// Reads an object's whole state.
    async fn state(&self, exchange: &Exchange, address: &ObjectAddress) -> Result<Answer, Error> {
        self.ask(exchange, address, Action::State).await
    }
}

/// The tenant of a caller.
fn tenant_of(caller: &Caller) -> Result<Tenant, Error> {
    Tenant::try_from(caller.tenant.clone()).map_err(|error| Error::new(Code::Forbidden, error.to_string()))
}

/// The address of an object of the caller's tenant.
fn address_of(caller: &Caller, class: &str, name: &str) -> Result<ObjectAddress, Error> {
    ObjectAddress::parse(&caller.tenant, class, name)
        .map_err(|error| Error::new(Code::InvalidRequest, error.to_string()))
}

fn absent(address: &ObjectAddress) -> Error {
    let detail = format!("there is no {} named {:?}", address.class(), address.name().as_str());
    Error::new(Code::ObjectNotFound, detail)
}

impl Source for Objects {
    fn name(&self) -> &'static str {
        "objects"
    }

    fn tools(&self) -> Vec<Tool> {
        tools::all()
    }

    fn call<'a>(
        &'a self,
        exchange: &'a Exchange,
        tool: &'a str,
        arguments: Arguments,
    ) -> BoxFuture<'a, Result<ToolAnswer, Failure>> {
        Box::pin(async move {
            match self.use_tool(exchange, tool, arguments).await {
                Ok(json) => Ok(ToolAnswer::Structured { json, is_error: false }),
                Err(error) => Ok(ToolAnswer::error(&error)),
            }
        })
    }

    fn resources<'a>(
        &'a self,
        exchange: &'a Exchange,
        cursor: Option<&'a str>,
    ) -> BoxFuture<'a, Result<ResourcePage, Failure>> {
        Box::pin(async move { Ok(self.list_resources(exchange, cursor).await?) })
    }

    fn templates(&self) -> Vec<ResourceTemplate> {
        resources::templates(&self.runtime)
    }

    fn read<'a>(
        &'a self,
        exchange: &'a Exchange,
        uri: &'a str,
    ) -> BoxFuture<'a, Result<Option<ReadResourceResult>, Failure>> {
        Box::pin(self.read_resource(exchange, uri))
    }

    fn follow<'a>(
        &'a self,
        caller: &'a Caller,
        uri: &'a str,
        since: Option<u64>,
    ) -> BoxFuture<'a, Result<Option<Followed>, Failure>> {
        Box::pin(self.follow_resource(caller, uri, since))
    }

    fn complete<'a>(
        &'a self,
        exchange: &'a Exchange,
        asked: &'a CompleteRequestParams,
    ) -> BoxFuture<'a, Result<Option<CompletionInfo>, Failure>> {
        Box::pin(async move { Ok(self.complete_argument(exchange, asked).await?) })
    }
}

/// The classes that a client may reach, for those who ask what there is.
fn classes(runtime: &Runtime) -> Vec<Arc<str>> {
    runtime.classes(&Tenant::standard())
}
