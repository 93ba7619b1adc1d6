//! `stead object call`: call a method.

use clap::Args;
use reqwest::Method;
use serde_json::{Map, Value};

use super::super::client::{Client, WriteHeaders, part};
use super::super::failure::Failure;
use super::super::output::{Output, compact};
use super::Address;

/// Call a method and show its result
///
///   stead object call counter/visits increment
///   stead object call counter/visits increment by=5
///   stead object call document/notes insert '{"index":0,"text":"Hello"}'
///
/// Parameters are a JSON object, or NAME=VALUE each; a VALUE that is not JSON is text.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(in crate::cli) struct Call {
    /// The object
    #[arg(value_name = "CLASS/NAME")]
    address: Address,
    /// The method
    method: String,
    /// The parameters
    #[arg(value_name = "PARAMETERS")]
    parameters: Vec<String>,
    #[command(flatten)]
    headers: WriteHeaders,
}

impl Call {
    pub(in crate::cli) async fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        let parameters = parse(&self.parameters).map_err(Failure::usage)?;
        let path = format!("{}/methods/{}", self.address.path(), part(&self.method));
        let answer = client.succeed(Method::POST, &path, Some(&parameters), &self.headers).await?;
        output.show(&answer, |answer| answer.get("result").map(compact).unwrap_or_default())
    }
}

fn parse(words: &[String]) -> Result<Value, String> {
    if let [only] = words
        && only.trim_start().starts_with('{')
    {
        return serde_json::from_str(only)
            .map_err(|problem| format!("the parameters are no JSON: {problem}"));
    }
    let mut parameters = Map::new();
    for word in words {
        let (name, value) = word
            .split_once('=')
            .ok_or_else(|| format!("`{word}` is no parameter: give NAME=VALUE, or one JSON object"))?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        if parameters.insert(name.to_owned(), value).is_some() {
            return Err(format!("the parameter `{name}` is given twice"));
        }
    }
    Ok(Value::Object(parameters))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    fn check(words: &[&str], expected: Option<Value>) {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(super::parse(&words).ok(), expected, "{words:?}");
    }

    #[test]
    fn parameters_come_in_two_forms() {
        check(&[], Some(json!({})));
        check(&[r#"{"by":2}"#], Some(json!({"by": 2})));
        check(
            &["by=2", "note=two of them", "deep={\"a\":1}", "text=\"7\""],
            Some(json!({
                "by": 2, "note": "two of them", "deep": {"a": 1}, "text": "7",
            })),
        );
        check(&["equation=a=b"], Some(json!({"equation": "a=b"})));
        check(&["{\"by\":"], None);
        check(&["five"], None);
        check(&["by=1", "by=2"], None);
    }
}
