//! What an editor's socket is sent: refused, or a message that is the same when it is written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stead_fuzz::api::editor;
use stead_fuzz::pieces;

fuzz_target!(|bytes: &[u8]| editor::messages(&pieces(bytes)));
