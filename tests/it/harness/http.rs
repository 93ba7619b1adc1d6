//! A small HTTP/1.1 client that can send anything, well formed or not, and reads what comes back.

use std::io;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a server answered.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The first header of that name, whatever its case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON, or a failed test that shows it.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {} {:?}", self.status, self.text()))
    }

    /// The `code` of a problem, or an empty word.
    pub(crate) fn code(&self) -> String {
        serde_json::from_slice::<Value>(&self.body)
            .ok()
            .and_then(|body| body["code"].as_str().map(str::to_owned))
            .unwrap_or_default()
    }

    /// The object's version after the turn, from `X-Stead-Version`.
    pub(crate) fn version(&self) -> u64 {
        self.header("x-stead-version")
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(|| panic!("no X-Stead-Version: {} {:?}", self.status, self.text()))
    }

    /// Checks the status, and gives the answer back.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// Checks that it is a whole problem document of this status and code.
    #[track_caller]
    pub(crate) fn expect_problem(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.code().as_str()), (status, code), "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text());
        let body = self.json();
        assert_eq!(body["status"], status, "{body}");
        for field in ["type", "title", "detail", "retry"] {
            assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "{field} of {body}");
        }
        assert!(self.header("x-request-id").is_some(), "a problem without X-Request-Id: {body}");
        self
    }
}

/// One connection, used for one request after the other.
pub(crate) struct Connection {
    stream: TcpStream,
    host: String,
    received: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, host: address.to_string(), received: Vec::new() })
    }

    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Sends a well-formed request and reads the answer. `Host`, `Content-Length` and, where there is
    /// a body, `Content-Type: application/json` are added unless given; a header whose value is empty
    /// is left out altogether.
    pub(crate) async fn request(
        &mut self,
        verb: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let bytes = encode(verb, path, &self.host, headers, body);
        self.send(&bytes).await?;
        self.answer(verb == "HEAD").await
    }

    /// Reads one answer; `head` is true where no body follows whatever the headers say.
    pub(crate) async fn answer(&mut self, head: bool) -> io::Result<Answer> {
        tokio::time::timeout(super::PATIENCE, self.read_answer(head))
            .await
            .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")))
    }

    /// Reads until the server closes; true if it did so without sending anything more.
    pub(crate) async fn closed(&mut self) -> bool {
        let mut rest = [0_u8; 1024];
        let read = tokio::time::timeout(super::PATIENCE, self.stream.read(&mut rest)).await;
        matches!(read, Ok(Ok(0) | Err(_)))
    }

    async fn read_answer(&mut self, head: bool) -> io::Result<Answer> {
        let head_end = loop {
            if let Some(at) = find(&self.received, b"\r\n\r\n") {
                break at;
            }
            self.fill().await?;
        };
        let text = String::from_utf8_lossy(&self.received[..head_end]).into_owned();
        self.received.drain(..head_end + 4);
        let mut lines = text.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|word| word.parse().ok())
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("no status in {text:?}")))?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        let mut answer = Answer { status, headers, body: Vec::new() };
        if status == 100 {
            return Box::pin(self.read_answer(head)).await;
        }
        if head || status == 204 || status == 304 || status == 101 {
            return Ok(answer);
        }
        answer.body = if answer.header("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
            self.read_chunks().await?
        } else if let Some(length) = answer.header("content-length").and_then(|value| value.parse().ok()) {
            self.take(length).await?
        } else {
            while self.fill().await.is_ok() {}
            std::mem::take(&mut self.received)
        };
        Ok(answer)
    }

    async fn read_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line().await?;
            let length = usize::from_str_radix(line.trim(), 16)
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("chunk {line:?}")))?;
            body.extend(self.take(length).await?);
            self.line().await?;
            if length == 0 {
                return Ok(body);
            }
        }
    }

    /// One line, without its end: also what Server-Sent Events are read with.
    pub(crate) async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = find(&self.received, b"\r\n") {
                let line = String::from_utf8_lossy(&self.received[..at]).into_owned();
                self.received.drain(..at + 2);
                return Ok(line);
            }
            self.fill().await?;
        }
    }

    /// One chunk of a chunked body: how a stream of events arrives. None when it has ended.
    pub(crate) async fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let line = self.line().await?;
        let length = usize::from_str_radix(line.trim(), 16)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("chunk {line:?}")))?;
        let data = self.take(length).await?;
        self.line().await?;
        Ok((length > 0).then_some(data))
    }

    /// The head of an answer whose body never ends.
    pub(crate) async fn head(&mut self) -> io::Result<Answer> {
        self.answer(true).await
    }

    async fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.received.len() < length {
            self.fill().await?;
        }
        Ok(self.received.drain(..length).collect())
    }

    async fn fill(&mut self) -> io::Result<()> {
        self.received.reserve(4 * 1024);
        match self.stream.read_buf(&mut self.received).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// The bytes of a request.
pub(crate) fn encode(verb: &str, path: &str, host: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let given = |name: &str| headers.iter().any(|(key, _)| key.eq_ignore_ascii_case(name));
    let mut text = format!("{verb} {path} HTTP/1.1\r\n");
    let mut add = |name: &str, value: &str| {
        text.push_str(name);
        text.push_str(": ");
        text.push_str(value);
        text.push_str("\r\n");
    };
    if !given("host") {
        add("Host", host);
    }
    if !body.is_empty() && !given("content-type") {
        add("Content-Type", "application/json");
    }
    let takes_a_body = !body.is_empty() || matches!(verb, "POST" | "PUT");
    if takes_a_body && !given("content-length") && !given("transfer-encoding") {
        add("Content-Length", &body.len().to_string());
    }
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        add(name, value);
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
