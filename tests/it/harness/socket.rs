//! A WebSocket client: text frames in order, closings with their code, and how slow it is when asked.

use std::io;
use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

/// What came over a socket.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Frame {
    /// A text frame.
    Text(String),
    /// A binary frame.
    Binary(Vec<u8>),
    /// A ping, answered by the library.
    Ping,
    /// The server closed, with a code (0 where it gave none) and a reason.
    Closed(u16, String),
    /// The connection ended without a word.
    Gone,
}

pub(crate) struct Socket {
    inner: WebSocketStream<TcpStream>,
}

impl Socket {
    /// Opens a socket, or gives the status that was answered instead of 101.
    pub(crate) async fn try_open(
        address: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, u16> {
        let stream = TcpStream::connect(address).await.map_err(|_| 0_u16)?;
        stream.set_nodelay(true).map_err(|_| 0_u16)?;
        Self::upgrade(stream, address, path, headers).await
    }

    /// A socket whose kernel buffer is small, so that a reader who does not read is soon noticed.
    pub(crate) async fn open_narrow(address: SocketAddr, path: &str) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket can be made");
        socket.set_recv_buffer_size(4096).expect("a buffer can be small");
        let stream = socket.connect(address).await.expect("the server accepts");
        Self::upgrade(stream, address, path, &[]).await.unwrap_or_else(|status| panic!("{path}: {status}"))
    }

    pub(crate) async fn open(address: SocketAddr, path: &str) -> Self {
        Self::try_open(address, path, &[]).await.unwrap_or_else(|status| panic!("{path}: {status}"))
    }

    async fn upgrade(
        stream: TcpStream,
        address: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, u16> {
        let mut request =
            format!("ws://{address}{path}").into_client_request().expect("the path is a part of an address");
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().expect("a header's name");
            request.headers_mut().insert(name, value.parse().expect("a header's value"));
        }
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        let opening = tokio_tungstenite::client_async_with_config(request, stream, Some(config));
        match super::within("a WebSocket handshake", opening).await {
            Ok((inner, _)) => Ok(Self { inner }),
            Err(Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(_) => Err(0),
        }
    }

    pub(crate) async fn send(&mut self, frame: &Value) {
        self.send_text(&frame.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.inner.send(Message::text(text)).await.expect("the socket takes a frame");
    }

    pub(crate) async fn send_binary(&mut self, bytes: Vec<u8>) {
        self.inner.send(Message::binary(bytes)).await.expect("the socket takes a frame");
    }

    /// Bytes on the wire below the protocol: for what no library would send.
    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        tokio::io::AsyncWriteExt::write_all(self.inner.get_mut(), bytes).await
    }

    /// The next frame, pings included.
    pub(crate) async fn frame(&mut self) -> Frame {
        loop {
            return match super::within("a frame", self.inner.next()).await {
                Some(Ok(Message::Text(text))) => Frame::Text(text.as_str().to_owned()),
                Some(Ok(Message::Binary(bytes))) => Frame::Binary(bytes.to_vec()),
                Some(Ok(Message::Ping(_))) => Frame::Ping,
                Some(Ok(Message::Close(Some(close)))) => {
                    Frame::Closed(close.code.into(), close.reason.as_str().to_owned())
                }
                Some(Ok(Message::Close(None))) => Frame::Closed(0, String::new()),
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => Frame::Gone,
            };
        }
    }

    /// The next text frame or the end.
    pub(crate) async fn next(&mut self) -> Frame {
        loop {
            let frame = self.frame().await;
            if frame != Frame::Ping {
                return frame;
            }
        }
    }

    /// The next text frame as JSON.
    pub(crate) async fn json(&mut self) -> Value {
        match self.next().await {
            Frame::Text(text) => {
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("not JSON ({error}): {text}"))
            }
            other => panic!("a text frame was due, not {other:?}"),
        }
    }

    /// Reads on until the server closes; text frames before that are passed over.
    pub(crate) async fn closing(&mut self) -> (u16, String) {
        loop {
            match self.next().await {
                Frame::Closed(code, reason) => return (code, reason),
                Frame::Gone => return (0, "gone without a close frame".to_owned()),
                Frame::Text(_) | Frame::Binary(_) | Frame::Ping => {}
            }
        }
    }

    pub(crate) async fn close(mut self) {
        let _ = self.inner.close(None).await;
    }
}
