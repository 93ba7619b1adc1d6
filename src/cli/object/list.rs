//! `stead object list`: the objects of a class, page by page.

use clap::Args;
use serde_json::{Value, json};

use super::super::client::{Client, part, with_query};
use super::super::failure::Failure;
use super::super::output::{Output, note, plain, table};

/// Most rows a server gives in one page.
pub(super) const PAGE_MAX: usize = 1_000;

/// List the objects of a class, in the order of their names
///
///   stead object list counter --prefix 2026- --limit 20
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(in crate::cli) struct List {
    /// The class
    class: String,
    /// Only names that begin with this
    #[arg(long)]
    prefix: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Go on where an earlier list stopped
    #[arg(long)]
    cursor: Option<String>,
    /// All of them, however many
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

impl List {
    pub(in crate::cli) async fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        let mut wanted = if self.all { usize::MAX } else { self.limit };
        let mut cursor = self.cursor;
        let mut objects = Vec::new();
        while wanted > 0 {
            let limit = wanted.min(PAGE_MAX);
            let (rows, next) = page(client, &self.class, self.prefix.as_deref(), limit, cursor).await?;
            wanted = wanted.saturating_sub(rows.len());
            objects.extend(rows);
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        output.show(&json!({ "objects": objects, "cursor": cursor }), show)?;
        if let Some(cursor) = cursor {
            note(&format!("there are more: go on with --cursor {cursor}, or give --all"));
        }
        Ok(())
    }
}

/// A page of a class's objects, and where the next one begins, if there is one.
pub(super) async fn page(
    client: &Client,
    class: &str,
    prefix: Option<&str>,
    limit: usize,
    cursor: Option<String>,
) -> Result<(Vec<Value>, Option<String>), Failure> {
    let query =
        [("prefix", prefix.map(str::to_owned)), ("limit", Some(limit.to_string())), ("cursor", cursor)];
    let mut page = client.get(&with_query(&format!("/v1/objects/{}", part(class)), &query)).await?;
    let cursor = page.get("cursor").and_then(Value::as_str).map(str::to_owned);
    let rows = page.get_mut("objects").map(Value::take);
    Ok((if let Some(Value::Array(rows)) = rows { rows } else { Vec::new() }, cursor))
}

fn show(answer: &Value) -> String {
    let rows = answer.get("objects").and_then(Value::as_array).into_iter().flatten();
    table(
        ["name", "version", "updated"],
        rows.map(|row| {
            ["name", "version", "updated_at"].map(|field| row.get(field).map(plain).unwrap_or_default())
        }),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn a_list_is_a_table() {
        let answer = json!({"objects": [
            {"class": "counter", "name": "a", "version": 3, "updated_at": "2026-11-21T10:00:00.000Z"},
            {"class": "counter", "name": "longer/name", "version": 12, "updated_at": "2026-11-21T10:00:01.000Z"},
        ], "cursor": null});
        expect_test::expect![[r"
            NAME         VERSION  UPDATED
            a            3        2026-11-21T10:00:00.000Z
            longer/name  12       2026-11-21T10:00:01.000Z"]]
        .assert_eq(&super::show(&answer));
    }
}
