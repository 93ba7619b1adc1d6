//! The target and the headers of a request: refused, or understood within their bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stead_fuzz::{api, pieces};

fuzz_target!(|bytes: &[u8]| {
    let mut pieces = pieces(bytes).into_iter();
    let mut piece = || pieces.next().unwrap_or_default();
    let (path, query, host, origin) = (piece(), piece(), piece(), piece());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    api::target(&text(path), &text(query));
    api::headers(&text(host), &text(origin), piece());
});
