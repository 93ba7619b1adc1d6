//! A node of a cluster, from the outside: through the crate's public interface, on a real data directory.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that can not go on has failed")]

mod archive;
mod disk;
mod harness;
mod proposing;
mod recovery;
mod replaying;
mod retention;
mod several;
