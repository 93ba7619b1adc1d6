//! Plays a session as it is shown to people: `$ command`, what it prints, `? code` where it is not 0.
//!
//! Commands run in a shell with `stead` on its path, in an empty directory. In the expected output a
//! `{word}` stands for any text within its line.

use std::path::Path;
use std::process::{Command, Stdio};

/// One command of a session.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    pub(crate) line: usize,
    pub(crate) command: String,
    pub(crate) output: String,
    pub(crate) code: i32,
}

/// Where and with what commands run.
pub(crate) struct Shell<'a> {
    pub(crate) directory: &'a Path,
    pub(crate) environment: Vec<(&'a str, String)>,
}

/// Reads a session. A command goes on over lines that end with a backslash; lines before the first
/// command, and those that begin with `#`, are remarks.
pub(crate) fn read(text: &str, first_line: usize) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut continued = false;
    for (at, line) in text.lines().enumerate() {
        if continued {
            let step = steps.last_mut().expect("a command is being continued");
            step.command.push('\n');
            step.command.push_str(line);
            continued = line.ends_with('\\');
        } else if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step {
                line: first_line + at,
                command: command.to_owned(),
                output: String::new(),
                code: 0,
            });
            continued = line.ends_with('\\');
        } else if let Some(step) = steps.last_mut() {
            match line.strip_prefix("? ").and_then(|code| code.parse().ok()) {
                Some(code) => step.code = code,
                None if line.starts_with("# ") => {}
                None => {
                    step.output.push_str(line);
                    step.output.push('\n');
                }
            }
        }
    }
    for step in &mut steps {
        step.output.truncate(step.output.trim_end().len());
    }
    steps
}

impl Shell<'_> {
    /// Runs a command; its output and errors as they would show in a terminal, and its exit code.
    pub(crate) fn run(&self, command: &str) -> (String, i32) {
        let output = self.command(command).output().expect("bash can be started");
        let text = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        (text, output.status.code().unwrap_or(-1))
    }

    /// A command as it is typed, to be started.
    pub(crate) fn command(&self, command: &str) -> Command {
        let programs = Path::new(env!("CARGO_BIN_EXE_stead")).parent().expect("a binary lies in a directory");
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
        let mut shell = Command::new("bash");
        shell
            .args(["-c", &format!("exec 2>&1\n{command}")])
            .current_dir(self.directory)
            .env("PATH", path)
            .env_remove("STEAD_URL")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        shell
    }
}

/// Whether output is what was expected, line by line.
pub(crate) fn matches(expected: &str, actual: &str) -> bool {
    let (expected, actual): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), actual.lines().collect());
    expected.len() == actual.len()
        && expected
            .iter()
            .zip(actual)
            .all(|(wanted, found)| line_matches(wanted.trim_end(), found.trim_end()))
}

fn line_matches(wanted: &str, found: &str) -> bool {
    let Some((before, after)) = split_placeholder(wanted) else { return wanted == found };
    let Some(rest) = found.strip_prefix(before) else { return false };
    rest.char_indices().skip(1).map(|(at, _)| &rest[at..]).chain([""]).any(|rest| line_matches(after, rest))
}

/// The text before and after the first `{word}`.
fn split_placeholder(text: &str) -> Option<(&str, &str)> {
    text.match_indices('{').find_map(|(at, _)| {
        let (word, after) = text[at + 1..].split_once('}')?;
        let is_word = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
        is_word.then_some((&text[..at], after))
    })
}

#[test]
fn sessions_are_read_and_compared() {
    let steps = read("# hello\n$ one \\\n  two\n{\"a\":1}\n$ false\n? 1\n", 10);
    assert_eq!(steps[0].command, "one \\\n  two");
    assert_eq!((steps[0].output.as_str(), steps[1].code, steps[1].line), ("{\"a\":1}", 1, 14));
    assert!(matches("took {time} ms\n{\"a\":1}", "took 3.5 ms\n{\"a\":1}"));
    assert!(!matches("took {time} ms", "took  ms now"));
    assert!(!matches("a", "a\nb"));
}
