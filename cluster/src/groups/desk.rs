//! What nodes ask one another on their own behalf: changes of the map, how far logs reach, what they know.
//!
//! Questions and replies are JSON: they are few and small, and fields can be added to them.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::layout::{LogIndex, NodeId, Term};
use crate::map::MapCommand;
use crate::status::NodeReport;
use crate::storage::keys::GroupId;

/// A question of one node to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Question {
    /// Change the map, if you lead the meta group.
    Change(MapCommand),
    /// How far do your logs of these groups reach? Whose leader is surely gone is led next by the longest.
    Tails(Vec<GroupId>),
    /// What do you know of your shards?
    Report,
}

/// The reply to a [`Question`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    /// The map was changed by the entry of this index.
    Changed(LogIndex),
    /// This node does not lead the meta group; who does, where known. Nothing was changed.
    NotLeading(Option<NodeId>),
    /// The change may yet be made, or not.
    Unknown(String),
    /// By group, in the order asked: term and index of the last entry. None for a group that is stopped.
    Tails(Vec<Option<(Term, LogIndex)>>),
    /// What this node knows.
    Report(Box<NodeReport>),
    /// The question was not understood.
    NotUnderstood(String),
}

pub(super) fn encode(message: &impl Serialize) -> Bytes {
    serde_json::to_vec(message).expect("questions and replies are made of strings and numbers").into()
}

pub(super) fn decode_question(bytes: &[u8]) -> Result<Question, String> {
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

pub(super) fn decode_reply(bytes: &[u8]) -> Reply {
    serde_json::from_slice(bytes).unwrap_or_else(|error| Reply::NotUnderstood(error.to_string()))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::{Question, Reply, decode_question, decode_reply, encode};
    use crate::layout::NodeId;
    use crate::storage::keys::GroupId;

    fn check(bytes: &[u8], expected: &Expect) {
        expected.assert_eq(std::str::from_utf8(bytes).expect("JSON is UTF-8"));
    }

    #[test]
    fn questions_and_replies_are_frozen() {
        let question = Question::Tails(vec![GroupId(1), GroupId::META]);
        check(&encode(&question), &expect![[r#"{"tails":[1,65535]}"#]]);
        assert_eq!(decode_question(&encode(&question)), Ok(question));
        check(&encode(&Question::Report), &expect![[r#""report""#]]);
        let reply = Reply::Tails(vec![Some((3, 7)), None]);
        check(&encode(&reply), &expect![[r#"{"tails":[[3,7],null]}"#]]);
        assert_eq!(decode_reply(&encode(&reply)), reply);
        check(&encode(&Reply::NotLeading(Some(NodeId(2)))), &expect![[r#"{"not_leading":2}"#]]);
        assert!(matches!(decode_reply(b"?"), Reply::NotUnderstood(_)));
    }
}
