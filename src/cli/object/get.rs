//! `stead object get`: an object, or one of its keys.

use clap::Args;
use serde_json::Value;

use super::super::client::Client;
use super::super::failure::Failure;
use super::super::output::{Output, pairs, plain};
use super::Address;

/// Show an object, or one of its keys
///
///   stead object get counter/visits
///   stead object get counter/visits value
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(in crate::cli) struct Get {
    /// The object
    #[arg(value_name = "CLASS/NAME")]
    address: Address,
    /// One key of it: only its value is shown
    key: Option<String>,
}

impl Get {
    pub(in crate::cli) async fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        let Some(key) = &self.key else {
            let answer = client.get(&self.address.path()).await?;
            return output.show(&answer, show);
        };
        let answer = client.get(&self.address.key_path(key)).await?;
        output.show(&answer, |answer| answer.get("value").map(Value::to_string).unwrap_or_default())
    }
}

/// The object in a few lines, then its keys in order.
fn show(answer: &Value) -> String {
    let text = |field: &str| answer.get(field).map(plain).unwrap_or_default();
    let head = pairs([
        ("object", format!("{}/{}", text("class"), text("name"))),
        ("version", text("version")),
        ("updated", text("updated_at")),
    ]);
    let state = answer.get("state").and_then(Value::as_object);
    let keys = pairs(state.into_iter().flatten().map(|(key, value)| (key.as_str(), value.to_string())));
    if keys.is_empty() { format!("{head}\n\nno keys") } else { format!("{head}\n\n{keys}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn an_object_is_shown() {
        let answer = json!({
            "class": "object", "name": "cart", "version": 2, "updated_at": "2026-11-21T10:00:00.000Z",
            "state": {"items": ["tea"], "note": "for \"two\""},
        });
        expect_test::expect![[r#"
            object   object/cart
            version  2
            updated  2026-11-21T10:00:00.000Z

            items  ["tea"]
            note   "for \"two\"""#]]
        .assert_eq(&super::show(&answer));
        let empty = json!({"class": "object", "name": "x", "version": 1, "updated_at": "now", "state": {}});
        assert!(super::show(&empty).ends_with("\n\nno keys"));
    }
}
