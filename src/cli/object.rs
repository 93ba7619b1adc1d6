//! `stead object`: read, change and watch objects.

mod call;
mod delete;
mod export;
mod get;
mod history;
mod import;
mod list;
mod put;
mod watch;

use std::str::FromStr;

use clap::Subcommand;

use super::client::{Client, part};
use super::failure::Failure;
use super::output::Output;

/// Read, change and watch objects.
#[derive(Debug, Subcommand)]
pub(super) enum Object {
    List(list::List),
    Get(get::Get),
    Call(call::Call),
    Put(put::Put),
    Delete(delete::Delete),
    Watch(watch::Watch),
    History(history::History),
    Export(export::Export),
    Import(import::Import),
}

/// The address of an object as people write it: CLASS/NAME. The name may contain slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Address {
    class: String,
    name: String,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((class, name)) if !class.is_empty() && !name.is_empty() => {
                Ok(Self { class: class.to_owned(), name: name.to_owned() })
            }
            _ => Err("give CLASS/NAME, like counter/visits".to_owned()),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.class, self.name)
    }
}

impl Address {
    /// The path of the object in the HTTP API.
    fn path(&self) -> String {
        format!("/v1/objects/{}/{}", part(&self.class), part(&self.name))
    }

    /// The path of one of its keys.
    fn key_path(&self, key: &str) -> String {
        format!("{}/state/{}", self.path(), part(key))
    }
}

impl Object {
    pub(super) async fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.run(client, output).await,
            Self::Get(get) => get.run(client, output).await,
            Self::Call(call) => call.run(client, output).await,
            Self::Put(put) => put.run(client, output).await,
            Self::Delete(delete) => delete.run(client, output).await,
            Self::Watch(watch) => watch.run(client, output).await,
            Self::History(history) => history.run(client, output).await,
            Self::Export(export) => export.run(client).await,
            Self::Import(import) => import.run(client, output).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn an_address_has_two_parts() {
        let address: Address = "document/notes/of today".parse().expect("it has");
        assert_eq!(address.path(), "/v1/objects/document/notes%2Fof%20today");
        assert_eq!(address.key_path("a/b"), "/v1/objects/document/notes%2Fof%20today/state/a%2Fb");
        for wrong in ["", "counter", "counter/", "/visits"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }
}
