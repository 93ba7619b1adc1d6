//! The schemas of tools in the description: made of the tools' own, so that both always say the same.

use serde_json::{Map, Value as Json};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{
    AdditionalProperties, AnyOfBuilder, ArrayBuilder, ObjectBuilder, Schema, SchemaFormat, SchemaType, Type,
};
use utoipa::{PartialSchema, ToSchema};

use crate::changeflow;

macro_rules! tool_schemas {
    ($($(#[doc = $doc:literal])+ $name:ident: $tool:literal $part:ident;)*) => {$(
        $(#[doc = $doc])+
        pub(in crate::api) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let tool = changeflow::find($tool).expect("there is such a tool");
                without_id(&tool.$part)
            }
        }

        impl ToSchema for $name {}
    )*};
}

tool_schemas! {
    /// Arguments of `create_change_request`.
    NewChange: "create_change_request" input;
    /// Result of `create_change_request`.
    ChangeCreated: "create_change_request" output;
    /// Arguments of `update_change`.
    ChangeUpdate: "update_change" input;
    /// Result of `update_change`.
    ChangeUpdated: "update_change" output;
    /// Arguments of `assess_risk`.
    NewAssessment: "assess_risk" input;
    /// Result of `assess_risk`.
    ChangeAssessed: "assess_risk" output;
    /// Arguments of `approve_change`.
    NewDecision: "approve_change" input;
    /// Result of `approve_change`.
    ChangeDecided: "approve_change" output;
    /// Arguments of `schedule_change`.
    NewSchedule: "schedule_change" input;
    /// Result of `schedule_change`.
    ChangeScheduled: "schedule_change" output;
    /// Arguments of `transition_change`.
    NewTransition: "transition_change" input;
    /// Result of `transition_change`.
    ChangeMoved: "transition_change" output;
    /// Arguments of `emergency_override`.
    NewOverride: "emergency_override" input;
    /// Result of `emergency_override`.
    ChangeOverridden: "emergency_override" output;
    /// Arguments of `add_comment`.
    NewComment: "add_comment" input;
    /// Result of `add_comment`.
    ChangeCommented: "add_comment" output;
    /// Result of `get_change_status`.
    ChangeStatus: "get_change_status" output;
    /// Result of `list_changes`.
    ChangeList: "list_changes" output;
    /// Result of `get_audit_trail`.
    ChangeTrail: "get_audit_trail" output;
    /// Result of `compliance_report`.
    ComplianceReport: "compliance_report" output;
    /// Result of `metrics_dashboard`.
    MetricsDashboard: "metrics_dashboard" output;
}

/// The schema of a tool's arguments or result. The change's id stands in the path, so nobody has to say it again; and
/// what may be left out may be `null`, which tools need not be told.
fn without_id(schema: &Map<String, Json>) -> RefOr<Schema> {
    const ID: &str = "changeId";
    let mut schema = schema.clone();
    let required = schema.get("required").and_then(Json::as_array).cloned().unwrap_or_default();
    let is_result = required.iter().any(|name| name == "success");
    if let Some(Json::Object(properties)) = schema.get_mut("properties").filter(|_| !is_result) {
        properties.remove(ID);
        for (name, field) in properties.iter_mut() {
            if let Some(field) =
                field.as_object_mut().filter(|_| !required.contains(&Json::from(name.as_str())))
            {
                allow_null(field);
            }
        }
        schema.insert("required".to_owned(), required.into_iter().filter(|name| name != ID).collect());
    }
    converted(&Json::Object(schema))
}

fn allow_null(field: &mut Map<String, Json>) {
    if let Some(kind @ Json::String(_)) = field.get("type").cloned() {
        field.insert("type".to_owned(), Json::Array(vec![kind, Json::from("null")]));
    }
    if let Some(Json::Array(words)) = field.get_mut("enum") {
        words.push(Json::Null);
    }
}

/// A JSON Schema of the form that the tools have, as the description's own type.
fn converted(schema: &Json) -> RefOr<Schema> {
    let Some(schema) = schema.as_object() else { return anything(None).into() };
    let description = schema.get("description").and_then(Json::as_str);
    if let Some(choices) = schema.get("anyOf").and_then(Json::as_array) {
        let any = AnyOfBuilder::new().description(description);
        return choices.iter().fold(any, |any, choice| any.item(converted(choice))).into();
    }
    let kinds = kinds(schema);
    let Some(first) = kinds.first() else { return anything(description).into() };
    let whole = |name: &str| schema.get(name).and_then(Json::as_u64);
    let size = |name: &str| whole(name).and_then(|number| usize::try_from(number).ok());
    let kind =
        || if kinds.len() == 1 { SchemaType::new(first.clone()) } else { kinds.iter().cloned().collect() };
    if matches!(first, Type::Array) {
        let items = schema.get("items").map_or_else(|| anything(None).into(), converted);
        let list = ArrayBuilder::new().schema_type(kind()).items(items).max_items(size("maxItems"));
        return list.description(description).into();
    }
    let mut object = ObjectBuilder::new().schema_type(kind()).description(description);
    object = object.minimum(whole("minimum")).maximum(whole("maximum"));
    if let Some(format) = schema.get("format").and_then(Json::as_str) {
        object = object.format(Some(SchemaFormat::Custom(format.to_owned())));
    }
    if let Some(words) = schema.get("enum").and_then(Json::as_array) {
        object = object.enum_values(Some(words.clone()));
    }
    for (name, field) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
        object = object.property(name, converted(field));
    }
    for name in schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str)
    {
        object = object.required(name);
    }
    match schema.get("additionalProperties") {
        Some(more @ Json::Object(_)) => object.additional_properties(Some(converted(more))).into(),
        Some(Json::Bool(open)) => {
            object.additional_properties(Some(AdditionalProperties::FreeForm(*open))).into()
        }
        _ => object.into(),
    }
}

fn anything(description: Option<&str>) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::AnyValue).description(description)
}

/// The types that a schema allows; none of one that says nothing of it.
fn kinds(schema: &Map<String, Json>) -> Vec<Type> {
    let named = match schema.get("type") {
        Some(Json::String(one)) => vec![one.as_str()],
        Some(Json::Array(several)) => several.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    };
    let kind = |name: &str| match name {
        "object" => Some(Type::Object),
        "array" => Some(Type::Array),
        "string" => Some(Type::String),
        "integer" => Some(Type::Integer),
        "number" => Some(Type::Number),
        "boolean" => Some(Type::Boolean),
        "null" => Some(Type::Null),
        _ => None,
    };
    named.into_iter().filter_map(kind).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What says nothing beyond what is written otherwise: an open map is one without a word on it.
    fn normal(mut schema: Json) -> Json {
        if let Json::Object(object) = &mut schema {
            if object.get("additionalProperties") == Some(&Json::Bool(true)) {
                object.remove("additionalProperties");
            }
            let bare = object.remove("properties");
            for (_, inner) in object.iter_mut() {
                *inner = normal(inner.take());
            }
            if let Some(Json::Object(mut fields)) = bare {
                fields.values_mut().for_each(|field| *field = normal(field.take()));
                object.insert("properties".to_owned(), Json::Object(fields));
            }
        }
        match schema {
            Json::Bool(true) => Json::Object(Map::new()),
            Json::Array(items) => Json::Array(items.into_iter().map(normal).collect()),
            other => other,
        }
    }

    #[test]
    fn nothing_of_a_tool_s_schema_is_lost() {
        for tool in changeflow::tools() {
            for schema in [&tool.input, &tool.output] {
                let schema = Json::Object((**schema).clone());
                let converted =
                    serde_json::to_value(converted(&schema)).expect("a schema has a form in JSON");
                assert_eq!(normal(converted), normal(schema), "{}", tool.name);
            }
        }
    }
}
