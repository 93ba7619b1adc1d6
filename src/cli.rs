//! The command line: `stead serve`, and the commands that talk to a server over HTTP.
//!
//! One file a command. A command gives back what it has to say, or a `Failure` whose kind is the
//! exit code: 0 done, 1 failed, 2 usage, 3 not found, 4 unavailable. Only what reads a directory or
//! a file (`doctor --offline`, `node secret`, `snapshot inspect` and `restore`) or starts servers
//! (`serve`, `dev`) does without one.

mod bench;
mod client;
mod completions;
mod confirm;
mod dev;
mod doctor;
mod failure;
mod mcp;
mod node;
mod object;
mod operation;
mod output;
mod serve;
mod shard;
mod snapshot;
mod status;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::class::Classes;
use client::Client;
use failure::Failure;
use output::{Format, Output, note};

/// Where a server is looked for when nobody says.
const SERVER: &str = "http://127.0.0.1:8080";

/// Longest time that may be given with `--timeout`, in seconds: a day.
const TIMEOUT_MAX_SECONDS: f64 = 86_400.0;

/// Runs the command line of this process, serving `classes` where it is `serve`. A program with
/// classes of its own calls this from its `main`.
#[must_use]
pub fn main(classes: Classes) -> ExitCode {
    let environment: Vec<_> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let line = Line::parse();
    let output = Output::new(line.global.output);
    match run(line, classes, &environment, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            note(&format!("stead: {failure}"));
            failure.exit_code()
        }
    }
}

/// Durable objects on your own machines: the server and its command line.
///
/// An object is named CLASS/NAME, like counter/visits. The exit code is 0 when it is done, 1 when it
/// failed, 2 when the command is wrong, 3 when something is not there, 4 when the server cannot be
/// reached or cannot answer now.
#[derive(Debug, Parser)]
#[command(
    name = "stead",
    version,
    max_term_width = 110,
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Line {
    #[command(flatten, next_help_heading = "Everywhere")]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
struct Global {
    /// The server to talk to [default: STEAD_URL, or http://127.0.0.1:8080]
    #[arg(long, global = true, value_name = "URL")]
    server: Option<String>,
    /// How to show what comes back
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// Seconds to wait for an answer
    #[arg(long, global = true, value_name = "SECONDS", default_value = "15", value_parser = parse_timeout)]
    timeout: Duration,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    /// Show how the cluster is, and what is wrong with it
    Status,
    Doctor(doctor::Doctor),
    Dev(dev::Dev),
    #[command(subcommand)]
    Node(node::Node),
    #[command(subcommand)]
    Shard(shard::Shard),
    #[command(subcommand)]
    Snapshot(snapshot::Snapshot),
    #[command(subcommand)]
    Object(object::Object),
    Mcp(mcp::Mcp),
    Bench(bench::Bench),
    Completions(completions::Completions),
}

fn run(
    line: Line,
    classes: Classes,
    environment: &[(String, String)],
    output: &Output,
) -> Result<(), Failure> {
    let server = || {
        let given = line.global.server.as_deref();
        let set = || environment.iter().find(|(name, _)| name == "STEAD_URL").map(|(_, url)| url.as_str());
        given.or_else(set).unwrap_or(SERVER)
    };
    match line.command {
        Command::Serve(serve) => serve.run(classes, environment),
        Command::Completions(completions) => completions.run(),
        Command::Bench(bench) => bench.run(server(), line.global.timeout, output),
        Command::Doctor(doctor) => wait_for(doctor.run(server(), line.global.timeout, output)),
        Command::Status => {
            let client = Client::new(server(), line.global.timeout)?;
            wait_for(status::run(&client, output))
        }
        Command::Dev(dev) => wait_for(dev.run()),
        Command::Mcp(mcp) => wait_for(mcp.run(server(), line.global.timeout)),
        Command::Node(node) => wait_for(node.run(|| Client::new(server(), line.global.timeout), output)),
        Command::Shard(shard) => {
            let client = Client::new(server(), line.global.timeout)?;
            wait_for(shard.run(&client, output))
        }
        Command::Snapshot(snapshot) => {
            wait_for(snapshot.run(|| Client::new(server(), line.global.timeout), output))
        }
        Command::Object(object) => {
            let client = Client::new(server(), line.global.timeout)?;
            wait_for(object.run(&client, output))
        }
    }
}

/// Runs a command that does little more than wait.
fn wait_for<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|problem| Failure::failed(format!("cannot start: {problem}")))?;
    runtime.block_on(command)
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "give a number of seconds, like 15 or 0.5".to_owned())?;
    if seconds > 0.0 && seconds <= TIMEOUT_MAX_SECONDS {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(format!("give more than 0 and at most {TIMEOUT_MAX_SECONDS} seconds"))
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::Line;

    #[test]
    fn the_grammar_is_sound() {
        Line::command().debug_assert();
    }

    #[test]
    fn what_is_wrong_is_usage() {
        for line in [
            "stead object get visits",
            "stead object get counter/visits --timeout 0",
            "stead object call counter/visits",
            "stead serve --listenn x",
            "stead bench fly",
            "stead -o xml status",
        ] {
            let problem = Line::try_parse_from(line.split(' ')).expect_err(line);
            assert_eq!(problem.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn global_flags_stand_anywhere() {
        for line in ["stead -o json status --server http://x", "stead --server http://x status -o json"] {
            let line = Line::try_parse_from(line.split(' ')).expect(line);
            assert_eq!(line.global.server.as_deref(), Some("http://x"));
        }
    }
}
