//! `stead object export`: objects as lines of JSON, for `stead object import`.

use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::super::client::{Client, WriteHeaders, refused, with_query};
use super::super::failure::Failure;
use super::super::output::{note, print};
use super::{Address, list};

/// Objects read at once.
const READ_AT_ONCE: usize = 16;
/// How often an object is read that changes between its pages.
const TRIES: usize = 5;

/// Write objects of a class to standard output, a line of JSON each
///
/// Each line is what `stead object get` shows, of one moment; all of them together are not. What is kept
/// beside the state (history, alarms, idempotency keys) is not in there: `stead snapshot save` has everything.
///
///   stead object export counter > counters.jsonl
///   stead object export object --prefix cart- | stead object import --server http://127.0.0.1:9000
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(in crate::cli) struct Export {
    /// The class
    class: String,
    /// Only names that begin with this
    #[arg(long)]
    prefix: Option<String>,
}

impl Export {
    pub(in crate::cli) async fn run(self, client: &Client) -> Result<(), Failure> {
        let (mut cursor, mut exported) = (None, 0_u64);
        loop {
            let (rows, next) =
                list::page(client, &self.class, self.prefix.as_deref(), list::PAGE_MAX, cursor).await?;
            let names = rows.iter().filter_map(|row| row.get("name")?.as_str());
            let addresses = names.map(|name| Address { class: self.class.clone(), name: name.to_owned() });
            let mut objects =
                stream::iter(addresses.map(|address| read(client, address))).buffered(READ_AT_ONCE);
            while let Some(object) = objects.try_next().await? {
                // One that was deleted since it was listed is left out.
                if let Some(object) = object {
                    print(&object.to_string())?;
                    exported += 1;
                }
            }
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        note(&format!("exported {exported} objects of class {}", self.class));
        Ok(())
    }
}

/// An object as one line; none if it is not there.
async fn read(client: &Client, address: Address) -> Result<Option<Value>, Failure> {
    let answer = client.send(Method::GET, &address.path(), None, &WriteHeaders::default()).await?;
    match (answer.status.as_u16(), answer.body.get("code").and_then(Value::as_str)) {
        (200, _) => Ok(Some(answer.body)),
        (_, Some("object_not_found")) => Ok(None),
        (_, Some("state_too_large")) => read_in_pages(client, &address).await,
        _ => Err(refused(&answer)),
    }
}

/// An object that is too large for one answer: all of its pages at one version.
async fn read_in_pages(client: &Client, address: &Address) -> Result<Option<Value>, Failure> {
    for _ in 0..TRIES {
        if let Some((state, version)) = one_version(client, address).await? {
            return Ok(Some(
                json!({"class": address.class, "name": address.name, "version": version, "state": state}),
            ));
        }
    }
    Err(Failure::failed(format!("{address} changes faster than it can be read; try again when it is quiet")))
}

/// Its keys and its version; none if it changed while its pages were read.
async fn one_version(
    client: &Client,
    address: &Address,
) -> Result<Option<(Map<String, Value>, Value)>, Failure> {
    let path = format!("{}/state", address.path());
    let (mut cursor, mut version, mut state) = (None, None, Map::new());
    loop {
        let query = [("limit", Some(list::PAGE_MAX.to_string())), ("cursor", cursor)];
        let mut page = client.get(&with_query(&path, &query)).await?;
        let now = page.get("version").cloned().unwrap_or_default();
        if version.get_or_insert_with(|| now.clone()) != &now {
            return Ok(None);
        }
        for entry in page.get_mut("entries").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(key) = entry.get("key").and_then(Value::as_str).map(str::to_owned) {
                state.insert(key, entry.get_mut("value").map(Value::take).unwrap_or_default());
            }
        }
        cursor = page.get("cursor").and_then(Value::as_str).map(str::to_owned);
        if cursor.is_none() {
            return Ok(Some((state, now)));
        }
    }
}
