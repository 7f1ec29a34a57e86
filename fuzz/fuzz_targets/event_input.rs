//! The part of an event's body that a workflow receives: what a tree of the whole body has at the pointer, and a piece
//! of the body's own text.
//!
//! Input: the pointer, a line's end, the body.
#![no_main]

use bowline_fuzz::{lines, now};
use bowline_model::{Event, EventId, event::InputError};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let [pointer, body] = lines(data);
    let Ok(pointer) = std::str::from_utf8(pointer) else { return };
    let event = event(pointer, body);
    let by_tree = serde_json::from_slice::<Value>(body);
    match (event.input_text(), by_tree) {
        (Ok(text), tree) => {
            let place = text.get().as_ptr().addr().wrapping_sub(event.body.as_ptr().addr());
            assert_eq!(event.body.get(place..place + text.get().len()), Some(text.get().as_bytes()));
            // Where it is not looked into, the body may hold what has no value: numbers beyond all bounds, halves of
            // characters, 128 brackets.
            if let Ok(tree) = tree {
                assert_eq!(Some(&event.input().expect("a value")), tree.pointer(pointer));
            }
        }
        (Err(InputError::Missing { .. }), tree) => {
            assert!(tree.map_or(true, |tree| tree.pointer(pointer).is_none()));
        }
        (Err(InputError::NotJson(_)), tree) => assert!(tree.is_err(), "{tree:?}"),
    }
});

fn event(pointer: &str, body: &[u8]) -> Event {
    Event {
        id: EventId(1),
        source: "/webhooks/fuzz".to_owned(),
        provider: "fuzz".to_owned(),
        kind: "fuzz".to_owned(),
        dedupe_key: "1".to_owned(),
        received_at: now(),
        headers: vec![],
        body: Bytes::copy_from_slice(body),
        input_pointer: pointer.to_owned(),
    }
}
