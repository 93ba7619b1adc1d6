//! JSON Schemas made from the types, in the form that clients of every kind take: one object, nothing referred to.

use std::sync::Arc;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value as Json, json};

/// The schema of a tool's arguments. What is optional is left out, or `null`, which counts as left out.
pub(crate) fn of_arguments<T: JsonSchema>() -> Arc<Map<String, Json>> {
    let settings = SchemaSettings::draft2020_12().for_deserialize();
    let mut schema = generate::<T>(settings);
    walk(&mut schema, &mut |object| {
        without_null(object);
        without_widths(object);
    });
    finish(schema)
}

/// The schema of a tool's result, which fits refusals too: only `success` is required.
pub(crate) fn of_result<T: JsonSchema>() -> Arc<Map<String, Json>> {
    let mut schema = generate::<T>(SchemaSettings::draft2020_12().for_serialize());
    walk(&mut schema, &mut |object| {
        without_widths(object);
        object.remove("required");
    });
    if let Some(object) = schema.as_object_mut() {
        object.insert("required".to_owned(), json!(["success"]));
    }
    finish(schema)
}

fn generate<T: JsonSchema>(settings: SchemaSettings) -> Json {
    let settings = settings.with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let schema: Schema = settings.into_generator().into_root_schema_for::<T>();
    schema.into()
}

fn finish(schema: Json) -> Arc<Map<String, Json>> {
    match schema {
        Json::Object(mut object) => {
            object.remove("title");
            object.insert("type".to_owned(), json!("object"));
            Arc::new(object)
        }
        _ => unreachable!("the schema of a struct is an object"),
    }
}

/// Takes off how wide a number is, which only schemars knows to say and strict validators stumble over.
fn without_widths(schema: &mut Map<String, Json>) {
    if schema.get("format").is_some_and(|format| format != "date-time") {
        schema.remove("format");
    }
}

/// Takes `null` from what may be left out.
fn without_null(schema: &mut Map<String, Json>) {
    if let Some(Json::Array(kinds)) = schema.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [only] = kinds.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Json::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Json::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| choice != &json!({ "type": "null" }));
        if let [Json::Object(only)] = choices.as_slice() {
            let only = only.clone();
            schema.remove("anyOf");
            for (key, value) in only {
                schema.entry(key).or_insert(value);
            }
        }
    }
}

fn walk(schema: &mut Json, change: &mut impl FnMut(&mut Map<String, Json>)) {
    let Json::Object(object) = schema else { return };
    change(object);
    for (key, inner) in object.iter_mut() {
        match (key.as_str(), inner) {
            ("properties", Json::Object(fields)) => fields.values_mut().for_each(|field| walk(field, change)),
            ("anyOf" | "oneOf" | "allOf", Json::Array(choices)) => {
                for choice in choices {
                    walk(choice, change);
                }
            }
            ("items" | "additionalProperties", inner) => walk(inner, change),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tools::tools;
    use super::*;

    /// Every place in a schema that is a schema itself.
    fn all(schema: &Map<String, Json>) -> Vec<Map<String, Json>> {
        let mut found = Vec::new();
        walk(&mut Json::Object(schema.clone()), &mut |object| found.push(object.clone()));
        found
    }

    #[test]
    fn schemas_are_of_the_form_that_clients_take() {
        assert_eq!(tools().len(), 13);
        for tool in tools() {
            for (what, schema) in [("input", &tool.input), ("output", &tool.output)] {
                let text = Json::Object((**schema).clone()).to_string();
                assert_eq!(schema.get("type"), Some(&json!("object")), "{what} of {}", tool.name);
                assert!(!text.contains("$ref") && !text.contains("$defs"), "{what} of {}: {text}", tool.name);
                let formats = all(schema).into_iter().filter_map(|place| place.get("format").cloned());
                assert!(formats.into_iter().all(|format| format == "date-time"), "{text}");
            }
            assert_eq!(tool.output.get("required"), Some(&json!(["success"])), "{}", tool.name);
            let properties = tool.output.get("properties").expect("a result has fields");
            assert!(properties["success"]["type"] == "boolean" && properties.get("error").is_some());
            for (name, field) in tool.input.get("properties").and_then(Json::as_object).expect("fields") {
                assert!(
                    field
                        .get("description")
                        .is_some_and(|text| text.as_str().is_some_and(|text| text.len() > 10)),
                    "{name} of {} says nothing of itself: {field}",
                    tool.name
                );
                assert!(!field.to_string().contains("null"), "{name} of {}: {field}", tool.name);
            }
        }
    }

    #[test]
    fn a_schema_says_what_it_is() {
        expect_test::expect![[r#"
            {
              "description": "`approve_change`.",
              "properties": {
                "approverId": {
                  "description": "Who decides: the id of an approver of the policy, such as `alice.chen`.",
                  "type": "string"
                },
                "changeId": {
                  "description": "The change's id, `CHG-YYYYMMDD-XXXXXX`.",
                  "type": "string"
                },
                "comments": {
                  "description": "Why; required of a rejection.",
                  "type": "string"
                },
                "decision": {
                  "description": "`approved`, `rejected` (final; needs `comments`), or `needs_info` (opens a new round).",
                  "enum": [
                    "approved",
                    "rejected",
                    "needs_info"
                  ],
                  "type": "string"
                }
              },
              "required": [
                "changeId",
                "approverId",
                "decision"
              ],
              "type": "object"
            }"#]].assert_eq(
            &serde_json::to_string_pretty(&*of_arguments::<super::super::arguments::Approve>())
                .expect("JSON"),
        );
    }
}
