//! A key: refused, or it is the one key of what it says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stead_fuzz::object::Version;
use stead_fuzz::object::keys::{self, Place};

fuzz_target!(|bytes: &[u8]| {
    if let Ok((address, place)) = keys::decode(bytes) {
        let again = match place {
            Place::Meta => keys::meta(&address),
            Place::State { generation, key } => {
                keys::state(&address, generation, key.space, key.key.as_str())
            }
            Place::History(place) => keys::history(&address, Version(place.into())),
            Place::Record(key) => keys::record_by_key(&address, &key),
            Place::RecordSlot(sequence) => keys::record_by_sequence(&address, sequence),
        };
        assert_eq!(again, bytes);
        assert!(keys::object_range(&address).contains(&again));
    }
    if let Ok((time, address, kind)) = keys::decode_timeline(bytes) {
        assert_eq!(keys::timeline(time, &address, kind), bytes);
    }
});
