//! A body: refused, or a value whose canonical text is its own canonical text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stead_fuzz::object::{Value, parse_json};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(json) = parse_json(bytes) {
        let value = Value::from_json(json);
        let again = parse_json(value.as_str().as_bytes()).expect("a canonical text is JSON");
        assert_eq!(Value::from_json(again), value);
        assert_eq!(Value::from_json(value.to_json()), value);
    }
});
