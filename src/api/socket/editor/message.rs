//! The messages of the y-websocket protocol, as bytes. Pure, for the fuzzer.
//!
//! A message begins with its kind; a sync message goes on with its step; what it carries is sized. Numbers have seven
//! bits a byte, the lowest first. What stands behind a message's end is not looked at, and neither are messages of
//! other kinds: editors that know more than this server get along with it.

use bytes::Bytes;

const SYNC: u64 = 0;
const AWARENESS: u64 = 1;
const QUERY_AWARENESS: u64 = 3;

const STEP_1: u64 = 0;
const STEP_2: u64 = 1;
const UPDATE: u64 = 2;

/// Bytes of the longest head of a message: two kinds of one byte, and a length.
const HEAD_MAX_BYTES: usize = 2 + 10;

/// A message of an editor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::api) enum Message {
    /// What the editor knows: a state vector. It wants what it lacks.
    Step1(Bytes),
    /// All that the other side lacked.
    Step2(Bytes),
    /// A change.
    Update(Bytes),
    /// Who is where.
    Awareness(Bytes),
    /// The editor wants to know who is where.
    QueryAwareness,
    /// Something that is none of this server's business.
    Other,
}

/// Bytes that are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::api) enum Malformed {
    #[error("the message ends too early")]
    Short,
    #[error("the message has a number beyond 53 bits")]
    OutOfRange,
    #[error("the message has a sync step that is none")]
    UnknownStep,
    #[error("the message has a text that is not UTF-8")]
    NotText,
    #[error("the message has a state that is not JSON")]
    NotJson,
    #[error("the message tells of too many")]
    TooMany,
}

impl Message {
    /// Reads a message; what it carries is a part of the frame.
    pub(in crate::api) fn decode(frame: &Bytes) -> Result<Self, Malformed> {
        let mut reader = Reader::new(frame);
        Ok(match reader.number()? {
            SYNC => match reader.number()? {
                STEP_1 => Self::Step1(frame.slice_ref(reader.sized()?)),
                STEP_2 => Self::Step2(frame.slice_ref(reader.sized()?)),
                UPDATE => Self::Update(frame.slice_ref(reader.sized()?)),
                _ => return Err(Malformed::UnknownStep),
            },
            AWARENESS => Self::Awareness(frame.slice_ref(reader.sized()?)),
            QUERY_AWARENESS => Self::QueryAwareness,
            _ => Self::Other,
        })
    }

    /// The message's bytes.
    pub(in crate::api) fn encode(&self) -> Bytes {
        let (kind, step, content) = match self {
            Self::Step1(content) => (SYNC, Some(STEP_1), content),
            Self::Step2(content) => (SYNC, Some(STEP_2), content),
            Self::Update(content) => (SYNC, Some(UPDATE), content),
            Self::Awareness(content) => (AWARENESS, None, content),
            Self::QueryAwareness => return Bytes::from_static(&[3]),
            Self::Other => unreachable!("what is none of our business is not said"),
        };
        let mut message = Vec::with_capacity(HEAD_MAX_BYTES + content.len());
        write_number(kind, &mut message);
        if let Some(step) = step {
            write_number(step, &mut message);
        }
        write_sized(content, &mut message);
        message.into()
    }
}

/// Reads what such messages are made of.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// A number of 53 bits at most: what one in JavaScript holds.
    pub(super) fn number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..56).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or(Malformed::Short)?;
            self.rest = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return if number >> 53 == 0 { Ok(number) } else { Err(Malformed::OutOfRange) };
            }
        }
        Err(Malformed::OutOfRange)
    }

    /// Bytes behind their length.
    pub(super) fn sized(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.number()?).map_err(|_| Malformed::Short)?;
        let (content, rest) = self.rest.split_at_checked(length).ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(content)
    }

    /// A text behind its length.
    pub(super) fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.sized()?).map_err(|_| Malformed::NotText)
    }
}

pub(super) fn write_number(mut number: u64, out: &mut Vec<u8>) {
    while number > 0x7f {
        out.push(u8::try_from(number & 0x7f).expect("it has seven bits") | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).expect("it has seven bits"));
}

pub(super) fn write_sized(content: &[u8], out: &mut Vec<u8>) {
    write_number(content.len() as u64, out);
    out.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(message: &Message, bytes: &[u8]) {
        assert_eq!(message.encode(), bytes, "{message:?}");
        assert_eq!(Message::decode(&Bytes::copy_from_slice(bytes)).as_ref(), Ok(message));
    }

    #[test]
    fn messages_are_as_editors_know_them() {
        let content = Bytes::from_static(&[1, 2, 255]);
        check(&Message::Step1(content.clone()), &[0, 0, 3, 1, 2, 255]);
        check(&Message::Step2(content.clone()), &[0, 1, 3, 1, 2, 255]);
        check(&Message::Update(content.clone()), &[0, 2, 3, 1, 2, 255]);
        check(&Message::Awareness(content), &[1, 3, 1, 2, 255]);
        check(&Message::QueryAwareness, &[3]);
        let long = vec![7; 300];
        check(&Message::Update(long.clone().into()), &[&[0, 2, 0xac, 2][..], &long].concat());
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for (bytes, expected) in [
            (&b""[..], Err(Malformed::Short)),
            (&[0], Err(Malformed::Short)),
            (&[0, 0], Err(Malformed::Short)),
            (&[0, 2, 4, 1, 2, 3], Err(Malformed::Short)),
            (&[0, 3, 0], Err(Malformed::UnknownStep)),
            (&[0, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f], Err(Malformed::OutOfRange)),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], Err(Malformed::OutOfRange)),
            (&[0, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f], Err(Malformed::Short)),
            (&[1, 9], Err(Malformed::Short)),
            (&[2, 9], Ok(Message::Other)),
            (&[100], Ok(Message::Other)),
            (&[0, 0, 1, 0, 77], Ok(Message::Step1(Bytes::from_static(&[0])))),
        ] {
            assert_eq!(Message::decode(&Bytes::copy_from_slice(bytes)), expected, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn numbers_come_back(number in 0_u64..1 << 53) {
            let mut out = Vec::new();
            write_number(number, &mut out);
            prop_assert_eq!(Reader::new(&out).number(), Ok(number));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let bytes = Bytes::from(bytes);
            if let Ok(message) = Message::decode(&bytes)
                && message != Message::Other
            {
                prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
            }
        }
    }
}
