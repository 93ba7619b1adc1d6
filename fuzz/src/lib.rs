//! The pure core, taken by path: what the fuzz targets feed with bytes.

// The core's own tests and lints run in its own crate.
#![allow(dead_code, unused_imports, reason = "the targets use a part of the core")]

#[path = "../../src"]
mod stead {
    pub mod caller;
    pub mod class;
    pub mod error;
    pub mod limits;
    pub mod object;
}

pub use stead::{caller, class, error, limits, object};

/// Cuts bytes into pieces, each with two bytes of length before it; the last may be shorter.
pub fn pieces(bytes: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut rest = bytes;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let (piece, after) = after.split_at(usize::from(u16::from_be_bytes(*length)).min(after.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}
