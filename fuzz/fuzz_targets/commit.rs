//! A commit's bytes: refused, or a commit that comes out of its own bytes as it went in.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stead_fuzz::object::codec::{decode_commit, encode_commit};
use stead_fuzz::object::{MemoryStorage, Update};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(commit) = decode_commit(bytes) {
        assert_eq!(decode_commit(&encode_commit(&commit)).as_ref(), Ok(&commit));
        if let Some(update) = Update::from_commit(&commit) {
            assert!(!update.to_json_text().is_empty());
        }
        let _ = (commit.retired_generation(), commit.alarm_move(), commit.due_move());
        MemoryStorage::default().apply(&commit.ops);
    }
});
