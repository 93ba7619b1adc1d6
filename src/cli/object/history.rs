//! `stead object history`: the last changes of an object.

use clap::Args;
use serde_json::Value;

use super::super::client::{Client, with_query};
use super::super::failure::Failure;
use super::super::output::{Format, Output, note, plain, table};
use super::Address;

/// Show the last changes of an object
///
/// Oldest first, as far back as they are kept.
///
///   stead object history counter/visits --since 10
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(in crate::cli) struct History {
    /// The object
    #[arg(value_name = "CLASS/NAME")]
    address: Address,
    /// Only changes after this version
    #[arg(long, value_name = "VERSION", default_value_t = 0)]
    since: u64,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

impl History {
    pub(in crate::cli) async fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        let path = format!("{}/updates", self.address.path());
        let query =
            [("since", Some(self.since.to_string())), ("limit", self.limit.map(|limit| limit.to_string()))];
        let answer = client.get(&with_query(&path, &query)).await?;
        output.show(&answer, show)?;
        if output.format() == Format::Table && answer.get("complete") == Some(&Value::Bool(false)) {
            note(&format!("changes between version {} and these are no longer kept", self.since));
        }
        Ok(())
    }
}

fn show(answer: &Value) -> String {
    let rows = answer.get("updates").and_then(Value::as_array).into_iter().flatten();
    table(
        ["version", "method", "by", "time", "change"],
        rows.map(|update| {
            let text = |field: &str| update.get(field).map(plain).unwrap_or_default();
            [text("version"), text("method"), text("by"), text("timestamp"), change(update)]
        }),
    )
}

/// What an update changed, in one line: `{"value":3}`, `-note`, `cleared`.
pub(super) fn change(update: &Value) -> String {
    let mut said = Vec::new();
    if update.get("deleted_object") == Some(&Value::Bool(true)) {
        said.push("the object was deleted".to_owned());
    }
    if update.get("cleared") == Some(&Value::Bool(true)) {
        said.push("cleared".to_owned());
    }
    if let Some(Value::Object(changes)) = update.get("changes")
        && !changes.is_empty()
    {
        said.push(Value::Object(changes.clone()).to_string());
    }
    for key in update.get("deleted").and_then(Value::as_array).into_iter().flatten() {
        said.push(format!("-{}", plain(key)));
    }
    if let Some(delta) = update.get("delta") {
        said.push(format!("text {delta}"));
    }
    said.join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn history_is_a_table() {
        let answer = json!({"version": 4, "complete": true, "updates": [
            {"version": 1, "changes": {"value": 1}, "deleted": [], "method": "increment", "by": "local", "timestamp": "t1"},
            {"version": 2, "cleared": true, "changes": {}, "deleted": [], "method": "reset", "by": "local", "timestamp": "t2"},
            {"version": 3, "changes": {"a": 1}, "deleted": ["b", "c"], "method": "put", "by": "local", "timestamp": "t3"},
            {"version": 4, "deleted_object": true},
        ]});
        expect_test::expect![[r#"
            VERSION  METHOD     BY     TIME  CHANGE
            1        increment  local  t1    {"value":1}
            2        reset      local  t2    cleared
            3        put        local  t3    {"a":1} -b -c
            4                                the object was deleted"#]]
        .assert_eq(&super::show(&answer));
    }
}
