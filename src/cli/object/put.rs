//! `stead object put`: put one key, or initialise an object.

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::super::client::{Client, WriteHeaders};
use super::super::failure::Failure;
use super::super::output::{Output, plain};
use super::Address;

/// Put one key, or initialise an object with several
///
/// A value is JSON; several keys are one JSON object.
///
///   stead object put object/cart note '"for two"'
///   stead object put object/cart '{"items":[],"open":true}'
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(in crate::cli) struct Put {
    /// The object
    #[arg(value_name = "CLASS/NAME")]
    address: Address,
    /// KEY VALUE, or KEYS as one JSON object
    #[arg(value_name = "[KEY] VALUE", required = true, num_args = 1..=2)]
    words: Vec<String>,
    #[command(flatten)]
    headers: WriteHeaders,
}

impl Put {
    pub(in crate::cli) async fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        let (path, body) = match self.words.as_slice() {
            [key, value] => (self.address.key_path(key), json!({ "value": parse(value)? })),
            [keys] => {
                let keys = parse(keys)?;
                if !keys.is_object() {
                    return Err(Failure::usage("give KEY VALUE, or the keys as one JSON object"));
                }
                (self.address.path(), keys)
            }
            _ => return Err(Failure::usage("give KEY VALUE, or the keys as one JSON object")),
        };
        let answer = client.succeed(Method::PUT, &path, Some(&body), &self.headers).await?;
        output.show(&answer, |answer| {
            format!("{} is at version {}", self.address, answer.get("version").map(plain).unwrap_or_default())
        })
    }
}

fn parse(text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|problem| {
        Failure::usage(format!("`{text}` is no JSON ({problem}); text needs quotes: '\"{text}\"'"))
    })
}
