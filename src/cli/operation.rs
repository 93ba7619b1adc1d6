//! Something that takes long: begun, and followed to its end.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use clap::Args;
use reqwest::Method;
use serde_json::Value;

use super::client::{Client, WriteHeaders};
use super::failure::Failure;
use super::output::{Output, plain};

/// How often an operation is asked how far it has come.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long to follow it.
#[derive(Debug, Args)]
pub(super) struct Wait {
    /// Only begin it; it goes on by itself
    #[arg(long)]
    no_wait: bool,
    /// Seconds to wait until it is done; it goes on by itself after that too
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    wait: u64,
}

/// Begins an operation and follows it until it is done.
pub(super) async fn run(
    client: &Client,
    output: &Output,
    method: Method,
    path: &str,
    body: Option<&Value>,
    wait: &Wait,
) -> Result<(), Failure> {
    let done = |operation: &Value| format!("done: {}", operation.get("kind").map(plain).unwrap_or_default());
    run_to(client, output, method, path, body, wait, done).await
}

/// The same, with what is said when it is done.
pub(super) async fn run_to(
    client: &Client,
    output: &Output,
    method: Method,
    path: &str,
    body: Option<&Value>,
    wait: &Wait,
    done: impl FnOnce(&Value) -> String,
) -> Result<(), Failure> {
    let begun = client.succeed(method, path, body, &WriteHeaders::default()).await?;
    let id = begun.get("operation").and_then(Value::as_u64).unwrap_or_default();
    if wait.no_wait {
        return output.show(&begun, |_| format!("operation {id} has begun"));
    }
    let until = Instant::now() + Duration::from_secs(wait.wait);
    let mut progress = Progress::default();
    loop {
        let operation = client.get(&format!("/v1/operations/{id}")).await?;
        let text = |field: &str| operation.get(field).map(plain).unwrap_or_default();
        match text("state").as_str() {
            "done" => {
                drop(progress);
                return output.show(&operation, done);
            }
            "failed" => return Err(Failure::failed(format!("{}: {}", text("kind"), text("detail")))),
            _ => {}
        }
        progress.say(text("detail"));
        if Instant::now() >= until {
            return Err(Failure::unavailable(format!(
                "{} is not done yet: {}; it goes on",
                text("kind"),
                text("detail")
            )));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// How far it has come, on one line of a terminal that is gone in the end. A file or a pipe is told the end only.
#[derive(Debug, Default)]
struct Progress {
    said: String,
}

impl Progress {
    fn say(&mut self, detail: String) {
        if detail != self.said && std::io::stderr().is_terminal() {
            // Whether it can be shown is no reason to end.
            write!(std::io::stderr(), "\r\x1b[K{detail}").ok();
            self.said = detail;
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if !self.said.is_empty() {
            write!(std::io::stderr(), "\r\x1b[K").ok();
        }
    }
}
