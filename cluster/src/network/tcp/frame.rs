//! What travels on a connection once it has shaken hands: frames, each with its length before it.
//!
//! Frozen: kind (one byte), number (eight, big-endian), payload. The number names the request that a frame
//! belongs to; whoever dials numbers them.

use std::io;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::network::tcp::heard::Heard;

/// Largest frame, in bytes: a state of 16 MiB as an answer, its JSON escaped, with room to spare.
pub(super) const FRAME_MAX_BYTES: usize = 64 * 1024 * 1024;
/// Bytes of a frame's length.
const LENGTH_BYTES: usize = 4;
/// Bytes of kind and number.
const HEADER_BYTES: usize = 9;
/// Bytes of a connection's read buffer. Frames are parts of it, so what is full is left to them, and a new one taken.
const READ_BYTES: usize = 64 * 1024;
/// Room in the buffer below which a new one is taken to read on.
const READ_ROOM_BYTES: usize = 8 * 1024;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A request. Its first byte says which, see `wire`.
    Request = 1,
    /// The answer to a request.
    Answer = 2,
    /// It was not taken, so nothing came of it; why, as text.
    NotTaken = 3,
    /// Whoever asked does not wait any more.
    Cancel = 4,
    /// A part of a stream.
    Part = 5,
    /// A stream has ended.
    End = 6,
    /// One more part may be sent.
    Credit = 7,
    /// Are you there?
    Ping = 8,
    /// Yes.
    Pong = 9,
    /// The process is about to end. What was asked is answered; ask nothing more.
    Leaving = 10,
}

impl Kind {
    const ALL: [Self; 10] = [
        Self::Request,
        Self::Answer,
        Self::NotTaken,
        Self::Cancel,
        Self::Part,
        Self::End,
        Self::Credit,
        Self::Ping,
        Self::Pong,
        Self::Leaving,
    ];
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) id: u64,
    pub(super) payload: Bytes,
}

impl Frame {
    pub(super) fn new(kind: Kind, id: u64, payload: impl Into<Bytes>) -> Self {
        Self { kind, id, payload: payload.into() }
    }

    pub(super) fn bare(kind: Kind, id: u64) -> Self {
        Self::new(kind, id, Bytes::new())
    }

    /// Appends the frame to what is to be written.
    pub(super) fn encode(&self, out: &mut BytesMut) {
        out.reserve(LENGTH_BYTES + HEADER_BYTES + self.payload.len());
        self.encode_head(out);
        out.put_slice(&self.payload);
    }

    /// Appends what goes before the payload.
    pub(super) fn encode_head(&self, out: &mut BytesMut) {
        let length = HEADER_BYTES + self.payload.len();
        out.put_u32(u32::try_from(length).expect("a frame is no larger than FRAME_MAX_BYTES"));
        out.put_u8(self.kind as u8);
        out.put_u64(self.id);
    }

    fn decode(mut bytes: Bytes) -> io::Result<Self> {
        let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        if bytes.len() < HEADER_BYTES {
            return Err(wrong("a frame is too short"));
        }
        let byte = bytes.get_u8();
        let kind = Kind::ALL.into_iter().find(|kind| *kind as u8 == byte);
        let kind = kind.ok_or_else(|| wrong("a frame is of a kind this program does not know"))?;
        Ok(Self { kind, id: bytes.get_u64(), payload: bytes })
    }
}

/// Reads frames.
pub(super) struct FrameReader<R> {
    source: R,
    buffer: BytesMut,
    max_bytes: usize,
    heard: Arc<Heard>,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(super) fn new(source: R, max_bytes: usize) -> Self {
        Self { source, buffer: BytesMut::new(), max_bytes, heard: Arc::new(Heard::now()) }
    }

    /// When bytes last came, be it a part of a frame.
    pub(super) fn heard(&self) -> Arc<Heard> {
        self.heard.clone()
    }

    /// Takes frames of any size from now on: it is known who sends them.
    pub(super) fn trust(&mut self) {
        self.max_bytes = FRAME_MAX_BYTES;
    }

    /// The next frame; none when the other side has closed the connection between two frames.
    pub(super) async fn next(&mut self) -> io::Result<Option<Frame>> {
        self.next_bytes().await?.map(Frame::decode).transpose()
    }

    /// The next length-delimited piece. Cancel safe.
    pub(super) async fn next_bytes(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(length) = self.buffer.first_chunk::<LENGTH_BYTES>() {
                let length = u32::from_be_bytes(*length) as usize;
                if length > self.max_bytes {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, why_too_large(&self.buffer)));
                }
                if self.buffer.len() >= LENGTH_BYTES + length {
                    self.buffer.advance(LENGTH_BYTES);
                    return Ok(Some(self.buffer.split_to(length).freeze()));
                }
                // Room grows with what has arrived, not with what was announced.
                self.buffer.reserve(READ_BYTES.min(LENGTH_BYTES + length));
            } else if self.buffer.capacity() - self.buffer.len() < READ_ROOM_BYTES {
                self.buffer.reserve(READ_BYTES);
            }
            if self.source.read_buf(&mut self.buffer).await? == 0 {
                let is_between = self.buffer.is_empty();
                return if is_between { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
            self.heard.set();
        }
    }
}

/// A frame that is too large is most likely something else.
fn why_too_large(bytes: &[u8]) -> &'static str {
    match bytes {
        // An alert or a handshake, of any version.
        [0x15 | 0x16, 0x03, ..] => {
            "it speaks TLS and this node does not: configure it on all nodes, or on none"
        }
        _ => "what it sent is no frame of a peer",
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use expect_test::expect;
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    use super::{FRAME_MAX_BYTES, Frame, FrameReader, Kind};

    fn encoded(frame: &Frame) -> BytesMut {
        let mut out = BytesMut::new();
        frame.encode(&mut out);
        out
    }

    #[tokio::test]
    async fn frames_are_frozen_and_come_out_again() {
        let frame = Frame::new(Kind::Answer, 258, &b"ab"[..]);
        let bytes = encoded(&frame);
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        expect!["00 00 00 0b 02 00 00 00 00 00 00 01 02 61 62"].assert_eq(&hex.join(" "));
        let two = [bytes.as_ref(), bytes.as_ref()].concat();
        let mut reader = FrameReader::new(two.as_slice(), FRAME_MAX_BYTES);
        for _ in 0..2 {
            assert_eq!(reader.next().await.expect("it is whole"), Some(frame.clone()));
        }
        assert_eq!(reader.next().await.expect("it ends between frames"), None);
    }

    #[tokio::test]
    async fn frames_that_come_one_by_one_share_a_buffer() {
        let frame = Frame::new(Kind::Answer, 258, &b"ab"[..]);
        let (mut sender, receiver) = tokio::io::duplex(1_024);
        let mut reader = FrameReader::new(receiver, FRAME_MAX_BYTES);
        let mut places = Vec::new();
        for _ in 0..3 {
            sender.write_all(&encoded(&frame)).await.expect("there is room");
            let read = reader.next().await.expect("it is whole").expect("it is there");
            places.push(read.payload.as_ptr().addr());
        }
        let apart: Vec<usize> = places.windows(2).map(|two| two[1] - two[0]).collect();
        assert_eq!(apart, [encoded(&frame).len(); 2]);
    }

    proptest! {
        #[test]
        fn rubbish_is_refused_and_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(async {
                let mut reader = FrameReader::new(bytes.as_slice(), 32);
                while let Ok(Some(_)) = reader.next().await {}
            });
        }
    }
}
