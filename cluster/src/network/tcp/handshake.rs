//! How two nodes make sure of each other before anything else is said.
//!
//! The dialler says hello, the other gives it a random number, the dialler proves that it has the cluster's secret
//! with a keyed hash over everything said so far: whoever does not know the secret learns nothing but that, and
//! which protocols are spoken. Then the other says why it refuses, or who it is, with a proof that covers this too.
//!
//! The one dialled also says which addresses it sees. They show the dialler whether the address it dialled is the
//! peer's own socket or somebody else's between the two; only in the first case does a closed port say anything of
//! the process.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;

use hmac::{Hmac, KeyInit, Mac};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::layout::NodeId;
use crate::network::Member;

/// The version of everything said between nodes.
pub(super) const PROTOCOL: u16 = 1;
/// The oldest version this program still speaks.
pub(super) const PROTOCOL_MIN: u16 = 1;
/// Largest message of a handshake, in bytes.
pub(super) const HANDSHAKE_MAX_BYTES: usize = 16 * 1024;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Purpose {
    /// Entries, heartbeats, votes, transfers.
    Raft,
    /// Calls, streams, snapshots.
    Calls,
    /// To be let into the cluster; the dialler is nobody yet.
    Join,
}

/// The dialler's first message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    /// Always `stead`.
    pub(super) stead: String,
    pub(super) protocol: (u16, u16),
    pub(super) version: String,
    pub(super) purpose: Purpose,
    /// Who dials; none to join.
    pub(super) member: Option<Claim>,
    /// Who is meant, if a certain node is.
    pub(super) to: Option<NodeId>,
    pub(super) nonce: String,
}

/// Who a process says it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    pub(super) cluster: String,
    pub(super) node: NodeId,
    pub(super) epoch: u64,
}

impl Claim {
    pub(super) fn of(member: &Member) -> Self {
        Self { cluster: member.cluster.to_string(), node: member.node, epoch: member.epoch }
    }

    pub(super) fn member(&self) -> Result<Member, String> {
        let cluster = self.cluster.parse().map_err(|error| format!("{error}"))?;
        Ok(Member { cluster, node: self.node, epoch: self.epoch })
    }
}

/// The answer to a hello.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Challenge {
    pub(super) protocol: u16,
    pub(super) nonce: String,
}

/// The dialler's proof that it has the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Proof {
    pub(super) proof: String,
}

/// The last message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// Welcome; the proof covers what is said here as well.
    Welcome { welcome: Welcome, proof: String },
    /// Not welcome; why.
    Refused { reason: String },
}

/// Who was dialled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Welcome {
    pub(super) claim: Claim,
    pub(super) version: String,
    /// The dialler's address as it is seen here.
    pub(super) from: SocketAddr,
    /// The address of this socket.
    pub(super) at: SocketAddr,
}

/// Who proves.
#[derive(Debug, Clone, Copy)]
pub(super) enum Side {
    Dialler,
    Listener,
}

/// Everything said so far, and the secret.
pub(super) struct Transcript<'a> {
    secret: &'a [u8],
    said: Vec<u8>,
}

impl<'a> Transcript<'a> {
    pub(super) fn new(secret: &'a [u8]) -> Self {
        Self { secret, said: Vec::new() }
    }

    /// Adds a message as it was sent.
    pub(super) fn add(&mut self, message: &[u8]) {
        self.said.extend_from_slice(&(message.len() as u64).to_be_bytes());
        self.said.extend_from_slice(message);
    }

    /// The proof of one side over what was said so far.
    pub(super) fn proof(&self, side: Side) -> String {
        hex(&self.mac(side).finalize().into_bytes())
    }

    /// What the other side has to prove with, of what was said so far.
    pub(super) fn due(&self, side: Side) -> Due {
        Due(self.mac(side))
    }

    fn mac(&self, side: Side) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret).expect("a key of any length will do");
        mac.update(match side {
            Side::Dialler => b"stead peer: dialler",
            Side::Listener => b"stead peer: listener",
        });
        mac.update(&self.said);
        mac
    }
}

/// A proof that is due.
pub(super) struct Due(Hmac<Sha256>);

impl Due {
    /// Whether this is it. In constant time.
    pub(super) fn is(self, proof: &str) -> bool {
        let digit =
            |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let bytes: Option<Vec<u8>> = proof.as_bytes().chunks(2).map(digit).collect();
        bytes.is_some_and(|bytes| self.0.verify_slice(&bytes).is_ok())
    }
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut digits, byte| {
        write!(digits, "{byte:02x}").expect("a string takes everything");
        digits
    })
}

pub(super) fn encode(message: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(message).expect("messages of a handshake are made of strings and numbers")
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "no handshake of a peer"))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::{Challenge, Claim, Hello, Proof, Purpose, Side, Transcript, Verdict, Welcome, encode};
    use crate::layout::NodeId;

    fn check(message: &[u8], expected: &Expect) {
        expected.assert_eq(std::str::from_utf8(message).expect("JSON is UTF-8"));
    }

    #[test]
    fn messages_are_frozen() {
        let claim = Claim { cluster: "ab".to_owned(), node: NodeId(2), epoch: 3 };
        let hello = Hello {
            stead: "stead".to_owned(),
            protocol: (1, 1),
            version: "0.1.0".to_owned(),
            purpose: Purpose::Raft,
            member: Some(claim.clone()),
            to: Some(NodeId(1)),
            nonce: "00".to_owned(),
        };
        check(
            &encode(&hello),
            &expect![[
                r#"{"stead":"stead","protocol":[1,1],"version":"0.1.0","purpose":"raft","member":{"cluster":"ab","node":2,"epoch":3},"to":1,"nonce":"00"}"#
            ]],
        );
        check(
            &encode(&Challenge { protocol: 1, nonce: "01".to_owned() }),
            &expect![[r#"{"protocol":1,"nonce":"01"}"#]],
        );
        check(&encode(&Proof { proof: "02".to_owned() }), &expect![[r#"{"proof":"02"}"#]]);
        let (from, at) = ("10.0.0.2:40000".parse().unwrap(), "[::1]:9080".parse().unwrap());
        let welcome = Welcome { claim, version: "0.1.0".to_owned(), from, at };
        check(
            &encode(&Verdict::Welcome { welcome, proof: "ff".to_owned() }),
            &expect![[
                r#"{"welcome":{"welcome":{"claim":{"cluster":"ab","node":2,"epoch":3},"version":"0.1.0","from":"10.0.0.2:40000","at":"[::1]:9080"},"proof":"ff"}}"#
            ]],
        );
        check(
            &encode(&Verdict::Refused { reason: "no".to_owned() }),
            &expect![[r#"{"refused":{"reason":"no"}}"#]],
        );
        // What is proved is frozen as much as what is sent.
        let mut transcript = Transcript::new(b"secret");
        transcript.add(b"hello");
        expect!["756e03281bdbafd5a84440b5c7f5add7cbb4bd4c8973ccc4911b2f4af99ee20c"]
            .assert_eq(&transcript.proof(Side::Dialler));
    }

    #[test]
    fn a_proof_holds_for_one_side_one_secret_and_what_was_said() {
        let proof = |secret: &'static [u8], said: &[u8], side| {
            let mut transcript = Transcript::new(secret);
            transcript.add(said);
            transcript.proof(side)
        };
        let mut transcript = Transcript::new(b"secret");
        transcript.add(b"hello");
        assert!(transcript.due(Side::Dialler).is(&proof(b"secret", b"hello", Side::Dialler)));
        for other in [
            proof(b"secret", b"hello", Side::Listener),
            proof(b"Secret", b"hello", Side::Dialler),
            proof(b"secret", b"hallo", Side::Dialler),
            String::new(),
            "zz".to_owned(),
        ] {
            assert!(!transcript.due(Side::Dialler).is(&other), "{other}");
        }
    }
}
