//! The cluster crate under a deterministic simulation: several nodes, their disks, their clocks and the network
//! between them, all from one seed.
//!
//! Every node is a [`stead_cluster::Cluster`] as it ships, in a runtime of its own with a clock that stands still but
//! for what the [`world`] lets pass. Nothing of it runs on another thread, nothing reads a real clock, every random
//! choice comes from the seed: the same seed is the same run ([`repeatable`] holds that). One file per invariant runs
//! its seeds with the faults that are hardest on it; every run is judged by all of them.
//!
//! - `STEAD_SEED=n` runs this seed only, `STEAD_TRACE=1` prints what happens in it.
//! - `STEAD_SEEDS=n` runs so many in each test (`make simulate SEEDS=n`).

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test reports to a person, and a wrong index is a failed test"
)]

mod answers_after_healing;
mod caught;
mod clocks;
mod equal_replicas;
mod linearizable;
mod nothing_lost;
mod one_leader;
mod repeatable;

mod application;
mod clients;
mod disk;
mod faults;
mod history;
mod host;
mod judge;
mod linearizability;
mod links;
mod network;
mod observer;
mod operator;
mod peers;
mod process;
mod runs;
mod service;
mod trace;
mod wire;
mod world;
