//! The README's session, line by line, as a new user would type it.
//!
//! Blocks marked `console` are run in order against one node; one marked `console second-terminal`
//! runs beside the block after it. What the README cannot know beforehand (times, ports, random ids) is
//! left out of the comparison, and so is the width of a table's columns. `pkill` is not typed here: this
//! test's node, and no other, is killed and started again. `UPDATE=1` writes what was printed.

use std::path::Path;

use crate::console::{Shell, Step, read};
use crate::harness::Node;

/// One fenced block.
#[derive(Debug)]
struct Block {
    steps: Vec<Step>,
    is_second_terminal: bool,
}

#[test]
fn session() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(&path).expect("there is a README");
    let home = tempfile::tempdir().expect("a directory");
    // In a terminal curl shows no progress; here it would.
    std::fs::write(home.path().join(".curlrc"), "silent\nshow-error\n").expect("a file can be written");
    let mut node = Node::start();
    let mut written = text.clone();
    let mut differences = Vec::new();
    let mut beside: Option<Block> = None;
    let blocks = blocks(&text);
    assert!(blocks.iter().map(|block| block.steps.len()).sum::<usize>() > 10, "the session is gone");
    for block in blocks {
        if block.is_second_terminal {
            beside = Some(block);
            continue;
        }
        let second = beside.take();
        let ran = play(&mut node, home.path(), block, second);
        for (step, output, code) in ran {
            if comparable(&step.output) != comparable(&output) || code != step.code {
                differences.push(format!("README.md:{}\n$ {}\n{output}\n? {code}", step.line, step.command));
                written =
                    written.replacen(&shown(&step.command, &step.output), &shown(&step.command, &output), 1);
            }
        }
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, written).expect("the README can be written");
    }
    assert!(differences.is_empty(), "the README prints something else:\n\n{}", differences.join("\n\n"));
}

/// Runs a block, and the one in the second terminal beside it.
fn play(node: &mut Node, home: &Path, block: Block, second: Option<Block>) -> Vec<(Step, String, i32)> {
    let mut ran = Vec::new();
    std::thread::scope(|scope| {
        let (url, address) = (node.url(), node.address().to_string());
        let beside = second.map(|second| {
            let (url, address) = (url.clone(), address.clone());
            scope.spawn(move || {
                second.steps.into_iter().map(|step| run(home, &url, &address, step)).collect::<Vec<_>>()
            })
        });
        for step in block.steps {
            if step.command.starts_with("pkill") {
                assert!(beside.is_none(), "nobody watches while the node is killed");
                node.restart();
            } else if !step.command.starts_with("export PATH") {
                ran.push(run(home, &node.url(), &node.address().to_string(), step));
            }
        }
        ran.extend(beside.into_iter().flat_map(|thread| thread.join().expect("a shell does not panic")));
    });
    ran
}

fn run(home: &Path, url: &str, address: &str, step: Step) -> (Step, String, i32) {
    let environment = vec![("STEAD_URL", url.to_owned()), ("HOME", home.to_string_lossy().into_owned())];
    let shell = Shell { directory: home, environment };
    let (output, code) = shell.run(&step.command.replace("127.0.0.1:8080", address));
    (step, output.replace(address, "127.0.0.1:8080"), code)
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        if let Some(mark) = line.strip_prefix("```console") {
            let content: Vec<&str> =
                lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
            let steps = read(&content.join("\n"), at + 2);
            blocks.push(Block { steps, is_second_terminal: mark.trim() == "second-terminal" });
        }
    }
    blocks
}

fn shown(command: &str, output: &str) -> String {
    let output = if output.is_empty() { String::new() } else { format!("{output}\n") };
    format!("$ {command}\n{output}")
}

/// Output without what differs from run to run: digits of times and ports, random ids, column widths.
fn comparable(output: &str) -> String {
    output
        .split_whitespace()
        .map(|word| {
            let is_id = word.len() >= 16 && word.chars().all(|c| c.is_ascii_hexdigit());
            let has_time = word.contains('T') && word.contains(':') && word.contains('-');
            let has_port = word.contains("127.0.0.1:");
            match (is_id, has_time || has_port) {
                (true, _) => "ID".to_owned(),
                (_, true) => without_numbers(word),
                _ => word.trim_matches(['─', '-', '═']).to_owned(),
            }
        })
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// A word with a time or port in it: its numbers of two digits and more become `#`.
fn without_numbers(word: &str) -> String {
    let mut text = String::new();
    let mut digits = String::new();
    for c in word.chars().chain(['\n']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        text.push_str(if digits.len() > 1 { "#" } else { &digits });
        digits.clear();
        text.push(c);
    }
    text.trim_end().to_owned()
}

#[test]
fn times_and_ports_are_not_compared() {
    let check = |left: &str, right: &str, same: bool| {
        assert_eq!(comparable(left) == comparable(right), same, "{left}");
    };
    check(
        r#"{"version":2,"at":"2026-11-21T10:00:00.123Z"}"#,
        r#"{"version":2,"at":"2026-11-22T01:02:03.456Z"}"#,
        true,
    );
    check(
        r#"{"version":2,"at":"2026-11-21T10:00:00.123Z"}"#,
        r#"{"version":3,"at":"2026-11-22T01:02:03.456Z"}"#,
        false,
    );
    check("a  b", "a    b", true);
    check("node 127.0.0.1:8080", "node 127.0.0.1:40123", true);
    check("42", "43", false);
}
