//! What editors send: refused, or a document that is rebuilt from its keys with the same text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::json;
use bytes::Bytes;
use stead_fuzz::class::{Document, Rehearsal};
use stead_fuzz::pieces;

fuzz_target!(init: {
    // A panic of the library that is caught is no finding.
    std::panic::set_hook(Box::new(|panic| {
        if panic.location().is_none_or(|location| !location.file().contains("yrs")) {
            eprintln!("{panic}");
            std::process::abort();
        }
    }));
}, |bytes: &[u8]| {
    let mut document = Rehearsal::new(Document);
    document.call("update", json!({"content": "text"})).expect("a text is taken");
    for update in pieces(bytes) {
        let update = Bytes::copy_from_slice(update);
        let _ = document.difference(Some(&update));
        let _ = document.edit(&[update.clone(), update]);
        let _ = document.call("insert", json!({"index": 0, "text": "a"}));
    }
    let text = document.get("content").expect("it is read");
    document.forget_decoded();
    assert_eq!(document.get("content").expect("it is rebuilt"), text);
});
