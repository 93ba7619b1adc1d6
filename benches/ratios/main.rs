//! The figures that the README shows: `benches/run`.
//!
//! Rates mean little on a machine whose speed changes by the minute, so every figure is a ratio, or a
//! bound made of something measured beside it: contestants run at the same time, on fresh data, and
//! are loaded in turn, in short slices, several rounds; a ratio is the median over the rounds of
//! one slice by the slice beside it. The load generator is `stead bench`, a closed loop, for all alike.
//!
//! Contestants: `stead serve`; a bare axum handler that answers the same JSON and stores nothing
//! (this program, called with `bare`); workerd from npm with the same routes on a SQLite-backed Durable
//! Object (skipped, and said so, where npm cannot get it). Three nodes are compared with three of etcd (skipped where
//! there is no `etcd`; Debian: etcd-server) and with one node; of their failover the distribution is shown.
//!
//! Another bare handler broadcasts, for the measure of what telling many costs.
//!
//! `benches/run [--rounds N] [--slice SECONDS] [--only WORD] [--json FILE]`.

#![allow(clippy::print_stdout, clippy::indexing_slicing, reason = "a benchmark reports to a person")]

mod bare;
mod broadcast;
mod client;
mod contestant;
mod etcd;
mod failover;
mod figures;
mod idle;
mod live;
mod mcp;
mod memory;
mod rates;
mod replicated;
mod start;
mod trio;

use figures::Figures;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What the command line says.
#[derive(Debug, Clone)]
struct Plan {
    rounds: usize,
    slice_s: f64,
    only: Option<String>,
    json: Option<String>,
}

impl Plan {
    fn read(mut words: impl Iterator<Item = String>) -> Self {
        let mut plan = Self { rounds: 5, slice_s: 1.5, only: None, json: None };
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap_or_else(|| panic!("{word} needs a value"));
            match word.as_str() {
                "--rounds" => plan.rounds = value().parse().expect("--rounds takes a number"),
                "--slice" => plan.slice_s = value().parse().expect("--slice takes seconds"),
                "--only" => plan.only = Some(value()),
                "--json" => plan.json = Some(value()),
                "--bench" => {} // what cargo adds
                other => panic!("unknown: {other}"),
            }
        }
        plan
    }

    fn wants(&self, word: &str) -> bool {
        self.only.as_deref().is_none_or(|only| word.contains(only))
    }
}

fn main() {
    let mut words = std::env::args().skip(1);
    match std::env::args().nth(1).as_deref() {
        Some("bare") => return bare::serve(bare::router()),
        Some("broadcast") => return bare::serve(broadcast::router()),
        _ => {}
    }
    let plan = Plan::read(&mut words);
    let mut figures = Figures::new();
    if plan.wants("rates") {
        rates::measure(&plan, &mut figures);
    }
    if plan.wants("memory") {
        memory::measure(&mut figures);
    }
    if plan.wants("live") {
        live::measure(&plan, &mut figures);
    }
    if plan.wants("mcp") {
        mcp::measure(&plan, &mut figures);
    }
    if plan.wants("start") {
        start::measure(&mut figures);
    }
    if plan.wants("replicated") {
        replicated::measure(&plan, &mut figures);
    }
    if plan.wants("failover") {
        failover::measure(&mut figures);
    }
    if plan.wants("idle") {
        idle::measure(&mut figures);
    }
    println!("\n{}", figures.table());
    if let Some(file) = plan.json {
        std::fs::write(&file, figures.json()).expect("the file can be written");
    }
    if !figures.reach_their_floors() {
        std::process::exit(1);
    }
}
