//! Asking before something is destroyed.

use std::io::{BufRead as _, IsTerminal as _};

use super::failure::Failure;
use super::output::note;

/// Asks whether to do it, unless `yes` was given. Without a person at the terminal the answer is no.
pub(super) fn confirm(question: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::usage(format!("{question} Nobody is there to ask: give --yes")));
    }
    note(&format!("{question} Type yes to go on:"));
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).map_err(|problem| Failure::failed(problem.to_string()))?;
    if answer.trim().eq_ignore_ascii_case("yes") {
        Ok(())
    } else {
        Err(Failure::failed("nothing was changed"))
    }
}
