//! `stead object import`: objects from lines of JSON, as `stead object export` writes them.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::client::{Client, WriteHeaders, refused};
use super::super::confirm::confirm;
use super::super::failure::Failure;
use super::super::output::Output;
use super::Address;

/// Objects written at once.
const WRITE_AT_ONCE: usize = 16;
/// Bytes of keys and values put in one request, unless one value alone has more.
const PUT_BYTES: usize = 1024 * 1024;

/// Make objects of lines of JSON, as `stead object export` writes them
///
/// Of each line `class`, `name` and `state` are read. Every object is initialised with its state; its version
/// begins anew. It stops at the first line that is refused; those before it are made.
///
///   stead object import counters.jsonl
///   stead object import counters.jsonl --existing skip
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(in crate::cli) struct Import {
    /// The file; standard input if none is given
    file: Option<PathBuf>,
    /// What to do about objects that exist already
    #[arg(long, value_enum, default_value_t = Existing::Refuse)]
    existing: Existing,
    /// Do not ask before objects are replaced
    #[arg(long)]
    yes: bool,
}

/// What to do about objects that exist already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Existing {
    /// Stop there
    Refuse,
    /// Leave them as they are
    Skip,
    /// Delete them first
    Replace,
}

/// A line.
#[derive(Debug, Deserialize)]
struct Line {
    class: String,
    name: String,
    state: Map<String, Value>,
}

/// What became of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Made {
    New,
    Skipped,
}

impl Import {
    pub(in crate::cli) async fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        if self.existing == Existing::Replace {
            confirm("Delete the objects that exist already and make them anew?", self.yes)?;
        }
        let existing = self.existing;
        let importing = lines(self.file)?.map(|line| async move {
            let (number, line) = line?;
            let made = import(client, line, existing).await;
            made.map_err(|problem| Failure::new(problem.kind(), format!("line {number}: {problem}")))
        });
        let mut importing = stream::iter(importing).buffered(WRITE_AT_ONCE);
        let (mut imported, mut skipped) = (0_u64, 0_u64);
        while let Some(made) = importing.try_next().await? {
            match made {
                Made::New => imported += 1,
                Made::Skipped => skipped += 1,
            }
        }
        output.show(&json!({ "imported": imported, "skipped": skipped }), |_| {
            let rest = if skipped > 0 { format!(", left {skipped} as they are") } else { String::new() };
            format!("imported {imported} objects{rest}")
        })
    }
}

/// The lines and their numbers, empty ones left out.
fn lines(file: Option<PathBuf>) -> Result<impl Iterator<Item = Result<(usize, Line), Failure>>, Failure> {
    let source: Box<dyn BufRead> = match file {
        None => Box::new(std::io::stdin().lock()),
        Some(path) => {
            let unreadable =
                |problem| Failure::usage(format!("{} cannot be read: {problem}", path.display()));
            Box::new(BufReader::new(std::fs::File::open(&path).map_err(unreadable)?))
        }
    };
    let numbered =
        source.lines().zip(1..).filter(|(line, _)| !line.as_ref().is_ok_and(|line| line.trim().is_empty()));
    Ok(numbered.map(|(line, number)| {
        let line = line.map_err(|problem| Failure::failed(format!("line {number}: {problem}")))?;
        let parsed = serde_json::from_str(&line).map_err(|problem| {
            Failure::usage(format!("line {number} is no object that was exported: {problem}"))
        })?;
        Ok((number, parsed))
    }))
}

async fn import(client: &Client, line: Line, existing: Existing) -> Result<Made, Failure> {
    let address = Address { class: line.class, name: line.name };
    if existing == Existing::Replace {
        let deleted = client.send(Method::DELETE, &address.path(), None, &WriteHeaders::default()).await?;
        if !deleted.status.is_success() && deleted.body.get("code") != Some(&"object_not_found".into()) {
            return Err(refused(&deleted));
        }
    }
    // Nobody is to write between its parts.
    let mut version = 0;
    for keys in parts(line.state) {
        let headers = WriteHeaders { if_match: Some(version), ..WriteHeaders::default() };
        let answer = client.send(Method::PUT, &address.path(), Some(&Value::Object(keys)), &headers).await?;
        let is_there = answer.body.get("code") == Some(&"version_mismatch".into());
        match (answer.status.is_success(), existing) {
            (true, _) => version = answer.body.get("version").and_then(Value::as_u64).unwrap_or_default(),
            (false, Existing::Skip) if is_there && version == 0 => return Ok(Made::Skipped),
            (false, _) if is_there && version == 0 => {
                return Err(Failure::failed(format!(
                    "{address} exists already; leave such objects as they are with --existing skip, or delete them first \
                     with --existing replace"
                )));
            }
            (false, _) => return Err(refused(&answer)),
        }
    }
    Ok(Made::New)
}

/// The keys in bodies that a server takes; at least one, for an object may have no key.
fn parts(state: Map<String, Value>) -> Vec<Map<String, Value>> {
    let (mut parts, mut bytes) = (vec![Map::new()], 0);
    for (key, value) in state {
        let size = key.len() + value.to_string().len();
        if bytes > 0 && bytes + size > PUT_BYTES {
            parts.push(Map::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(part) = parts.last_mut() {
            part.insert(key, value);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::{PUT_BYTES, parts};

    #[test]
    fn a_state_is_put_in_parts_that_fit() {
        let text = |bytes: usize| Value::String("x".repeat(bytes));
        let state = |values: &[(&str, Value)]| -> Map<String, Value> {
            values.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
        };
        let keys = |state| -> Vec<Vec<String>> {
            parts(state).iter().map(|part| part.keys().cloned().collect()).collect()
        };
        assert_eq!(keys(Map::new()), [Vec::<String>::new()]);
        assert_eq!(keys(state(&[("a", json!(1)), ("b", json!({"c": [2]}))])), [["a", "b"]]);
        let half = PUT_BYTES / 2;
        let large = state(&[
            ("a", text(half)),
            ("b", text(half)),
            ("c", json!(1)),
            ("d", text(2 * PUT_BYTES)),
            ("e", json!(1)),
        ]);
        assert_eq!(keys(large), [vec!["a"], vec!["b", "c"], vec!["d"], vec!["e"]]);
    }
}
