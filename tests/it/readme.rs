//! The README's session, line by line, as a new user would type it.
//!
//! Blocks marked `console` are run in order against one node; one marked `console second-terminal`
//! runs beside the block after it. Those marked `console cluster` are run against the three nodes of a `stead dev`;
//! what is typed in one marked `console cluster terminal` runs until the end. What the README cannot know beforehand (times, ports, random ids) is
//! left out of the comparison, and so is the width of a table's columns. `pkill` is not typed here: of this
//! test's nodes, and no others, the one meant is killed. `UPDATE=1` writes what was printed.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::console::{Shell, Step, read};
use crate::harness::Node;

/// One fenced block.
#[derive(Debug)]
struct Block {
    steps: Vec<Step>,
    kind: Kind,
}

/// Where a block is typed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    OneNode,
    SecondTerminal,
    Cluster,
    ClusterTerminal,
}

#[test]
fn session() {
    let mut session = Session::read(&[Kind::OneNode, Kind::SecondTerminal]);
    let home = home();
    let mut node = Node::start();
    let mut beside: Option<Block> = None;
    for block in std::mem::take(&mut session.blocks) {
        if block.kind == Kind::SecondTerminal {
            beside = Some(block);
            continue;
        }
        let second = beside.take();
        for ran in play(&mut node, home.path(), block, second) {
            session.compare(ran);
        }
    }
    session.end();
}

#[test]
fn cluster_session() {
    let mut session = Session::read(&[Kind::Cluster, Kind::ClusterTerminal]);
    let home = home();
    let mut dev = Dev::start(home.path());
    for block in std::mem::take(&mut session.blocks) {
        for step in block.steps {
            if block.kind == Kind::ClusterTerminal {
                dev.leave_running(home.path(), &step.command);
            } else if let Some(node) = step.command.strip_prefix("pkill -9 -f node-") {
                dev.kill(node.trim().parse().expect("a node's number"));
            } else {
                let (output, code) = dev.run(home.path(), &step.command);
                session.compare((step, output, code));
            }
        }
    }
    session.end();
}

/// An empty directory for a session.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().expect("a directory");
    // In a terminal curl shows no progress; here it would.
    std::fs::write(home.path().join(".curlrc"), "silent\nshow-error\n").expect("a file can be written");
    home
}

/// What the README shows, and how what is printed differs.
struct Session {
    path: PathBuf,
    written: String,
    blocks: Vec<Block>,
    differences: Vec<String>,
}

impl Session {
    fn read(kinds: &[Kind]) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
        let written = std::fs::read_to_string(&path).expect("there is a README");
        let mut blocks = blocks(&written);
        blocks.retain(|block| kinds.contains(&block.kind));
        assert!(blocks.iter().map(|block| block.steps.len()).sum::<usize>() > 5, "the session is gone");
        Self { path, written, blocks, differences: Vec::new() }
    }

    fn compare(&mut self, (step, output, code): (Step, String, i32)) {
        if comparable(&step.output) != comparable(&output) || code != step.code {
            let difference = format!("README.md:{}\n$ {}\n{output}\n? {code}", step.line, step.command);
            self.differences.push(difference);
            let (shown, printed) = (shown(&step.command, &step.output), shown(&step.command, &output));
            self.written = self.written.replacen(&shown, &printed, 1);
        }
    }

    fn end(self) {
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&self.path, self.written).expect("the README can be written");
        }
        let differences = self.differences;
        assert!(differences.is_empty(), "the README prints something else:\n\n{}", differences.join("\n\n"));
    }
}

/// A `stead dev` on ports of its own, and what was started beside it.
struct Dev {
    port: u16,
    child: Child,
    pids: Vec<String>,
    beside: Vec<Child>,
}

impl Dev {
    /// The README's ports, of clients and of nodes, are this one's and those after it.
    const PORTS: [(u16, u16); 2] = [(8080, 0), (9080, 1_000)];
    const NODES_MAX: u16 = 4;

    fn start(home: &Path) -> Self {
        let port = free_ports();
        let mut child = Command::new(env!("CARGO_BIN_EXE_stead"))
            .args(["dev", "--nodes", "3", "--port", &port.to_string()])
            .current_dir(home)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program can be started");
        let mut pids = Vec::new();
        for line in BufReader::new(child.stdout.take().expect("it is piped")).lines() {
            let line = line.expect("it prints text");
            pids.extend(
                line.split_once("pid ").and_then(|(_, rest)| Some(rest.split_once(',')?.0.to_owned())),
            );
            if line.starts_with("Ctrl-C") {
                break;
            }
        }
        assert_eq!(pids.len(), 3, "it says the pid of each node");
        Self { port, child, pids, beside: Vec::new() }
    }

    /// The README's text with this one's ports, or the other way round.
    fn translate(&self, text: &str, is_back: bool) -> String {
        let mut text = text.to_owned();
        for (shown, above) in Self::PORTS {
            for number in 0..Self::NODES_MAX {
                let (shown, real) = (shown + number, self.port + above + number);
                let (from, to) = if is_back { (real, shown) } else { (shown, real) };
                text = text.replace(&format!("127.0.0.1:{from}"), &format!("127.0.0.1:{to}"));
            }
        }
        text
    }

    fn shell<'a>(&self, home: &'a Path) -> Shell<'a> {
        let url = format!("http://127.0.0.1:{}", self.port);
        let environment = vec![("STEAD_URL", url), ("HOME", home.to_string_lossy().into_owned())];
        Shell { directory: home, environment }
    }

    fn run(&self, home: &Path, command: &str) -> (String, i32) {
        let (output, code) = self.shell(home).run(&self.translate(command, false));
        (self.translate(&output, true), code)
    }

    /// Starts what runs in a terminal of its own, and waits until it says that it listens.
    fn leave_running(&mut self, home: &Path, command: &str) {
        let mut command = self.shell(home).command(&format!("exec {}", self.translate(command, false)));
        let mut child = command.stdout(Stdio::piped()).spawn().expect("bash can be started");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let is_listening = lines.any(|line| line.is_ok_and(|line| line.contains("listening on")));
        // So that its output is never full.
        std::thread::spawn(move || lines.for_each(drop));
        self.beside.push(child);
        assert!(is_listening, "{command:?} ended");
    }

    fn kill(&self, node: usize) {
        let killed = Command::new("kill").args(["-9", &self.pids[node - 1]]).status();
        assert!(killed.is_ok_and(|status| status.success()), "a process of ours can be killed");
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It ends its nodes itself.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
        for child in &mut self.beside {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A port from which on as many are free as nodes need, and again a thousand ports higher.
fn free_ports() -> u16 {
    let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let found = (0..200).find_map(|_| {
        let port = 20_000 + rand::random::<u16>() % 10_000;
        let all = (0..Dev::NODES_MAX).flat_map(|number| [port + number, port + 1_000 + number]);
        all.into_iter().all(is_free).then_some(port)
    });
    found.expect("some ports are free")
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
            let kind = match mark.trim() {
                "" => Kind::OneNode,
                "second-terminal" => Kind::SecondTerminal,
                "cluster" => Kind::Cluster,
                "cluster terminal" => Kind::ClusterTerminal,
                other => panic!("README.md:{}: a block marked {other}", at + 1),
            };
            blocks.push(Block { steps, kind });
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
