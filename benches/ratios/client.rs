//! What `stead bench` does not do: touch each object once, and hold sockets open.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Connections that touch objects at the same time.
const CONNECTIONS: usize = 64;

/// Sends one request for each of `count` objects, and checks that all are answered with 200.
pub(crate) async fn touch_each(address: SocketAddr, count: usize, request: fn(usize) -> String) {
    let mut tasks = JoinSet::new();
    for first in 0..CONNECTIONS {
        tasks.spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            for number in (first..count).step_by(CONNECTIONS) {
                exchange(&mut stream, &request(number)).await?;
            }
            io::Result::Ok(())
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.expect("a task does not panic").expect("every request is answered with 200");
    }
}

/// One request and its answer, which must be 200 and small.
pub(crate) async fn exchange(stream: &mut TcpStream, request: &str) -> io::Result<()> {
    exchange_for(stream, request).await.map(drop)
}

/// The same, and gives the answer's body.
pub(crate) async fn exchange_for(stream: &mut TcpStream, request: &str) -> io::Result<String> {
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    loop {
        let mut bytes = [0_u8; 4096];
        let read = stream.read(&mut bytes).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&bytes[..read]);
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .lines()
            .find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length:").map(str::trim)?.parse().ok()
            })
            .unwrap_or(0);
        if body.len() >= length {
            let is_good = head.starts_with("HTTP/1.1 200");
            return if is_good { Ok(body.to_owned()) } else { Err(io::Error::other(text.into_owned())) };
        }
    }
}

/// Opens a WebSocket and reads its first frame, so that it stands.
pub(crate) async fn open_socket(address: SocketAddr, path: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut received = Vec::new();
    while !received.windows(6).any(|window| window == b"\"init\"") {
        let mut bytes = [0_u8; 1024];
        let read = stream.read(&mut bytes).await?;
        if read == 0 {
            return Err(io::Error::other(String::from_utf8_lossy(&received).into_owned()));
        }
        received.extend_from_slice(&bytes[..read]);
    }
    Ok(stream)
}

pub(crate) fn increment(number: usize) -> String {
    format!(
        "POST /v1/objects/counter/bench-{number}/methods/increment HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
    )
}

pub(crate) fn read(number: usize) -> String {
    format!("GET /v1/objects/counter/bench-{number} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}
