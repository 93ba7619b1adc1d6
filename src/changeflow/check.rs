//! Arguments held to the schema of their tool, and brought into one form.
//!
//! What is refused here has one wording, whichever tool, surface or client it came through. After it, a text that is
//! a time is RFC 3339 in UTC, `null` is left out, and nothing is there that the schema does not name.

use serde_json::{Map, Value as Json};

use crate::object::Timestamp;

use super::tools::Tool;

/// An argument's other name.
const CHANGE_ID_TOO: &str = "change_id";
/// The id of the change that a tool is about.
pub(super) const CHANGE_ID: &str = "changeId";

/// The arguments as the tool takes them, or what is wrong with them.
pub(super) fn check(tool: &Tool, mut arguments: Map<String, Json>) -> Result<Map<String, Json>, String> {
    if property(&tool.input, CHANGE_ID).is_some()
        && arguments.get(CHANGE_ID).is_none_or(is_missing)
        && let Some(id) = arguments.remove(CHANGE_ID_TOO)
    {
        arguments.insert(CHANGE_ID.to_owned(), id);
    }
    let required = required(&tool.input);
    if required.iter().any(|name| arguments.get(*name).is_none_or(is_missing)) {
        return Err(format!("Missing required parameters: {}", required.join(", ")));
    }
    fields(&tool.input, arguments, "")
}

/// The names of a tool's required arguments, in the order in which they are told.
fn required(schema: &Map<String, Json>) -> Vec<&str> {
    let names = schema.get("required").and_then(Json::as_array);
    names.into_iter().flatten().filter_map(Json::as_str).collect()
}

fn property<'schema>(schema: &'schema Map<String, Json>, name: &str) -> Option<&'schema Map<String, Json>> {
    schema.get("properties")?.get(name)?.as_object()
}

/// An absent argument, whichever way it is absent.
fn is_missing(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::String(text) => text.trim().is_empty(),
        _ => false,
    }
}

fn fields(
    schema: &Map<String, Json>,
    given: Map<String, Json>,
    inside: &str,
) -> Result<Map<String, Json>, String> {
    let is_open = schema.get("additionalProperties").is_some_and(|more| more != &Json::Bool(false));
    let mut kept = Map::new();
    for (name, value) in given {
        if value.is_null() {
            continue;
        }
        let place = if inside.is_empty() { name.clone() } else { format!("{inside}.{name}") };
        match property(schema, &name) {
            Some(field) => kept.insert(name, one(field, value, &place)?),
            None if is_open => kept.insert(name, value),
            None => None,
        };
    }
    Ok(kept)
}

fn one(schema: &Map<String, Json>, value: Json, place: &str) -> Result<Json, String> {
    match (schema.get("type").and_then(Json::as_str), value) {
        (Some("string"), Json::String(text)) => self::text(schema, text, place).map(Json::String),
        (Some("string"), _) => Err(format!("{place} must be a text")),
        (Some("boolean"), Json::Bool(flag)) => Ok(Json::Bool(flag)),
        (Some("boolean"), _) => Err(format!("{place} must be true or false")),
        (Some("integer"), value) => whole(schema, &value, place),
        (Some("array"), Json::Array(items)) => list(schema, items, place),
        (Some("array"), _) => Err(format!("{place} must be a list")),
        (Some("object"), Json::Object(inner)) => fields(schema, inner, place).map(Json::Object),
        (Some("object"), _) => Err(format!("{place} must be an object")),
        (_, value) => Ok(value),
    }
}

fn text(schema: &Map<String, Json>, text: String, place: &str) -> Result<String, String> {
    if let Some(words) = schema.get("enum").and_then(Json::as_array) {
        let words: Vec<&str> = words.iter().filter_map(Json::as_str).collect();
        if !words.contains(&text.as_str()) {
            return Err(format!("{place} must be one of {}; {text:?} is none of them", words.join(", ")));
        }
    }
    if schema.get("format").and_then(Json::as_str) == Some("date-time") {
        let time = Timestamp::parse(&text).map_err(|_| {
            format!("{place} must be a time in RFC 3339 with an offset, like 2026-11-24T02:00:00Z")
        })?;
        return Ok(time.to_string());
    }
    Ok(text)
}

fn whole(schema: &Map<String, Json>, value: &Json, place: &str) -> Result<Json, String> {
    let edge = |name| schema.get(name).and_then(Json::as_i64);
    let (least, most) = (edge("minimum").unwrap_or(i64::MIN), edge("maximum").unwrap_or(i64::MAX));
    // A client whose numbers are all floats writes a whole one with a fraction of nothing.
    let number = value.as_i64().or_else(|| {
        let number = value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 9e15)?;
        format!("{number:.0}").parse().ok()
    });
    match number.filter(|number| (least..=most).contains(number)) {
        Some(number) => Ok(Json::from(number)),
        None => Err(format!("{place} must be a whole number from {least} to {most}")),
    }
}

fn list(schema: &Map<String, Json>, items: Vec<Json>, place: &str) -> Result<Json, String> {
    let most = schema.get("maxItems").and_then(Json::as_u64).unwrap_or(u64::MAX);
    if items.len() as u64 > most {
        return Err(format!("{place} must have at most {most} items"));
    }
    let Some(of) = schema.get("items").and_then(Json::as_object) else { return Ok(Json::Array(items)) };
    let checked = items.into_iter().enumerate().map(|(at, item)| {
        if item.as_str().is_some_and(|text| text.trim().is_empty()) {
            return Err(format!("{place}[{at}] must not be empty"));
        }
        one(of, item, &format!("{place}[{at}]"))
    });
    checked.collect::<Result<Vec<_>, _>>().map(Json::Array)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tools::find;
    use super::*;

    /// What becomes of arguments, or the refusal.
    fn check(tool: &str, given: Json, expected: Result<Json, &str>) {
        let arguments = given.as_object().cloned().expect("arguments are an object");
        let found = super::check(find(tool).expect("there is such a tool"), arguments);
        let found = found.map(Json::Object);
        assert_eq!(
            found.as_ref().map_err(String::as_str),
            expected.as_ref().map_err(|text| *text),
            "{given}"
        );
    }

    #[test]
    fn missing_arguments_are_named_all_together() {
        let create = "Missing required parameters: title, description, requestor";
        for given in [
            json!({}),
            json!({"title": "t"}),
            json!({"title": "t", "description": "d"}),
            json!({"title": "t", "description": "d", "requestor": ""}),
            json!({"title": "t", "description": "d", "requestor": null}),
            json!({"title": " ", "description": "d", "requestor": "r"}),
        ] {
            check("create_change_request", given, Err(create));
        }
        for (tool, text) in [
            ("update_change", "changeId"),
            ("assess_risk", "changeId"),
            ("approve_change", "changeId, approverId, decision"),
            ("schedule_change", "changeId, scheduledStart, scheduledEnd"),
            ("transition_change", "changeId, to"),
            ("emergency_override", "changeId, justification, authorizedBy"),
            ("get_change_status", "changeId"),
            ("add_comment", "changeId, comment"),
            ("get_audit_trail", "changeId"),
        ] {
            check(tool, json!({"other": 1}), Err(&format!("Missing required parameters: {text}")));
        }
    }

    #[test]
    fn nothing_is_required_of_lists_and_reports() {
        for tool in ["list_changes", "compliance_report", "metrics_dashboard"] {
            check(tool, json!({}), Ok(json!({})));
        }
    }

    #[test]
    fn what_is_given_comes_into_one_form() {
        check("get_change_status", json!({"change_id": "CHG-1"}), Ok(json!({"changeId": "CHG-1"})));
        check("get_change_status", json!({"changeId": "", "change_id": "C"}), Ok(json!({"changeId": "C"})));
        check("get_change_status", json!({"changeId": "A", "change_id": "B"}), Ok(json!({"changeId": "A"})));
        check(
            "create_change_request",
            json!({"title": "t", "description": "d", "requestor": "r", "environment": null, "unknown": 1,
                "plannedStart": "2026-11-24T03:00:00+01:00", "affectedSystems": ["a", "a"], "draft": false}),
            Ok(json!({"title": "t", "description": "d", "requestor": "r",
                "plannedStart": "2026-11-24T02:00:00.000Z", "affectedSystems": ["a", "a"], "draft": false})),
        );
        check("list_changes", json!({"limit": 5.0}), Ok(json!({"limit": 5})));
        check(
            "assess_risk",
            json!({"changeId": "C", "factors": {"complexity": 3, "timing": {"x": 1}, "mood": "good"}}),
            Ok(json!({"changeId": "C", "factors": {"complexity": 3, "timing": {"x": 1}, "mood": "good"}})),
        );
        check(
            "compliance_report",
            json!({"period": {"start": "2026-11-01T00:00:00Z", "end": null, "x": 1}}),
            Ok(json!({"period": {"start": "2026-11-01T00:00:00.000Z"}})),
        );
    }

    #[test]
    fn what_does_not_fit_is_told_what_would() {
        let create = |name: &str, value: Json, text: &str| {
            let mut given = json!({"title": "t", "description": "d", "requestor": "r"});
            given[name] = value;
            check("create_change_request", given, Err(text));
        };
        create("title", json!(5), "title must be a text");
        create(
            "type",
            json!("Normal"),
            "type must be one of standard, normal, major, emergency; \"Normal\" is none of them",
        );
        create("impact", json!(""), "impact must be one of low, medium, high; \"\" is none of them");
        create("affectedSystems", json!("a"), "affectedSystems must be a list");
        create("affectedSystems", json!(["a", 1]), "affectedSystems[1] must be a text");
        create("blockedBy", json!([" "]), "blockedBy[0] must not be empty");
        create("draft", json!("yes"), "draft must be true or false");
        create(
            "plannedStart",
            json!("tomorrow"),
            "plannedStart must be a time in RFC 3339 with an offset, like 2026-11-24T02:00:00Z",
        );
        let systems: Vec<String> = (0..1001).map(|number| number.to_string()).collect();
        create("affectedSystems", json!(systems), "affectedSystems must have at most 1000 items");
        for wrong in [json!(0), json!(1001), json!(1.5), json!("5"), json!(-1)] {
            check(
                "list_changes",
                json!({"limit": wrong}),
                Err("limit must be a whole number from 1 to 1000"),
            );
        }
        check("compliance_report", json!({"period": "2026"}), Err("period must be an object"));
        check(
            "compliance_report",
            json!({"period": {"end": "2026"}}),
            Err("period.end must be a time in RFC 3339 with an offset, like 2026-11-24T02:00:00Z"),
        );
        check("assess_risk", json!({"changeId": "C", "factors": []}), Err("factors must be an object"));
    }
}
