//! Plays a transcript against a node: reads it line by line, and writes it anew as it came out.

use std::collections::BTreeMap;

use serde_json::Value;
use tokio::time::timeout;

use super::matching::Bindings;
use crate::harness::{Answer, Connection, Frame, Node, PATIENCE, Socket};

/// A transcript after it was played.
pub(crate) struct Played {
    /// `line: what differs`, in order.
    pub(crate) differences: Vec<String>,
    /// The transcript with what came in place of what was expected.
    pub(crate) text: String,
}

/// A socket or a stream of events that stays open over several lines.
enum Stream {
    Socket(Box<Socket>),
    Events(Box<Connection>, String),
}

struct Player<'a> {
    node: &'a mut Node,
    bindings: Bindings,
    streams: BTreeMap<String, Stream>,
    answer: Option<(String, Result<Answer, String>)>,
    differences: Vec<String>,
    text: String,
}

/// What a line is.
enum Line<'a> {
    Remark,
    Kill,
    Request,
    Answer,
    Open { name: &'a str, kind: &'a str, path: &'a str },
    Send { name: &'a str, frame: &'a str },
    Receive { name: &'a str, frame: &'a str },
    Unknown,
}

pub(crate) async fn play(node: &mut Node, text: &str) -> Played {
    let lines: Vec<&str> = text.lines().collect();
    let mut player = Player {
        node,
        bindings: Bindings::default(),
        streams: BTreeMap::new(),
        answer: None,
        differences: Vec::new(),
        text: String::new(),
    };
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        at = player.step(&lines, at, line).await;
    }
    Played { differences: player.differences, text: player.text }
}

impl Player<'_> {
    /// Plays what begins at a line, and says where the next begins.
    async fn step(&mut self, lines: &[&str], at: usize, line: &str) -> usize {
        match read(line) {
            Line::Remark => self.keep(line),
            Line::Kill => {
                self.node.restart();
                self.streams.clear();
                self.keep(line);
            }
            Line::Request => return self.request(lines, at).await,
            Line::Answer => return self.compare_answer(lines, at),
            Line::Open { name, kind, path } => {
                let path = self.bindings.fill(path);
                match self.open(kind, &path).await {
                    Ok(stream) => drop(self.streams.insert(name.to_owned(), stream)),
                    Err(status) => self.differ(at, line, &format!("refused with {status}")),
                }
                self.keep(line);
            }
            Line::Send { name, frame } => {
                let frame = self.bindings.fill(frame);
                match self.streams.get_mut(name) {
                    Some(Stream::Socket(socket)) => socket.send_text(&frame).await,
                    _ => self.differ(at, line, "no such socket"),
                }
                self.keep(line);
            }
            Line::Receive { name, frame } => self.receive(at, name, frame).await,
            Line::Unknown => {
                self.differ(at, line, "not a line of a transcript");
                self.keep(line);
            }
        }
        at + 1
    }

    async fn request(&mut self, lines: &[&str], start: usize) -> usize {
        let mut at = start;
        while lines.get(at).is_some_and(|line| line.starts_with('>')) {
            at += 1;
        }
        let end = (at..lines.len()).find(|&at| ends_body(lines[at])).unwrap_or(lines.len());
        let head: Vec<String> =
            lines[start..at].iter().map(|line| self.bindings.fill(line[1..].trim())).collect();
        let body = self.bindings.fill(&lines[at..end].join("\n"));
        let mut words = head[0].split(' ');
        let (verb, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let headers: Vec<(&str, &str)> = head[1..]
            .iter()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name, value.trim()))
            .collect();
        let mut connection = self.node.connect().await;
        let answer = connection.request(verb, path, &headers, body.as_bytes()).await;
        self.answer = Some((format!("{verb} {path}"), answer.map_err(|error| error.to_string())));
        lines[start..end].iter().for_each(|line| self.keep(line));
        end
    }

    fn compare_answer(&mut self, lines: &[&str], start: usize) -> usize {
        let mut at = start;
        while lines.get(at).is_some_and(|line| line.starts_with("< ")) {
            at += 1;
        }
        let end = (at..lines.len()).find(|&at| ends_body(lines[at])).unwrap_or(lines.len());
        let expected = lines[start..end].join("\n");
        let (asked, answer) =
            self.answer.take().unwrap_or_else(|| ("nothing".to_owned(), Err("no request".to_owned())));
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.differ(start, &format!("{asked}\n{expected}"), &error);
                self.keep(&expected);
                return end;
            }
        };
        let body = lines[at..end].join("\n");
        let head: Vec<&str> = lines[start..at].iter().map(|line| line[1..].trim()).collect();
        let mut came = vec![Self::status_line(head[0], &answer)];
        came.extend(head[1..].iter().filter_map(|line| self.header_line(line, &answer)));
        let is_problem = head[0].contains(' ') && came[0] == format!("< {}", head[0]);
        let text = answer.text();
        if is_problem || (text.is_empty() && body.is_empty()) || self.bindings.matches(&body, &text) {
            if !body.is_empty() {
                came.push(body);
            }
        } else if !text.is_empty() {
            came.push(self.bindings.rewrite(&body, &text));
        }
        let came = came.join("\n");
        if came != expected {
            self.differ(start, &format!("{asked}\n{expected}"), &came);
        }
        self.keep(&came);
        end
    }

    /// `< 404 object_not_found never` where a problem was expected and is whole, else `< 404`.
    fn status_line(expected: &str, answer: &Answer) -> String {
        let status = answer.status;
        let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let whole = ["type", "title", "detail"].iter().all(|field| problem[field].is_string())
            && problem["status"] == status
            && answer.header("content-type") == Some("application/problem+json")
            && answer.header("x-request-id").is_some()
            && (status != 429 || answer.header("retry-after").is_some());
        match (problem["code"].as_str(), problem["retry"].as_str()) {
            (Some(code), Some(retry)) if whole && expected.contains(' ') => {
                format!("< {status} {code} {retry}")
            }
            _ => format!("< {status}"),
        }
    }

    fn header_line(&mut self, expected: &str, answer: &Answer) -> Option<String> {
        if let Some(name) = expected.strip_prefix('!') {
            return Some(match answer.header(name) {
                None => format!("< {expected}"),
                Some(value) => format!("< {name}: {value}"),
            });
        }
        let (name, wanted) = expected.split_once(':')?;
        let value = answer.header(name)?;
        let wanted = wanted.trim();
        let same = match name.to_ascii_lowercase().as_str() {
            "allow" | "access-control-allow-methods" => {
                wanted.split(',').all(|verb| value.split(',').any(|found| found.trim() == verb.trim()))
            }
            _ => self.bindings.matches(wanted, value),
        };
        Some(if same { format!("< {expected}") } else { format!("< {name}: {value}") })
    }

    async fn open(&mut self, kind: &str, path: &str) -> Result<Stream, u16> {
        let address = self.node.address();
        if kind == "WS" {
            return Ok(Stream::Socket(Box::new(Socket::try_open(address, path, &[]).await?)));
        }
        let mut connection = self.node.connect().await;
        let bytes = crate::harness::http::encode(
            "GET",
            path,
            &address.to_string(),
            &[("Accept", "text/event-stream")],
            b"",
        );
        connection.send(&bytes).await.map_err(|_| 0_u16)?;
        match connection.head().await.map_err(|_| 0_u16)? {
            Answer { status: 200, .. } => Ok(Stream::Events(Box::new(connection), String::new())),
            answer => Err(answer.status),
        }
    }

    async fn receive(&mut self, at: usize, name: &str, expected: &str) {
        let came = match self.streams.get_mut(name) {
            None => "no such socket".to_owned(),
            Some(Stream::Socket(socket)) => match timeout(PATIENCE / 4, socket.next()).await {
                Err(_) => "nothing".to_owned(),
                Ok(Frame::Closed(code, _)) => format!("close {code}"),
                Ok(Frame::Gone) => "gone".to_owned(),
                Ok(Frame::Text(text)) => text,
                Ok(Frame::Ping) => "ping".to_owned(),
                Ok(Frame::Binary(bytes)) => format!("binary {bytes:?}"),
            },
            Some(Stream::Events(connection, rest)) => {
                timeout(PATIENCE / 4, event(connection, rest)).await.unwrap_or_else(|_| "nothing".to_owned())
            }
        };
        let same = match (expected.split_once(" {"), came.split_once(" {")) {
            (Some((wanted, left)), Some((found, right))) if wanted.starts_with("event=") => {
                let same_head =
                    wanted.strip_suffix("{any}").map_or(wanted == found, |start| found.starts_with(start));
                same_head && self.bindings.matches(&format!("{{{left}"), &format!("{{{right}"))
            }
            _ => self.bindings.matches(expected, &came),
        };
        if same {
            self.keep(&format!("{name}< {expected}"));
        } else {
            self.differ(at, &format!("{name}< {expected}"), &format!("{name}< {came}"));
            let rewritten = self.bindings.rewrite(expected, &came);
            self.keep(&format!("{name}< {rewritten}"));
        }
    }

    fn differ(&mut self, at: usize, expected: &str, came: &str) {
        let (expected, came) = (expected.replace('\n', "\n    "), came.replace('\n', "\n    "));
        self.differences.push(format!("{}\n  expected\n    {expected}\n  came\n    {came}", at + 1));
    }

    fn keep(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }
}

fn read(line: &str) -> Line<'_> {
    if line.is_empty() || line.starts_with('#') {
        return Line::Remark;
    }
    if line.starts_with("> ") {
        return Line::Request;
    }
    if line.starts_with("< ") {
        return Line::Answer;
    }
    if line == "! kill -9" {
        return Line::Kill;
    }
    if let Some(rest) = line.strip_prefix('@') {
        let mut words = rest.splitn(3, ' ');
        if let (Some(name), Some(kind), Some(path)) = (words.next(), words.next(), words.next()) {
            return Line::Open { name, kind, path };
        }
    }
    match (line.split_once("> "), line.split_once("< ")) {
        (Some((name, frame)), _) if is_name(name) => Line::Send { name, frame },
        (_, Some((name, frame))) if is_name(name) => Line::Receive { name, frame },
        _ => Line::Unknown,
    }
}

fn is_name(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// Whether a line ends the body above it.
fn ends_body(line: &str) -> bool {
    let is_frame = matches!(read(line), Line::Send { .. } | Line::Receive { .. });
    line.is_empty() || line.starts_with(['#', '<', '>', '@', '!']) || is_frame
}

/// The next event of a stream as one line, `event=TYPE id=VERSION DATA`; comments are passed over.
async fn event(connection: &mut Connection, rest: &mut String) -> String {
    loop {
        if let Some((block, after)) = rest.split_once("\n\n") {
            let field = |name: &str| {
                let found = block.lines().find_map(|line| line.strip_prefix(name));
                found.map(|text| text.trim_start().to_owned())
            };
            let (kind, id, data) = (field("event:"), field("id:"), field("data:"));
            let after = after.to_owned();
            *rest = after;
            if let Some(data) = data {
                return format!("event={} id={} {data}", kind.unwrap_or_default(), id.unwrap_or_default());
            }
            continue;
        }
        match connection.chunk().await {
            Ok(Some(bytes)) => rest.push_str(&String::from_utf8_lossy(&bytes)),
            Ok(None) | Err(_) => return "gone".to_owned(),
        }
    }
}
