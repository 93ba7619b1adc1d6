//! The WebSocket handshake (RFC 6455, section 4.2).

use axum::response::Response;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::super::reply;
use crate::error::{Code, Error};

/// A handshake that can be accepted.
pub(in crate::api) struct Upgrade {
    connection: OnUpgrade,
    accept: HeaderValue,
}

impl Upgrade {
    /// Whether a request wants to be a WebSocket.
    pub(in crate::api) fn wanted(headers: &HeaderMap) -> bool {
        has_item(headers, &UPGRADE, "websocket")
    }

    /// Checks the handshake. Of several keys the first counts: there are clients that add one to the one
    /// that their library sends and checks.
    pub(in crate::api) fn of(head: &mut Parts) -> Result<Self, Error> {
        if !Self::wanted(&head.headers) {
            return Err(Error::new(Code::UpgradeRequired, "this path speaks WebSocket: send the upgrade"));
        }
        if head.headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
            return Err(Error::new(Code::UpgradeRequired, "only version 13 of WebSocket is spoken here"));
        }
        let malformed = || Error::new(Code::InvalidRequest, "the WebSocket handshake is malformed");
        if head.method != Method::GET || !has_item(&head.headers, &CONNECTION, "upgrade") {
            return Err(malformed());
        }
        let key = head.headers.get(SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24).ok_or_else(malformed)?;
        let accept = derive_accept_key(key.as_bytes());
        let accept = HeaderValue::from_str(&accept).expect("base64 is visible ascii");
        let connection = head.extensions.remove::<OnUpgrade>().ok_or_else(malformed)?;
        Ok(Self { connection, accept })
    }

    /// The answer that accepts, and the connection to come.
    pub(super) fn accept(self) -> (Response, OnUpgrade) {
        let mut response = reply::empty(StatusCode::SWITCHING_PROTOCOLS);
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept);
        (response, self.connection)
    }
}

fn has_item(headers: &HeaderMap, name: &HeaderName, item: &str) -> bool {
    let texts = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).any(|part| part.trim().eq_ignore_ascii_case(item))
}
