//! A class of one's own, with an alarm, served by one's own `main`.
//!
//! ```sh
//! cargo run --release --example reminder
//! curl http://127.0.0.1:8080/v1/objects/reminder/tea/methods/remind \
//!      --json '{"text":"the tea is ready","after_ms":3000}'
//! curl http://127.0.0.1:8080/v1/objects/reminder/tea
//! ```
//!
//! Three seconds later the alarm rings in a turn of its own, and everyone who watches the object sees
//! `delivered`. It rings too when the node was killed in between: the alarm is part of the object.
//!
//! Configuration comes from the environment (`STEAD_DATA`, `STEAD_LISTEN`, …), as for `stead serve`.

#![expect(clippy::print_stdout, reason = "a program that is started by hand says where it listens")]

use std::sync::Arc;

use serde_json::json;
use stead::class::{Class, Classes, Parameters};
use stead::config::Config;
use stead::object::{ClassName, Refusal, Turn};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Says something later.
struct Reminder;

impl Class for Reminder {
    fn call(
        &self,
        turn: &mut Turn<'_>,
        method: &str,
        parameters: Parameters,
    ) -> Result<serde_json::Value, Refusal> {
        match method {
            "remind" => {
                let text = parameters.get("text").and_then(serde_json::Value::as_str);
                let text = text.ok_or_else(|| Refusal::invalid("`text` must be a string"))?;
                let after_ms = parameters.get("after_ms").and_then(serde_json::Value::as_u64);
                let after_ms =
                    after_ms.ok_or_else(|| Refusal::invalid("`after_ms` must be a whole number"))?;
                let at = turn.now().plus_ms(after_ms);
                turn.put("text", text)?;
                turn.put("due", &at)?;
                turn.delete("delivered")?;
                turn.set_alarm(at);
                Ok(json!({ "due": at }))
            }
            "forget" => {
                turn.clear_alarm();
                turn.clear();
                Ok(json!({}))
            }
            _ => Err(Refusal::MethodNotFound { method: method.to_owned() }),
        }
    }

    fn alarm(&self, turn: &mut Turn<'_>) -> Result<(), Refusal> {
        let now = turn.now();
        turn.put("delivered", &now)
    }
}

fn main() -> anyhow::Result<()> {
    let environment: Vec<(String, String)> = std::env::vars().collect();
    let config = Config::load(None, &environment, &[])?;
    stead::telemetry::install(&config.log)?;
    let classes = Classes::builtin().with(ClassName::parse("reminder")?, Arc::new(Reminder));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let server = stead::server::start(config, classes).await?;
        println!("listening on http://{}", server.addr());
        let interrupted = async { drop(tokio::signal::ctrl_c().await) };
        Ok(server.run_until(interrupted).await?)
    })
}
