//! Imports point down only: the walls of the design, held.
//!
//! Every `crate::…` path in `src/` is read, wherever it stands, and compared with the list below. Unit
//! tests at the end of a file, in one named `tests.rs` or below `tests`, may reach above, for their examples.

use std::path::{Path, PathBuf};

/// What every room may use.
const GROUND: &[&str] = &["error", "limits", "caller", "clock"];

/// Room, and what it may use besides the ground. `*` is everything.
const WALLS: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("limits", &[]),
    ("caller", &[]),
    ("clock", &[]),
    ("telemetry", &["config"]),
    ("config", &["class"]),
    ("incoming", &[]),
    ("outgoing", &[]),
    ("object", &[]),
    ("class", &["object"]),
    ("runtime", &["class", "object", "telemetry", "stead_cluster"]),
    ("live", &["runtime", "object", "telemetry"]),
    ("changeflow", &["runtime", "class", "object", "telemetry"]),
    ("operate", &["runtime", "object", "telemetry", "stead_cluster"]),
    ("api", &["changeflow", "incoming", "live", "operate", "runtime", "object", "telemetry", "config"]),
    (
        "mcp",
        &["changeflow", "class", "incoming", "live", "operate", "outgoing", "runtime", "object", "telemetry"],
    ),
    ("cli", &["server", "config", "outgoing", "telemetry", "class"]),
    ("server", &["*"]),
    ("main", &["*"]),
    ("lib", &["*"]),
];

/// Rooms that do without a part of the ground: the ground imports nothing of ours, and what is pure
/// reads no clock.
const WITHOUT: &[(&str, &[&str])] = &[
    ("error", GROUND),
    ("limits", GROUND),
    ("caller", GROUND),
    ("clock", GROUND),
    ("object", &["clock"]),
    ("class", &["clock"]),
];

#[test]
fn imports_point_down() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    gather(&source, &mut files);
    assert!(files.len() > 20, "the sources are elsewhere");
    let mut wrong = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&source).expect("it was found there");
        let text = std::fs::read_to_string(&file).expect("a source can be read");
        let room = room(inside);
        let is_tests = inside.with_extension("").components().any(|part| part.as_os_str() == "tests");
        let code = text.split("#[cfg(test)]\nmod tests {").next().filter(|_| !is_tests);
        for (line, used) in uses(code.unwrap_or_default()) {
            if !allowed(&room, &used) {
                wrong.push(format!("src/{}:{line}: {room} must not use {used}", inside.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "imports point down only:\n{}", wrong.join("\n"));
}

/// The first part of a file's path: its room.
fn room(file: &Path) -> String {
    let first = file.components().next().map(|part| part.as_os_str().to_string_lossy().into_owned());
    first.unwrap_or_default().trim_end_matches(".rs").to_owned()
}

fn allowed(room: &str, used: &str) -> bool {
    let listed = |table: &[(&str, &[&str])]| {
        let row = table.iter().find(|(name, _)| *name == room);
        row.is_some_and(|(_, names)| names.contains(&used) || names.contains(&"*"))
    };
    assert!(WALLS.iter().any(|(name, _)| *name == room), "the room {room} is not on the list: add it");
    used == room || (!listed(WITHOUT) && (GROUND.contains(&used) || listed(WALLS)))
}

/// The rooms a source uses, with their lines: `crate::room`, the names of a `use crate::{…}`, and the
/// crate `stead_cluster`.
fn uses(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let code = without_comments(text);
    for (at, _) in code.match_indices("crate::") {
        let line = code[..at].matches('\n').count() + 1;
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => found.extend(first_words(list).into_iter().map(|word| (line, word))),
            None => found.push((line, word(rest))),
        }
    }
    for (at, name) in code.match_indices("stead_cluster") {
        found.push((code[..at].matches('\n').count() + 1, name.to_owned()));
    }
    found.retain(|(_, word)| word.chars().next().is_some_and(char::is_lowercase));
    found
}

/// The first word of each part of a braced list, at its outermost level.
fn first_words(list: &str) -> Vec<String> {
    let (mut depth, mut words, mut fresh) = (0_u32, Vec::new(), true);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            c if fresh && c.is_alphanumeric() => {
                words.push(word(&list[at..]));
                fresh = false;
            }
            _ => {}
        }
    }
    words
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn without_comments(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn gather(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("the sources are there").flatten() {
        let path = entry.path();
        if path.is_dir() {
            gather(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}

#[test]
fn uses_are_found() {
    let check = |text: &str, expected: &[&str]| {
        let found: Vec<String> = uses(text).into_iter().map(|(_, word)| word).collect();
        assert_eq!(found, expected, "{text}");
    };
    check("use crate::api::v1;", &["api"]);
    check("use crate::{\n    api::{a, b},\n    live,\n};", &["api", "live"]);
    check("// crate::api", &[]);
    check("let x = crate::clock::now();", &["clock"]);
    check("pub(crate) fn f() {}", &[]);
    check("use stead_cluster::Cluster;", &["stead_cluster"]);
    assert!(!allowed("object", "runtime") && !allowed("api", "mcp") && !allowed("api", "stead_cluster"));
    assert!(!allowed("class", "clock") && !allowed("error", "limits") && allowed("runtime", "clock"));
}
