//! What is stored beside commits: refused, or it comes out of its own bytes as it went in.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stead_fuzz::object::codec;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(meta) = codec::decode_meta(bytes) {
        assert_eq!(codec::decode_meta(&codec::encode_meta(&meta)), Ok(meta));
    }
    if let Ok(record) = codec::decode_record(bytes) {
        assert_eq!(codec::decode_record(&codec::encode_record(&record)), Ok(record));
    }
    if let Ok(slot) = codec::decode_slot(bytes) {
        assert_eq!(codec::decode_slot(&codec::encode_slot(&slot)), Ok(slot));
    }
    if let Ok(stored) = codec::decode_stored(bytes) {
        assert_eq!(codec::encode_stored(&stored), bytes);
    }
    if let Ok(update) = codec::decode_history(bytes) {
        assert_eq!(codec::decode_history(&codec::encode_history(&update)), Ok(update));
    }
});
