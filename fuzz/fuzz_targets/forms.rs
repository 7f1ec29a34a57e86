//! Forms: what the standard's parser reads of them, and refused exactly if that parser had to guess.
//!
//! Input: the form.
#![no_main]

use bowline_ingress::form::to_json;
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};

const FIELDS_MAX: usize = 1000;

fuzz_target!(|data: &[u8]| {
    let mut expected = Map::new();
    let fields: Vec<(String, String)> = url::form_urlencoded::parse(data).into_owned().collect();
    let is_fine = fields.len() <= FIELDS_MAX && is_plain(data);
    for (name, value) in fields {
        let values = expected.entry(name).or_insert_with(|| Value::Array(vec![]));
        values.as_array_mut().expect("made above").push(value.into());
    }
    match to_json(data) {
        Ok(json) => {
            assert!(is_fine, "taken");
            let read: Map<String, Value> = serde_json::from_slice(&json).expect("an object");
            let listed = read.into_iter().map(|(name, value)| match value {
                Value::Array(values) => (name, Value::Array(values)),
                one => (name, Value::Array(vec![one])),
            });
            assert_eq!(listed.collect::<Map<_, _>>(), expected);
        }
        Err(refused) => {
            assert!(!is_fine, "{refused}");
            let text = refused.to_string();
            assert!(text.len() < 512, "{text}");
        }
    }
});

/// Whether every `%` begins an escape and every text is UTF-8.
fn is_plain(form: &[u8]) -> bool {
    let texts = form.split(|byte| matches!(byte, b'&' | b'='));
    texts.into_iter().all(|text| {
        let mut decoded = vec![];
        let mut rest = text;
        while let Some((first, after)) = rest.split_first() {
            let digits = after.get(..2).and_then(|digits| hex::decode(digits).ok());
            match (first, digits) {
                (b'%', Some(byte)) => {
                    decoded.extend(byte);
                    rest = &after[2..];
                }
                (b'%', None) => return false,
                (other, _) => {
                    decoded.push(*other);
                    rest = after;
                }
            }
        }
        std::str::from_utf8(&decoded).is_ok()
    })
}
