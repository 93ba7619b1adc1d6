//! An address: refused, or one whose key leads back to it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stead_fuzz::object::idempotency::IdempotencyKey;
use stead_fuzz::object::keys::{self, Place};
use stead_fuzz::object::{Key, ObjectAddress, Timestamp, address};

fuzz_target!(|text: &str| {
    let mut parts = text.splitn(3, '/');
    let mut part = || parts.next().unwrap_or_default();
    if let Ok(address) = ObjectAddress::parse(part(), part(), part()) {
        assert_eq!(address.to_string(), text);
        assert!(address.hash().slot() < address::SLOTS);
        assert_eq!(keys::decode(&keys::meta(&address)), Ok((address, Place::Meta)));
    }
    if let Ok(key) = Key::parse(text) {
        assert_eq!(key.as_str(), text);
    }
    if let Ok(key) = IdempotencyKey::parse(text) {
        assert_eq!(key.as_str(), text);
    }
    if let Ok(time) = Timestamp::parse(text) {
        assert_eq!(Timestamp::parse(&time.to_string()), Ok(time));
    }
});
