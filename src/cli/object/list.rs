//! `stead object list`: the objects of a class, page by page.

use clap::Args;
use serde_json::{Value, json};

use super::super::client::{Client, part, with_query};
use super::super::failure::Failure;
use super::super::output::{Output, note, plain, table};

/// Most rows a server gives in one page.
const PAGE_MAX: usize = 1_000;

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
        let path = format!("/v1/objects/{}", part(&self.class));
        while wanted > 0 {
            let query = [
                ("prefix", self.prefix.clone()),
                ("limit", Some(wanted.min(PAGE_MAX).to_string())),
                ("cursor", cursor.take()),
            ];
            let mut page = client.get(&with_query(&path, &query)).await?;
            if let Some(Value::Array(rows)) = page.get_mut("objects").map(Value::take) {
                wanted = wanted.saturating_sub(rows.len());
                objects.extend(rows);
            }
            cursor = page.get("cursor").and_then(Value::as_str).map(str::to_owned);
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
