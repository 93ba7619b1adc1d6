//! Each run in a process of its own, so that it begins like every other one.
//!
//! A test that wants runs starts itself again for each seed, with `seeded.c` preloaded; started so it does that one
//! run, writes down what came of it, and ends. What a library draws from the operating system (the hash maps of the
//! standard library, tokio's choice of whom to wake first) is then the same in every process, and a run that breaks
//! the process breaks no other.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::judge::violations;
use crate::trace::Trace;
use crate::world::{Plan, run};

/// Where a run writes down what came of it.
const RESULT: &str = "STEAD_RUN_RESULT";
/// Which seed a run is of.
const SEED: &str = "STEAD_RUN_SEED";

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) seed: u64,
    /// How many events there were, and the number that stands for all of them.
    pub(crate) fingerprint: (u64, u64),
    /// Operations that were answered, and that were not.
    pub(crate) operations: (usize, usize),
    pub(crate) violations: Vec<String>,
}

/// The runs of a test.
pub(crate) struct Runs {
    /// Its full name, to start it again by.
    test: &'static str,
    directory: TempDir,
}

impl Runs {
    /// Runs of a plan for the test of this full name. In a process that was started for one run it does that run,
    /// and ends the process.
    pub(crate) fn of(test: &'static str, plan: &Plan) -> Self {
        if let (Ok(result), Ok(seed)) = (std::env::var(RESULT), std::env::var(SEED)) {
            let seed = seed.parse().expect("whoever starts a run gives it a number");
            let outcome = serde_json::to_vec(&run_here(seed, plan)).expect("an outcome is text and numbers");
            std::fs::write(result, outcome).expect("the result of a run can be written");
            std::process::exit(0);
        }
        let directory = tempfile::tempdir().expect("a temporary directory");
        compile(&library(&directory));
        Self { test, directory }
    }

    /// Does one run.
    pub(crate) fn run(&self, seed: u64) -> Outcome {
        let result = self.directory.path().join("result");
        let this = std::env::current_exe().expect("the test has a file");
        let mut command = Command::new(this);
        command.args([self.test, "--exact", "--nocapture", "--test-threads", "1"]);
        command.env("LD_PRELOAD", library(&self.directory));
        command.env(RESULT, &result).env(SEED, seed.to_string());
        let ended = command.output().expect("the test can be started again");
        let stderr = String::from_utf8_lossy(&ended.stderr);
        if std::env::var("STEAD_TRACE").is_ok() {
            eprintln!("{stderr}");
        }
        let read = std::fs::read(&result).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        drop(std::fs::remove_file(&result));
        read.unwrap_or_else(|| Outcome {
            seed,
            fingerprint: (0, 0),
            operations: (0, 0),
            violations: vec![format!("the run did not end: {}, {stderr}", ended.status)],
        })
    }
}

fn run_here(seed: u64, plan: &Plan) -> Outcome {
    let trace = if std::env::var("STEAD_TRACE").is_ok() { Trace::shown() } else { Trace::default() };
    let run = run(seed, plan, trace);
    let operations = run.observer.with(|seen| seen.history.counts());
    Outcome { seed, fingerprint: run.fingerprint, operations, violations: violations(&run) }
}

fn library(directory: &TempDir) -> PathBuf {
    directory.path().join("seeded.so")
}

fn compile(library: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/simulation/seeded.c");
    let compiled =
        Command::new("cc").args(["-O2", "-shared", "-fPIC", "-o"]).arg(library).arg(source).output();
    let compiled = compiled.expect("cc is here, or RocksDB would not have been built");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
}
