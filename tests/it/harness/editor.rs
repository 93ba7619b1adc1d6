//! A Yjs editor: a document of its own, and the y-websocket protocol on a socket, as little as it takes.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use yrs::block::ClientID;
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{Doc, GetString, OffsetKind, Options, ReadTxn, StateVector, Text, TextRef, Transact, Update};

use super::{Frame, Socket};

pub(crate) struct Editor {
    doc: Doc,
    text: TextRef,
    socket: Socket,
    /// Who is where, as this editor was told: clock and state of each client, `null` for those gone.
    pub(crate) people: BTreeMap<u64, (u64, String)>,
    /// Messages of the server so far: `sync1`, `sync2`, `update`, `awareness`.
    pub(crate) heard: Vec<&'static str>,
}

impl Editor {
    /// Opens a document that this editor has never seen.
    pub(crate) async fn open(address: SocketAddr, name: &str, client: u64) -> Self {
        let options =
            Options { offset_kind: OffsetKind::Utf16, ..Options::with_client_id(ClientID::new(client)) };
        let doc = Doc::with_options(options);
        Self::with(doc, address, name).await
    }

    /// Comes back with what it has.
    pub(crate) async fn reopen(self, address: SocketAddr, name: &str) -> Self {
        Self::with(self.doc, address, name).await
    }

    async fn with(doc: Doc, address: SocketAddr, name: &str) -> Self {
        let text = doc.get_or_insert_text("content");
        let socket = Socket::open(address, &format!("/v1/yjs/{name}")).await;
        let mut editor = Self { doc, text, socket, people: BTreeMap::new(), heard: Vec::new() };
        let known = editor.doc.transact().state_vector().encode_v1();
        editor.send(&[0, 0], &known).await;
        editor
    }

    pub(crate) fn content(&self) -> String {
        self.text.get_string(&self.doc.transact())
    }

    /// Inserts into the text without a word to the server.
    pub(crate) fn insert_offline(&self, index: u32, text: &str) -> Vec<u8> {
        let before = self.doc.transact().state_vector();
        self.text.insert(&mut self.doc.transact_mut(), index, text);
        self.doc.transact().encode_state_as_update_v1(&before)
    }

    /// Inserts and sends.
    pub(crate) async fn insert(&mut self, index: u32, text: &str) {
        let update = self.insert_offline(index, text);
        self.send(&[0, 2], &update).await;
    }

    /// Shows a state to the others, or that it is gone.
    pub(crate) async fn show(&mut self, client: u64, clock: u64, state: &str) {
        let mut entry = vec![1];
        number(client, &mut entry);
        number(clock, &mut entry);
        number(state.len() as u64, &mut entry);
        entry.extend(state.as_bytes());
        self.send(&[1], &entry).await;
    }

    /// Asks who is where.
    pub(crate) async fn ask_for_people(&mut self) {
        self.socket.send_binary(vec![3]).await;
    }

    /// Sends a message: its kind, and what it carries.
    pub(crate) async fn send(&mut self, kind: &[u8], content: &[u8]) {
        let mut message = kind.to_vec();
        number(content.len() as u64, &mut message);
        message.extend(content);
        self.socket.send_binary(message).await;
    }

    /// Sends bytes that are no message.
    pub(crate) async fn send_frame(&mut self, bytes: Vec<u8>) {
        self.socket.send_binary(bytes).await;
    }

    /// Follows the server until the condition holds.
    pub(crate) async fn until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        while !condition(self) {
            match super::within(what, self.socket.next()).await {
                Frame::Binary(message) => self.receive(&message).await,
                other => panic!("waiting for {what}, the socket gave {other:?}"),
            }
        }
    }

    /// How the server closes.
    pub(crate) async fn closing(mut self) -> (u16, String) {
        self.socket.closing().await
    }

    async fn receive(&mut self, message: &[u8]) {
        let (kind, mut rest) = match message {
            [0, step, rest @ ..] => (*step, rest),
            [1, rest @ ..] => (9, rest),
            other => panic!("no message of the protocol: {other:?}"),
        };
        let length = usize::try_from(read(&mut rest)).expect("a length");
        assert_eq!(rest.len(), length, "a message ends where it says");
        match kind {
            0 => {
                self.heard.push("sync1");
                let known = StateVector::decode_v1(rest).expect("a state vector");
                let missing = self.doc.transact().encode_state_as_update_v1(&known);
                self.send(&[0, 1], &missing).await;
            }
            1 | 2 => {
                self.heard.push(if kind == 1 { "sync2" } else { "update" });
                let update = Update::decode_v1(rest).expect("an update");
                self.doc.transact_mut().apply_update(update).expect("an update that fits");
            }
            _ => {
                self.heard.push("awareness");
                for _ in 0..read(&mut rest) {
                    let (client, clock) = (read(&mut rest), read(&mut rest));
                    let length = usize::try_from(read(&mut rest)).expect("a length");
                    let (state, after) = rest.split_at(length);
                    rest = after;
                    let state = String::from_utf8(state.to_vec()).expect("a state is text");
                    self.people.insert(client, (clock, state));
                }
            }
        }
    }
}

/// Writes a number as the protocol does.
fn number(mut number: u64, out: &mut Vec<u8>) {
    while number > 0x7f {
        out.push(u8::try_from(number & 0x7f).expect("seven bits") | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).expect("seven bits"));
}

fn read(bytes: &mut &[u8]) -> u64 {
    let (mut number, mut shift) = (0, 0);
    loop {
        let (byte, rest) = bytes.split_first().expect("a number goes on");
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return number;
        }
    }
}
