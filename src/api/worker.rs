//! The original worker's words: what its clients mean and how they are answered, over HTTP and over sockets alike.

use super::body::Fields;
use super::path;
use crate::error::{Code, Error};
use crate::object::Value;
use crate::object::value::write_string;

/// The class whose objects the worker's clients mean.
pub(super) const CLASS: &str = "object";

/// The method that a client means. What the worker never had as a method is not one here either.
pub(super) fn method_of(sent: &str) -> Option<&str> {
    path::method_name(sent)
}

/// The parameters as the class takes them: the worker's `increment` took 0 for 1, and anything else
/// that JavaScript holds for nothing.
pub(super) fn mapped_params(method: &str, mut params: Fields) -> Fields {
    if method == "increment" {
        let nothing = |value: &serde_json::Value| value.is_null() || value.as_f64() == Some(0.0);
        if params.get("increment").is_some_and(nothing) {
            params.remove("increment");
        }
        if params.get("key").is_some_and(serde_json::Value::is_null) {
            params.remove("key");
        }
    }
    params
}

/// The body of a call that went well: the result, and where it is an object its own keys beside it.
pub(super) fn result_text(result: &Value) -> String {
    let mut text = format!(r#"{{"success":true,"result":{result}"#);
    if result.as_str().starts_with('{')
        && let serde_json::Value::Object(fields) = result.to_json()
    {
        for (key, value) in fields {
            if !matches!(key.as_str(), "success" | "result" | "error") {
                text.push(',');
                write_string(&key, &mut text);
                text.push(':');
                text.push_str(Value::from_json(value).as_str());
            }
        }
    }
    text.push('}');
    text
}

/// The text of a refusal, as the worker's methods answer and its sockets send it.
pub(super) fn message(error: &Error) -> String {
    match error.code {
        Code::MethodNotFound => "Method not found".to_owned(),
        _ => error.detail.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(json: serde_json::Value) -> Fields {
        match json {
            serde_json::Value::Object(fields) => fields,
            other => panic!("{other} is no object"),
        }
    }

    #[test]
    fn nothing_counts_as_one() {
        let table = [
            (json!({"increment": 0}), json!({})),
            (json!({"increment": 0.0, "key": "k"}), json!({"key": "k"})),
            (json!({"increment": -0.0}), json!({})),
            (json!({"increment": null, "key": null}), json!({})),
            (json!({"increment": -2}), json!({"increment": -2})),
            (json!({"increment": 0.5}), json!({"increment": 0.5})),
            (json!({"increment": "0"}), json!({"increment": "0"})),
        ];
        for (sent, expected) in table {
            assert_eq!(mapped_params("increment", fields(sent.clone())), fields(expected), "{sent}");
        }
        assert_eq!(mapped_params("echo", fields(json!({"increment": 0}))), fields(json!({"increment": 0})));
    }

    #[test]
    fn results_stand_beside_success() {
        let check = |result: serde_json::Value, expected| {
            assert_eq!(result_text(&Value::from_json(result)), expected);
        };
        check(
            json!({"key": "a", "value": 1}),
            r#"{"success":true,"result":{"key":"a","value":1},"key":"a","value":1}"#,
        );
        check(
            json!({"success": false, "error": 1, "result": 2, "x": 3}),
            r#"{"success":true,"result":{"error":1,"result":2,"success":false,"x":3},"x":3}"#,
        );
        check(json!([1]), r#"{"success":true,"result":[1]}"#);
        check(json!(null), r#"{"success":true,"result":null}"#);
    }
}
