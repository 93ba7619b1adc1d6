//! A history entry's text: refused, or an update that comes out of its own text as it went in.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stead_fuzz::object::Update;

fuzz_target!(|text: &str| {
    if let Ok(update) = Update::parse(text) {
        let update = Update::parse(&update.to_json_text()).expect("what was written is read");
        assert_eq!(Update::parse(&update.to_json_text()), Ok(update));
    }
});
