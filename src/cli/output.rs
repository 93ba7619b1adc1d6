//! What a command prints: tables for people, JSON for programs, complaints on standard error.

use std::io::{ErrorKind, Write as _};

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table};
use serde_json::Value;

use super::failure::Failure;

/// How to show what comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Table,
    /// For programs, as the server answered
    Json,
}

/// Where a command's words go.
#[derive(Debug)]
pub(super) struct Output {
    format: Format,
}

impl Output {
    pub(super) fn new(format: Format) -> Self {
        Self { format }
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// Prints the answer as JSON, or what `table` makes of it.
    pub(super) fn show(&self, answer: &Value, table: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
        match self.format {
            Format::Json => print(&pretty(answer)),
            Format::Table => print(&table(answer)),
        }
    }
}

/// Prints text and ends the line. A reader that has gone away ends the program without a word.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let written = write!(stdout, "{text}{end}").and_then(|()| stdout.flush());
    match written {
        Err(problem) if problem.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(problem) => Err(Failure::failed(format!("cannot write the answer: {problem}"))),
        Ok(()) => Ok(()),
    }
}

/// Says something beside the answer, on standard error. There is nobody to tell when that fails.
pub(super) fn note(text: &str) {
    writeln!(std::io::stderr(), "{text}").ok();
}

/// A table with a line of headings; cells wrap where the terminal is narrow.
pub(super) fn table<const WIDTH: usize>(
    headings: [&str; WIDTH],
    rows: impl IntoIterator<Item = [String; WIDTH]>,
) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(headings.map(str::to_uppercase));
    for row in rows {
        table.add_row(row);
    }
    let lines = table.lines().map(|line| line.trim_end().strip_prefix(' ').unwrap_or_default().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

/// Names and values, one a line, the values in a column.
pub(super) fn pairs<'pair>(pairs: impl IntoIterator<Item = (&'pair str, String)>) -> String {
    let pairs: Vec<_> = pairs.into_iter().collect();
    let width = pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let lines = pairs.iter().map(|(name, value)| format!("{name:width$}  {value}").trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

/// A JSON value as a person would write it: text without quotes, nothing for null.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// JSON in one line where that is short, else over several.
pub(super) fn compact(value: &Value) -> String {
    const SHORT_CHARS: usize = 100;
    let line = value.to_string();
    if line.len() <= SHORT_CHARS { line } else { pretty(value) }
}

/// JSON over several lines.
pub(super) fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("a JSON value is JSON")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::{pairs, plain, table};

    #[test]
    fn a_table_has_columns() {
        let rows = [["visits".to_owned(), "12".to_owned()], ["a longer name".to_owned(), "3".to_owned()]];
        expect![[r"
            NAME           VERSION
            visits         12
            a longer name  3"]]
        .assert_eq(&table(["name", "version"], rows));
    }

    #[test]
    fn pairs_have_columns() {
        expect![[r"
            id       x
            address  127.0.0.1:8080
            zone"]]
        .assert_eq(&pairs([
            ("id", "x".to_owned()),
            ("address", "127.0.0.1:8080".to_owned()),
            ("zone", String::new()),
        ]));
    }

    #[test]
    fn plain_values() {
        assert_eq!(plain(&json!("a\"b")), "a\"b");
        assert_eq!(plain(&json!(null)), "");
        assert_eq!(plain(&json!({"a": [1]})), "{\"a\":[1]}");
    }
}
