//! `stead bench`: measure a server with a closed loop of clients.
//!
//! Each client has one connection and sends its next request when it has the answer to the last, so
//! the load is what the server bears, and every latency is one that a client waited. Only requests
//! that both begin and end inside the measured time count. Answers other than 2xx are counted by status and
//! are no part of the latencies.

mod client;
mod report;
mod work;

use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::failure::Failure;
use super::output::Output;
use client::Measured;
use report::Report;
use work::Work;

/// Most clients: as many sockets as one address can open to another, about.
const CLIENTS_MAX: u32 = 20_000;
/// Most objects: their request lines are made beforehand.
const OBJECTS_MAX: u32 = 1_000_000;

/// Measure a server with a closed loop of clients
///
/// Every client sends its next request when it has the answer to its last.
///
///   stead bench increment --clients 64 --objects 1000 --seconds 5
///   stead bench read --clients 64 --objects 1000 -o json
///   stead bench increment --also http://127.0.0.1:8081 --also http://127.0.0.1:8082
///   stead bench increment --url-template /object/bench-{n}/increment --server http://127.0.0.1:8787
///
/// It writes to objects of its own, counter/bench-0 and so on; use it against a server that may have them.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Bench {
    /// What the clients do
    #[arg(value_enum)]
    operation: Operation,
    /// Clients, each with one connection
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=i64::from(CLIENTS_MAX)))]
    clients: u32,
    /// Objects; each request takes one at random
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(OBJECTS_MAX)))]
    objects: u32,
    /// Measured time, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = super::parse_timeout)]
    seconds: Duration,
    /// Another node to spread the clients over, beside --server; may be given again
    #[arg(long, value_name = "URL")]
    also: Vec<String>,
    /// Time before it that is not measured, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = super::parse_timeout)]
    warmup: Duration,
    /// Names of the objects: this and a number
    #[arg(long, value_name = "TEXT", default_value = "bench-")]
    prefix: String,
    /// Path of a request, for servers with routes of their own; {n} is the object's number
    #[arg(long, value_name = "PATH")]
    url_template: Option<String>,
    /// Verb of a request, with --url-template
    #[arg(long, value_name = "VERB", requires = "url_template")]
    method: Option<String>,
    /// Body of a request, with --url-template
    #[arg(long, value_name = "JSON", requires = "url_template")]
    body: Option<String>,
    /// Seed of the choice of objects
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads of the load generator
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    threads: u32,
}

/// What the clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Operation {
    /// POST the method increment of a counter: a durable write
    Increment,
    /// GET a counter
    Read,
    /// PUT a key of an object: a durable write
    Put,
}

impl Bench {
    pub(super) fn run(self, server: &str, timeout: Duration, output: &Output) -> Result<(), Failure> {
        let threads = usize::try_from(self.threads).unwrap_or(1);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build()
            .map_err(|problem| Failure::failed(format!("cannot start: {problem}")))?;
        let report = runtime.block_on(self.measure(server, timeout))?;
        output.show(&report.to_json(), |_| report.to_text())?;
        if report.counted() == 0 {
            return Err(Failure::unavailable("not one request was answered with success"));
        }
        Ok(())
    }

    async fn measure(&self, server: &str, timeout: Duration) -> Result<Report, Failure> {
        let work = std::sync::Arc::new(Work::prepare(self, server).await?);
        let clients = TaskTracker::new();
        let begin = Instant::now() + self.warmup;
        let end = begin + self.seconds;
        let tasks: Vec<_> = (0..self.clients)
            .map(|number| {
                let seed = self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(u64::from(number));
                let window = client::Window { begin: begin.into_std(), end: end.into_std(), timeout };
                clients.spawn(client::run(std::sync::Arc::clone(&work), number, seed, window))
            })
            .collect();
        clients.close();
        let mut sum = Measured::new();
        for task in tasks {
            let measured =
                task.await.map_err(|problem| Failure::failed(format!("a client ended badly: {problem}")))?;
            sum.add(&measured);
        }
        Ok(Report::new(self, sum))
    }
}
