//! A WSDL of a stranger, and an input for each operation that it has: read or refused, shown, and written as XML that
//! reads back; never with a document type.
//!
//! Input: the input as JSON, a line's end, the WSDL.
#![no_main]

use std::sync::LazyLock;

use bowline_client::{Api, soap::Wsdl};
use bowline_fuzz::lines;
use bowline_model::Effect;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

static API: LazyLock<Api> = LazyLock::new(|| Api::new("fuzz").base_url("https://fuzz.example.com"));

fuzz_target!(|data: &[u8]| {
    let [input, document] = lines(data);
    let Ok(document) = std::str::from_utf8(document) else { return };
    let input: Value = serde_json::from_slice(input).unwrap_or_default();
    let mut asked = 0;
    // What it imports is itself, however often.
    let read = Wsdl::read_with(document, |_| {
        asked += 1;
        (asked < 4).then(|| document.to_owned())
    });
    let Ok(wsdl) = read else { return };
    let outside_comments = document.split("<!--").map(|part| part.rsplit("-->").next().unwrap_or(part));
    let before_root = outside_comments.take(1).collect::<String>();
    assert!(!before_root.trim_start().starts_with("<!DOCTYPE"), "a document type was read");
    for operation in wsdl.operations() {
        let shown = operation.to_string();
        assert!(shown.contains(operation.name()));
        let call = API.soap(&wsdl, operation.name()).path("/").port(operation.port()).json(&input);
        // Written: its fingerprint has the body's hash.
        assert!(call.decode::<Value>().shape().fingerprint.is_some());
    }
});
