//! The network between nodes, from the outside: real sockets on loopback, and a node behind each that only notes
//! what reaches it.

#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

mod asking;
mod encrypted;
mod ending;
mod entries;
mod handshake;
mod node;
mod snapshots;
mod strangers;
mod streams;
