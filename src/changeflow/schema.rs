//! JSON Schemas made from the types, in the form that clients of every kind take: one object, nothing referred to.

use std::sync::Arc;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value as Json, json};

/// The schema of a tool's arguments. What is optional is left out, or `null`, which counts as left out.
pub(crate) fn of_arguments<T: JsonSchema>() -> Arc<Map<String, Json>> {
    let settings = SchemaSettings::draft2020_12().for_deserialize();
    let mut schema = generate::<T>(settings);
    walk(&mut schema, &mut without_null);
    finish(schema)
}

/// The schema of a tool's result, which fits refusals too: only `success` is required.
pub(crate) fn of_result<T: JsonSchema>() -> Arc<Map<String, Json>> {
    let mut schema = generate::<T>(SchemaSettings::draft2020_12().for_serialize());
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
            ("items" | "additionalProperties", inner) => walk(inner, change),
            _ => {}
        }
    }
}
