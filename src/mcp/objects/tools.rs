//! The generic tools, each with what it does.

use std::sync::Arc;

use rmcp::model::{JsonObject, ToolAnnotations};
use schemars::JsonSchema;
use serde_json::{Map, Value as Json, json};

use super::arguments::{Call, Edit, Get, History, Increment, List, Read, parse};
use super::{Objects, absent, address_of};
use crate::changeflow::schema;
use crate::error::{Code, Error};
use crate::limits::{PAGE_DEFAULT, PAGE_MAX};
use crate::mcp::Exchange;
use crate::mcp::catalog::Tool;
use crate::object::idempotency::IdempotencyKey;
use crate::object::text::{Fields, array};
use crate::object::value::{object_text, write_string};
use crate::object::{ClassName, ObjectAddress, Version};
use crate::runtime::{Action, ListQuery, Outcome, Request};

/// What a tool does to objects.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Reads,
    Adds,
    /// It may replace or delete what is there.
    Changes,
}

/// The tools, in the order in which they are shown.
pub(super) fn all() -> Vec<Tool> {
    use Effect::{Adds, Changes, Reads};
    let any = json!({});
    let text = json!({ "type": "string" });
    let number = json!({ "type": "integer" });
    let cursor = json!({ "type": ["string", "null"] });
    let document = json!({ "content": text, "version": number, "last_modified": text });
    vec![
        tool::<Get>(
            "object_get",
            "Read an object",
            "Reads an object's whole state and its version. Objects above 16 MiB are refused.",
            Reads,
            &json!({ "class": text, "name": text, "version": number, "state": { "type": "object" }, "updated_at": text }),
        ),
        tool::<Call>(
            "object_call",
            "Call a method of an object",
            "Calls a method of an object and answers with its result and the object's version after it, once the change is \
             durable. With an idempotency_key a repeated call takes effect once.",
            Changes,
            &json!({ "result": any, "version": number }),
        ),
        tool::<List>(
            "object_list",
            "List the objects of a class",
            "Lists the names of the objects of a class in their byte order, with version and time of the last change. Pass \
             the cursor on for the next page; it is null after the last.",
            Reads,
            &json!({ "objects": { "type": "array", "items": { "type": "object", "properties":
                { "class": text, "name": text, "version": number, "updated_at": text } } }, "cursor": cursor }),
        ),
        tool::<History>(
            "object_history",
            "Read what changed in an object",
            "Lists the changes that an object keeps, oldest first: at most the last 256, and at most 1 MiB of them. complete is \
             false where they no longer reach back to since.",
            Reads,
            &json!({ "updates": { "type": "array", "items": { "type": "object" } }, "version": number,
                "complete": { "type": "boolean" } }),
        ),
        tool::<Increment>(
            "counter_increment",
            "Count",
            "Adds to a counter and answers with its new value. A counter that is not there begins at 0.",
            Adds,
            &json!({ "result": { "type": "object", "properties": { "value": number } }, "version": number }),
        ),
        tool::<Read>(
            "document_read",
            "Read a document",
            "Reads a document's text. Editors of it see the same text.",
            Reads,
            &document,
        ),
        tool::<Edit>(
            "document_edit",
            "Edit a document",
            "Makes edits to a document's text, all of them or none; open editors show them at once. Indexes count UTF-16 \
             units, each in the text that the edits before it leave.",
            Changes,
            &document,
        ),
    ]
}

fn tool<Given: JsonSchema>(
    name: &'static str,
    title: &str,
    description: &'static str,
    effect: Effect,
    found: &Json,
) -> Tool {
    let mut tool = rmcp::model::Tool::new(name, description, schema::of_arguments::<Given>());
    tool.title = Some(title.to_owned());
    tool.output_schema = Some(Arc::new(output(found)));
    tool.annotations = Some(ToolAnnotations::from_raw(
        Some(title.to_owned()),
        Some(effect == Effect::Reads),
        Some(effect == Effect::Changes),
        Some(effect == Effect::Reads),
        Some(false),
    ));
    tool.into()
}

/// The schema of a result that may be a refusal: nothing is in both.
fn output(found: &Json) -> JsonObject {
    let mut properties: Map<String, Json> = found.as_object().cloned().unwrap_or_default();
    for (name, kind) in [("success", "boolean"), ("error", "string"), ("code", "string"), ("retry", "string")]
    {
        properties.insert(name.to_owned(), json!({ "type": kind }));
    }
    let mut schema = Map::new();
    schema.insert("type".to_owned(), "object".into());
    schema.insert("properties".to_owned(), properties.into());
    schema
}

impl Objects {
    /// Uses a tool; gives the text of its result.
    pub(super) async fn use_tool(
        &self,
        exchange: &Exchange,
        tool: &str,
        arguments: JsonObject,
    ) -> Result<String, Error> {
        match tool {
            "object_get" => self.object_get(exchange, &parse(arguments, &["class", "name"])?).await,
            "object_call" => {
                self.object_call(exchange, parse(arguments, &["class", "name", "method"])?).await
            }
            "object_list" => self.object_list(exchange, parse(arguments, &["class"])?).await,
            "object_history" => self.object_history(exchange, &parse(arguments, &["class", "name"])?).await,
            "counter_increment" => self.counter_increment(exchange, &parse(arguments, &["name"])?).await,
            "document_read" => self.document_read(exchange, &parse(arguments, &["name"])?).await,
            "document_edit" => self.document_edit(exchange, &parse(arguments, &["name", "edits"])?).await,
            other => Err(Error::new(Code::NotFound, format!("Unknown tool: {other}"))),
        }
    }

    async fn object_get(&self, exchange: &Exchange, given: &Get) -> Result<String, Error> {
        let address = address_of(exchange.caller(), &given.class, &given.name)?;
        let answer = self.state(exchange, &address).await?;
        let Outcome::State { exists, entries, updated_at } = answer.outcome else {
            unreachable!("a state is answered by a state")
        };
        if !exists {
            return Err(absent(&address));
        }
        let state = object_text(entries.iter().map(|(key, value)| (key, value)));
        Ok(Fields::new()
            .text("class", address.class().as_str())
            .text("name", address.name().as_str())
            .number("version", answer.version)
            .raw("state", &state)
            .text("updated_at", &updated_at.to_string())
            .end())
    }

    async fn object_call(&self, exchange: &Exchange, given: Call) -> Result<String, Error> {
        let address = address_of(exchange.caller(), &given.class, &given.name)?;
        let own = given.idempotency_key.as_deref().map(parse_key).transpose()?;
        let params = given.params.unwrap_or_default();
        let (result, version) = self.method(exchange, &address, given.method, params, own).await?;
        Ok(Fields::new().raw("result", &result).number("version", version).end())
    }

    async fn object_list(&self, exchange: &Exchange, given: List) -> Result<String, Error> {
        let class = ClassName::parse(&given.class)
            .map_err(|error| Error::new(Code::InvalidRequest, error.to_string()))?;
        let query = ListQuery {
            prefix: given.prefix.unwrap_or_default(),
            limit: limit(given.limit)?,
            cursor: given.cursor,
        };
        let page = self.runtime.list(exchange.caller(), &class, query).await?;
        let rows = page.objects.iter().map(|object| {
            Fields::new()
                .text("class", class.as_str())
                .text("name", &object.name)
                .number("version", object.version)
                .text("updated_at", &object.updated_at.to_string())
                .end()
        });
        Ok(Fields::new().raw("objects", &array(rows)).text_or_null("cursor", page.cursor.as_deref()).end())
    }

    async fn object_history(&self, exchange: &Exchange, given: &History) -> Result<String, Error> {
        let address = address_of(exchange.caller(), &given.class, &given.name)?;
        let since = Version(given.since.unwrap_or(0));
        let answer =
            self.ask(exchange, &address, Action::Updates { since, limit: limit(given.limit)? }).await?;
        let Outcome::Updates { updates, complete } = answer.outcome else {
            unreachable!("updates are answered by updates")
        };
        let mut object = String::from("\"object\":");
        write_string(&format!("{}/{}", address.class(), address.name()), &mut object);
        // Each is an object of its own already, whose first field follows the brace.
        let updates =
            updates.iter().map(|update| format!("{{{object},{}", update.strip_prefix('{').unwrap_or(update)));
        Ok(Fields::new()
            .raw("updates", &array(updates))
            .number("version", answer.version)
            .number("complete", complete)
            .end())
    }

    async fn counter_increment(&self, exchange: &Exchange, given: &Increment) -> Result<String, Error> {
        let address = address_of(exchange.caller(), "counter", &given.name)?;
        let params = Map::from_iter([("by".to_owned(), given.by.unwrap_or(1).into())]);
        let (result, version) = self.method(exchange, &address, "increment".to_owned(), params, None).await?;
        Ok(Fields::new().raw("result", &result).number("version", version).end())
    }

    async fn document_read(&self, exchange: &Exchange, given: &Read) -> Result<String, Error> {
        let address = address_of(exchange.caller(), "document", &given.name)?;
        let answer = self.state(exchange, &address).await?;
        let Outcome::State { exists, entries, .. } = answer.outcome else {
            unreachable!("a state is answered by a state")
        };
        if !exists {
            return Err(absent(&address));
        }
        Ok(object_text(entries.iter().map(|(key, value)| (key, value))))
    }

    async fn document_edit(&self, exchange: &Exchange, given: &Edit) -> Result<String, Error> {
        let address = address_of(exchange.caller(), "document", &given.name)?;
        let edits = serde_json::to_value(&given.edits).expect("edits have a form in JSON");
        let params = Map::from_iter([("edits".to_owned(), edits)]);
        let (result, _) = self.method(exchange, &address, "edit".to_owned(), params, None).await?;
        Ok(result)
    }

    /// Calls a method; gives the text of its result, and the version after it.
    async fn method(
        &self,
        exchange: &Exchange,
        address: &ObjectAddress,
        method: String,
        params: Map<String, Json>,
        own_key: Option<IdempotencyKey>,
    ) -> Result<(String, Version), Error> {
        let idempotency_key = own_key.or_else(|| exchange.idempotency_key().cloned());
        let action = Action::Call { method, params };
        let request = Request { idempotency_key, ..action.into() };
        let answer = self.ask(exchange, address, request).await?;
        let Outcome::Result(result) = answer.outcome else { unreachable!("a call is answered by a result") };
        Ok((result.as_str().to_owned(), answer.version))
    }
}

fn parse_key(text: &str) -> Result<IdempotencyKey, Error> {
    IdempotencyKey::parse(text).map_err(|error| Error::new(Code::InvalidParameters, error.to_string()))
}

fn limit(given: Option<u64>) -> Result<usize, Error> {
    let limit = given.map_or(Ok(PAGE_DEFAULT), usize::try_from);
    limit.ok().filter(|limit| (1..=PAGE_MAX).contains(limit)).ok_or_else(|| {
        Error::new(Code::InvalidParameters, format!("limit is a whole number from 1 to {PAGE_MAX}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused<T: serde::de::DeserializeOwned + std::fmt::Debug>(given: Json, required: &[&str]) -> String {
        let given = given.as_object().cloned().unwrap_or_default();
        parse::<T>(given, required).expect_err("it does not fit").detail.into_owned()
    }

    #[test]
    fn tools_have_schemas_that_stand_alone() {
        for tool in all() {
            let (input, output) = (&tool.tool.input_schema, tool.tool.output_schema.as_deref());
            let output = output.expect("each has one");
            for schema in [&**input, output] {
                assert_eq!(schema.get("type"), Some(&json!("object")), "{}", tool.tool.name);
                assert!(!Json::Object(schema.clone()).to_string().contains("$ref"), "{}", tool.tool.name);
            }
            assert!(output.get("required").is_none(), "a refusal has nothing of a result");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let required = ["class", "name"];
        assert_eq!(
            refused::<Get>(json!({"class": "a"}), &required),
            "Missing required parameters: class, name"
        );
        assert_eq!(
            refused::<Get>(json!({"class": "a", "name": ""}), &required),
            "Missing required parameters: class, name"
        );
        let stranger = refused::<Get>(json!({"class": "a", "name": "b", "x": 1}), &required);
        assert!(stranger.contains("unknown field `x`"), "{stranger}");
        let kind = refused::<Increment>(json!({"name": "a", "by": "2"}), &["name"]);
        assert!(kind.contains("expected i64"), "{kind}");
    }

    #[test]
    fn edits_are_those_of_the_class() {
        let given = json!({"name": "a", "edits": [{"insert": {"index": 0, "text": "x"}}, {"replace": {"find": "x", "text": "y"}}]});
        let edit: Edit =
            parse(given.as_object().cloned().expect("an object"), &["name", "edits"]).expect("it fits");
        assert_eq!(
            serde_json::to_value(&edit.edits).expect("JSON"),
            json!([{"insert": {"index": 0, "text": "x"}}, {"replace": {"find": "x", "text": "y"}}])
        );
    }

    #[test]
    fn limits_are_held() {
        assert_eq!(limit(None), Ok(PAGE_DEFAULT));
        assert_eq!(limit(Some(1_000)), Ok(1_000));
        for wrong in [0, 1_001, u64::MAX] {
            assert!(limit(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
