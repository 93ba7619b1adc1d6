//! `stead object delete`: delete an object, or one of its keys.

use clap::Args;
use reqwest::Method;
use serde_json::json;

use super::super::client::{Client, WriteHeaders};
use super::super::confirm::confirm;
use super::super::failure::Failure;
use super::super::output::Output;
use super::Address;

/// Delete an object, or one of its keys
///
/// With the object go its state, alarm and history. It asks first.
///
///   stead object delete counter/visits --yes
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(in crate::cli) struct Delete {
    /// The object
    #[arg(value_name = "CLASS/NAME")]
    address: Address,
    /// Only this key of it
    key: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    headers: WriteHeaders,
}

impl Delete {
    pub(in crate::cli) async fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        let (path, what) = match &self.key {
            Some(key) => (self.address.key_path(key), format!("the key {key} of {}", self.address)),
            None => (self.address.path(), self.address.to_string()),
        };
        confirm(&format!("Delete {what}?"), self.yes)?;
        client.succeed(Method::DELETE, &path, None, &self.headers).await?;
        output.show(&json!({ "deleted": true }), |_| format!("deleted {what}"))
    }
}
