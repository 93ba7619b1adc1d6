//! What the node that saves asks a shard's leader, and the answers: frozen, numbers big-endian. Chunks are large, so
//! this is not JSON.

use bytes::{Buf, BufMut, Bytes};

/// A question of the node that saves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    /// Lend a view of this shard, if you lead it.
    Open(u16),
    /// The chunk of this number, from 1: the last one again, or the next.
    Chunk { view: u64, number: u64 },
    /// The view is not needed any more.
    Close(u64),
}

/// The answer to a [`Question`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A view, and the last entry in it.
    Open { view: u64, term: u64, index: u64 },
    /// This node does not lead the shard.
    NotLeading,
    /// A chunk.
    Chunk(Bytes),
    /// There are no more chunks.
    End,
    /// Why there is none.
    Failed(String),
}

impl Question {
    pub(crate) fn encode(self) -> Bytes {
        let mut out = Vec::new();
        match self {
            Self::Open(shard) => {
                out.put_u8(1);
                out.put_u16(shard);
            }
            Self::Chunk { view, number } => {
                out.put_u8(2);
                out.put_u64(view);
                out.put_u64(number);
            }
            Self::Close(view) => {
                out.put_u8(3);
                out.put_u64(view);
            }
        }
        out.into()
    }

    /// None where it is not understood.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let question = match bytes.try_get_u8().ok()? {
            1 => Self::Open(bytes.try_get_u16().ok()?),
            2 => Self::Chunk { view: bytes.try_get_u64().ok()?, number: bytes.try_get_u64().ok()? },
            3 => Self::Close(bytes.try_get_u64().ok()?),
            _ => return None,
        };
        bytes.is_empty().then_some(question)
    }
}

impl Answer {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        match self {
            Self::Open { view, term, index } => {
                out.put_u8(1);
                for number in [view, term, index] {
                    out.put_u64(*number);
                }
            }
            Self::NotLeading => out.put_u8(2),
            Self::Chunk(chunk) => {
                out.reserve_exact(1 + chunk.len());
                out.put_u8(3);
                out.put_slice(chunk);
            }
            Self::End => out.put_u8(4),
            Self::Failed(why) => {
                out.put_u8(5);
                out.put_slice(why.as_bytes());
            }
        }
        out.into()
    }

    /// None where it is not understood.
    pub(crate) fn decode(mut bytes: Bytes) -> Option<Self> {
        let answer = match bytes.try_get_u8().ok()? {
            1 => Self::Open {
                view: bytes.try_get_u64().ok()?,
                term: bytes.try_get_u64().ok()?,
                index: bytes.try_get_u64().ok()?,
            },
            2 => Self::NotLeading,
            3 => return Some(Self::Chunk(bytes)),
            4 => Self::End,
            5 => return Some(Self::Failed(String::from_utf8_lossy(&bytes).into_owned())),
            _ => return None,
        };
        bytes.is_empty().then_some(answer)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::{Answer, Question};
    use crate::archive::writing::hexadecimal;

    fn check_question(question: Question, expected: &Expect) {
        expected.assert_eq(&hexadecimal(&question.encode()));
        assert_eq!(Question::decode(&question.encode()), Some(question));
    }

    fn check_answer(answer: &Answer, expected: &Expect) {
        expected.assert_eq(&hexadecimal(&answer.encode()));
        assert_eq!(Answer::decode(answer.encode()).as_ref(), Some(answer));
    }

    #[test]
    fn questions_and_answers_are_frozen() {
        check_question(Question::Open(258), &expect![["010102"]]);
        check_question(
            Question::Chunk { view: 1, number: 2 },
            &expect![["0200000000000000010000000000000002"]],
        );
        check_question(Question::Close(3), &expect![["030000000000000003"]]);
        check_answer(
            &Answer::Open { view: 1, term: 2, index: 3 },
            &expect![["01000000000000000100000000000000020000000000000003"]],
        );
        check_answer(&Answer::NotLeading, &expect![["02"]]);
        check_answer(&Answer::Chunk(Bytes::from_static(b"ab")), &expect![["036162"]]);
        check_answer(&Answer::End, &expect![["04"]]);
        check_answer(&Answer::Failed("no".to_owned()), &expect![["056e6f"]]);
    }

    proptest! {
        #[test]
        fn decoding_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = Question::decode(&bytes);
            let _ = Answer::decode(bytes.into());
        }
    }
}
