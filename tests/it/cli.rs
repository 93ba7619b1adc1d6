//! The command line: golden sessions (`tests/golden/*.cli`) with output and exit code, each against a
//! node of its own. `{word}` stands for any text in a line; `UPDATE=1` writes what came.

use crate::console::{Shell, Step, matches, read};
use crate::golden::files;
use crate::harness::Node;

#[test]
fn sessions() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut differences = Vec::new();
    let paths = files("cli");
    assert!(!paths.is_empty(), "there are sessions");
    for path in paths {
        let node = Node::start();
        let home = tempfile::tempdir().expect("a directory");
        let nobody = "http://127.0.0.1:1".to_owned();
        let environment = vec![("STEAD_URL", node.url()), ("NOBODY", nobody), ("COLUMNS", "100".to_owned())];
        let shell = Shell { directory: home.path(), environment };
        let text = std::fs::read_to_string(&path).expect("a session can be read");
        let mut written = text.clone();
        for step in read(&text, 1) {
            let (output, code) = shell.run(&step.command);
            if matches(&step.output, &output) && code == step.code {
                continue;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            differences.push(format!(
                "{name}:{}\n{}--- came\n{}",
                step.line,
                shown(&step),
                shown(&Step { output: output.clone(), code, ..step.clone() })
            ));
            written = written.replacen(&shown(&step), &shown(&Step { output, code, ..step.clone() }), 1);
        }
        if update && written != text {
            std::fs::write(&path, written).expect("a session can be written");
        }
    }
    assert!(differences.is_empty(), "{} differ:\n\n{}", differences.len(), differences.join("\n"));
}

/// A step as it stands in a session.
fn shown(step: &Step) -> String {
    let output = if step.output.is_empty() { String::new() } else { format!("{}\n", step.output) };
    let code = if step.code == 0 { String::new() } else { format!("? {}\n", step.code) };
    format!("$ {}\n{output}{code}", step.command)
}
