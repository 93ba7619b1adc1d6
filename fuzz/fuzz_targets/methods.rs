//! Calls of the built-in classes: each is answered or refused, and a refusal changes nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value as Json;
use stead_fuzz::class::{Counter, Document, Object, Rehearsal};
use stead_fuzz::object::parse_json;
use stead_fuzz::pieces;

fuzz_target!(|bytes: &[u8]| {
    let mut objects = [Rehearsal::new(Object), Rehearsal::new(Counter), Rehearsal::new(Document)];
    for piece in pieces(bytes) {
        let Some((&choice, rest)) = piece.split_first() else { continue };
        let end = rest.iter().position(|&byte| byte == b' ').unwrap_or(rest.len());
        let (method, parameters) = rest.split_at(end);
        let (Ok(method), Ok(json)) = (std::str::from_utf8(method), parse_json(parameters)) else { continue };
        let object = &mut objects[usize::from(choice) % 3];
        let before = (object.meta().clone(), object.storage().clone());
        let outcome = match (choice / 3) % 4 {
            0 => object.call(method, json),
            1 => object.initialize(json).map(|()| Json::Null),
            2 => object.put(method, json).map(|()| Json::Null),
            _ => object.delete(method).map(|()| Json::Null),
        };
        if outcome.is_err() {
            assert!(before == (object.meta().clone(), object.storage().clone()), "a refusal changes nothing");
        }
    }
    for object in &mut objects {
        let state = object.state().expect("it is read");
        object.forget_decoded();
        assert_eq!(object.state().expect("it is rebuilt"), state);
    }
});
