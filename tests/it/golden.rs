//! Golden transcripts: what the contract says, as requests and answers, against a real process.
//!
//! `tests/golden/*.txt` are read from top to bottom, each line one of:
//!
//! ```text
//! # a remark
//! > PUT /v1/objects/object/a        a request: verb and path, then `> Header: value` lines,
//! > If-Match: "0"                   (`> Header:` leaves out one that is sent by default)
//! {"a":1}                           then its body
//! < 201                             the answer: its status, then headers that matter
//! < ETag: "1"                       (`< !ETag` must be absent)
//! {"version":"{int}"}               then its body, all of it; `"…":"…"` allows more keys
//! < 404 object_not_found never      a problem document: status, code, retry
//! @a WS /object/a/websocket         opens a socket named a; `@a SSE /path` a stream of events
//! a> {"type":"get"}                 a frame sent
//! a< {"type":"init","state":{}}     the very next frame received
//! a< close 1007                     the end of it
//! ! kill -9                         the node is killed and started again
//! ```
//!
//! `{timestamp}`, `{text}`, `{int}`, `{hex64}`, `{any}` stand for a value of that kind; any other
//! `{word}` is bound by the first answer that has it, and stands for the same from then on, in
//! requests too. Whatever differs is reported with its file and line. `UPDATE=1` writes what came in
//! the place of what was expected, for a person to read with `git diff`.

mod matching;
mod transcript;

use std::path::{Path, PathBuf};

use crate::harness::Node;

/// The one node of all transcripts; each uses names of its own.
const CONFIG: &str = "allowed_origins = [\"https://app.example\"]\nallowed_hosts = [\"stead.example\"]\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transcripts() {
    let update = std::env::var_os("UPDATE").is_some();
    let only = std::env::var("ONLY").unwrap_or_default();
    let mut node = Node::configured(CONFIG);
    let mut differences = Vec::new();
    for path in files("txt").into_iter().filter(|path| path.to_string_lossy().contains(&only)) {
        let text = std::fs::read_to_string(&path).expect("a transcript can be read");
        let played = transcript::play(&mut node, &text).await;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        differences.extend(played.differences.iter().map(|difference| format!("{name}:{difference}")));
        if update && !played.differences.is_empty() {
            std::fs::write(&path, played.text).expect("a transcript can be written");
        }
    }
    assert!(differences.is_empty(), "{} differ:\n\n{}", differences.len(), differences.join("\n\n"));
}

/// The golden files with this ending, in order.
pub(crate) fn files(ending: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)
        .expect("the golden files are there")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .collect();
    files.sort();
    files
}
