//! `stead completions`: what a shell needs to complete the command line.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::Line;
use super::failure::Failure;
use super::output::print;

/// Print the completions of a shell
///
///   stead completions bash > /etc/bash_completion.d/stead
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Line::command(), "stead", &mut script);
        print(&String::from_utf8_lossy(&script))
    }
}
